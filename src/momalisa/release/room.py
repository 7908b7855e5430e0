"""Whether there is room for another cluster beside the one that serves, how many GPUs it takes, for how long: pure."""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from momalisa.cluster.capacity import asked, grows, limit_problems, node_problem, shortfalls
from momalisa.cluster.kinds import Manifest
from momalisa.cluster.pods import GPU, name_of, phase_of
from momalisa.cluster.rules import cluster_pod_specs
from momalisa.release.changes import Change, Weight
from momalisa.release.facts import CLUSTER_LABEL, CLUSTER_SPEC

_OBJECTS = {"count/rayclusters.ray.io": 1.0, "services": 1.0}
_ENDED = ("Succeeded", "Failed")
_UNBOUNDED = 2**31 - 1

Pods = list[tuple[str, Mapping[str, Any], int]]
"""Where each kind is written down, its spec, and how many there are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is in the namespace and around it. None: it may not be looked at."""

    quotas: Sequence[Manifest] | None = None
    limits: Sequence[Manifest] | None = None
    nodes: Sequence[Manifest] | None = None
    pods: Sequence[Manifest] = ()
    """All of the namespace."""
    enforced: str | None = None
    """The Pod Security level."""
    helm_status: str | None = None
    """Of the newest revision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """What another cluster takes, beside the one that serves."""

    gpus_at_start: int
    gpus_at_most: int | None
    """None: there is no bound but the quota."""
    num_pods: int
    deletion_delay_s: int

    def in_words(self) -> str:
        """One sentence."""
        pods = f"{self.num_pods} pod{'s' if self.num_pods != 1 else ''} more"
        if not self.gpus_at_start and not self.gpus_at_most:
            return f"{pods}, no GPU, until it is ready and {self.deletion_delay_s} s after traffic has switched"
        gpus = f"{self.gpus_at_start} GPU{'s' if self.gpus_at_start != 1 else ''}"
        most = "as many as the quota allows" if self.gpus_at_most is None else str(self.gpus_at_most)
        return (
            f"{pods} with {gpus} at the start (at most {most}) beside those that serve, until it is "
            f"ready and {self.deletion_delay_s} s after traffic has switched"
        )


def need_of(goal: Manifest, serve: Mapping[str, Any], groups: Iterable[str] | None = None) -> Need:
    """Of the goal's cluster, or of some of its worker groups alone."""
    pods = pods_at_start(goal, serve, groups)
    wanted = goal["spec"][CLUSTER_SPEC].get("workerGroupSpecs") or []
    chosen = [group for group in wanted if groups is None or group["groupName"] in groups]
    most = sum(_gpus(group["template"]["spec"]) * int(group.get("maxReplicas", _UNBOUNDED)) for group in chosen)
    by_serve = _serve_gpus(serve, "at most")
    bounds = [bound for bound in (most, by_serve) if bound is not None and bound < _UNBOUNDED]
    return Need(
        gpus_at_start=sum(_gpus(pod) * count for _, pod, count in pods),
        gpus_at_most=min(bounds) if bounds else None,
        num_pods=sum(count for _, _, count in pods),
        deletion_delay_s=int(goal["spec"].get("rayClusterDeletionDelaySeconds", 60)),
    )


def pods_at_start(goal: Manifest, serve: Mapping[str, Any], groups: Iterable[str] | None = None) -> Pods:
    """The pods that there must be until the new cluster takes traffic: its groups' own, and what Serve starts with.

    Serve starts one renderer at least, whatever its minimum is, so that a broken model is seen.
    """
    spec = goal["spec"][CLUSTER_SPEC]
    counts = {f"workerGroupSpecs[{g['groupName']}]": _replicas(g) for g in spec.get("workerGroupSpecs") or []}
    pods: Pods = [(where, pod, counts.get(where, 1)) for where, pod in cluster_pod_specs(spec)]
    if groups is not None:
        names = {f"workerGroupSpecs[{group}]" for group in groups}
        return [(where, pod, count) for where, pod, count in pods if where in names]
    lacking = (_serve_gpus(serve, "at start") or 0) - sum(_gpus(pod) * count for _, pod, count in pods)
    for index, (where, pod, count) in enumerate(pods):
        if lacking > 0 and _gpus(pod) and spec.get("enableInTreeAutoscaling"):
            pods[index] = (where, pod, count + math.ceil(lacking / _gpus(pod)))
            break
    return pods


def need(changes: Sequence[Change], goal: Manifest, serve: Mapping[str, Any]) -> tuple[Pods, Need] | None:
    """What the changes need beside what runs; None where that is nothing."""
    weights = {change.weight for change in changes}
    if weights & {Weight.FIRST_CLUSTER, Weight.SECOND_CLUSTER, Weight.THIRD_CLUSTER}:
        return pods_at_start(goal, serve), need_of(goal, serve)
    groups = [change.path.partition("[")[2].rstrip("]") for change in changes if change.weight is Weight.GROUP_ADDED]
    return (pods_at_start(goal, serve, groups), need_of(goal, serve, groups)) if groups else None


def surge_gpus(changes: Sequence[Change], serve: Mapping[str, Any]) -> int | None:
    """What replicas that restart take at most beside those that they replace; None where that is nothing, or unsaid."""
    restarting = [change for change in changes if change.weight is Weight.RESTARTED]
    if not any("every" in change.words or "renderer" in change.words for change in restarting):
        return None
    return _serve_gpus(serve, "at most") or None


