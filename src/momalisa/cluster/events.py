"""What the events of a job's objects say is wrong: pods that could not even be made have no status to ask."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime

from momalisa.cluster.kinds import Manifest
from momalisa.cluster.pods import EVICTION_FIX, configuration_fix, parse_time, time_at, unschedulable
from momalisa.cluster.troubles import Cause, Trouble, shortened

_NOT_CREATED = {"FailedCreate", "FailedToCreateHeadPod", "FailedToCreateWorkerPod", "FailedToCreateRayJobSubmitter"}
_INVALID = {"InvalidRayJobSpec", "InvalidRayJobMetadata", "InvalidRayJobStatus", "InvalidRayClusterSpec"}
_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]{5}"
"""What Kubernetes and KubeRay add to names: no vowels, and no figures that look like letters."""
_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


def is_about(name: str, event: Manifest) -> bool:
    """Whether it is about this job, one of its attempts' clusters, or their pods; not about those of `name-other`."""
    involved = event["involvedObject"]
    if involved.get("kind") in {"RayJob", "Job"}:
        return bool(involved.get("name") == name)
    group = f"(?!{_SUFFIX}-)[a-z0-9-]+"  # else a job's name that ends like a suffix would pass for a cluster's
    pod = f"(-head(-{_SUFFIX})?|-{group}-worker-{_SUFFIX})?"
    return re.fullmatch(f"{re.escape(name)}(-{_SUFFIX}{pod})?(-head-svc)?", involved.get("name", "")) is not None


def is_since(event: Manifest, created: datetime | None) -> bool:
    """Whether it is not about an earlier job of the same name, by the API server's clock where that has a say."""
    noted = time_at(event, "metadata", "creationTimestamp") or time_of(event)
    return created is None or noted >= created


def time_of(event: Manifest) -> datetime:
    """When it was seen last."""
    series = event.get("series") or {}
    for text in (
        series.get("lastObservedTime"),
        event.get("lastTimestamp"),
        event.get("eventTime"),
        event.get("firstTimestamp"),
        event.get("metadata", {}).get("creationTimestamp"),
    ):
        if text:
            return parse_time(text)
    return _LONG_AGO


def in_order(events: Iterable[Manifest]) -> list[Manifest]:
    """Oldest first."""
    return sorted(events, key=time_of)


def describe(event: Manifest) -> str:
    """For evidence: `pod demo-x: FailedScheduling: …`."""
    involved = event["involvedObject"]
    return f"{involved['kind'].lower()} {involved['name']}: {event['reason']}: {shortened(event.get('message', ''))}"


def creation_trouble(events: Iterable[Manifest]) -> Trouble | None:
    """Why pods are not made, by the newest event that says so: quota, Pod Security, limits, an admission policy."""
    for event in reversed(in_order(events)):
        if event["reason"] in _NOT_CREATED:
            return refused_pod(str(event.get("message", "")), describe(event))
    return None


def refused_pod(message: str, said: str) -> Trouble:
    """What the API server means by refusing a pod."""
    if "exceeded quota" in message:
        return Trouble(
            cause=Cause.QUOTA,
            headline=f"the namespace's quota is used up: {_quota(message)}",
            fix="wait for other jobs or cancel one, submit a smaller job, or ask for a larger quota",
            evidence=(said,),
        )
    if "violates PodSecurity" in message:
        what = message.split("violates PodSecurity", 1)[1]
        return _admission(
            f"Pod Security forbids the pods: {shortened(what, 200)}", "mend the pod template and submit again", said
        )
    if "maximum" in message or "minimum" in message:
        return _admission(
            f"the namespace's LimitRange forbids the pods: {shortened(_forbidden(message), 160)}",
            "submit again with resources inside those limits",
            said,
        )
    if "ValidatingAdmissionPolicy" in message:
        return _admission(
            f"an admission policy refuses the pods: {shortened(message.split('denied request:')[-1], 160)}",
            "submit again with an image, ServiceAccount and Secrets that the policy allows (k8s/README.md lists them)",
            said,
        )
    if "serviceaccount" in message.lower():
        return Trouble(
            cause=Cause.CONFIGURATION,
            headline=f"the pods' ServiceAccount is missing: {shortened(_forbidden(message), 160)}",
            fix="apply k8s/ to this namespace, or submit with another ServiceAccount",
            evidence=(said,),
        )
    return _admission(
        f"the pods are refused: {shortened(message, 200)}", "mend what the message names, and submit again", said
    )


def mounting_trouble(events: Iterable[Manifest]) -> Trouble | None:
    """A volume that cannot be mounted: its pod only waits, without saying why."""
    for event in reversed(in_order(events)):
        message = str(event.get("message", ""))
        if event["reason"] in {"FailedMount", "FailedAttachVolume"} and "not registered" not in message:
            return Trouble(
                cause=Cause.CONFIGURATION,
                headline=f"a volume cannot be mounted: {shortened(message.split(': ', 1)[-1], 160)}",
                fix="create the Secret, ConfigMap or claim that it names in this namespace, or correct the name",
                evidence=(describe(event),),
            )
    return None


def scheduling_trouble(events: Iterable[Manifest]) -> Trouble | None:
    """As a pod's condition tells it, for users who may read events but no pods, and for pods that are gone."""
    for event in reversed(in_order(events)):
        if event["reason"] == "FailedScheduling":
            name = event["involvedObject"]["name"]
            return unschedulable(f"pod {name}", role_in(name), str(event.get("message", "")), None)
    return None


