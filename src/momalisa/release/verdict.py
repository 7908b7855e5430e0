"""One answer to "how is my release doing?", made from facts: a pure function, so that every failure is a unit test.

RayService's Ready means that something answers, and stays true throughout an upgrade; `serviceStatus` says the same. So
the answer comes from elsewhere: which cluster is active, of which spec it is, whether another one is pending, and what
keeps that from taking over. KubeRay asks Serve about the pending cluster alone while there is one.
"""

from momalisa.cluster.judgement import ExitCode
from momalisa.cluster.pods import condition, is_leaving, name_of
from momalisa.cluster.troubles import Cause, Trouble
from momalisa.release.causes import has_no_head, is_gone, is_lost, is_taken_back, why_not_up, why_serve_fails
from momalisa.release.cluster_specs import added_groups
from momalisa.release.facts import CLUSTER_SPEC, ReleaseFacts
from momalisa.release.gauges import (
    cluster_lines,
    group_of,
    has_endpoints,
    not_in_force,
    of_other_images,
    pod_lines,
    progress_of,
    unwell_deployments,
)
from momalisa.release.not_observed import given_up, is_observed, is_refused, not_seen_yet, refused
from momalisa.release.states import State, Verdict, back, fix_of, judged

_WITH_CONDUCTOR = "workers"
"""The chart's group of pods for all but drawing."""
_WANT_ROOM = (Cause.UNSCHEDULABLE, Cause.QUOTA)


def verdict(facts: ReleaseFacts) -> Verdict:
    """The one answer."""
    if facts.service is None:
        return judged(
            facts,
            State.ABSENT,
            f"there is no RayService {facts.name} in namespace {facts.namespace}",
            fix="helm upgrade --install it, or name another --namespace or --context",
            exit_code=ExitCode.UNKNOWN,
        )
    if is_leaving(facts.service):
        return judged(facts, State.LEAVING, "it is being deleted", exit_code=ExitCode.UNKNOWN)
    ready = condition(facts.service, "Ready")
    if ready.get("reason") == "InitializingTimeout":
        return given_up(facts, ready)
    if is_refused(facts, ready):
        return refused(facts, ready)
    if is_gone(facts, facts.active):
        return _gone(facts)
    if not is_observed(facts):
        return _unseen(facts)
    if facts.pending:
        return _with_pending(facts) if facts.active else _first(facts)
    return _alone(facts) if facts.active else _first(facts)


def _unseen(facts: ReleaseFacts) -> Verdict:
    """KubeRay has not come to the end of a look at this spec: told is what keeps it from that."""
    if facts.pending and why_not_up(facts, facts.pending, pending=True):
        return _with_pending(facts) if facts.active else _first(facts)
    if facts.active and is_lost(facts, facts.active):
        return _with_pending(facts) if facts.pending else _lost(facts)
    if not facts.pending and (trouble := why_serve_fails(facts, pending=False)):
        return _stuck(facts, f"the change does not come about: {trouble.headline}", trouble)
    return not_seen_yet(facts)


def _first(facts: ReleaseFacts) -> Verdict:
    if trouble := why_not_up(facts, facts.pending, pending=True):
        return _stuck(facts, f"the first cluster does not come up: {trouble.headline}", trouble)
    return judged(
        facts,
        State.STARTING,
        f"the first cluster comes up: {progress_of(facts, facts.pending)}",
        details=_details(facts),
        evidence=pod_lines(facts, facts.pending),
    )


def _with_pending(facts: ReleaseFacts) -> Verdict:
    trouble = why_not_up(facts, facts.pending, pending=True) or _of_missing_head(facts)
    if not has_endpoints(facts):
        return _down_with_pending(facts, trouble)
    if trouble is None:
        return judged(
            facts,
            State.UPGRADING,
            f"{facts.active} serves, {facts.pending} comes up: {progress_of(facts, facts.pending)}",
            fix=f"needless: {facts.active} is what is wanted; `{back(facts)}` stops it"
            if is_taken_back(facts)
            else None,
            details=_details(facts),
            evidence=pod_lines(facts, facts.pending),
        )
    return _stuck(facts, f"the upgrade is stuck, and {facts.active} serves on: {trouble.headline}", trouble)


