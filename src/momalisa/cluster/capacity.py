"""Whether a job's pods would fit: into the namespace's quotas and limits, and each onto some node. Pure functions."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from momalisa.cluster.kinds import Manifest
from momalisa.cluster.rules import pod_specs

_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)(m|[kMGTPE]i?|Ki)?")
_SUFFIXES = {"": 1.0, "m": 1e-3, "k": 1e3}
_SUFFIXES |= {letter: 1000.0**power for power, letter in enumerate("MGTPE", 2)}
_SUFFIXES |= {f"{letter}i": 1024.0**power for power, letter in enumerate("KMGTPE", 1)}
COUNT_OF_JOBS = "count/rayjobs.ray.io"
"""What a quota calls the number of RayJobs, ended ones too."""
_BLOCKING = ("NoSchedule", "NoExecute")
_PLAIN_NAMES = {"cpu": "requests.cpu", "memory": "requests.memory", "count/pods": "pods"}
_OWN_TAINTS = ("nvidia.com/gpu",)
"""Which admission tolerates for whoever asks for the resource (ExtendedResourceToleration, on GKE for one)."""
_NODE_POOLS = ("cloud.google.com/gke-nodepool", "karpenter.sh/nodepool", "eks.amazonaws.com/nodegroup")
"""Labels of nodes that come and go by themselves, where an autoscaler is on."""

Amounts = dict[str, float]


def quantity(text: str | float) -> float:
    """A Kubernetes quantity as a number: `500m` is 0.5, `1Gi` is 2**30."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise ValueError(f"{text!r} is no quantity: write 500m, 2 or 8Gi")
    return float(match.group(1)) * _SUFFIXES[match.group(2) or ""]


def job_pods(job: Manifest) -> list[tuple[str, dict[str, Any], int]]:
    """A RayJob's pods: where each is written down, its spec, and how many there will be at most."""
    groups = (job["spec"].get("rayClusterSpec") or {}).get("workerGroupSpecs") or []
    counts = {f"workerGroupSpecs[{group['groupName']}]": int(group["maxReplicas"]) for group in groups}
    return [(where, pod, counts.get(where, 1)) for where, pod in pod_specs(job)]


def asked(pod: Mapping[str, Any], kind: str = "requests") -> Amounts:
    """What a pod asks for (`requests`) or may use (`limits`); its init containers ask for less, and before."""
    total: Amounts = {}
    for container in pod["containers"]:
        for name, amount in ((container.get("resources") or {}).get(kind) or {}).items():
            total[name] = total.get(name, 0.0) + quantity(amount)
    return total


def quota_problems(quota: Manifest, job: Manifest) -> list[str]:
    """What of a quota the job would exceed now; one whose scope it is not in says nothing.

    A job that is created suspended has no pods until a queue admits it: what others use now is nothing to it.
    """
    pods = [(pod, count) for _, pod, count in job_pods(job)]
    return shortfalls(quota, pods, {COUNT_OF_JOBS: 1.0}, waits=bool(job["spec"].get("suspend")))


def shortfalls(
    quota: Manifest,
    pods: Iterable[tuple[Mapping[str, Any], int]],
    objects: Mapping[str, float] | None = None,
    *,
    waits: bool = False,
) -> list[str]:
    """What of a quota so many pods of each kind, and these other objects, would exceed now.

    waits: that the pods come when others are gone, so that only what the quota allows at all is against them.
    """
    objects = dict(objects or {})
    needed = _quota_needs((pod, count) for pod, count in pods if _in_scope(quota["spec"], pod)) | objects
    status = quota.get("status") or {}
    problems = []
    for name, hard in (status.get("hard") or quota["spec"].get("hard") or {}).items():
        need = needed.get(_PLAIN_NAMES.get(name, name), 0.0)
        is_later = waits and name not in objects
        used = 0.0 if is_later else quantity((status.get("used") or {}).get(name, 0))
        if need and used + need > quantity(hard) * (1 + 1e-9):
            on_top = "" if is_later else f" on top of the {in_words(name, used)} in use"
            problems.append(
                f"{name}: {in_words(name, need)}{on_top} are more than the {in_words(name, quantity(hard))} of quota "
                f"{quota['metadata']['name']}"
            )
    return problems


