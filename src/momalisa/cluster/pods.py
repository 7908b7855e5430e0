"""What a pod's own status says of it: pure functions on what kubectl would print."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from momalisa.cluster.kinds import Manifest
from momalisa.cluster.troubles import Cause, Trouble, shortened

GPU = "nvidia.com/gpu"
EVICTION_FIX = (
    "the node ran out of it: ask for as much memory and ephemeral storage as the pods use, or free the node's disk; "
    "what was lost goes on from its last checkpoint"
)
_IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
_CONFIGURATION_REASONS = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
_OOM_EXIT_CODE = 137
_GONE_WITH_NODE = {"NodeShutdown", "NodeLost", "Terminated", "Shutdown", "DeletionByTaintManager", "DeletionByPodGC"}


def name_of(manifest: Manifest) -> str:
    """Its name."""
    return str(manifest["metadata"]["name"])


def role_of(pod: Manifest) -> str:
    """`head`, `worker` or `submitter`."""
    return str(pod["metadata"].get("labels", {}).get("ray.io/node-type", "submitter"))


def phase_of(pod: Manifest) -> str:
    """Pending, Running, Succeeded, Failed or Unknown."""
    return str(pod.get("status", {}).get("phase", "Pending"))


def is_ready(pod: Manifest) -> bool:
    """Whether its containers are up, by their probes."""
    return condition(pod, "Ready").get("status") == "True" and not is_leaving(pod)


def is_leaving(pod: Manifest) -> bool:
    """Whether somebody deleted it."""
    return "deletionTimestamp" in pod["metadata"]


def condition(pod: Manifest, kind: str) -> dict[str, Any]:
    """One of its conditions; empty where it has none of this kind."""
    found = (each for each in pod.get("status", {}).get("conditions", ()) if each["type"] == kind)
    return next(found, {})


def statuses(pod: Manifest) -> Iterator[dict[str, Any]]:
    """Of its containers, those that come first first."""
    status = pod.get("status", {})
    yield from status.get("initContainerStatuses", ())
    yield from status.get("containerStatuses", ())


def limit_of(pod: Manifest, container: str, resource: str) -> str | None:
    """What a container may use at most: `3Gi`."""
    for spec in pod["spec"].get("containers", ()):
        if spec["name"] == container:
            found = spec.get("resources", {}).get("limits", {}).get(resource)
            return None if found is None else str(found)
    return None


def num_gpus(pod: Manifest) -> int:
    """What its containers ask for together."""
    asked = (c.get("resources", {}).get("limits", {}).get(GPU, 0) for c in pod["spec"].get("containers", ()))
    return sum(int(each) for each in asked)


def parse_time(text: str) -> datetime:
    """A time as Kubernetes writes it, with or without parts of a second."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def time_at(manifest: Manifest, *path: str) -> datetime | None:
    """A time somewhere in an object."""
    found: Any = manifest
    for key in path:
        found = (found or {}).get(key)
    return parse_time(found) if found else None


def pod_trouble(pod: Manifest) -> Trouble | None:
    """What is wrong with a pod, by its own status."""
    return _lost_trouble(pod) or _container_trouble(pod) or _scheduling_trouble(pod)


def first_trouble(pods: Iterable[Manifest]) -> Trouble | None:
    """The trouble to tell first: of the head and the submitter, which nothing works without, then of workers."""
    order = {"head": 0, "submitter": 1, "worker": 2}
    for pod in sorted(pods, key=lambda pod: (order[role_of(pod)], name_of(pod))):
        if trouble := pod_trouble(pod):
            return trouble
    return None


def memory_trouble(pods: Iterable[Manifest]) -> Trouble | None:
    """Of a container that the kernel ended at its limit."""
    for pod in pods:
        for status in statuses(pod):
            for ended in (_terminated(status, "state"), _terminated(status, "lastState")):
                if ended.get("reason") == "OOMKilled":
                    return _oom_trouble(pod, status, ended)
    return None


