"""What an upgrade would do, for a person to look at before it does, and for a pipeline to stop at: pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any

from momalisa.cluster.kinds import Manifest
from momalisa.cluster.pods import condition, time_at
from momalisa.release.causes import has_no_head
from momalisa.release.changes import Change, Weight, heaviest
from momalisa.release.cluster_specs import is_same
from momalisa.release.comparing import Running, object_changes, service_changes
from momalisa.release.facts import CLUSTER_SPEC, CONFIG_TAKEN, SERVE_CONFIG, ReleaseFacts
from momalisa.release.refusals import Refusal, refusals
from momalisa.release.room import (
    Need,
    Surroundings,
    limit_range_problems,
    need,
    node_problems,
    quota_problems,
    surge_gpus,
)
from momalisa.release.serve_changes import parsed
from momalisa.release.states import back
from momalisa.training.progress import format_duration

_BUILDS = (Weight.FIRST_CLUSTER, Weight.SECOND_CLUSTER, Weight.THIRD_CLUSTER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would happen."""

    name: str
    weight: Weight
    changes: tuple[Change, ...]
    """The heaviest first."""
    refusals: tuple[Refusal, ...] = ()
    need: Need | None = None
    notes: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def in_words(self) -> str:
        """A page for a terminal."""
        return "\n".join(_lines(self))

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        changes = [{**asdict(change), "weight": change.weight.flag} for change in self.changes]
        return {**asdict(self), "weight": self.weight.flag, "changes": changes}


def make_plan(
    facts: ReleaseFacts,
    goal: Manifest,
    around: Surroundings,
    *,
    objects: tuple[Sequence[Manifest], Sequence[Manifest]] = ((), ()),
    unknown: Sequence[str] = (),
) -> Plan:
    """The plan of an upgrade to a RayService.

    objects: all that the chart renders besides, before and after. Raises ConfigError for a goal that cannot be read.
    """
    running = Running.of(facts)
    changes = service_changes(running, goal) + object_changes(*objects)
    serve = parsed(goal["spec"].get(SERVE_CONFIG) or "")
    weight = heaviest(changes)
    notes = list(_notes(facts, goal, weight))
    if (surge := surge_gpus(changes, serve)) is not None:
        notes.append(f"new replicas start before the old ones stop: up to {surge} GPUs more meanwhile")
    refused = refusals(facts.service, goal, serve, around)
    unknown_facts = [f"{what}: {why}" for what, why in facts.unknown.items() if what != CONFIG_TAKEN]
    needed = need(changes, goal, serve)
    if needed is not None:
        found, later = _room(facts, goal, around, needed[0], weight)
        refused += found
        notes += later
    return Plan(
        name=facts.name,
        weight=weight,
        changes=tuple(changes),
        refusals=tuple(refused),
        need=needed[1] if needed else None,
        notes=tuple(notes),
        unknown=(*unknown_facts, *unknown, *_unseen(around, needed)),
    )


def _room(
    facts: ReleaseFacts, goal: Manifest, around: Surroundings, pods: Any, weight: Weight
) -> tuple[list[Refusal], list[str]]:
    """What there is no room for, and what there is room for only after a while."""
    found = [Refusal(problem, "correct the values of its resources") for problem in limit_range_problems(around, goal)]
    later: list[str] = []
    is_cluster = weight in _BUILDS
    stuck = "; the upgrade would be stuck" if facts.active else ""
    leaving = [*facts.retiring, *([facts.pending] if facts.pending and is_cluster else [])]

    def told(problems: list[str], in_the_end: list[str], fix: str) -> None:
        found.extend(Refusal(f"{problem}{stuck}", fix) for problem in in_the_end)
        if problems and not in_the_end:
            later.append(f"there is room for it only once {' and '.join(leaving)} is gone ({problems[0]})")

    told(
        quota_problems(around, pods, is_cluster=is_cluster),
        quota_problems(around, pods, is_cluster=is_cluster, leaving=leaving),
        "ask for a larger quota, or a smaller cluster: an upgrade needs room for two",
    )
    told(node_problems(around, pods), node_problems(around, pods, leaving=leaving), "add nodes, or ask for less")
    return found, later


def _notes(facts: ReleaseFacts, goal: Manifest, weight: Weight) -> Iterator[str]:
    delay_s = goal["spec"].get("rayClusterDeletionDelaySeconds", 60)
    if facts.pending and facts.active:
        yield f"an upgrade is under way: {facts.active} serves, {facts.pending} is to take over"
    if weight is Weight.THIRD_CLUSTER:
        yield (
            f"{facts.pending} is not compared with what serves but with the new spec, and goes {delay_s} s after the "
            "third one was begun"
        )
        if _is_of_active(facts, goal):
            yield (
                f"these are the values that {facts.active} serves with: `{back(facts)}` goes "
                "back to them without a third cluster"
            )
    if has_no_head(facts, facts.pending):
        yield (
            f"{facts.pending} has no head pod, and KubeRay takes no newer spec until it has: make room for it, or "
            f"kubectl delete raycluster --namespace {facts.namespace} {facts.pending} after the upgrade, and it is "
            "made anew, of the newest spec" + (f"; `{back(facts)}` ends it" if facts.active else "")
        )
    if weight in _BUILDS and (took_s := _took_s(facts)) is not None:
        yield f"the pods of {facts.active} were up {format_duration(took_s)} after it was begun"
    if facts.retiring:
        yield f"still there, from before: {', '.join(facts.retiring)}"


def _took_s(facts: ReleaseFacts) -> float | None:
    """From the beginning of the cluster that serves until all its pods were up for the first time."""
    active = facts.cluster(facts.active) or {"metadata": {}}
    up = time_at(condition(active, "RayClusterProvisioned"), "lastTransitionTime")
    began = time_at(active, "metadata", "creationTimestamp")
    return (up - began).total_seconds() if up and began else None


def _is_of_active(facts: ReleaseFacts, goal: Manifest) -> bool:
    active = facts.cluster(facts.active)
    return active is not None and is_same(active["spec"], goal["spec"][CLUSTER_SPEC])


def _unseen(around: Surroundings, needed: object) -> Iterator[str]:
    if needed is None:
        return
    for what, found in (("quotas", around.quotas), ("limits", around.limits), ("nodes", around.nodes)):
        if found is None:
            yield f"{what}: you may not look at them, so whether there is room is not known"


def _lines(plan: Plan) -> Iterator[str]:
    yield f"{plan.name}: {plan.weight.in_words}"
    if plan.need is not None:
        yield f"  it takes {plan.need.in_words()}"
    for note in plan.notes:
        yield f"  note: {note}"
    for weight, changes in groupby(sorted(plan.changes, key=lambda each: -each.weight), lambda each: each.weight):
        yield f"  {weight.in_words}:"
        for alike in _alike(changes):
            yield f"    {alike[0].in_words(len(alike) - 1)}"
    for refusal in plan.refusals:
        yield f"  cannot be: {refusal.what}"
        yield f"    what to do: {refusal.fix}"
    for each in plan.unknown:
        yield f"  not known: {each}"


def _alike(changes: Iterable[Change]) -> list[list[Change]]:
    """One image is in many places."""
    found: list[list[Change]] = []
    for change in changes:
        known = next((each for each in found if each[0].is_like(change)), None)
        if known is None:
            found.append([change])
        else:
            known.append(change)
    return found


def weight_of(flag: str) -> Weight:
    """By its name on a command line. Raises KeyError."""
    by_flag: Mapping[str, Weight] = {weight.flag: weight for weight in Weight}
    return by_flag[flag]
