"""All that a verdict on a release is made from: its RayService, its Ray clusters, their pods, and their events.

What the user may not look at is noted as unknown; the rest is gathered all the same.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from momalisa.cluster.events import is_since
from momalisa.cluster.facts import ClusterReader, look, utc_now
from momalisa.cluster.kinds import EVENT, POD, RAY_CLUSTER, RAY_SERVICE, SERVICE, Manifest
from momalisa.cluster.pods import name_of, parse_time, time_at
from momalisa.errors import ClusterError

CLUSTER_LABEL = "ray.io/cluster"
HELM_RELEASE = "meta.helm.sh/release-name"
SERVE_CONFIG, CLUSTER_SPEC = "serveConfigV2", "rayClusterConfig"
CONFIG_TAKEN = "whether the newest configuration was taken"
_SERVE_PORT = 8000
_FIGURES_S = 3.0
_CONFIG = re.compile(r"^momalisa_is_config_(refused|pending)(?:\{.*\})? 1(?:\.0)?$", re.MULTILINE)


def labels_of_clusters(name: str) -> dict[str, str]:
    """Of every RayCluster that KubeRay makes for a RayService."""
    return {"ray.io/originated-from-cr-name": name, "ray.io/originated-from-crd": "RayService"}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseFacts:
    """One release at one moment."""

    name: str
    namespace: str
    now: datetime
    service: Manifest | None = None
    """Its RayService."""
    clusters: Sequence[Manifest] = ()
    """Its RayClusters, the oldest first: the active one, the pending one, and those that wait for their end."""
    pods: Sequence[Manifest] = ()
    """Of these clusters."""
    events: Sequence[Manifest] = ()
    """About the RayService, its clusters and their pods."""
    traffic: str | None = None
    """The cluster that the Service of the walks leads to; None where that is not known, or there is none yet."""
    config: frozenset[str] = frozenset()
    """What the service says of its newest configuration: it is `refused`, or `pending`, since models are tried before
    they are taken. Nothing where it is in force, or the service cannot be asked."""
    unknown: Mapping[str, str] = field(default_factory=dict)
    """What could not be looked at, and why."""

    @property
    def spec(self) -> Mapping[str, Any]:
        """Of the RayService."""
        return (self.service or {}).get("spec") or {}

    @property
    def status(self) -> Mapping[str, Any]:
        """Of the RayService; empty before KubeRay has looked at it."""
        return (self.service or {}).get("status") or {}

    @property
    def release(self) -> str:
        """What helm calls it, which the RayService need not be called."""
        metadata = (self.service or {}).get("metadata") or {}
        return str((metadata.get("annotations") or {}).get(HELM_RELEASE) or self.name)

    @property
    def changed(self) -> datetime:
        """When somebody last wrote the spec: who writes the status alone says so."""
        metadata = (self.service or {}).get("metadata") or {}
        times = [
            each.get("time") for each in metadata.get("managedFields") or [] if each.get("subresource") != "status"
        ]
        written = [parse_time(each) for each in times if each]
        return max(written, default=time_at(self.service or {}, "metadata", "creationTimestamp") or self.now)

    @property
    def generation(self) -> int:
        """Of the spec."""
        return int((self.service or {"metadata": {}})["metadata"].get("generation", 0))

    @property
    def seen_generation(self) -> int:
        """Of the last spec that KubeRay came to the end of a look at; -1 where there is none."""
        return int(self.status.get("observedGeneration", -1))

    @property
    def active(self) -> str:
        """The cluster that serves, by KubeRay's word; "" where none does."""
        return str((self.status.get("activeServiceStatus") or {}).get("rayClusterName") or "")

    @property
    def pending(self) -> str:
        """The cluster that is to serve; "" where there is none."""
        return str((self.status.get("pendingServiceStatus") or {}).get("rayClusterName") or "")

    @property
    def retiring(self) -> list[str]:
        """The clusters that neither serve nor are to: KubeRay deletes them after its delay."""
        return [name for name in map(name_of, self.clusters) if name not in (self.active, self.pending)]

    def cluster(self, name: str) -> Manifest | None:
        """One of the clusters."""
        return next((each for each in self.clusters if name and name_of(each) == name), None)

    def pods_of(self, cluster: str) -> list[Manifest]:
        """Those of one cluster."""
        return [pod for pod in self.pods if (pod["metadata"].get("labels") or {}).get(CLUSTER_LABEL) == cluster]

    def events_of(self, cluster: str) -> list[Manifest]:
        """Those about one cluster and its pods."""
        names = (str(event["involvedObject"].get("name", "")) for event in self.events)
        pairs = zip(names, self.events, strict=True)
        return [event for name, event in pairs if cluster and (name == cluster or name.startswith(f"{cluster}-"))]

    def applications(self, *, pending: bool = False) -> Mapping[str, Mapping[str, Any]]:
        """Serve's applications on the active or the pending cluster, as KubeRay last heard of them."""
        status = self.status.get("pendingServiceStatus" if pending else "activeServiceStatus") or {}
        return status.get("applicationStatuses") or {}