def _lost_trouble(pod: Manifest) -> Trouble | None:
    """Evicted, preempted, or gone with its node."""
    status = pod.get("status", {})
    reason, message = str(status.get("reason", "")), str(status.get("message", ""))
    target = condition(pod, "DisruptionTarget")
    if target.get("status") == "True":
        reason, message = str(target.get("reason", reason)), str(target.get("message", message))
    name, role = name_of(pod), role_of(pod)
    said = (f"pod {name}: {reason}: {shortened(message)}",)
    if reason == "Evicted" or (reason == "TerminationByKubelet" and "low on resource" in message):
        return Trouble(
            cause=Cause.EVICTED,
            headline=f"the {role} was evicted: {shortened(message, 120)}",
            fix=EVICTION_FIX,
            evidence=said,
        )
    if reason == "PreemptionByScheduler":
        return Trouble(
            cause=Cause.PREEMPTED,
            headline=f"the {role} was preempted by a more important pod",
            fix="wait: it goes on from its last checkpoint when there is room; or submit with a higher priority class",
            evidence=said,
        )
    if reason in _GONE_WITH_NODE or reason in {"TerminationByKubelet", "EvictionByEvictionAPI"}:
        return Trouble(
            cause=Cause.PREEMPTED,
            headline=f"the {role}'s node {pod['spec'].get('nodeName', '')} went away or is being drained",
            fix="nothing: it goes on from its last checkpoint on another node",
            evidence=said,
        )
    return None


def _container_trouble(pod: Manifest) -> Trouble | None:
    for status in statuses(pod):
        waiting = status.get("state", {}).get("waiting", {})
        trouble = _waiting_trouble(pod, status, waiting) or _ended_trouble(pod, status)
        if trouble is not None:
            return trouble
    return None


def _waiting_trouble(pod: Manifest, status: dict[str, Any], waiting: dict[str, Any]) -> Trouble | None:
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    name, role = name_of(pod), role_of(pod)
    said = (f"pod {name}, container {status['name']}: {reason}: {shortened(message)}",)
    if reason in _IMAGE_REASONS:
        return Trouble(
            cause=Cause.IMAGE,
            headline=f"the {role}'s image {status['image']} cannot be pulled",
            fix=_image_fix(reason, message),
            evidence=said,
        )
    if reason in _CONFIGURATION_REASONS:
        return Trouble(
            cause=Cause.CONFIGURATION,
            headline=f"the {role}'s container cannot be made: {shortened(message, 160)}",
            fix=configuration_fix(message),
            evidence=said,
        )
    return None


def _image_fix(reason: str, message: str) -> str:
    if reason == "InvalidImageName":
        return "the name is malformed: REGISTRY/NAME:TAG, in small letters; submit again with another --image"
    if reason == "ErrImageNeverPull":
        return "the pull policy is Never and the node does not have it: load it there, or submit with another --image"
    if any(word in message.lower() for word in ("unauthorized", "forbidden", "denied", "401", "403")):
        return "the registry refuses this node: give its service account the right to read, or set an imagePullSecret"
    if any(word in message.lower() for word in ("not found", "manifest unknown", "404")):
        return "there is no such tag: push it, or submit again with another --image"
    return "is the tag right, was it pushed, does the node reach the registry? Submit again with another --image"


def configuration_fix(message: str) -> str:
    """What to do where a container cannot be made."""
    lower = message.lower()
    if "secret" in lower or "configmap" in lower:
        return "create it in this namespace (kubectl create secret …), or submit again with the right name or key"
    if "runasnonroot" in lower:
        return "the image runs as root, which is forbidden here: give it a numeric USER, as k8s/Dockerfile does"
    return "mend what the message names, and submit again"


