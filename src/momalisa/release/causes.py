"""What keeps a release's cluster from serving: of its pods, of KubeRay, of Serve. Pure functions of facts."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from momalisa.cluster import events as told_by_events
from momalisa.cluster.causes import replica_failure
from momalisa.cluster.events import describe, in_order, time_of
from momalisa.cluster.kinds import Manifest
from momalisa.cluster.pods import condition, first_trouble, is_ready, name_of, phase_of, role_of, time_at
from momalisa.cluster.troubles import Cause, Trouble, shortened
from momalisa.release.cluster_specs import added_groups
from momalisa.release.facts import CLUSTER_SPEC, ReleaseFacts
from momalisa.release.gauges import unwell_deployments

_ERROR_LINE = re.compile(r"^(?:[\w.]+\.)?(\w*(?:Error|Exception|Timeout)\w*(?:: .*)?)$", re.MULTILINE)
_TAKEN = ("UpdatedServeApplications", "FailedToUpdateServeApplications")
_SERVE_IS_UP_WITHIN_S = 300.0
_MADE = ("CreatedRayCluster", "FailedToCreateRayCluster")


def why_not_up(facts: ReleaseFacts, cluster: str, *, pending: bool) -> Trouble | None:
    """Why a cluster does not serve yet; None where it is merely on its way."""
    pods, events = facts.pods_of(cluster), facts.events_of(cluster)
    trouble = (
        first_trouble(pod for pod in pods if phase_of(pod) != "Succeeded")
        or told_by_events.creation_trouble(_of_missing(facts, cluster))
        or replica_failure(facts.cluster(cluster))
        or told_by_events.mounting_trouble(_of_waiting(pods, events))
        or _not_made(facts)
        or (told_by_events.scheduling_trouble(events) if "pods" in facts.unknown else None)
    )
    if trouble is not None and not (trouble.cause is Cause.UNSCHEDULABLE and told_by_events.is_scaling_up(events)):
        return trouble
    return why_serve_fails(facts, pending=pending) or (_serve_is_slow(facts) if pending else None)


def why_serve_fails(facts: ReleaseFacts, *, pending: bool) -> Trouble | None:
    """What Serve says is wrong: of an application that cannot be deployed, or that it never got."""
    for name, application in facts.applications(pending=pending).items():
        if application.get("status") in {"DEPLOY_FAILED", "UNHEALTHY"}:
            return _of_application(name, application)
    return _not_taken(facts)


def unreached(facts: ReleaseFacts) -> Manifest | None:
    """KubeRay's last word on Serve's configuration since the spec was written, where it could not hand it over."""
    told = _told(facts, *_TAKEN)
    return told[-1] if told and told[-1]["reason"] == _TAKEN[1] else None


def is_lost(facts: ReleaseFacts, cluster: str) -> bool:
    """Whether a cluster that served has no head any more that could."""
    if "pods" in facts.unknown:
        return False
    heads = [pod for pod in facts.pods_of(cluster) if role_of(pod) == "head"]
    ready = (each["status"] == "True" for pod in heads for each in _conditions(pod) if each["type"] == "Ready")
    return not any(ready)


def has_no_head(facts: ReleaseFacts, cluster: str) -> bool:
    """Whether a cluster is there, and its head pod not even made.

    KubeRay then comes to the end of no look ("found 0 head"), so it takes no newer spec either, whatever is mended.
    """
    if "pods" in facts.unknown or facts.cluster(cluster) is None:
        return False
    return not any(role_of(pod) == "head" for pod in facts.pods_of(cluster))


def is_gone(facts: ReleaseFacts, cluster: str) -> bool:
    """Whether a cluster that KubeRay's status names is there no more."""
    return bool(cluster) and "RayClusters" not in facts.unknown and facts.cluster(cluster) is None


def is_taken_back(facts: ReleaseFacts) -> bool:
    """Whether a cluster is pending though the active one is what is wanted."""
    active = facts.cluster(facts.active)
    if active is None or not facts.pending:
        return False
    return added_groups(active["spec"], facts.spec.get(CLUSTER_SPEC) or {}) == []


