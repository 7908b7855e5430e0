"""Verdicts on jobs that wait, start, run or recover."""

from momalisa.cluster import events as told_by_events
from momalisa.cluster.causes import why_failed, why_lost, why_not_started
from momalisa.cluster.facts import JobFacts
from momalisa.cluster.gauges import (
    age_s,
    attempts,
    has_condition,
    holds_resources,
    listed,
    most_attempts,
    num_failed,
    num_workers,
    patience,
    pod_line,
    progress_of,
    status_of,
    waits,
)
from momalisa.cluster.pods import is_leaving, is_ready, name_of, phase_of, role_of
from momalisa.cluster.states import State, Verdict, judged, troubled
from momalisa.cluster.troubles import Cause
from momalisa.training.progress import format_duration

_OPERATOR_ACTS_WITHIN_S = 30.0


def queued(facts: JobFacts) -> Verdict:
    assert facts.job is not None
    queue = facts.job["metadata"].get("labels", {}).get("kueue.x-k8s.io/queue-name")
    running = [name_of(job) for job in facts.others if holds_resources(job)]
    mine = facts.job["metadata"].get("creationTimestamp", "")
    ahead = [name_of(job) for job in facts.others if waits(job) and job["metadata"]["creationTimestamp"] < mine]
    behind = f", behind {listed(running)}" if running else ""
    also = f" and {len(ahead)} that wait{'s' if len(ahead) == 1 else ''} longer" if ahead else ""
    return judged(
        facts,
        State.QUEUED,
        f"it waits in queue {queue}{behind}{also}"
        if queue
        else "it is suspended, and in no queue that would let it go",
        fix=None if queue else f'kubectl patch rayjob {facts.name} --type merge -p \'{{"spec":{{"suspend":false}}}}\'',
        details=tuple(f"waits longer: {name}" for name in ahead),
        evidence=(f"rayjob {facts.name}: {status_of(facts, 'jobDeploymentStatus') or 'new'}, spec.suspend",),
    )


def starting(facts: JobFacts) -> Verdict:
    """Until KubeRay has given the job to Ray."""
    if not status_of(facts, "jobDeploymentStatus") and age_s(facts) > _OPERATOR_ACTS_WITHIN_S:
        return judged(
            facts,
            State.BLOCKED,
            f"KubeRay has not looked at it for {format_duration(age_s(facts))}",
            fix="does its operator run and watch this namespace? kubectl get deployment -A | grep kuberay",
            cause=Cause.OPERATOR,
            evidence=(f"rayjob {facts.name}: no status",),
        )
    if trouble := why_not_started(facts):
        if trouble.cause is Cause.UNSCHEDULABLE and told_by_events.is_scaling_up(facts.events):
            return judged(
                facts,
                State.STARTING,
                f"{trouble.headline}; the cluster's autoscaler adds one",
                cause=trouble.cause,
                evidence=trouble.evidence,
            )
        return troubled(facts, State.BLOCKED, trouble, details=patience(facts))
    return _coming_up(facts)


def running(facts: JobFacts) -> Verdict:
    """KubeRay has handed it to the submitter; that does not yet mean that it runs."""
    job_status = status_of(facts, "jobStatus")
    if job_status in {"SUCCEEDED", "FAILED", "STOPPED"}:
        return _ending(facts, job_status)
    if lost := _lost(facts):
        return lost
    # KubeRay has been seen to write other words here ("Failure") while it could not reach the head.
    if job_status not in {"", "PENDING"} or progress_of(facts) is not None:
        return _at_work(facts)
    if trouble := why_not_started(facts):
        return troubled(facts, State.BLOCKED, trouble, details=patience(facts))
    return _coming_up(facts)


def retrying(facts: JobFacts) -> Verdict:
    trouble = why_failed(facts)
    return judged(
        facts,
        State.RETRYING,
        f"attempt {num_failed(facts)} of {most_attempts(facts)} failed ({trouble.headline}); a new cluster is built",
        fix=f"nothing; or, where it will fail again: `momalisa jobs cancel {facts.name}`, then {trouble.fix}",
        cause=trouble.cause,
        evidence=(f"rayjob {facts.name}: Retrying", *trouble.evidence),
    )