class ReleaseReader(ClusterReader, Protocol):
    """What is asked of a cluster here; `client.Cluster` is one."""

    def served(self, service: str, port: int, path: str, *, patience_s: float | None = None) -> str:
        """What a Service answers to GET. Raises ClusterUnreachableError."""


def gather(cluster: ReleaseReader, name: str, *, clock: Callable[[], datetime] | None = None) -> ReleaseFacts:
    """Everything there is to know of a release now. Raises ClusterError where its RayService cannot be looked at."""
    unknown: dict[str, str] = {}
    service = cluster.find(RAY_SERVICE, name)
    clusters = (
        look(lambda: cluster.list(RAY_CLUSTER, labels=labels_of_clusters(name)), unknown, "RayClusters") or []
        if service
        else []
    )
    # Whoever may not list them has their names from the status, but for those that wait for their end.
    of_clusters = list(map(name_of, clusters)) if "RayClusters" not in unknown else _names_in_status(service or {})
    pods = [pod for each in of_clusters for pod in _pods(cluster, each, unknown)]
    events = (look(lambda: cluster.list(EVENT), unknown, "events") or []) if service else []
    names = [name, *of_clusters]
    created = time_at(service or {}, "metadata", "creationTimestamp")
    return ReleaseFacts(
        name=name,
        namespace=cluster.namespace,
        now=(clock or utc_now)(),
        service=service,
        clusters=sorted(clusters, key=lambda each: str(each["metadata"].get("creationTimestamp", ""))),
        pods=pods,
        events=[event for event in events if _is_about(names, event) and is_since(event, created)],
        traffic=look(lambda: _traffic(cluster, service), unknown, "Service") if service else None,
        config=_config(cluster, service, unknown) if service else frozenset(),
        unknown=unknown,
    )


def _names_in_status(service: Manifest) -> list[str]:
    status = service.get("status") or {}
    parts = (status.get(part) or {} for part in ("activeServiceStatus", "pendingServiceStatus"))
    return [str(part["rayClusterName"]) for part in parts if part.get("rayClusterName")]


def _pods(cluster: ClusterReader, of: str, unknown: dict[str, str]) -> list[Manifest]:
    return look(lambda: cluster.list(POD, labels={CLUSTER_LABEL: of}), unknown, "pods") or []


def _is_about(names: Sequence[str], event: Manifest) -> bool:
    name = str(event["involvedObject"].get("name", ""))
    return name in names or any(name.startswith(f"{cluster}-") for cluster in names[1:])


def _config(cluster: ReleaseReader, service: Manifest, unknown: dict[str, str]) -> frozenset[str]:
    """By its figures, which it may not have, or not be asked for by this user, or not by the API server's machines.
    Serve knows nothing of it."""
    if not (service.get("status") or {}).get("numServeEndpoints"):
        return frozenset()
    try:
        figures = cluster.served(_serve_service(service), _SERVE_PORT, "metrics", patience_s=_FIGURES_S)
    except ClusterError as e:
        unknown[CONFIG_TAKEN] = f"the API server gets no /metrics of the service ({e})"
        return frozenset()
    return frozenset(_CONFIG.findall(figures))


def _serve_service(service: Manifest) -> str:
    own = ((service["spec"].get("serveService") or {}).get("metadata") or {}).get("name")
    return str(own or f"{name_of(service)}-serve-svc")


def _traffic(cluster: ClusterReader, service: Manifest) -> str | None:
    found = cluster.find(SERVICE, _serve_service(service))
    selector = ((found or {}).get("spec") or {}).get("selector") or {}
    return selector.get(CLUSTER_LABEL)