def limit_problems(limits: Manifest, job: Manifest) -> list[str]:
    """Which containers and pods a LimitRange would refuse."""
    problems = []
    for limit in limits["spec"]["limits"]:
        for where, pod, _ in job_pods(job):
            if limit["type"] == "Pod":
                problems += [
                    f"{where}: {problem}" for problem in _out_of_range(limit, asked(pod), asked(pod, "limits"))
                ]
            for container in pod["containers"] if limit["type"] == "Container" else []:
                alone = {"containers": [container]}
                found = _out_of_range(limit, asked(alone), asked(alone, "limits"))
                problems += [f"{where}, container {container['name']}: {problem}" for problem in found]
    return problems


def node_problem(node: Manifest, pod: Mapping[str, Any]) -> str | None:
    """Why a node could never hold a pod, however empty it were; None where it could."""
    if node["spec"].get("unschedulable"):
        return "it is cordoned"
    labels = node["metadata"].get("labels") or {}
    for name, value in (pod.get("nodeSelector") or {}).items():
        if labels.get(name) != value:
            return f"it has no label {name}={value}"
    need = asked(pod)
    for taint in node["spec"].get("taints") or []:
        if taint["effect"] in _BLOCKING and not _tolerates(pod, taint, need):
            return f"it has the taint {taint['key']}"
    has = (node.get("status") or {}).get("allocatable") or {}
    for name, amount in need.items():
        there = quantity(has.get(name, 0))
        if there < amount:
            return f"it has {in_words(name, there)} {name} of {in_words(name, amount)}"
    return None


def grows(nodes: Iterable[Manifest]) -> bool:
    """Whether some of the nodes are of a pool that an autoscaler may add to."""
    return any(pool in (node["metadata"].get("labels") or {}) for node in nodes for pool in _NODE_POOLS)


def in_words(name: str, amount: float) -> str:
    """An amount of a resource, for people."""
    return f"{amount / 2**30:.3g} GiB" if "memory" in name or "storage" in name else f"{amount:g}"


def _quota_needs(pods: Iterable[tuple[Mapping[str, Any], int]]) -> Amounts:
    needs: Amounts = {}

    def add(name: str, amount: float) -> None:
        needs[name] = needs.get(name, 0.0) + amount

    for pod, count in pods:
        add("pods", count)
        for kind in ("requests", "limits"):
            for name, amount in asked(pod, kind).items():
                add(f"{kind}.{name}", amount * count)
    return needs


def _in_scope(spec: Mapping[str, Any], pod: Mapping[str, Any]) -> bool:
    """Only the scopes that can be told of a pod before it is there."""
    scopes = {"NotTerminating": True, "NotBestEffort": True}  # no pod deadline, and every container asks for something
    expressions = (spec.get("scopeSelector") or {}).get("matchExpressions") or []
    return all(scopes.get(scope, False) for scope in spec.get("scopes") or []) and all(
        _matches(expression, pod.get("priorityClassName")) for expression in expressions
    )


def _matches(expression: Mapping[str, Any], priority_class: str | None) -> bool:
    if expression["scopeName"] != "PriorityClass":
        return expression["scopeName"] in ("NotTerminating", "NotBestEffort")
    values = expression.get("values") or []
    is_there = priority_class is not None
    return {
        "In": priority_class in values,
        "NotIn": priority_class not in values,
        "Exists": is_there,
        "DoesNotExist": not is_there,
    }[expression["operator"]]


def _out_of_range(limit: Mapping[str, Any], requests: Amounts, limits: Amounts) -> Iterator[str]:
    for name, least in (limit.get("min") or {}).items():
        if requests.get(name, 0.0) < quantity(least):
            yield f"asks for less than {least} {name}"
    for name, most in (limit.get("max") or {}).items():
        if limits.get(name, 0.0) > quantity(most):
            yield f"may use more than {most} {name}"
    for name, ratio in (limit.get("maxLimitRequestRatio") or {}).items():
        if requests.get(name) and limits.get(name, 0.0) / requests[name] > quantity(ratio) * (1 + 1e-9):
            yield f"may use more than {ratio} times the {name} that it asks for"


def _tolerates(pod: Mapping[str, Any], taint: Mapping[str, Any], need: Amounts) -> bool:
    if taint["key"] in _OWN_TAINTS and taint["key"] in need:
        return True
    return any(
        toleration.get("key") in (None, taint["key"])
        and toleration.get("effect") in (None, "", taint["effect"])
        and (toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", ""))
        for toleration in pod.get("tolerations") or []
    )
