"""What `momalisa release plan` says of a change, against what the change then does: each weight once."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.cluster.api import Manifest
from tests.cluster.release.ops import SERVICE, Ops

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800, func_only=True)]

_DEPLOYMENTS = ("gateway", "conductor", "text_encoder", "renderer", "assembler")
_GROUP = {
    "name": "gpu",
    "gpus": 1,
    "replicas": 1,
    "resources": {"requests": {"cpu": "100m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
}
_ON_GPUS = {
    # Two have room on one node of two CPUs, three do not.
    "upgrade": {"deletionDelaySeconds": 100},
    "workers": {"resources": {"requests": {"cpu": "300m", "memory": "2Gi"}}},
    "rendererGroups": [_GROUP],
    "deployments": {"renderer": {"minReplicas": 1, "maxReplicas": 1, "numGpus": 1}},
    "application": {"drawing": {"device": "cpu"}},  # CUDA cannot be pretended
}
_OTHER_TOLERATIONS = [{"key": "reserved", "operator": "Exists"}]


@dataclass(frozen=True, slots=True)
class State:
    """What of a release a change may touch."""

    generation: int
    """Of the RayService's spec."""
    clusters: tuple[str, ...]
    pods: frozenset[str]
    replicas: Mapping[str, frozenset[str]]
    """The processes of each deployment."""
    max_frames: int
    tolerations: Any
    """Of the workers, in the RayCluster."""

    def restarted(self, before: "State") -> set[str]:
        """Deployments of which no process is what it was."""
        return {name for name in _DEPLOYMENTS if not self.replicas[name] & before.replicas[name]}


def test_each_change_does_what_the_plan_says(ops: Ops) -> None:
    _first_cluster(ops)
    _nothing(ops)
    _applied(ops)
    _ignored(ops)
    _reconfigured(ops)
    _restarted(ops)
    _group_added(ops)
    _second_cluster_and_third(ops)


def _first_cluster(ops: Ops) -> None:
    assert _changed(ops, "first-cluster", **_ON_GPUS)["changes"]
    assert len(ops.clusters()) == 1


def _nothing(ops: Ops) -> None:
    before = _state(ops)
    assert _changed(ops, "nothing")["changes"] == []
    assert _state(ops) == before


def _applied(ops: Ops) -> None:
    before = _state(ops)
    _changed(ops, "applied", serviceAccount={"annotations": {"purpose": "walks"}})
    account = ops.api.get(ops.namespace.path("serviceaccounts", SERVICE))
    assert account["metadata"]["annotations"]["purpose"] == "walks"
    assert _state(ops) == before


def _ignored(ops: Ops) -> None:
    before = _state(ops)
    _changed(ops, "ignored", workers={"tolerations": _OTHER_TOLERATIONS})
    after = _state(ops)
    assert after.generation > before.generation
    assert (after.clusters, after.pods, after.tolerations) == (before.clusters, before.pods, before.tolerations)
    assert not after.restarted(before)


def _reconfigured(ops: Ops) -> None:
    before = _state(ops)
    _changed(ops, "reconfigured", limits={"max_frames": 9})
    after = _state(ops)
    assert after.max_frames == 9 != before.max_frames
    assert (after.pods, after.replicas) == (before.pods, before.replicas)


def _restarted(ops: Ops) -> None:
    before = _state(ops)
    plan = _changed(ops, "restarted", deployments={"assembler": {"numCpus": 0.9}})
    assert "assembler" in str(plan["changes"])
    after = _state(ops)
    assert after.restarted(before) == {"assembler"}
    assert after.pods == before.pods


def _group_added(ops: Ops) -> None:
    before = _state(ops)
    _changed(ops, "group-added", rendererGroups=[_GROUP, {**_GROUP, "name": "more"}])
    after = _state(ops)
    assert after.clusters == before.clusters
    assert after.pods > before.pods, "one more, and none less"
    assert not after.restarted(before)
    assert after.tolerations != before.tolerations, "what was ignored comes along"


def _second_cluster_and_third(ops: Ops) -> None:
    """A third is what one change more builds while a second is pending; in the end there is one."""
    plan = ops.plan(podLabels={"change": "one"})
    assert plan["weight"] == "second-cluster", plan
    ops.upgrade(podLabels={"change": "one"})
    second = ops.namespace.wait_for("a second cluster", lambda: _two(ops), deadline_s=60)
    plan = ops.plan(podLabels={"change": "two"})
    assert plan["weight"] == "third-cluster", plan
    ops.upgrade(podLabels={"change": "two"})
    third = ops.namespace.wait_for("a third cluster", lambda: set(ops.clusters()) - {*second}, deadline_s=60)
    ops.until_serving(timeout_s=600)
    (serving,) = third
    assert ops.verdict()["serving"] == serving
    ops.namespace.wait_for("one cluster in the end", lambda: ops.clusters() == [serving], deadline_s=200)


def _changed(ops: Ops, weight: str, **changes: Any) -> Manifest:
    """The plan, which says so; the change is made, and holds."""
    plan = ops.plan(**changes)
    assert plan["weight"] == weight, plan
    ops.upgrade(**changes)
    ops.until_serving(timeout_s=600)
    print(f"{weight}: {plan['changes'][:3]}", flush=True)
    return plan


def _state(ops: Ops) -> State:
    clusters = ops.clusters()
    cluster = ops.api.get(ops.namespace.path("rayclusters", clusters[-1], group="ray.io/v1"))
    template = cluster["spec"]["workerGroupSpecs"][0]["template"]
    return State(
        generation=ops.api.get(ops.namespace.path("rayservices", SERVICE, group="ray.io/v1"))["metadata"]["generation"],
        clusters=tuple(clusters),
        pods=frozenset(name for component in ("head", "workers", "renderer") for name in ops.pods(component)),
        replicas={name: frozenset(ops.replicas(name)) for name in _DEPLOYMENTS},
        max_frames=httpx.get(f"{ops.url}/v1/me", trust_env=False).raise_for_status().json()["limits"]["max_frames"],
        tolerations=template["spec"].get("tolerations"),
    )


def _two(ops: Ops) -> list[str]:
    found = ops.clusters()
    return found if len(found) == 2 else []