def _ended_trouble(pod: Manifest, status: dict[str, Any]) -> Trouble | None:
    """Of a container that ended before its time. A submitter's end is the job's own, told elsewhere."""
    ended = _terminated(status, "state") or _terminated(status, "lastState")
    if ended.get("reason") == "OOMKilled":
        return _oom_trouble(pod, status, ended)
    if not ended or ended.get("exitCode") == 0 or role_of(pod) == "submitter" or is_leaving(pod):
        return None
    name, role, container = name_of(pod), role_of(pod), status["name"]
    message = shortened(str(ended.get("message", "")), 200)
    said = f"pod {name}, container {container}: {ended.get('reason')}, exit code {ended.get('exitCode')}"
    never_ran = ended.get("reason") in {"StartError", "ContainerCannotRun"}
    return Trouble(
        cause=Cause.CRASH,
        headline=f"the {role}'s container cannot be started: {message.rsplit('process: ', 1)[-1]}"
        if never_ran
        else f"the {role}'s container {container} ended with code {ended.get('exitCode')}",
        fix="is this image momalisa's (k8s/Dockerfile)? Submit again with another --image"
        if never_ran
        else f"see what it said: kubectl logs {name} -c {container}",
        evidence=(f"{said}: {message}" if message else said,),
    )


def _oom_trouble(pod: Manifest, status: dict[str, Any], ended: dict[str, Any]) -> Trouble:
    name, role = name_of(pod), role_of(pod)
    limit = limit_of(pod, status["name"], "memory") or "no limit of its own: the node's"
    return Trouble(
        cause=Cause.MEMORY,
        headline=f"the {role} ran out of memory: the kernel ended it at its limit of {limit}",
        fix=f"submit again with more memory for the {role}, or a smaller micro_batch_size or fewer loader workers",
        evidence=(
            f"pod {name}, container {status['name']}: OOMKilled, exit code {ended.get('exitCode', _OOM_EXIT_CODE)}",
        ),
    )


def _scheduling_trouble(pod: Manifest) -> Trouble | None:
    scheduled = condition(pod, "PodScheduled")
    if scheduled.get("status") != "False" or scheduled.get("reason") != "Unschedulable":
        return None
    message = str(scheduled.get("message", ""))
    return unschedulable(f"pod {name_of(pod)}", role_of(pod), message, pod)


def unschedulable(who: str, role: str, message: str, pod: Manifest | None) -> Trouble:
    """No node takes a pod: which resource is short, or what keeps it from the nodes."""
    short = sorted({word.rstrip(".,") for word in _after(message, "Insufficient ")})
    asked = f" (it asks for {', '.join(_asked(pod, each) for each in short)})" if pod and short else ""
    if short:
        headline = f"no node has enough {' and '.join(short)} free for a {role}{asked}"
        fix = (
            "wait for other jobs, or add nodes; does no node of this cluster ever hold as much, "
            "submit with fewer GPUs, CPUs or less memory for each worker"
        )
    elif "taint" in message:
        headline = f"no node may take the {role}: their taints are not tolerated"
        fix = "tolerate those taints (k8s/README.md says how), or add nodes without them"
    elif "affinity" in message or "selector" in message:
        headline = f"no node has the labels that the {role} asks for"
        fix = "correct the node selector, or add such a node pool"
    else:
        headline, fix = f"no node takes the {role}", "mend what the message names"
    return Trouble(
        cause=Cause.UNSCHEDULABLE, headline=headline, fix=fix, evidence=(f"{who}: Unschedulable: {shortened(message)}",)
    )


def _after(text: str, word: str) -> list[str]:
    return [part.split()[0] for part in text.split(word)[1:] if part.split()]


def _asked(pod: Manifest, resource: str) -> str:
    asked = [c.get("resources", {}).get("requests", {}).get(resource) for c in pod["spec"].get("containers", ())]
    asked += [c.get("resources", {}).get("limits", {}).get(resource) for c in pod["spec"].get("containers", ())]
    return f"{next((str(a) for a in asked if a is not None), '?')} {resource}"


def _terminated(status: dict[str, Any], when: str) -> dict[str, Any]:
    found: dict[str, Any] = status.get(when, {}).get("terminated") or {}
    return found
