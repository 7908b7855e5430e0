"""A cluster that follows a script: what it holds at one moment after another."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from momalisa.cluster.kinds import EVENT, POD, RAY_CLUSTER, RAY_JOB, Kind, Manifest
from momalisa.errors import ClusterNotFoundError, MomalisaError

Logs = Mapping[str, list[str]]


@dataclass
class Moment:
    """What a cluster holds."""

    job: Manifest | None = None
    cluster: Manifest | None = None
    pods: list[Manifest] = field(default_factory=list)
    events: list[Manifest] = field(default_factory=list)
    logs: Logs = field(default_factory=dict)
    error: MomalisaError | None = None
    refused: Mapping[Kind, MomalisaError] = field(default_factory=dict)
    others: list[Manifest] = field(default_factory=list)
    log_error: MomalisaError | None = None


class FakeCluster:
    """A ClusterReader. `sleep` goes on to the next moment, by a clock of its own."""

    namespace = "momalisa"
    context = "fake"

    def __init__(self, *moments: Moment) -> None:
        self._moments = list(moments)
        self.time = 0.0
        self.asked: list[str] = []

    @property
    def now(self) -> Moment:
        return self._moments[0]

    def sleep(self, seconds: float) -> None:
        self.time += seconds
        if len(self._moments) > 1:
            self._moments.pop(0)

    def clock(self) -> float:
        return self.time

    def find(self, kind: Kind, name: str) -> Manifest | None:
        self._ask(kind)
        found = {RAY_JOB: self.now.job, RAY_CLUSTER: self.now.cluster}[kind]
        return found if found is not None and found["metadata"]["name"] == name else None

    def list(
        self, kind: Kind, *, labels: Mapping[str, str] | None = None, fields: Mapping[str, str] | None = None
    ) -> list[Manifest]:
        self._ask(kind)
        own = [self.now.job] if self.now.job else []
        held = {POD: self.now.pods, EVENT: self.now.events, RAY_JOB: own + self.now.others}[kind]
        wanted = (labels or {}).items()
        return [each for each in held if wanted <= each["metadata"].get("labels", {}).items()]

    def logs(self, pod: str, *, since_time: str | None = None, **options: Any) -> Iterator[str]:
        self._ask(POD)
        if self.now.log_error is not None:
            raise self.now.log_error
        if pod not in self.now.logs:
            raise ClusterNotFoundError(f"no pod {pod}")
        yield from self.now.logs[pod]

    def _ask(self, kind: Kind) -> None:
        self.asked.append(kind.kind)
        if self.now.error is not None:
            raise self.now.error
        if kind in self.now.refused:
            raise self.now.refused[kind]


class ScriptedReader:
    """A LogReader without a thread: what a pod's log holds at this moment, each line once."""

    def __init__(self, cluster: FakeCluster) -> None:
        self._cluster = cluster
        self._pod: str | None = None
        self._told: dict[str, int] = {}
        self.is_closed = False

    def turn_to(self, pod: str, driver: str) -> None:
        self._pod = pod

    def take(self) -> list[str]:
        if self._pod is None or self._cluster.now.error is not None:
            return []
        lines = self._cluster.now.logs.get(self._pod, [])[self._told.get(self._pod, 0) :]
        self._told[self._pod] = self._told.get(self._pod, 0) + len(lines)
        return list(lines)

    def finish(self, timeout_s: float = 0.0) -> None:
        pass

    def close(self) -> None:
        self.is_closed = True


def collected() -> tuple[list[str], Callable[[str], None]]:
    """Lines, and what appends to them."""
    lines: list[str] = []
    return lines, lines.append