def _coming_up(facts: JobFacts) -> Verdict:
    pulling = told_by_events.pulling_pods(facts.events)
    waiting = [pod for pod in facts.pods if phase_of(pod) == "Pending" and name_of(pod) in pulling]
    ready = sum(is_ready(pod) for pod in facts.pods if role_of(pod) == "worker")
    head = next((pod for pod in facts.pods if role_of(pod) == "head"), None)
    wanted = num_workers(facts)
    workers = f"{ready} of {wanted} worker{'s' if wanted != 1 else ''}"
    if waiting:
        return judged(
            facts,
            State.PULLING,
            f"pulling the image for {len(waiting)} pod{'s' if len(waiting) > 1 else ''} ({workers} ready)",
            evidence=tuple(f"pod {name_of(pod)}: Pulling" for pod in waiting[:3]),
        )
    if head is None:
        headline = "the cluster is being made"
    elif not is_ready(head):
        headline = f"the head comes up, {workers} ready"
    elif ready < wanted:
        headline = f"{workers} ready"
    else:
        headline = f"the cluster is up ({workers}), the driver is being started"
    again = told_by_events.replaced(facts.events)
    return judged(
        facts,
        State.STARTING,
        headline,
        details=(again.headline,) if again else (),
        evidence=(*(pod_line(pod) for pod in facts.pods[:6]), *(again.evidence if again else ())),
    )


def _ending(facts: JobFacts, job_status: str) -> Verdict:
    """Not the end yet: a failed attempt may be tried again."""
    said = (f"rayjob {facts.name}: jobStatus {job_status}, jobDeploymentStatus Running",)
    if job_status == "FAILED":
        trouble = why_failed(facts)
        has_more = num_failed(facts) + 1 < most_attempts(facts)
        then = "KubeRay decides whether to try again" if has_more else "it is not tried again"
        headline = f"the run failed ({trouble.headline}); {then}"
        return judged(
            facts, State.ENDING, headline, fix=trouble.fix, cause=trouble.cause, evidence=said + trouble.evidence
        )
    return judged(facts, State.ENDING, f"the run has ended ({job_status.lower()})", evidence=said)


def _lost(facts: JobFacts) -> Verdict | None:
    """A cluster that was whole and is not any more."""
    pods = [pod for pod in facts.pods if role_of(pod) != "submitter"]
    ready = sum(is_ready(pod) for pod in pods if role_of(pod) == "worker")
    wanted = num_workers(facts)
    head = next((pod for pod in pods if role_of(pod) == "head" and not is_leaving(pod)), None)
    was_whole = has_condition(facts, "RayClusterProvisioned") or status_of(facts, "jobStatus") == "RUNNING"
    if "pods" in facts.unknown or not was_whole or (ready >= wanted and head is not None and is_ready(head)):
        return None
    trouble = why_lost(facts)
    why = f": {trouble.headline}" if trouble else ""
    if head is None or not is_ready(head):
        headline = f"the head is lost{why}; the driver is gone with it, and KubeRay will try again if it may"
    else:
        headline = f"{ready} of {wanted} workers{why}; the run goes on from its last checkpoint when the rest is back"
    return judged(
        facts,
        State.RECOVERING,
        headline,
        fix=trouble.fix if trouble else None,
        cause=trouble.cause if trouble else None,
        details=patience(facts) if trouble and trouble.cause is Cause.UNSCHEDULABLE else (),
        evidence=trouble.evidence if trouble else tuple(pod_line(pod) for pod in pods[:6]),
        progress=progress_of(facts),
    )


def _at_work(facts: JobFacts) -> Verdict:
    progress = progress_of(facts)
    words = progress.in_words() if progress else "the driver runs"
    said = (f"rayjob {facts.name}: jobStatus {status_of(facts, 'jobStatus') or 'new'}",)
    if facts.run is not None and facts.run.is_asked_to_stop:
        headline = f"it was asked to stop, and saves a checkpoint ({words})"
        return judged(facts, State.STOPPING, headline, evidence=said, progress=progress)
    return judged(facts, State.RUNNING, words, evidence=said, progress=progress, details=attempts(facts))
