"""What a verdict on a job may be; its shape is `judgement.py`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from momalisa.cluster.facts import JobFacts
from momalisa.cluster.judgement import ExitCode as ExitCode
from momalisa.cluster.judgement import Judgement
from momalisa.cluster.readings import Progress
from momalisa.cluster.troubles import Trouble


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Judgement):
    """What a job is doing, or why it failed and what to do."""

    state: State
    progress: Progress | None = None


def judged(facts: JobFacts, state: State, headline: str, **more: Any) -> Verdict:
    """A verdict that names what could not be looked at."""
    unknown = tuple(f"{what}: {why}" for what, why in facts.unknown.items())
    return Verdict(state=state, headline=headline, unknown=unknown, **more)


def troubled(facts: JobFacts, state: State, trouble: Trouble, **more: Any) -> Verdict:
    """A verdict whose words are a trouble's."""
    evidence = (*trouble.evidence, *more.pop("evidence", ()))
    return judged(facts, state, trouble.headline, fix=trouble.fix, cause=trouble.cause, evidence=evidence, **more)
