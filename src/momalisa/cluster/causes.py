"""Why a job does not start, and why it failed: the likeliest of all that the facts tell.

A pod that the kernel ended tells more than the exception which that caused in another; a rank's own exception more than
the driver's last line; anything more than an exit code.
"""

from dataclasses import replace

from momalisa.cluster import events as told_by_events
from momalisa.cluster.facts import JobFacts
from momalisa.cluster.gauges import exit_of, own_exit_code, status_of
from momalisa.cluster.kinds import Manifest
from momalisa.cluster.pods import first_trouble, limit_of, memory_trouble, name_of, phase_of, role_of
from momalisa.cluster.readings import is_consequence, trouble_in
from momalisa.cluster.troubles import Cause, Trouble, shortened
from momalisa.training.progress import format_duration

_CERTAIN = {Cause.RAY_MEMORY, Cause.GPU_MEMORY}
_WRONG_INPUT_EXIT_CODE = 2


def why_not_started(facts: JobFacts) -> Trouble | None:
    """What keeps pods from running now; None where they are merely on their way."""
    return (
        first_trouble(pod for pod in facts.pods if phase_of(pod) != "Succeeded")
        or told_by_events.creation_trouble(_of_missing(facts))
        or replica_failure(facts.cluster)
        or told_by_events.mounting_trouble(_of_pending(facts))
        or told_by_events.validation_trouble(facts.events)
        or (told_by_events.scheduling_trouble(facts.events) if "pods" in facts.unknown else None)
    )


def why_lost(facts: JobFacts) -> Trouble | None:
    """Why a cluster that was whole is not any more: what ended its pods, before what keeps their successors waiting."""
    found = first_trouble(pod for pod in facts.pods if role_of(pod) != "submitter")
    if found is not None and found.cause is not Cause.UNSCHEDULABLE:
        return found
    return (
        told_by_events.ended_container(facts.events)
        or told_by_events.eviction(facts.events)
        or found
        or told_by_events.replaced(facts.events)
        or why_not_started(facts)
    )


def why_failed(facts: JobFacts) -> Trouble:
    """Of a job whose attempt failed."""
    reason = status_of(facts, "reason")
    if reason == "DeadlineExceeded":
        return _deadline(facts)
    if reason == "PreRunningDeadlineExceeded":
        return _never_ran(facts)
    return _own_failure(facts) or _outer_failure(facts, reason)


def _own_failure(facts: JobFacts) -> Trouble | None:
    """Told by the ranks, by the driver, and by pods that ran out of memory."""
    by_rank, by_words = _by_rank(facts), _by_words(facts)
    for told in (by_words if by_words and by_words.cause in _CERTAIN else None, by_rank, by_words):
        if told is not None and told.cause is not Cause.MEMORY and not is_consequence(told):
            told = _with_limit(told, facts)
            return _as_input(told) if own_exit_code(facts) == _WRONG_INPUT_EXIT_CODE else told
    by_pods = memory_trouble(facts.pods) or told_by_events.ended_container(facts.events)
    return by_pods or (_with_limit(by_words, facts) if by_words else by_rank)


def _with_limit(told: Trouble, facts: JobFacts) -> Trouble:
    """What words alone say of memory, with what a worker has of it."""
    limit = _worker_limit(facts) if told.cause in {Cause.RAY_MEMORY, Cause.MEMORY} else None
    return replace(told, headline=f"{told.headline} (a worker has {limit})") if limit else told


def _worker_limit(facts: JobFacts) -> str | None:
    """How much memory a worker may use, by its pod, or by what was submitted."""
    templates = [pod for pod in facts.pods if role_of(pod) == "worker"]
    groups = (facts.job or {}).get("spec", {}).get("rayClusterSpec", {}).get("workerGroupSpecs", ())
    templates += [group["template"] for group in groups if "template" in group]
    limits = (limit_of(template, "worker", "memory") for template in templates)
    return next((limit for limit in limits if limit), None)


def _as_input(told: Trouble) -> Trouble:
    """The job itself says that its input is wrong: trying again would end the same."""
    if told.cause is not Cause.EXCEPTION:
        return told
    return Trouble(
        cause=Cause.INPUT,
        headline=f"wrong input: {told.headline}",
        fix="correct that, and submit again",
        evidence=told.evidence,
    )


def _by_rank(facts: JobFacts) -> Trouble | None:
    record = exit_of(facts)
    error = record.error if record else None
    if error is None:
        return None
    source = f"job/errors/rank-{error.rank}.json"
    known = trouble_in(error.exception, source)
    if known is not None and known.cause is not Cause.EXCEPTION:
        return known
    return Trouble(
        cause=Cause.EXCEPTION,
        headline=f"rank {error.rank} failed: {shortened(error.exception, 220)}",
        fix=f"see all of it: `momalisa jobs logs {facts.name} --rank {error.rank}`; then mend and retry",
        evidence=(f"{source}, pod {error.node}: {shortened(error.exception)}",),
    )


def _by_words(facts: JobFacts) -> Trouble | None:
    """The driver's: its live log, what Ray quotes of it, and what is left of it in the run's folder."""
    record = exit_of(facts)
    for source, text in (
        ("driver's log", "\n".join(facts.log_tail)),
        (f"rayjob {facts.name}", status_of(facts, "message")),
        ("job/exit.json", "\n".join(record.last_lines) if record else ""),
    ):
        if trouble := trouble_in(text, source):
            return trouble
    return None