def quota_problems(around: Surroundings, pods: Pods, *, is_cluster: bool, leaving: Collection[str] = ()) -> list[str]:
    """What quotas are too small for; `leaving` names clusters whose pods go soon, and are not counted."""
    gone = [pod for pod in around.pods if _cluster_of(pod) in leaving and phase_of(pod) not in _ENDED]
    wanted = [(pod, count) for _, pod, count in pods] + [(pod["spec"], -1) for pod in gone]
    objects = _OBJECTS if is_cluster and not leaving else {}
    return [problem for quota in around.quotas or () for problem in shortfalls(quota, wanted, objects)]


def limit_range_problems(around: Surroundings, goal: Manifest) -> list[str]:
    """Which of its pods a LimitRange would refuse."""
    as_job = {"spec": {"submissionMode": "HTTPMode", "rayClusterSpec": _bounded(goal["spec"][CLUSTER_SPEC])}}
    return [problem for limits in around.limits or () for problem in limit_problems(limits, as_job)]


def node_problems(around: Surroundings, pods: Pods, *, leaving: Collection[str] = ()) -> list[str]:
    """Pods that no node can hold, were it empty, and GPUs that there are too few of beside those in use here.

    What other namespaces use is not seen. Empty where nodes may come by themselves. leaving: as for quotas.
    """
    nodes = around.nodes
    if nodes is None or grows(nodes):
        return []
    problems = []
    free = _free_gpus(nodes, around.pods, leaving)
    fits = [(_fitting(nodes, pod), where, pod, count) for where, pod, count in pods]
    for fitting, where, pod, count in sorted(fits, key=lambda each: len(each[0])):  # who may choose chooses last
        if not fitting:
            problems.append(f"no node could hold {where}, were it empty ({_why_not(nodes, pod)})")
        elif (each := _gpus(pod)) and (missing := _place(free, fitting, each, count)):
            there = sum(_allocatable(node) for node in nodes if name_of(node) in fitting)
            problems.append(
                f"{where} needs {each * count} GPUs, {each * missing} more than are free of the {there} on nodes that "
                "it fits on, beside those in use here and by its other groups"
            )
    return problems


def _fitting(nodes: Sequence[Manifest], pod: Mapping[str, Any]) -> list[str]:
    return [name_of(node) for node in nodes if node_problem(node, pod) is None]


def _why_not(nodes: Sequence[Manifest], pod: Mapping[str, Any]) -> str:
    reasons = [f"{name_of(node)}: {node_problem(node, pod)}" for node in nodes[:3]]
    return "; ".join(reasons) or "there are none"


def _free_gpus(nodes: Sequence[Manifest], pods: Sequence[Manifest], leaving: Collection[str]) -> dict[str, int]:
    free = {name_of(node): _allocatable(node) for node in nodes}
    for pod in pods:
        node = pod["spec"].get("nodeName")
        if node in free and phase_of(pod) not in _ENDED and _cluster_of(pod) not in leaving:
            free[node] -= _gpus(pod["spec"])
    return free


def _place(free: dict[str, int], fitting: Collection[str], gpus: int, count: int) -> int:
    """Takes the GPUs of so many pods off the nodes, and says for how many pods there are none."""
    for node in fitting:
        placed = min(count, max(0, free[node]) // gpus)
        free[node] -= placed * gpus
        count -= placed
    return count


def _serve_gpus(serve: Mapping[str, Any], when: Literal["at start", "at most"]) -> int | None:
    """GPUs that replicas ask for, by the application's args and by the deployments' own options, which go before them.

    None where neither says anything of it.
    """
    told = [_gpus_of_replicas(application, when) for application in serve.get("applications") or []]
    said = [amount for of_application in told for amount in of_application.values()]
    return math.ceil(sum(said)) if said else None


def _gpus_of_replicas(application: Mapping[str, Any], when: Literal["at start", "at most"]) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, scale in (application.get("args") or {}).items():
        if isinstance(scale, Mapping) and scale.get("num_gpus"):
            found[name] = float(scale["num_gpus"]) * _num_replicas(scale, when)
    for deployment in application.get("deployments") or []:
        scale = deployment.get("autoscaling_config") or {}
        num = _num_replicas(scale, when) if scale else int(deployment.get("num_replicas") or 1)
        if gpus := (deployment.get("ray_actor_options") or {}).get("num_gpus"):
            found[deployment["name"]] = float(gpus) * num
    return found


def _num_replicas(scale: Mapping[str, Any], when: Literal["at start", "at most"]) -> int:
    if when == "at most":
        return int(scale.get("max_replicas", 1))
    return int(scale.get("initial_replicas") or max(1, int(scale.get("min_replicas", 1))))


def _replicas(group: Mapping[str, Any]) -> int:
    least, most = int(group.get("minReplicas", 0)), int(group.get("maxReplicas", _UNBOUNDED))
    return min(most, max(least, int(group.get("replicas", least)))) * int(group.get("numOfHosts", 1))


def _bounded(spec: Mapping[str, Any]) -> dict[str, Any]:
    """With a maximum in each group, as the API server would set it."""
    groups = [{"maxReplicas": _UNBOUNDED, **group} for group in spec.get("workerGroupSpecs") or []]
    return {**spec, "workerGroupSpecs": groups}


def _gpus(pod: Mapping[str, Any]) -> int:
    return int(max(asked(pod).get(GPU, 0.0), asked(pod, "limits").get(GPU, 0.0)))


def _allocatable(node: Manifest) -> int:
    return int(((node.get("status") or {}).get("allocatable") or {}).get(GPU, 0))


def _cluster_of(pod: Manifest) -> str | None:
    return (pod["metadata"].get("labels") or {}).get(CLUSTER_LABEL)