def container_trouble(events: Iterable[Manifest]) -> Trouble | None:
    """Why containers did not start, for pods that are gone: their image, or what they are to be given."""
    for event in reversed(in_order(events)):
        message = str(event.get("message", ""))
        if event["reason"] not in {"Failed", "ErrImageNeverPull", "InspectFailed"}:
            continue
        # The last word is often a mere "Error: ImagePullBackOff": an earlier one names the image.
        if match := re.search(r'[Ii]mage "([^"]+)"', message):
            return Trouble(
                cause=Cause.IMAGE,
                headline=f"the image {match.group(1)} cannot be pulled",
                fix="is the tag right, was it pushed, may the node read it? Submit again with another --image",
                evidence=(describe(event),),
            )
        if re.search(r"^Error: .*(secret|configmap|key|runAsNonRoot)", message, re.IGNORECASE):
            return Trouble(
                cause=Cause.CONFIGURATION,
                headline=f"a container cannot be made: {shortened(message.removeprefix('Error: '), 160)}",
                fix=configuration_fix(message),
                evidence=(describe(event),),
            )
    return None


def validation_trouble(events: Iterable[Manifest]) -> Trouble | None:
    """KubeRay's own no to a RayJob or to the RayCluster that came of it."""
    for event in reversed(in_order(events)):
        if event["reason"] in _INVALID:
            return Trouble(
                cause=Cause.VALIDATION,
                headline=f"KubeRay refuses it: {shortened(str(event.get('message', '')), 200)}",
                fix="mend what it names, and submit again under another name",
                evidence=(describe(event),),
            )
    return None


def ended_container(events: Iterable[Manifest]) -> Trouble | None:
    """KubeRay replaces pods that ended, and tells of it: all that is left of one that ran out of memory."""
    for event in reversed(in_order(events)):
        message = str(event.get("message", ""))
        if event["reason"] in {"DeletedHeadPod", "DeletedWorkerPod"} and "OOMKilled" in message:
            role = "head" if event["reason"] == "DeletedHeadPod" else "worker"
            return Trouble(
                cause=Cause.MEMORY,
                headline=f"the {role} ran out of memory: the kernel ended it at its limit",
                fix=f"submit again with more memory for the {role}, or a smaller micro_batch_size",
                evidence=(describe(event),),
            )
    return None


def replaced(events: Iterable[Manifest]) -> Trouble | None:
    """Pods that ended before their time, and that KubeRay made again: the next one may do better."""
    ended = [e for e in in_order(events) if _exit_code(e) not in {None, 0}]
    if not ended:
        return None
    last = ended[-1]
    role = "head" if last["reason"] == "DeletedHeadPod" else "worker"
    times = sum(int(event.get("count") or 1) for event in ended if event["reason"] == last["reason"])
    return Trouble(
        cause=Cause.CRASH,
        headline=f"the {role} ended with code {_exit_code(last)} and was made anew"
        f"{f', {times} times so far' if times > 1 else ''}",
        fix="see what Ray said in it: `momalisa jobs events`; is the node short of CPU, memory or disk?",
        evidence=(describe(last),),
    )


def _exit_code(event: Manifest) -> int | None:
    if event["reason"] not in {"DeletedHeadPod", "DeletedWorkerPod"}:
        return None
    match = re.search(r"ContainerStateTerminated\{ExitCode:(\d+)", str(event.get("message", "")))
    return int(match.group(1)) if match else None


def eviction(events: Iterable[Manifest]) -> Trouble | None:
    """Of pods that are gone: their node ran out of disk or memory."""
    for event in reversed(in_order(events)):
        if event["reason"] == "Evicted":
            name, message = event["involvedObject"]["name"], str(event.get("message", ""))
            role = role_in(name)
            return Trouble(
                cause=Cause.EVICTED,
                headline=f"the {role} was evicted: {message.split('. ', 1)[0]}",
                fix=EVICTION_FIX,
                evidence=(describe(event),),
            )
    return None


def role_in(pod: str) -> str:
    """What a pod is, by its name alone."""
    return "head" if "-head-" in pod else "worker" if "-worker-" in pod else "submitter"


def is_scaling_up(events: Iterable[Manifest]) -> bool:
    """Whether a cluster autoscaler said that it adds a node, after the last time that it gave up."""
    reasons = [event["reason"] for event in in_order(events)]
    told = [reason for reason in reasons if reason in {"TriggeredScaleUp", "NotTriggerScaleUp"}]
    return bool(told) and told[-1] == "TriggeredScaleUp"


def pulling_pods(events: Iterable[Manifest]) -> set[str]:
    """Pods whose image is on its way."""
    pulling: set[str] = set()
    for event in in_order(events):
        name = event["involvedObject"]["name"]
        if event["reason"] == "Pulling":
            pulling.add(name)
        elif event["reason"] in {"Pulled", "Created", "Started", "Failed"}:
            pulling.discard(name)
    return pulling


def _admission(headline: str, fix: str, said: str) -> Trouble:
    return Trouble(cause=Cause.ADMISSION, headline=headline, fix=fix, evidence=(said,))


def _quota(message: str) -> str:
    """`exceeded quota: gpus, requested: limits.x=1, used: …, limited: …` without its beginning."""
    return shortened(message.split("exceeded quota: ", 1)[-1], 160)


def _forbidden(message: str) -> str:
    return message.split("is forbidden: ", 1)[-1]
