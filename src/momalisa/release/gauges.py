"""What a verdict on a release is told with: how far a cluster is, what part each has, what does not hold yet. Pure."""

from collections.abc import Iterator

from momalisa.cluster.kinds import Manifest
from momalisa.cluster.pods import is_ready, name_of, role_of
from momalisa.cluster.troubles import shortened
from momalisa.release.cluster_specs import differences, muted
from momalisa.release.facts import CLUSTER_SPEC, ReleaseFacts


def has_endpoints(facts: ReleaseFacts) -> bool:
    """By KubeRay's count, which stands still while it asks another cluster, and by the pods that visitors are sent to.

    A head is ready before Serve is there, and a head alone has no gateway; renderers have none either.
    """
    pods = facts.pods_of(facts.active)
    ready = any(is_ready(pod) for pod in pods if role_of(pod) == "worker" and component_of(pod) != "renderer")
    return bool(facts.status.get("numServeEndpoints")) and ("pods" in facts.unknown or ready)


def progress_of(facts: ReleaseFacts, cluster: str) -> str:
    """How far a cluster is."""
    pods = facts.pods_of(cluster)
    head = next((pod for pod in pods if role_of(pod) == "head"), None)
    if "pods" in facts.unknown:
        return "its pods may not be looked at"
    if head is None:
        return "its head is being made"
    if not is_ready(head):
        return "its head starts"
    ready = sum(is_ready(pod) for pod in pods if role_of(pod) == "worker")
    wanted = ((facts.cluster(cluster) or {}).get("status") or {}).get("desiredWorkerReplicas") or 0
    workers = f"its head is up, {ready} of {wanted} workers are"
    applications = facts.applications(pending=cluster == facts.pending)
    if not applications:
        return f"{workers}; Serve has not been asked yet"
    waiting = [f"{name} is {each.get('status')}" for name, each in applications.items()]
    return f"{workers}; {', '.join(waiting)}"


def cluster_lines(facts: ReleaseFacts) -> tuple[str, ...]:
    """Each cluster and its part, so that a surplus one is seen."""
    delay_s = facts.spec.get("rayClusterDeletionDelaySeconds", 60)
    parts = [(facts.active, "is the active one"), (facts.pending, "is to take over")]
    parts += [(name, f"served or was to, and goes {delay_s} s after it was relieved") for name in facts.retiring]
    return tuple(f"{name} {part}" for name, part in parts if name)


def not_in_force(facts: ReleaseFacts) -> tuple[str, ...]:
    """What was changed and does not hold for a cluster that runs. The number of pods now is the autoscaler's."""
    running = (facts.cluster(facts.active) or {}).get("spec") or {}
    found = differences(muted(running), muted(facts.spec.get(CLUSTER_SPEC) or {})) if running else []
    return tuple(
        f"from the next cluster on: {path} {'none' if new is None else new}"
        for path, _, new in found
        if not path.endswith(".replicas")
    )


def of_other_images(facts: ReleaseFacts) -> Iterator[str]:
    """Pods that are not of their cluster's spec.

    A newer KubeRay writes a cluster's spec anew when it first sees it: what was changed at that moment has no pods.
    """
    spec = (facts.cluster(facts.active) or {}).get("spec") or {"workerGroupSpecs": []}
    groups = {str(group["groupName"]): group for group in spec.get("workerGroupSpecs") or []}
    for pod in facts.pods_of(facts.active):
        group = spec.get("headGroupSpec") if role_of(pod) == "head" else groups.get(group_of(pod))
        wanted = group and group["template"]["spec"]["containers"][0]["image"]
        if wanted and (there := pod["spec"]["containers"][0].get("image")) != wanted:
            yield f"pod {name_of(pod)} has image {there}, and its cluster's spec says {wanted}"


def unwell_deployments(facts: ReleaseFacts, *, pending: bool = False) -> tuple[str, ...]:
    """Of applications that are on their way, and what Serve says of them."""
    return tuple(
        f"{name} is {status.get('status')}: {shortened(str(status.get('message') or ''), 240)}".rstrip(": ")
        for application in facts.applications(pending=pending).values()
        if application.get("status") != "RUNNING"
        for name, status in (application.get("serveDeploymentStatuses") or {}).items()
        if status.get("status") != "HEALTHY"
    )


def pod_lines(facts: ReleaseFacts, cluster: str) -> tuple[str, ...]:
    pods = facts.pods_of(cluster)[:6]
    return tuple(f"pod {name_of(pod)}: {'ready' if is_ready(pod) else 'not ready'}" for pod in pods)


def component_of(pod: Manifest) -> str:
    """What the chart calls it: head, workers or renderer."""
    return str(pod["metadata"]["labels"].get("app.kubernetes.io/component"))


def group_of(pod: Manifest) -> str:
    """The worker group that a pod is of."""
    return str(pod["metadata"]["labels"].get("ray.io/group"))