def _of_missing_head(facts: ReleaseFacts) -> Trouble | None:
    """Of the active cluster: KubeRay looks at the pending one only where both have a head pod."""
    return why_not_up(facts, facts.active, pending=False) if has_no_head(facts, facts.active) else None


def _down_with_pending(facts: ReleaseFacts, trouble: Trouble | None) -> Verdict:
    waits = trouble.headline if trouble else progress_of(facts, facts.pending)
    lost = "lost its head" if is_lost(facts, facts.active) else "has no worker that is ready"
    todo = f"mend what {facts.pending} waits for ({_fix(facts, trouble)})" if trouble else f"wait for {facts.pending}"
    return judged(
        facts,
        State.DOWN,
        f"nothing serves: {facts.active} {lost}, and KubeRay deploys nothing on it again while {facts.pending} is "
        f"pending ({waits})",
        fix=f"{todo}, or go back without a third cluster: {back(facts)}",
        cause=trouble.cause if trouble else Cause.CRASH,
        details=_details(facts),
        evidence=(trouble.evidence if trouble else ()) + pod_lines(facts, facts.active),
    )


def _alone(facts: ReleaseFacts) -> Verdict:
    """One cluster, and it is the active one."""
    if is_lost(facts, facts.active):
        return _lost(facts)
    cluster = facts.cluster(facts.active)
    goal = facts.spec.get(CLUSTER_SPEC) or {}
    if cluster is not None and added_groups(cluster["spec"], goal) != []:
        return _differs(facts)
    applications = facts.applications()
    statuses = {name: str(each.get("status", "")) for name, each in applications.items()}
    if not has_endpoints(facts):
        return _down(facts)
    if trouble := why_serve_fails(facts, pending=False):
        is_new = "DEPLOY_FAILED" in statuses.values() or trouble.cause is Cause.VALIDATION
        if is_new:
            return _stuck(facts, f"{facts.active} did not take the change over: {trouble.headline}", trouble)
        return _stuck(facts, f"{facts.active} serves, but not all is well: {trouble.headline}", trouble, State.DEGRADED)
    waiting = [f"{name} is {status}" for name, status in statuses.items() if status != "RUNNING"]
    if waiting or not statuses:
        what = ", ".join(waiting) or "KubeRay has not heard of its applications"
        details = _details(facts)
        return judged(facts, State.UPDATING, f"{facts.active} takes a change over: {what}", details=details)
    if "pending" in facts.config:
        headline = f"{facts.active} tries its newest configuration; a renderer that sleeps has to wake for that"
        return judged(facts, State.UPDATING, headline, details=cluster_lines(facts))
    if "refused" in facts.config:
        return _stuck(facts, f"{facts.active} serves as before: it refused its newest configuration", _refused(facts))
    if facts.traffic not in (None, facts.active):
        headline = f"{facts.active} is ready, and the Service leads to {facts.traffic} still"
        return judged(facts, State.UPDATING, headline, details=cluster_lines(facts))
    num = facts.status.get("numServeEndpoints")
    return judged(
        facts,
        State.SERVING,
        f"{facts.active} serves as it is wanted, at {num} endpoint{'s' if num != 1 else ''}",
        details=(*(cluster_lines(facts) if facts.retiring else ()), *not_in_force(facts), *of_other_images(facts)),
        evidence=(f"rayservice {facts.name}: {', '.join(f'{n} RUNNING' for n in statuses)}, no pending cluster",),
        exit_code=ExitCode.SUCCEEDED,
    )


def _refused(facts: ReleaseFacts) -> Trouble:
    workers = [name_of(pod) for pod in facts.pods_of(facts.active) if group_of(pod) == _WITH_CONDUCTOR]
    where = f" (of {len(workers)} workers, the one with the conductor)" if len(workers) > 1 else ""
    return Trouble(
        cause=Cause.INPUT,
        headline="it refused its newest configuration",
        fix="correct the values (most often a model that is not there) and upgrade again; the log says which: kubectl "
        f"exec --namespace {facts.namespace} {next(iter(workers), 'POD')} -- "
        f"grep -rh 'stays as it was' /tmp/ray/session_latest/logs/serve{where}",
        evidence=(f"/metrics of {facts.name}: momalisa_is_config_refused 1",),
    )


