"""What changes the cluster: submit, cancel, retry, delete. Each says what it does as it goes."""

import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from momalisa.cluster.capacity import COUNT_OF_JOBS
from momalisa.cluster.client import Cluster
from momalisa.cluster.config import JobConfig
from momalisa.cluster.isolation import RUN_LABEL, network_policy
from momalisa.cluster.kinds import BATCH_JOB, NETWORK_POLICY, POD, RAY_JOB, Manifest
from momalisa.cluster.manifests import CONFIG_ANNOTATION, KIND_LABEL, OUTPUT_ANNOTATION, ray_job
from momalisa.config import from_dict, override, to_dict
from momalisa.errors import (
    ClusterError,
    ClusterForbiddenError,
    ClusterRejectedError,
    ClusterUnreachableError,
    ConfigError,
    ObjectNotFoundError,
    StorageError,
)
from momalisa.job_folder import EXIT_FILE, FOLDER
from momalisa.storage import RetryPolicy, Store, open_store
from momalisa.training.stopping import ask_to_stop, forget_stop

JOB_KEY = "job/job.json"
"""In the run's folder: config and manifest as submitted, for when the RayJob is gone."""
EXIT_KEY = f"{FOLDER}/{EXIT_FILE}"
CANCELLED_ANNOTATION = "momalisa.dev/cancelled-at"
SUBMISSION_ANNOTATION = "momalisa.dev/submission"
"""Differs in each submission: it tells whether a RayJob is the one that was just asked for."""
ENDED = ("Complete", "Failed", "ValidationFailed")
"""Values of jobDeploymentStatus after which nothing happens any more."""

STOPPED = "STOPPED"
"""Value of jobStatus after which KubeRay leaves the cluster as it is."""

_NOTHING_TO_SAVE = ("PENDING", "SUCCEEDED", "FAILED", STOPPED)
"""Values of jobStatus; KubeRay has odd ones, or none, while it cannot reach Ray."""
_MAX_STEM = 38
"""Of a throw-away name, which is that of a job and nine characters."""
_LOOK_EVERY_S = 2.0
_GONE_WITHIN_S = 120.0
_QUICK = RetryPolicy(max_attempts=3, deadline_s=20.0, attempt_timeout_s=10.0, stall_timeout_s=5.0)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Waiting:
    """How time passes; tests let it pass at once."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def looks(self, for_s: float) -> Iterator[None]:
        """One turn for each look, at once and then every few seconds, for so long."""
        until = self.clock() + for_s
        yield
        while (left_s := until - self.clock()) > 0:
            self.sleep(min(_LOOK_EVERY_S, left_s))
            yield


def submit(cluster: Cluster, config: JobConfig, *, say: Say) -> Manifest:
    """Creates the RayJob and its NetworkPolicy, and leaves word of them in the run's folder. Raises ClusterError.

    What was left there by an earlier submission goes only when this one is created, and before its pods can be: under
    a name that is taken it would be that of a run in full swing.
    """
    output = open_store(config.output_uri, _QUICK)
    manifest = ray_job(config)
    manifest["metadata"]["annotations"][SUBMISSION_ANNOTATION] = secrets.token_hex(8)
    with _whole_or_not_at_all(cluster, manifest, say):
        created = _create(cluster, manifest)
        _isolate(cluster, created, say)
    _forget_earlier(output, say)
    _remember(output, config, created, say)
    return created


def cancel(
    cluster: Cluster, name: str, *, grace_s: float, say: Say, at_once: bool = False, waiting: Waiting | None = None
) -> None:
    """Ends a job and frees its GPUs: a training within the grace period, with a checkpoint.

    A training that has not ended by then, or was told to go at once, loses the steps since its last checkpoint, and
    its RayJob is deleted. Raises ClusterNotFoundError; StorageError where no stop marker can be left.
    """
    waiting = waiting or Waiting()
    job = cluster.get(RAY_JOB, name)
    if (job.get("status") or {}).get("jobStatus") == STOPPED:
        _delete(cluster, name, say)  # somebody stopped it through Ray: KubeRay has no rule that would end its cluster
    elif has_ended(job):
        say(f"{name} has ended already: {_state(job)}; `momalisa jobs delete {name}` removes it")
    elif at_once or not _can_checkpoint(job):
        _delete(cluster, name, say)
    elif not _stops(cluster, job, grace_s, say, waiting):
        say(f"{name} has not ended within {grace_s:.0f} s: what it did since its last checkpoint is lost")
        _delete(cluster, name, say)
    _tell_free(cluster, name, say, waiting)


def retry(
    cluster: Cluster,
    name: str,
    *,
    output_uri: str | None,
    assignments: Sequence[str],
    say: Say,
    waiting: Waiting | None = None,
) -> Manifest:
    """Submits an ended job again under its own name; a training goes on from its last checkpoint.

    The config is that of the RayJob, or where that is gone of the run's folder, with `a.b=c` assignments on top.
    Raises ConfigError for a job that runs, or of which nothing is left.
    """
    config = override(stored_config(cluster, name, output_uri), assignments)
    if config.name != name:
        raise ConfigError(f"a retry keeps its name: drop --set name={config.name}")
    old = cluster.find(RAY_JOB, name)
    if old is None:
        return submit(cluster, config, say=say)
    if not has_ended(old):
        raise ConfigError(f"{name} has not ended ({_state(old)}): momalisa jobs cancel {name} first")
    _try_out(cluster, config)
    try:
        cluster.delete(RAY_JOB, name)
        _await_gone(cluster, name, waiting or Waiting())
        return submit(cluster, config, say=say)
    except BaseException:  # Ctrl-C too: what is told here may be nowhere else any more.
        say(f"{name} could not be replaced. Try again: momalisa jobs retry {name} --output {config.output_uri}")
        say(f"its config, should that folder have none: {json.dumps(to_dict(config))}")
        raise


def delete(cluster: Cluster, name: str, *, say: Say) -> None:
    """Removes a RayJob that has ended, as those of queues never are by themselves. Its run's folder stays.

    Raises ClusterNotFoundError, and ConfigError for a job that runs.
    """
    job = cluster.get(RAY_JOB, name)
    if not has_ended(job):
        raise ConfigError(f"{name} has not ended ({_state(job)}): momalisa jobs cancel {name} first")
    _delete(cluster, name, say)


def stored_config(cluster: Cluster, name: str, output_uri: str | None) -> JobConfig:
    """What a job was submitted with: by the RayJob, else by the run's folder. Raises ConfigError."""
    job = cluster.find(RAY_JOB, name)
    if job is not None:
        text = (job["metadata"].get("annotations") or {}).get(CONFIG_ANNOTATION)
        if text is None:
            raise ConfigError(f"RayJob {name} was not submitted by momalisa: submit it anew")
        return from_dict(JobConfig, json.loads(text))
    if output_uri is None:
        raise ConfigError(f"there is no RayJob {name} any more: give its run's folder, --output URI")
    try:
        stored: dict[str, Any] = json.loads(open_store(output_uri, _QUICK).read_bytes(JOB_KEY))
    except ObjectNotFoundError as e:
        raise ConfigError(f"there is no {JOB_KEY} in {output_uri}: check --output, or submit it anew") from e
    return from_dict(JobConfig, stored["config"])


