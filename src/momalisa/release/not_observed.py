"""Verdicts on a spec that KubeRay refuses, gave up, or has not come to the end of a look at: pure."""

from datetime import timedelta
from typing import Any

from momalisa.cluster.events import describe
from momalisa.cluster.judgement import ExitCode
from momalisa.cluster.pods import time_at
from momalisa.cluster.troubles import Cause, shortened
from momalisa.release.causes import unreached
from momalisa.release.cluster_specs import is_same
from momalisa.release.facts import CLUSTER_SPEC, ReleaseFacts
from momalisa.release.gauges import cluster_lines
from momalisa.release.states import State, Verdict, back, judged
from momalisa.training.progress import format_duration

_OPERATOR_ACTS_WITHIN_S = 30.0
_CLOCKS_DIFFER_BY = timedelta(seconds=2)
"""Of KubeRay's node and of the API server, by less than it takes to mend a spec."""


def is_observed(facts: ReleaseFacts) -> bool:
    """Whether KubeRay has come to the end of a look at the newest spec.

    Before the first cluster serves it need not say so: it writes a status where conditions, clusters or applications
    change, and nothing of them does when Serve's configuration is changed. (Later each look is noted in a condition.)
    """
    if facts.seen_generation >= facts.generation:
        return True
    if facts.active or not facts.pending:
        return False
    first = facts.cluster(facts.pending)
    return "RayClusters" in facts.unknown or (
        first is not None and is_same(first["spec"], facts.spec.get(CLUSTER_SPEC) or {})
    )


def is_refused(facts: ReleaseFacts, ready: dict[str, Any]) -> bool:
    """Whether KubeRay's refusal is of what is wanted now.

    It looks at the spec and at names and annotations, so the generation may be the same. The word stays after all is
    mended, until KubeRay has come to the end of a look; then `observedGeneration` is beyond the condition's.
    """
    if ready.get("reason") != "ValidationFailed" or ready.get("status") != "False":
        return False
    if int(ready.get("observedGeneration", facts.seen_generation)) < facts.seen_generation:
        return False
    told = time_at(dict(facts.status), "lastUpdateTime")
    return told is not None and told + _CLOCKS_DIFFER_BY >= facts.changed


def refused(facts: ReleaseFacts, ready: dict[str, Any]) -> Verdict:
    """KubeRay does not take the spec."""
    serves_on = f"; {facts.active} serves on meanwhile" if facts.active else ""
    return judged(
        facts,
        State.REFUSED,
        f"KubeRay refuses the spec: {shortened(str(ready.get('message', '')), 240)}",
        fix=f"correct the values that it names and upgrade again, or go back: {back(facts)}{serves_on}",
        cause=Cause.VALIDATION,
        evidence=(_said(facts, ready),),
        exit_code=ExitCode.FAILED,
    )


def given_up(facts: ReleaseFacts, ready: dict[str, Any]) -> Verdict:
    """KubeRay looks at it no more."""
    return judged(
        facts,
        State.FAILED,
        f"KubeRay gave it up for good: {shortened(str(ready.get('message', '')), 160)}",
        fix=f"mend it, kubectl delete rayservice --namespace {facts.namespace} {facts.name}, and helm upgrade again: "
        "KubeRay looks at it no more",
        cause=Cause.DEADLINE,
        evidence=(_said(facts, ready),),
        exit_code=ExitCode.FAILED,
    )


def not_seen_yet(facts: ReleaseFacts) -> Verdict:
    """Nothing is known to keep KubeRay from it, but time."""
    age_s = (facts.now - facts.changed).total_seconds()
    if age_s <= _OPERATOR_ACTS_WITHIN_S:
        headline = "KubeRay has not looked at the newest spec yet"
        return judged(facts, State.UPDATING, headline, details=cluster_lines(facts))
    cluster = facts.pending or facts.active
    if told := unreached(facts):  # so its operator runs
        return judged(
            facts,
            State.STUCK,
            f"KubeRay does not reach Serve on {cluster} with the newest configuration",
            fix="is its head well, and may KubeRay's namespace reach it (network policies)? KubeRay tries again",
            cause=Cause.OPERATOR,
            details=cluster_lines(facts),
            evidence=(describe(told),),
        )
    or_head = f"; if it does, Serve on the head of {cluster} does not answer it" if cluster else ""
    return judged(
        facts,
        State.STUCK,
        f"KubeRay has not looked at the newest spec for {format_duration(age_s)}",
        fix=f"does its operator run, and watch this namespace? kubectl get deployment -A | grep kuberay{or_head}",
        cause=Cause.OPERATOR,
        evidence=(f"rayservice {facts.name}: generation {facts.generation}, seen {facts.seen_generation}",),
    )


def _said(facts: ReleaseFacts, found: dict[str, Any]) -> str:
    return f"rayservice {facts.name}: {found['type']} {found['status']}: {found.get('reason')}"
