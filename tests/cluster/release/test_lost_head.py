"""The head of the cluster that serves is lost while an upgrade is stuck: without GCS fault tolerance, and with it."""

import time
from pathlib import Path

import pytest

from tests.cluster.api import Manifest
from tests.cluster.release.crowd import visiting
from tests.cluster.release.ops import SERVICE, Ops
from tests.cluster.release.redis import redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800, func_only=True)]

_STUCK_S, _DOWN_S, _NOTICED_S = 180, 120, 60
_CLEARED_S = 400
"""KubeRay gives the pod that clears a cluster's tables 5 minutes; here it has an image that is not to be had."""


def test_without_fault_tolerance_nothing_serves_until_the_upgrade_is_taken_back(serving: Ops) -> None:
    ops = serving
    (first,) = ops.clusters()
    _stuck(ops)
    lost_at = time.monotonic()
    ops.kill(ops.pods("head", first)[0])
    told = ops.until_verdict("down", "deploys nothing on it again", deadline_s=_DOWN_S)
    print(f"told after {time.monotonic() - lost_at:.0f} s: {told['headline']}\n  {told['fix']}", flush=True)
    assert "momalisa release back" in told["fix"]
    began = time.monotonic()
    said = ops.release("back", "--timeout", "10m", timeout_s=700)
    assert said.code == 0, f"{said.all}\n{ops.namespace.story()}"
    print(f"well again {time.monotonic() - began:.0f} s after `back`: {said.err}", flush=True)
    ops.namespace.wait_for("one cluster", lambda: ops.clusters() == [first], deadline_s=240)
    with visiting(ops.url) as crowd:
        time.sleep(10)
    assert not crowd.tally.failures, crowd.tally.failures[:5]


def test_with_fault_tolerance_it_serves_on(ops: Ops, tmp_path: Path) -> None:
    if ops.namespace.cluster.local is None:
        pytest.skip("Redis runs on this machine, where only a cluster of one's own finds it")
    with redis(tmp_path / "redis") as tables:
        secret: Manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "redis"}}
        ops.api.create(secret | {"stringData": {"redis-password": tables.password}}, namespace=ops.namespace.name)
        ops.upgrade(
            gcsFaultTolerance={"enabled": True, "redisAddress": tables.address, "existingSecret": "redis"},
            head={"takesTraffic": False},
        )
        ops.until_serving(timeout_s=600)
        (first,) = ops.clusters()
        workers = ops.pods("workers", first)
        assert tables.num_keys() > 0
        with visiting(ops.url) as crowd:
            time.sleep(10)
            _stuck(ops)
            head = ops.pods("head", first)[0]
            ops.kill(head)
            is_back = lambda: [pod for pod in _ready(ops, first) if pod != head and "-head-" in pod]  # noqa: E731
            ops.namespace.wait_for("another head", is_back, deadline_s=300)
            time.sleep(_NOTICED_S)
        print(crowd.tally.in_words(), flush=True)
        for failure in crowd.tally.failures[:8]:
            print("   ", failure.what[:300], flush=True)
        assert ops.pods("workers", first) == workers, "they outlive their head"
        assert not crowd.tally.failures
        told = ops.verdict()
        assert (told["state"], told["serving"]) == ("stuck", first), told
        assert ops.release("back", "--timeout", "5m", timeout_s=400).code == 0
        ops.namespace.wait_for("one cluster", lambda: ops.clusters() == [first], deadline_s=_CLEARED_S)
        ops.api.delete(ops.namespace.path("rayservices", SERVICE, group="ray.io/v1"))
        ops.namespace.wait_for("its clusters are gone", lambda: not ops.clusters(), deadline_s=300)
        assert tables.num_keys() == 0, "KubeRay clears its tables"


def _stuck(ops: Ops) -> None:
    ops.upgrade(image={"tag": "no-such-tag"})
    ops.until_verdict("stuck", "no-such-tag", deadline_s=_STUCK_S)


def _ready(ops: Ops, cluster: str) -> list[str]:
    pods = ops.api.items(ops.namespace.path("pods"), labelSelector=f"ray.io/cluster={cluster}")
    return [
        pod["metadata"]["name"]
        for pod in pods
        if any(each["type"] == "Ready" and each["status"] == "True" for each in pod["status"].get("conditions", ()))
    ]
