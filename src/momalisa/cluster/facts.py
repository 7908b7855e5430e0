"""All that a verdict is made from: what the cluster says of a job, and what the run wrote of itself.

What the user may not look at, or what does not answer, is noted as unknown; the rest is gathered all the same.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from momalisa.cluster.events import is_about, is_since
from momalisa.cluster.kinds import EVENT, POD, RAY_CLUSTER, RAY_JOB, Kind, Manifest
from momalisa.cluster.pods import name_of, role_of, time_at
from momalisa.errors import (
    ClusterForbiddenError,
    ClusterNotFoundError,
    ClusterRejectedError,
    ClusterUnreachableError,
    ObjectNotFoundError,
    StorageError,
)
from momalisa.job_folder import FOLDER, ExitRecord, JobFolder
from momalisa.storage import RetryPolicy, Store, open_store
from momalisa.training.run import RUN_FILE, STOP_KEY
from momalisa.training.tracking.metrics import METRICS_FILE

T = TypeVar("T")

SUMMARY_FILE = "summary.json"
OUTPUT_URI = "momalisa.dev/output-uri"
MANAGED = {"app.kubernetes.io/managed-by": "momalisa"}
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
_LOG_TAIL = 200
_LOG_PATIENCE_S = 5.0
_METRICS_TAIL_BYTES = 64 * 1024
_LOOK = RetryPolicy(max_attempts=2, deadline_s=10.0, attempt_timeout_s=8.0)


class ClusterReader(Protocol):
    """What is asked of a cluster here; `client.Cluster` is one."""

    @property
    def context(self) -> str:
        """The kubeconfig's name for this cluster and its user."""

    @property
    def namespace(self) -> str:
        """Whose objects are read."""

    def find(self, kind: Kind, name: str) -> Manifest | None:
        """One object, or None."""

    def list(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        """Those with these labels and fields."""

    def logs(
        self,
        pod: str,
        *,
        container: str | None = None,
        since_time: str | None = None,
        follow: bool = False,
        timestamps: bool = False,
        tail_lines: int | None = None,
        patience_s: float | None = None,
    ) -> Iterator[str]:
        """A container's lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """What a run's folder says."""

    uri: str
    record: Mapping[str, Any] | None = None
    """`run.json`."""
    metrics: Sequence[Mapping[str, Any]] = ()
    """The last lines of `metrics.jsonl`."""
    summary: Mapping[str, Any] | None = None
    exit: ExitRecord | None = None
    submitted: Mapping[str, Any] | None = None
    """`job.json`."""
    is_asked_to_stop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFacts:
    """One job at one moment."""

    name: str
    namespace: str
    now: datetime
    job: Manifest | None = None
    """Its RayJob."""
    cluster: Manifest | None = None
    """The RayCluster of its attempt of now."""
    pods: Sequence[Manifest] = ()
    """Of that cluster, and the submitter's."""
    events: Sequence[Manifest] = ()
    """About all of these, also such as are gone."""
    log_tail: Sequence[str] = ()
    """The driver's last lines."""
    others: Sequence[Manifest] = ()
    """The other RayJobs in its queue, for a job that waits there."""
    run: RunFacts | None = None
    last_began: datetime | None = None
    """Of a RayJob that is gone: when its last attempt began, as somebody saw it who was there."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """What could not be looked at, and why."""


def gather(
    cluster: ClusterReader,
    name: str,
    *,
    output_uri: str | None = None,
    with_run: bool = True,
    clock: Callable[[], datetime] | None = None,
) -> JobFacts:
    """Everything there is to know of a job now. Raises ClusterUnreachableError where nothing can be known.

    output_uri: the run's folder, where the RayJob is gone and cannot tell it. with_run: whether to read that folder.
    """
    unknown: dict[str, str] = {}
    job = cluster.find(RAY_JOB, name)
    uri = (job and job["metadata"].get("annotations", {}).get(OUTPUT_URI)) or output_uri
    cluster_name = (job or {}).get("status", {}).get("rayClusterName") or ""
    ray_cluster = look(lambda: cluster.find(RAY_CLUSTER, cluster_name), unknown, "RayCluster") if cluster_name else None
    pods = _pods(cluster, name, cluster_name, unknown) if job else []
    events = look(lambda: cluster.list(EVENT), unknown, "events") or []
    created = time_at(job or {}, "metadata", "creationTimestamp")
    return JobFacts(
        name=name,
        namespace=cluster.namespace,
        now=(clock or utc_now)(),
        job=job,
        cluster=ray_cluster,
        pods=pods,
        events=[event for event in events if is_about(name, event) and is_since(event, created)],
        log_tail=_log_tail(cluster, pods, unknown),
        others=_others_in_queue(cluster, job, unknown),
        run=look(lambda: read_run(uri), unknown, "run's folder") if uri and with_run else None,
        unknown=unknown,
    )


def read_run(uri: str) -> RunFacts:
    """A run's folder. Raises StorageError, and UriError for one that cannot be understood."""
    store = open_store(uri, _LOOK)
    folder = JobFolder(store.child(FOLDER))
    return RunFacts(
        uri=store.uri,
        record=_json(store, RUN_FILE),
        metrics=_last_metrics(store),
        summary=_json(store, SUMMARY_FILE),
        exit=folder.exit(),
        submitted=folder.job(),
        is_asked_to_stop=store.exists(STOP_KEY),
    )


def submitter_pods(pods: Sequence[Manifest]) -> list[Manifest]:
    """Those that submit the job and echo its log, the newest last."""
    found = [pod for pod in pods if role_of(pod) == "submitter"]
    return sorted(found, key=lambda pod: (pod["metadata"].get("creationTimestamp", ""), name_of(pod)))


def has_started(pod: Manifest) -> bool:
    """Whether there is a log to read."""
    states = [status.get("state", {}) for status in pod.get("status", {}).get("containerStatuses", ())]
    return any("running" in state or "terminated" in state for state in states)


def _pods(cluster: ClusterReader, name: str, cluster_name: str, unknown: dict[str, str]) -> list[Manifest]:
    pods = look(lambda: cluster.list(POD, labels={"batch.kubernetes.io/job-name": name}), unknown, "pods") or []
    if cluster_name and "pods" not in unknown:
        pods += look(lambda: cluster.list(POD, labels={"ray.io/cluster": cluster_name}), unknown, "pods") or []
    return pods


def _log_tail(cluster: ClusterReader, pods: Sequence[Manifest], unknown: dict[str, str]) -> list[str]:
    started = [pod for pod in submitter_pods(pods) if has_started(pod)]
    if not started:
        return []
    pod, what = name_of(started[-1]), "driver's log"

    def read() -> list[str]:
        return list(cluster.logs(pod, tail_lines=_LOG_TAIL, patience_s=_LOG_PATIENCE_S))

    try:
        return look(read, unknown, what) or []
    except ClusterUnreachableError as e:
        # The API server asks the pod's node for it: where that is lost, all else can be read all the same.
        unknown[what] = f"the node of pod {pod} does not give it ({e})"
        return []


def _others_in_queue(cluster: ClusterReader, job: Manifest | None, unknown: dict[str, str]) -> list[Manifest]:
    if job is None or not job["spec"].get("suspend"):
        return []
    queue = job["metadata"].get("labels", {}).get(QUEUE_LABEL)
    labels = {QUEUE_LABEL: queue} if queue else None
    jobs = look(lambda: cluster.list(RAY_JOB, labels=labels), unknown, "queue") or []
    return [other for other in jobs if name_of(other) != name_of(job)]


def look(read: Callable[[], T], unknown: dict[str, str], what: str) -> T | None:
    """What is read, or None with a note why not."""
    try:
        return read()
    except ClusterForbiddenError as e:
        unknown[what] = f"you may not look at it ({e})"
    except (ClusterNotFoundError, ClusterRejectedError) as e:
        unknown[what] = f"there is none now ({e})"  # for example the log of a container that has just gone
    except (StorageError, ValueError) as e:  # also a file that another version wrote
        unknown[what] = str(e)
    return None


def _json(store: Store, key: str) -> dict[str, Any] | None:
    try:
        return dict(json.loads(store.read_bytes(key)))
    except ObjectNotFoundError:
        return None


def _last_metrics(store: Store) -> list[dict[str, Any]]:
    try:
        size = store.stat(METRICS_FILE).num_bytes
        text = store.read_bytes(METRICS_FILE, max(0, size - _METRICS_TAIL_BYTES)).decode(errors="replace")
    except ObjectNotFoundError:
        return []
    rows = []
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue  # cut at the beginning, or by a kill at the end
    return rows


def utc_now() -> datetime:
    """The time that Kubernetes' own times are compared with."""
    return datetime.now(UTC)