def _outer_failure(facts: JobFacts, reason: str) -> Trouble:
    """The job itself said nothing: pods, events, and at last KubeRay's own words."""
    message = status_of(facts, "message")
    said = (f"rayjob {facts.name}: {reason}: {shortened(message)}",) if facts.job else ()
    trouble = (
        why_not_started(facts)
        or told_by_events.container_trouble(facts.events)
        or told_by_events.eviction(facts.events)
    )
    if trouble is not None:
        return trouble
    if "not found in RayCluster" in message or "head pod" in message.lower():
        return Trouble(
            cause=Cause.CRASH,
            headline="the head was lost, and the driver with it",
            fix=f"`momalisa jobs retry {facts.name}` goes on from the last checkpoint",
            evidence=said,
        )
    if reason == "SubmissionFailed":
        return Trouble(
            cause=Cause.SUBMITTER,
            headline=f"the job could not be handed to Ray: {shortened(message, 200)}",
            fix=f"see what the submitter said: `momalisa jobs logs {facts.name}`",
            evidence=said,
        )
    if "submitter finished" in message:
        return Trouble(
            cause=Cause.SUBMITTER,
            headline="KubeRay gave the job up after its submitter had lost the log's connection",
            fix=f"`momalisa jobs retry {facts.name}` goes on from the last checkpoint",
            evidence=said,
        )
    code = own_exit_code(facts)
    return Trouble(
        cause=Cause.CRASH,
        headline=f"the driver ended with code {code}" if code is not None else f"it failed: {shortened(message, 200)}",
        fix=f"see its log: `momalisa jobs logs {facts.name}`",
        evidence=said,
    )


def _deadline(facts: JobFacts) -> Trouble:
    limit = (facts.job or {}).get("spec", {}).get("activeDeadlineSeconds")
    shown = format_duration(float(limit)) if limit else "its time"
    return Trouble(
        cause=Cause.DEADLINE,
        headline=f"its deadline passed: it ran for more than {shown}",
        fix=f"`momalisa jobs retry {facts.name}` goes on from the last checkpoint; give it a longer deadline",
        evidence=(f"rayjob {facts.name}: DeadlineExceeded: {shortened(status_of(facts, 'message'))}",),
    )


def _never_ran(facts: JobFacts) -> Trouble:
    limit = (facts.job or {}).get("spec", {}).get("preRunningDeadlineSeconds")
    shown = format_duration(float(limit)) if limit else "its time"
    said = f"rayjob {facts.name}: PreRunningDeadlineExceeded: {shortened(status_of(facts, 'message'))}"
    why = (
        why_not_started(facts)
        or told_by_events.container_trouble(facts.events)
        or told_by_events.scheduling_trouble(facts.events)
        or told_by_events.eviction(facts.events)
        or told_by_events.replaced(facts.events)
    )
    if why is None:
        return Trouble(
            cause=Cause.PRE_RUNNING_DEADLINE,
            headline=f"its cluster did not come up within {shown}",
            fix="look at `momalisa jobs events`; give it a longer preRunningDeadlineSeconds if it was merely slow",
            evidence=(said,),
        )
    return Trouble(
        cause=why.cause,
        headline=f"its cluster did not come up within {shown}: {why.headline}",
        fix=why.fix,
        evidence=(*why.evidence, said),
    )


def replica_failure(cluster: Manifest | None) -> Trouble | None:
    """The RayCluster says itself that pods are refused, also to those who may see no events."""
    for each in (cluster or {}).get("status", {}).get("conditions", ()):
        if each["type"] == "ReplicaFailure" and each["status"] == "True":
            said = f"raycluster {cluster and name_of(cluster)}: {each['reason']}: {shortened(each['message'])}"
            return told_by_events.refused_pod(str(each["message"]), said)
    return None


def _of_missing(facts: JobFacts) -> list[dict[str, object]]:
    """Events of pods that could not be made, unless all that were wanted are there by now."""
    roles = {role_of(pod) for pod in facts.pods}
    groups = (facts.job or {}).get("spec", {}).get("rayClusterSpec", {}).get("workerGroupSpecs", ())
    wanted = sum(int(group.get("replicas", 0)) for group in groups)
    if "pods" not in facts.unknown and sum(role_of(pod) == "worker" for pod in facts.pods) >= wanted:
        missing = {"head", "submitter"} - roles
    else:
        missing = {"head", "submitter", "worker"} - (roles - {"worker"})
    kinds = {"FailedToCreateHeadPod": "head", "FailedToCreateWorkerPod": "worker"}
    return [event for event in facts.events if kinds.get(event["reason"], "submitter") in missing]


def _of_pending(facts: JobFacts) -> list[dict[str, object]]:
    """Events of pods that wait now, or of all where pods may not be looked at."""
    pending = {name_of(pod) for pod in facts.pods if phase_of(pod) == "Pending"}
    if "pods" in facts.unknown:
        return list(facts.events)
    return [event for event in facts.events if event["involvedObject"]["name"] in pending]