def _differs(facts: ReleaseFacts) -> Verdict:
    kind = (facts.spec.get("upgradeStrategy") or {}).get("type")
    if kind in (None, "NewCluster"):
        headline = f"{facts.active} is of another spec; KubeRay is about to change it or to build another"
        return judged(facts, State.UPDATING, headline, details=cluster_lines(facts))
    return judged(
        facts,
        State.STUCK,
        f"{facts.active} is of another spec, and with upgradeStrategy {kind} KubeRay builds no other",
        fix="upgradeStrategy.type NewCluster; or delete the RayCluster, and serve nothing until the next one is up",
        cause=Cause.CONFIGURATION,
        evidence=(f"rayservice {facts.name}: upgradeStrategy.type {kind}",),
    )


def _down(facts: ReleaseFacts) -> Verdict:
    trouble = why_not_up(facts, facts.active, pending=False)
    why = trouble.headline if trouble else progress_of(facts, facts.active)
    return judged(
        facts,
        State.DOWN,
        f"nothing serves: {facts.active} has no endpoints ({why})",
        fix=fix_of(trouble) if trouble else "wait: KubeRay makes lost pods again, and deploys the applications anew",
        cause=trouble.cause if trouble else None,
        details=cluster_lines(facts),
        evidence=(*(trouble.evidence if trouble else ()), *pod_lines(facts, facts.active))
        or (f"rayservice {facts.name}: active {facts.active}, which has no pods",),
    )


def _lost(facts: ReleaseFacts) -> Verdict:
    """The head is not up, so Serve's controller and KubeRay's word on it are as they were before."""
    if not has_endpoints(facts):
        return _down(facts)
    trouble = why_not_up(facts, facts.active, pending=False)
    why = trouble.headline if trouble else progress_of(facts, facts.active)
    return judged(
        facts,
        State.DEGRADED,
        f"the workers of {facts.active} serve on, and its head is not up: {why}",
        fix=fix_of(trouble) if trouble else "wait: KubeRay makes a lost head again",
        cause=trouble.cause if trouble else Cause.CRASH,
        details=cluster_lines(facts),
        evidence=(*(trouble.evidence if trouble else ()), *pod_lines(facts, facts.active)),
    )


def _gone(facts: ReleaseFacts) -> Verdict:
    """Somebody deleted the RayCluster that served: KubeRay builds the next one as it is wanted now."""
    trouble = why_not_up(facts, facts.pending, pending=True) if facts.pending else None
    if trouble:
        comes = f"{facts.pending} does not come up: {trouble.headline}"
    elif facts.pending:
        comes = f"{facts.pending} comes up: {progress_of(facts, facts.pending)}"
    else:
        comes = "KubeRay is about to build another"
    return judged(
        facts,
        State.DEGRADED if has_endpoints(facts) else State.DOWN,
        f"the RayCluster {facts.active}, which served, is gone; {comes}",
        fix=_fix(facts, trouble) if trouble else f"wait for {facts.pending or 'it'}",
        cause=trouble.cause if trouble else Cause.CRASH,
        details=_details(facts),
        evidence=(
            f"rayservice {facts.name}: active {facts.active}, and there is no such RayCluster",
            *(trouble.evidence if trouble else ()),
        ),
    )


def _stuck(facts: ReleaseFacts, headline: str, trouble: Trouble, state: State = State.STUCK) -> Verdict:
    fix = _fix(facts, trouble)
    return judged(
        facts,
        state,
        headline,
        fix=f"{fix}; or go back: {back(facts)}" if facts.active else fix,
        cause=trouble.cause,
        details=_details(facts),
        evidence=trouble.evidence,
    )


def _fix(facts: ReleaseFacts, trouble: Trouble) -> str:
    """With what is to be known where upgrading again alone would not do."""
    fix = fix_of(trouble)
    if facts.pending and facts.retiring and trouble.cause in _WANT_ROOM:
        held = " and ".join(facts.retiring)
        fix = (
            f"wait until {held} is gone, whose pods hold room (kubectl delete raycluster, if it never served), or {fix}"
        )
    if not has_no_head(facts, facts.pending):
        return fix
    return (
        f"{fix}. While {facts.pending} has no head pod, KubeRay takes no newer spec: after an upgrade, "
        f"kubectl delete raycluster --namespace {facts.namespace} {facts.pending}, and it is made anew, of the newest"
    )


def _details(facts: ReleaseFacts) -> tuple[str, ...]:
    return unwell_deployments(facts, pending=bool(facts.pending)) + cluster_lines(facts)
