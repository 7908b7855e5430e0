"""What can be wrong with a job, in one shape: what it is, what to do, and which object said so."""

from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Kinds of trouble, for programs that read `--json`."""

    IMAGE = "image"
    """An image cannot be had."""
    CONFIGURATION = "configuration"
    """A Secret, ConfigMap, volume or user that a pod needs is not there, or not allowed."""
    MEMORY = "memory"
    """The kernel ended a container or a process at its memory limit."""
    RAY_MEMORY = "ray-memory"
    """Ray's own monitor ended a worker before the kernel would."""
    GPU_MEMORY = "gpu-memory"
    UNSCHEDULABLE = "unschedulable"
    QUOTA = "quota"
    ADMISSION = "admission"
    """Pod Security, a LimitRange or an admission policy refuses the pods."""
    PREEMPTED = "preempted"
    """A node went away, or a more important pod took the place."""
    EVICTED = "evicted"
    VALIDATION = "validation"
    STORAGE = "storage"
    EXCEPTION = "exception"
    INPUT = "input"
    """The job itself found its input to be wrong."""
    DEADLINE = "deadline"
    PRE_RUNNING_DEADLINE = "pre-running-deadline"
    SUBMITTER = "submitter"
    CRASH = "crash"
    """A container or a worker process ended, and nobody says why."""
    OPERATOR = "operator"
    """KubeRay does not act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that is wrong."""

    cause: Cause
    headline: str
    """Without a full stop, so that it can be quoted in a longer sentence."""
    fix: str
    evidence: tuple[str, ...]
    """Objects and what they say: `pod demo-x-worker-y: ErrImagePull: …`."""


def shortened(text: str, length: int = 300) -> str:
    """One line of at most so many characters."""
    line = " ".join(text.split())
    return line if len(line) <= length else line[: length - 1] + "…"
