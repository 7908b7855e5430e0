"""The shape of a verdict: what a job is doing, or why it failed and what to do."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from momalisa.cluster.facts import JobFacts
from momalisa.cluster.readings import Progress
from momalisa.cluster.troubles import Cause, Trouble


class State(StrEnum):
    """What a job is doing."""

    QUEUED = "queued"
    STARTING = "starting"
    PULLING = "pulling"
    BLOCKED = "blocked"
    """It does not start, and will not by itself unless something else changes."""
    RUNNING = "running"
    RECOVERING = "recovering"
    """It lost a pod and gets another."""
    STOPPING = "stopping"
    """It was asked to stop, and saves a checkpoint."""
    ENDING = "ending"
    """The run has ended; KubeRay has not yet said what becomes of the job."""
    RETRYING = "retrying"
    """An attempt failed; a new cluster is built."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    """It saved a checkpoint and ended, as it was asked to."""
    CANCELLED = "cancelled"
    """It was ended from outside."""
    UNKNOWN = "unknown"


class ExitCode:
    """Of `submit`, `follow` and `wait`. Make turns whatever is not 0 into a 2 of its own."""

    SUCCEEDED = 0
    FAILED = 1
    WRONG_INPUT = 2
    STOPPED = 3
    DEADLINE = 4
    UNKNOWN = 5
    DETACHED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a job is doing, or why it failed and what to do."""

    state: State
    headline: str
    fix: str | None = None
    details: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    """Which objects said so, and what."""
    cause: Cause | None = None
    exit_code: int | None = None
    """None while it is not over."""
    progress: Progress | None = None
    unknown: tuple[str, ...] = ()
    """What could not be looked at."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.exit_code is not None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "is_over": self.is_over}


def judged(facts: JobFacts, state: State, headline: str, **more: Any) -> Verdict:
    """A verdict that names what could not be looked at."""
    unknown = tuple(f"{what}: {why}" for what, why in facts.unknown.items())
    return Verdict(state=state, headline=headline, unknown=unknown, **more)


def troubled(facts: JobFacts, state: State, trouble: Trouble, **more: Any) -> Verdict:
    """A verdict whose words are a trouble's."""
    evidence = (*trouble.evidence, *more.pop("evidence", ()))
    return judged(facts, state, trouble.headline, fix=trouble.fix, cause=trouble.cause, evidence=evidence, **more)
