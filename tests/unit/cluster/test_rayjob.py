"""Submit, cancel and retry, on a namespace in memory and runs on disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from momalisa.cluster.kinds import BATCH_JOB, POD, RAY_JOB
from momalisa.cluster.rayjob import (
    CANCELLED_ANNOTATION,
    EXIT_KEY,
    JOB_KEY,
    Waiting,
    cancel,
    delete,
    retry,
    stored_config,
    submit,
)
from momalisa.config import to_dict
from momalisa.errors import (
    AccessDeniedError,
    ClusterConflictError,
    ClusterError,
    ClusterNotFoundError,
    ClusterRejectedError,
    ClusterUnreachableError,
    ConfigError,
    StorageError,
    UnavailableError,
)
from momalisa.storage import Store, open_store
from momalisa.training.run import STOP_KEY
from tests.unit.cluster.examples import config
from tests.unit.cluster.fake_api import Time
from tests.unit.cluster.namespace_in_memory import InMemory

NAME = "watercolours"


class Said(list[str]):
    def __call__(self, line: str) -> None:
        self.append(line)

    def __contains__(self, words: object) -> bool:
        return any(str(words) in line for line in self)


def job(tmp_path: Path, **changes: Any) -> Any:
    return config(output_uri=str(tmp_path / "run"), **changes)


def submitted(tmp_path: Path, **changes: Any) -> InMemory:
    cluster = InMemory()
    submit(cluster, job(tmp_path, **changes), say=Said())
    return cluster


def state(cluster: InMemory, deployment: str, job_status: str = "") -> None:
    cluster.objects["RayJob", NAME]["status"] = {"jobDeploymentStatus": deployment, "jobStatus": job_status}


def waiting(time: Time) -> Waiting:
    return Waiting(time.clock, time.sleep)


def test_a_job_comes_with_its_network_and_leaves_word(tmp_path: Path) -> None:
    cluster = submitted(tmp_path)
    (policy,) = [each for (kind, _), each in cluster.objects.items() if kind == "NetworkPolicy"]
    assert policy["metadata"]["ownerReferences"][0]["name"] == NAME
    stored = json.loads((tmp_path / "run" / JOB_KEY).read_text())
    assert stored["config"] == to_dict(job(tmp_path))
    assert stored["manifest"]["kind"] == "RayJob"


def test_what_an_earlier_submission_left_is_forgotten(tmp_path: Path) -> None:
    for key in (STOP_KEY, EXIT_KEY):
        open_store(tmp_path / "run").write_bytes(key, b"")
    submitted(tmp_path)
    assert not (tmp_path / "run" / STOP_KEY).exists()
    assert not (tmp_path / "run" / EXIT_KEY).exists()


def test_a_name_is_taken_once_and_its_run_left_alone(tmp_path: Path) -> None:
    cluster = submitted(tmp_path)
    open_store(tmp_path / "run").write_bytes(STOP_KEY, b"")
    with pytest.raises(ClusterConflictError):
        submit(cluster, job(tmp_path), say=Said())
    assert cluster.find(RAY_JOB, NAME)
    assert (tmp_path / "run" / STOP_KEY).exists()


class LosesAnswers(InMemory):
    """Creates the RayJob; then the connection breaks, or somebody loses patience."""

    def __init__(self, failure: BaseException) -> None:
        super().__init__()
        self._failure = failure

    def create(self, kind: Any, manifest: Any, *, dry_run: bool = False) -> Any:
        created = super().create(kind, manifest, dry_run=dry_run)
        if kind == RAY_JOB:
            raise self._failure
        return created


def test_a_job_whose_answer_was_lost_is_looked_for(tmp_path: Path) -> None:
    cluster = LosesAnswers(ClusterUnreachableError("timed out"))
    assert submit(cluster, job(tmp_path), say=Said())["metadata"]["name"] == NAME
    assert [kind for kind, _ in cluster.objects] == ["RayJob", "NetworkPolicy"]


def test_an_interrupt_leaves_no_job_without_a_network(tmp_path: Path) -> None:
    cluster, said = LosesAnswers(KeyboardInterrupt()), Said()
    with pytest.raises(KeyboardInterrupt):
        submit(cluster, job(tmp_path), say=said)
    assert not cluster.objects
    assert "is deleted" in said


def test_an_api_server_that_goes_away_meanwhile_leaves_a_warning(tmp_path: Path) -> None:
    cluster, said = InMemory(), Said()
    away = ClusterUnreachableError("timed out")
    cluster.failing |= {("create", "NetworkPolicy"): away, ("get", "RayJob"): away}
    with pytest.raises(ClusterUnreachableError):
        submit(cluster, job(tmp_path), say=said)
    assert "may have been created, without a NetworkPolicy" in said


def test_a_lost_answer_about_somebody_elses_job_touches_nothing(tmp_path: Path) -> None:
    cluster, said = submitted(tmp_path), Said()
    cluster.failing["create", "RayJob"] = ClusterUnreachableError("timed out")
    with pytest.raises(ClusterUnreachableError, match="may come late"):
        submit(cluster, job(tmp_path), say=said)
    assert cluster.find(RAY_JOB, NAME)
    assert not said


def test_a_network_that_is_refused_takes_the_job_along(tmp_path: Path) -> None:
    cluster, said = InMemory(), Said()
    cluster.failing["create", "NetworkPolicy"] = ClusterRejectedError("no")
    with pytest.raises(ClusterRejectedError):
        submit(cluster, job(tmp_path), say=said)
    assert cluster.find(RAY_JOB, NAME) is None
    cluster.failing.clear()
    cluster.denied.add(("create", "NetworkPolicy"))
    submit(cluster, job(tmp_path), say=said)
    assert "no NetworkPolicy of its own" in said


def test_a_bucket_that_is_closed_here_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AccessDeniedError("403")

    monkeypatch.setattr(Store, "delete", refuse)
    monkeypatch.setattr(Store, "write_bytes", refuse)
    cluster, said = InMemory(), Said()
    submit(cluster, job(tmp_path), say=said)
    assert "a retry needs the RayJob" in said
    assert "control/stop" in said


def test_a_training_ends_with_a_checkpoint(tmp_path: Path) -> None:
    cluster, said, time = submitted(tmp_path), Said(), Time()
    state(cluster, "Running", "RUNNING")
    cluster.put(POD, "w", metadata={"labels": {"momalisa.dev/run": NAME, "ray.io/node-type": "worker"}})

    def happens(verb: str, kind: str, _: str) -> None:
        if time.now > 20:
            state(cluster, "Failed", "FAILED")
        if time.now > 40:
            cluster.objects.pop(("Pod", "w"), None)

    cluster.on_call = happens
    cancel(cluster, NAME, grace_s=60, say=said, waiting=waiting(time))
    assert (tmp_path / "run" / STOP_KEY).exists()
    there = cluster.objects["RayJob", NAME]
    assert there["spec"]["backoffLimit"] == 0
    assert "ttlSecondsAfterFinished" not in there["spec"]
    assert CANCELLED_ANNOTATION in there["metadata"]["annotations"]
    assert "has ended" in said
    assert "their GPUs are free" in said
    assert 40 < time.now < 45


@pytest.mark.parametrize("job_status", ["", "Failure"])
def test_a_training_that_kuberay_lost_sight_of_may_save_too(tmp_path: Path, job_status: str) -> None:
    cluster, time = submitted(tmp_path), Time()
    state(cluster, "Running", job_status)
    cluster.on_call = lambda *_: state(cluster, "Failed") if time.now > 5 else None
    cancel(cluster, NAME, grace_s=60, say=Said(), waiting=waiting(time))
    assert (tmp_path / "run" / STOP_KEY).exists()
    assert cluster.find(RAY_JOB, NAME)


def test_a_queued_training_leaves_no_cluster(tmp_path: Path) -> None:
    cluster, time = submitted(tmp_path, queue="gpus"), Time()
    state(cluster, "Running", "RUNNING")
    cluster.on_call = lambda *_: state(cluster, "Failed") if time.now > 5 else None
    cancel(cluster, NAME, grace_s=60, say=Said(), waiting=waiting(time))
    assert cluster.objects["RayJob", NAME]["spec"]["ttlSecondsAfterFinished"] == 0


def test_grace_ends(tmp_path: Path) -> None:
    cluster, said, time = submitted(tmp_path), Said(), Time()
    state(cluster, "Running", "RUNNING")
    cancel(cluster, NAME, grace_s=60, say=said, waiting=waiting(time))
    assert cluster.find(RAY_JOB, NAME) is None
    assert "is lost" in said
    assert time.now == 60


@pytest.mark.parametrize(
    ("changes", "deployment", "job_status", "at_once"),
    [
        ({}, "Initializing", "", False),
        ({}, "Running", "PENDING", False),
        ({"queue": "q"}, "Suspended", "", False),
        ({"kind": "prepare", "recipe": None}, "Running", "RUNNING", False),
        ({}, "Running", "RUNNING", True),
        ({}, "Complete", "STOPPED", False),  # through Ray's dashboard: its cluster would stay
    ],
)
def test_what_has_nothing_to_save_goes_at_once(
    tmp_path: Path, changes: dict[str, Any], deployment: str, job_status: str, at_once: bool
) -> None:
    cluster, time = submitted(tmp_path, **changes), Time()
    state(cluster, deployment, job_status)
    cancel(cluster, NAME, grace_s=60, at_once=at_once, say=Said(), waiting=waiting(time))
    assert cluster.find(RAY_JOB, NAME) is None
    assert time.now == 0
    assert not (tmp_path / "run" / STOP_KEY).exists()


def test_what_has_ended_is_left_alone(tmp_path: Path) -> None:
    cluster, said = submitted(tmp_path), Said()
    state(cluster, "Complete", "SUCCEEDED")
    cancel(cluster, NAME, grace_s=60, say=said, waiting=waiting(Time()))
    assert "has ended already: Complete SUCCEEDED" in said
    assert cluster.find(RAY_JOB, NAME)


def test_nothing_is_lost_where_the_marker_cannot_be_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Any) -> None:
        raise UnavailableError("the bucket is away")

    cluster = submitted(tmp_path)
    state(cluster, "Running", "RUNNING")
    monkeypatch.setattr("momalisa.cluster.rayjob.ask_to_stop", away)
    with pytest.raises(StorageError, match="--now"):
        cancel(cluster, NAME, grace_s=60, say=Said(), waiting=waiting(Time()))
    assert cluster.objects["RayJob", NAME]["spec"]["backoffLimit"] == 2


def test_workers_that_stay_are_told(tmp_path: Path) -> None:
    cluster, said = submitted(tmp_path), Said()
    cluster.put(POD, "w", metadata={"labels": {"momalisa.dev/run": NAME, "ray.io/node-type": "worker"}})
    cancel(cluster, NAME, grace_s=60, say=said, waiting=waiting(Time()))
    assert "warning: 1 of its workers" in said
    with pytest.raises(ClusterNotFoundError):
        cancel(cluster, NAME, grace_s=60, say=said, waiting=waiting(Time()))


def test_a_retry_is_the_same_job_again(tmp_path: Path) -> None:
    cluster, time = submitted(tmp_path), Time()
    state(cluster, "Failed", "FAILED")
    open_store(tmp_path / "run").write_bytes(STOP_KEY, b"")
    cluster.put(BATCH_JOB, NAME)
    cluster.on_call = lambda *_: cluster.objects.pop(("Job", NAME), None) if time.now > 5 else None
    retry(cluster, NAME, output_uri=None, assignments=["deadline_s=7200"], say=Said(), waiting=waiting(time))
    assert time.now > 5
    there = cluster.objects["RayJob", NAME]
    assert "status" not in there
    assert there["spec"]["activeDeadlineSeconds"] == 7200
    assert not (tmp_path / "run" / STOP_KEY).exists()


def test_a_retry_that_would_be_refused_deletes_nothing(tmp_path: Path) -> None:
    cluster = submitted(tmp_path)
    state(cluster, "Failed", "FAILED")
    cluster.failing["dry-run", "RayJob"] = ClusterRejectedError("not an image that may run here")
    with pytest.raises(ClusterRejectedError):
        retry(cluster, NAME, output_uri=None, assignments=[], say=Said(), waiting=waiting(Time()))
    assert cluster.find(RAY_JOB, NAME)
    (tried,) = [name for verb, _, name in cluster.calls if verb == "dry-run"]
    assert tried.startswith(NAME)
    assert tried != NAME
    cluster.failing["dry-run", "RayJob"] = ClusterRejectedError("exceeded quota: jobs, count/rayjobs.ray.io=1")
    retry(cluster, NAME, output_uri=None, assignments=[], say=Said(), waiting=waiting(Time()))


def test_a_retry_that_fails_half_way_tells_what_is_left_of_the_job(tmp_path: Path) -> None:
    cluster, said = submitted(tmp_path), Said()
    state(cluster, "Failed", "FAILED")
    cluster.failing["create", "RayJob"] = ClusterRejectedError("no")
    with pytest.raises(ClusterRejectedError):
        retry(cluster, NAME, output_uri=None, assignments=[], say=said, waiting=waiting(Time()))
    assert f"momalisa jobs retry {NAME} --output" in said
    assert json.loads(said[-1].partition(": ")[2]) == to_dict(job(tmp_path))


def test_only_what_has_ended_is_deleted(tmp_path: Path) -> None:
    cluster = submitted(tmp_path)
    with pytest.raises(ConfigError, match=f"cancel {NAME} first"):
        delete(cluster, NAME, say=Said())
    state(cluster, "Complete", "SUCCEEDED")
    delete(cluster, NAME, say=Said())
    assert cluster.find(RAY_JOB, NAME) is None
    with pytest.raises(ClusterNotFoundError):
        delete(cluster, NAME, say=Said())


def test_a_retry_outlives_the_rayjob(tmp_path: Path) -> None:
    submitted(tmp_path)
    with pytest.raises(ConfigError, match="--output"):
        stored_config(InMemory(), NAME, None)
    assert stored_config(InMemory(), NAME, str(tmp_path / "run")) == job(tmp_path)
    with pytest.raises(ConfigError, match=r"there is no job/job.json"):
        stored_config(InMemory(), NAME, str(tmp_path / "other"))


def test_what_runs_is_not_tried_again(tmp_path: Path) -> None:
    cluster = submitted(tmp_path)
    state(cluster, "Running", "RUNNING")
    with pytest.raises(ConfigError, match="cancel watercolours first"):
        retry(cluster, NAME, output_uri=None, assignments=[], say=Said())
    with pytest.raises(ConfigError, match="keeps its name"):
        retry(cluster, NAME, output_uri=None, assignments=["name=other"], say=Said())


def test_a_foreign_rayjob_cannot_be_tried_again() -> None:
    cluster = InMemory()
    cluster.put(RAY_JOB, NAME)
    with pytest.raises(ConfigError, match="not submitted by momalisa"):
        stored_config(cluster, NAME, None)


def test_a_deletion_that_hangs_is_told(tmp_path: Path) -> None:
    cluster = submitted(tmp_path)
    state(cluster, "Failed")
    cluster.put(BATCH_JOB, NAME)
    with pytest.raises(ClusterError, match="still being deleted"):
        retry(cluster, NAME, output_uri=None, assignments=[], say=Said(), waiting=waiting(Time()))
