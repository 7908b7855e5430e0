"""What a verdict on a release may be; its shape is that of a job's."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from momalisa.cluster.judgement import Judgement
from momalisa.cluster.troubles import Cause, Trouble
from momalisa.release.facts import ReleaseFacts


class State(StrEnum):
    """How a release is doing."""

    ABSENT = "absent"
    STARTING = "starting"
    """Its first cluster comes up."""
    SERVING = "serving"
    """As it is wanted: the active cluster is of the newest spec, none is pending, the applications run."""
    UPDATING = "updating"
    """The cluster that runs takes a change over."""
    UPGRADING = "upgrading"
    """Another cluster comes up; the old one serves until it is ready."""
    STUCK = "stuck"
    """What is wanted does not come about, and will not by itself; what served before serves on."""
    DEGRADED = "degraded"
    """It serves, but a part of it is not well."""
    DOWN = "down"
    """It served, and nothing does now."""
    REFUSED = "refused"
    """KubeRay does not take the spec, and looks at nothing else of it until that is mended."""
    FAILED = "failed"
    """KubeRay has given it up for good."""
    LEAVING = "leaving"
    """Somebody deleted it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict(Judgement):
    """How a release is doing, or why it is stuck and what to do."""

    state: State
    serving: str | None = None
    """The cluster that serves now."""
    pending: str | None = None
    retiring: tuple[str, ...] = ()


_FIXES = {
    Cause.IMAGE: "push the image, or upgrade again with another one",
    Cause.CONFIGURATION: "create what is missing, or correct the values that name it, and upgrade again",
    Cause.MEMORY: "upgrade again with more memory for it",
    Cause.RAY_MEMORY: "upgrade again with more memory for it",
    Cause.GPU_MEMORY: "a larger GPU, fewer models in memory at once, or a smaller model",
    Cause.UNSCHEDULABLE: "add nodes that it fits on, or upgrade again with other resources, selectors or tolerations",
    Cause.QUOTA: "ask for a larger quota: an upgrade needs room for two clusters; or upgrade again with a smaller one",
    Cause.ADMISSION: "correct the values that it names, and upgrade again",
    Cause.PREEMPTED: "nothing: the pod is made again, and its work with it",
    Cause.EVICTED: "more memory or ephemeral storage for it, or a node with more room; the pod is made again",
    Cause.VALIDATION: "correct the values that it names, and upgrade again",
}


def judged(facts: ReleaseFacts, state: State, headline: str, **more: Any) -> Verdict:
    """A verdict that says which cluster serves, and names what could not be looked at."""
    unknown = tuple(f"{what}: {why}" for what, why in facts.unknown.items())
    return Verdict(
        state=state,
        headline=headline,
        unknown=unknown,
        serving=facts.active or None,
        pending=facts.pending or None,
        retiring=tuple(facts.retiring),
        **more,
    )


def back(facts: ReleaseFacts) -> str:
    """The command that goes back to what serves still."""
    return f"momalisa release back {facts.release} --namespace {facts.namespace}"


def fix_of(trouble: Trouble) -> str:
    """What to do about it in a release: troubles' own words are for jobs."""
    return _FIXES.get(trouble.cause, trouble.fix)
