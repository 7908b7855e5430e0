"""A change, and how heavy it is."""

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

_LONGEST = 100


class Weight(IntEnum):
    """What a change does to the running service, the lightest first."""

    NOTHING = 0
    APPLIED = 1
    """Kubernetes or KubeRay takes it over at once, beside the Ray cluster."""
    IGNORED = 2
    """It holds for the next cluster alone, whenever that comes."""
    RECONFIGURED = 3
    """In replicas that run."""
    RESTARTED = 4
    """Replicas of some deployments are replaced, in the cluster that runs."""
    GROUP_ADDED = 5
    """The cluster that runs gets another worker group."""
    FIRST_CLUSTER = 6
    """There is none yet."""
    SECOND_CLUSTER = 7
    """Another one beside that which serves, until it is ready, and a while longer."""
    THIRD_CLUSTER = 8
    """An upgrade is pending already: its cluster goes, and yet another one is built."""

    @property
    def in_words(self) -> str:
        """For a heading."""
        return _WORDS[self]

    @property
    def flag(self) -> str:
        """For a command line: `second-cluster`."""
        return self.name.lower().replace("_", "-")


_WORDS = {
    Weight.NOTHING: "nothing changes",
    Weight.APPLIED: "applied at once, and nothing restarts",
    Weight.IGNORED: "ignored until the next cluster",
    Weight.RECONFIGURED: "reconfigured in place, no replica restarts",
    Weight.RESTARTED: "replicas restart, in the cluster that runs",
    Weight.GROUP_ADDED: "a worker group is added to the cluster that runs",
    Weight.FIRST_CLUSTER: "the first cluster is built",
    Weight.SECOND_CLUSTER: "a second cluster is built, and traffic switches to it",
    Weight.THIRD_CLUSTER: "a third cluster is built: the pending one goes, the one that serves stays until it is ready",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One difference between what runs and what is wanted."""

    weight: Weight
    path: str
    """In the manifest: `rayClusterConfig.workerGroupSpecs[renderers].template.spec.containers[ray].image`."""
    words: str = ""
    """What it does, where the weight does not say enough: which deployments restart, for one."""
    old: Any = None
    new: Any = None
    values: tuple[str, ...] = ()
    """The chart's values that cause it, as `--set` would call them."""

    def caused_by(self, *values: str) -> "Change":
        """The same change, with its causes."""
        return replace(self, values=values)

    def is_like(self, other: "Change") -> bool:
        """Whether it is the same change at another place."""
        return replace(other, path=self.path) == self

    def in_words(self, num_others: int = 0) -> str:
        """One line, of this change and so many like it."""
        places = f" (and at {num_others} more place{'s' if num_others > 1 else ''})" if num_others else ""
        has_values = self.old is not None or self.new is not None
        values = f": {_shown(self.old)} → {_shown(self.new)}" if has_values else ""
        parts = [f"{self.path}{places}{values}"]
        if self.values:
            parts.append(f"by {', '.join(self.values)}")
        if self.words:
            parts.append(self.words)
        return "; ".join(parts)


def heaviest(changes: list[Change]) -> Weight:
    """What they do together."""
    return max((change.weight for change in changes), default=Weight.NOTHING)


def _shown(value: Any) -> str:
    """Of what is long, both ends: images differ in the last one."""
    if value is None:
        return "none"
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