def _serve_is_slow(facts: ReleaseFacts) -> Trouble | None:
    """What the pending cluster's deployments wait for long after all its pods came up: a canary that is never drawn,
    for one, which Serve takes for a slow beginning, for ever."""
    pods = facts.pods_of(facts.pending)
    heads = [condition(pod, "Ready") for pod in pods if role_of(pod) == "head" and is_ready(pod)]
    times = [time_at(head, "lastTransitionTime") for head in heads]
    times += [time_at(pod, "metadata", "creationTimestamp") for pod in pods]
    since = max([facts.changed, *filter(None, times)])
    unwell = unwell_deployments(facts, pending=True)
    is_late = (facts.now - since).total_seconds() >= _SERVE_IS_UP_WITHIN_S
    if not (is_late and unwell and heads) or any(phase_of(pod) == "Pending" for pod in pods):
        return None
    applications = facts.applications(pending=True).items()
    return Trouble(
        cause=Cause.DEADLINE,
        headline=f"Serve is not up, though its pods are: {'; '.join(unwell)}",
        fix="the logs of its replicas say what they wait for (/tmp/ray/session_latest/logs/serve in their pods); where "
        "it is a large model on its way, wait",
        evidence=tuple(f"application {name}: {each.get('status')}" for name, each in applications),
    )


def _of_application(name: str, application: Mapping[str, Any]) -> Trouble:
    message = str(application.get("message") or "")
    deployments = application.get("serveDeploymentStatuses") or {}
    bad = {each: status for each, status in deployments.items() if status.get("status") in _BAD_DEPLOYMENTS}
    words = next((str(status.get("message") or "") for status in bad.values() if status.get("message")), "")
    told = _error_in(words) or _error_in(message) or shortened(words or message, 200)
    who = f"deployment {next(iter(bad))}" if bad else f"application {name}"
    return Trouble(
        cause=Cause.INPUT if "ConfigError" in told or "ModelError" in told else Cause.EXCEPTION,
        headline=f"Serve cannot start {who}: {told}",
        fix="correct the values that it names, and upgrade again; the whole of it is in the replicas' logs",
        evidence=(f"application {name}: {application['status']}: {shortened(message or words)}",),
    )


_BAD_DEPLOYMENTS = {"UNHEALTHY", "DEPLOY_FAILED"}


def _error_in(text: str) -> str | None:
    """The last line of a traceback."""
    found = _ERROR_LINE.findall(text)
    return shortened(found[-1], 220) if found else None


def _not_taken(facts: ReleaseFacts) -> Trouble | None:
    """Serve's answer to the configuration, where it was a no."""
    told = unreached(facts)
    if told is None:
        return None
    message = str(told.get("message", ""))
    if not re.search(r"UpdateDeployments fail: 4\d\d", message):
        return None  # the head is not up yet, or cannot be reached: KubeRay tries again
    return Trouble(
        cause=Cause.VALIDATION,
        headline=f"Serve does not take serveConfigV2: {_error_in(message) or shortened(message[-200:], 200)}",
        fix="correct the values that it is made from, and upgrade again",
        evidence=(describe(told),),
    )


def _not_made(facts: ReleaseFacts) -> Trouble | None:
    """A RayCluster that the API server refuses, for the number of its kind in a quota, for one."""
    told = _told(facts, *_MADE)
    if not told or told[-1]["reason"] == _MADE[0]:
        return None
    return told_by_events.refused_pod(str(told[-1].get("message", "")), describe(told[-1]))


def _told(facts: ReleaseFacts, *reasons: str) -> list[Manifest]:
    """Events with these reasons, the oldest first, since the spec was written: earlier ones are of another spec, and
    where that is taken back nothing new is told."""
    return [each for each in in_order(facts.events) if each["reason"] in reasons and time_of(each) >= facts.changed]


def _of_missing(facts: ReleaseFacts, cluster: str) -> Iterator[Manifest]:
    """Events of pods that could not be made, unless all that are wanted are there by now."""
    roles = [role_of(pod) for pod in facts.pods_of(cluster)]
    wanted = ((facts.cluster(cluster) or {}).get("status") or {}).get("desiredWorkerReplicas") or 0
    for event in facts.events_of(cluster):
        is_head = event["reason"] == "FailedToCreateHeadPod"
        if "head" not in roles if is_head else roles.count("worker") < wanted:
            yield event


def _of_waiting(pods: list[Manifest], events: list[Manifest]) -> list[Manifest]:
    waiting = {name_of(pod) for pod in pods if phase_of(pod) == "Pending"}
    return [event for event in events if event["involvedObject"]["name"] in waiting]


def _conditions(pod: Manifest) -> list[dict[str, Any]]:
    return (pod.get("status") or {}).get("conditions") or []