def has_ended(job: Manifest) -> bool:
    """Whether nothing will happen any more to this job."""
    return (job.get("status") or {}).get("jobDeploymentStatus") in ENDED


def _state(job: Manifest) -> str:
    status = job.get("status") or {}
    return " ".join(filter(None, (status.get("jobDeploymentStatus"), status.get("jobStatus")))) or "not begun"


def _can_checkpoint(job: Manifest) -> bool:
    """Only a training that runs has something to save, and looks for the marker."""
    is_training = (job["metadata"].get("labels") or {}).get(KIND_LABEL) == "train"
    status = job.get("status") or {}
    return (
        is_training
        and status.get("jobDeploymentStatus") == "Running"
        and status.get("jobStatus") not in _NOTHING_TO_SAVE
    )


def _stops(cluster: Cluster, job: Manifest, grace_s: float, say: Say, waiting: Waiting) -> bool:
    """Asks a training to save and end; whether it did."""
    name = job["metadata"]["name"]
    changes: dict[str, Any] = {"backoffLimit": 0}  # Its exit code says that it was stopped: that is no failure.
    if job["spec"].get("shutdownAfterJobFinishes"):
        changes["ttlSecondsAfterFinished"] = 0
    marked = {CANCELLED_ANNOTATION: datetime.now(UTC).isoformat(timespec="seconds")}
    output = open_store(job["metadata"]["annotations"][OUTPUT_ANNOTATION], _QUICK)
    try:
        ask_to_stop(output)
    except StorageError as e:
        raise type(e)(f"{e}; without its marker no checkpoint can be asked for: --now ends the job without one") from e
    cluster.patch(RAY_JOB, name, {"metadata": {"annotations": marked}, "spec": changes})
    say(f"{name} was asked to save a checkpoint and end; it has {grace_s:.0f} s")
    for _ in waiting.looks(grace_s):
        now = cluster.find(RAY_JOB, name)
        if now is None or has_ended(now):
            say(f"{name} has ended; `momalisa jobs retry {name}` goes on from its last checkpoint")
            return True
    return False


