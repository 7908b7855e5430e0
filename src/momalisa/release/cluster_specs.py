"""What KubeRay compares before it builds another RayCluster, by the rules of its own hash (v1.6.1), on plain dicts.

KubeRay hashes the Go structs that it reads, written as JSON, without what it looks away from. The same is done here, so
that equal specs here are equal hashes there and others are others; tests ask KubeRay's own functions.
"""

from collections.abc import Mapping
from typing import Any

from momalisa.release.go_structs import written

Spec = Mapping[str, Any]
"""`spec.rayClusterConfig` of a RayService, or `spec` of a RayCluster."""
Difference = tuple[str, Any, Any]
"""A path, and its values before and after; None where there is none."""

MUTED_OF_GROUPS = ("replicas", "minReplicas", "maxReplicas")
MUTED_OF_PODS = ("tolerations", "schedulingGates")


def hashed(spec: Spec) -> dict[str, Any]:
    """What of a cluster's spec goes into KubeRay's hash, as Go writes it."""
    cluster = _written(spec)
    cluster.pop("upgradeStrategy", None)
    for group in [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])]:
        for name in MUTED_OF_GROUPS:
            group.pop(name, None)
        for name in MUTED_OF_PODS:
            group["template"]["spec"].pop(name, None)
        group.get("scaleStrategy", {}).pop("workersToDelete", None)
    return cluster


def muted(spec: Spec) -> dict[str, Any]:
    """What of it KubeRay leaves out of its hash, and does not apply to a cluster that runs."""
    cluster = _written(spec)
    groups = [{"groupName": group["groupName"], **_muted_of(group)} for group in cluster.get("workerGroupSpecs", [])]
    strategy = {key: cluster[key] for key in ("upgradeStrategy",) if key in cluster}
    return {"headGroupSpec": _muted_of(cluster["headGroupSpec"]), "workerGroupSpecs": groups, **strategy}


def is_same(spec: Spec, other: Spec) -> bool:
    """Whether KubeRay takes the two for one."""
    return hashed(spec) == hashed(other)


def added_groups(spec: Spec, goal: Spec) -> list[str] | None:
    """The worker groups that the goal appends, where it differs in nothing else that is hashed; else None.

    Only then KubeRay changes a cluster that runs instead of building another. An empty list: they are equal.
    """
    num_groups, groups = len(spec.get("workerGroupSpecs") or []), goal.get("workerGroupSpecs") or []
    if len(groups) < num_groups or not is_same(spec, {**goal, "workerGroupSpecs": groups[:num_groups]}):
        return None
    return [str(group["groupName"]) for group in groups[num_groups:]]


def differences(old: Any, new: Any, path: str = "") -> list[Difference]:
    """Where two values differ, as deep as they are alike; members of lists are called by their names."""
    if old == new:
        return []
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys = [*old, *(key for key in new if key not in old)]
        return [
            found
            for key in keys
            for found in differences(old.get(key), new.get(key), f"{path}.{key}" if path else str(key))
        ]
    if _are_named(old) and _are_named(new):
        before, after = _by_name(old), _by_name(new)
        if before.keys() == after.keys() and list(before) != list(after):
            return [(f"{path} (their order)", list(before), list(after))]
        names = [*before, *(name for name in after if name not in before)]
        return [found for name in names for found in differences(before.get(name), after.get(name), f"{path}[{name}]")]
    return [(path, old, new)]


def _written(spec: Spec) -> dict[str, Any]:
    cluster: dict[str, Any] = written(spec, "RayClusterSpec")
    return cluster


def _muted_of(group: Mapping[str, Any]) -> dict[str, Any]:
    pod = group["template"]["spec"]
    found = {key: pod[key] for key in MUTED_OF_PODS if key in pod}
    return found | {key: group[key] for key in MUTED_OF_GROUPS if key in group}


def _are_named(value: Any) -> bool:
    if not isinstance(value, list) or not all(isinstance(member, Mapping) and _name(member) for member in value):
        return False
    return len(_by_name(value)) == len(value)


def _by_name(members: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    return {str(_name(member)): member for member in members}


def _name(member: Mapping[str, Any]) -> Any:
    return member.get("groupName") or member.get("name") or member.get("id") or member.get("mountPath")