def _delete(cluster: Cluster, name: str, say: Say) -> None:
    cluster.delete(RAY_JOB, name)
    say(f"RayJob {name} is deleted, and its cluster with it")


def _tell_free(cluster: Cluster, name: str, say: Say, waiting: Waiting) -> None:
    """Waits until no worker is left, as far as this user may look."""
    workers = {RUN_LABEL: name, "ray.io/node-type": "worker"}
    try:
        for _ in waiting.looks(_GONE_WITHIN_S):
            if not (left := cluster.list(POD, labels=workers)):
                say("its workers are gone: their GPUs are free")
                return
    except ClusterForbiddenError:
        return
    say(f"warning: {len(left)} of its workers still end, and hold their GPUs: kubectl get pods -l {RUN_LABEL}={name}")


def _await_gone(cluster: Cluster, name: str, waiting: Waiting) -> None:
    """A submitter's Job of the same name that is still there would be taken for the new one's."""
    for _ in waiting.looks(_GONE_WITHIN_S):
        if cluster.find(RAY_JOB, name) is None and cluster.find(BATCH_JOB, name) is None:
            return
    raise ClusterError(f"RayJob {name} is still being deleted: try again in a minute")


def _try_out(cluster: Cluster, config: JobConfig) -> None:
    """Whether the API server would take it, under another name: its own is not free yet. Raises ClusterError."""
    stand_in = replace(config, name=f"{config.name[:_MAX_STEM].rstrip('-')}-{secrets.token_hex(4)}")
    try:
        cluster.create(RAY_JOB, ray_job(stand_in), dry_run=True)
    except ClusterRejectedError as e:
        if COUNT_OF_JOBS not in str(e):  # The old one makes room.
            raise


@contextmanager
def _whole_or_not_at_all(cluster: Cluster, manifest: Manifest, say: Say) -> Iterator[None]:
    """Takes the RayJob back where what is done here does not come to its end: its pods would have no network."""
    name = manifest["metadata"]["name"]
    try:
        yield
    except (ClusterError, KeyboardInterrupt):
        try:
            if _find(cluster, manifest) is not None:
                _delete(cluster, name, say)
        except (ClusterError, KeyboardInterrupt) as e:
            say(
                f"warning: RayJob {name} may have been created, without a NetworkPolicy ({e or 'interrupted'}): look "
                f"with `momalisa jobs status {name}`, end it with `momalisa jobs cancel {name} --now`"
            )
        raise


def _create(cluster: Cluster, manifest: Manifest) -> Manifest:
    """An answer that got lost says nothing of what was done: that is looked at."""
    try:
        return cluster.create(RAY_JOB, manifest)
    except ClusterUnreachableError as e:
        if (there := _find(cluster, manifest)) is None:
            late = "it is not there, but may come late and without a NetworkPolicy: look with `momalisa jobs list`"
            raise ClusterUnreachableError(f"{e}; {late}") from e
        return there


def _isolate(cluster: Cluster, created: Manifest, say: Say) -> None:
    try:
        cluster.create(NETWORK_POLICY, network_policy(created))
    except ClusterForbiddenError as e:
        say(f"warning: the job has no NetworkPolicy of its own ({e}); where others deny all, its pods stay apart")


def _find(cluster: Cluster, manifest: Manifest) -> Manifest | None:
    """What this submission created, never somebody else's of the same name."""
    there = cluster.find(RAY_JOB, manifest["metadata"]["name"])
    wanted = manifest["metadata"]["annotations"][SUBMISSION_ANNOTATION]
    is_ours = there is not None and (there["metadata"].get("annotations") or {}).get(SUBMISSION_ANNOTATION) == wanted
    return there if is_ours else None


def _forget_earlier(output: Store, say: Say) -> None:
    """A wish to stop would end the job as it begins; the end of another attempt would be taken for its own."""
    try:
        forget_stop(output)
        output.delete(EXIT_KEY)
    except StorageError as e:
        say(f"note: this machine cannot write to {output.uri} ({e}); of a cancelled run, remove control/stop there")


def _remember(output: Store, config: JobConfig, created: Manifest, say: Say) -> None:
    content = {"config": to_dict(config), "manifest": created}
    try:
        output.write_bytes(JOB_KEY, json.dumps(content, indent=1).encode())
    except StorageError as e:
        say(f"note: {JOB_KEY} could not be written to the run's folder ({e}); a retry needs the RayJob then")
