"""A version that cannot serve: the verdict says why, the old one serves on, and the way back builds no cluster."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.cluster.guarded import is_counted
from tests.cluster.release.crowd import visiting
from tests.cluster.release.ops import CHART, RELEASE, SERVICE, Ops

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800, func_only=True)]

_TOLD_S = 180


def test_each_says_so_and_the_old_version_serves_on(serving: Ops) -> None:
    ops = serving
    (first,) = ops.clusters()
    with visiting(ops.url) as crowd:
        _image_that_is_nowhere(ops, first)
        _quota_that_is_too_small(ops, first)
        _model_that_is_nowhere(ops, first)
        _value_that_is_none(ops, first)
        _configuration_that_serve_refuses(ops, first)
    print(crowd.tally.in_words())
    assert not crowd.tally.failures, crowd.tally.failures[:5]
    assert ops.verdict()["state"] == "serving"


def _image_that_is_nowhere(ops: Ops, first: str) -> None:
    with _taken_back(ops, first, becomes=2):
        ops.upgrade(image={"tag": "no-such-tag"})
        told = ops.until_verdict("stuck", "no-such-tag", deadline_s=_TOLD_S)
        assert told["cause"] == "image", told
        waited = ops.release("wait", "--timeout", "5s")
        assert waited.code == 4, waited.all


def _quota_that_is_too_small(ops: Ops, first: str) -> None:
    """Room for one pod more, where a second cluster has two."""
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"}}
    ops.api.create(quota | {"spec": {"hard": {"pods": "3"}}}, namespace=ops.namespace.name)
    ops.namespace.wait_for("the quota is counted", lambda: is_counted(ops.api, ops.namespace.name), deadline_s=60)
    plan = ops.plan(podLabels={"a": "b"})
    assert plan["weight"] == "second-cluster", plan
    assert "quota small" in json.dumps(plan), plan
    with _taken_back(ops, first, becomes=2):
        ops.upgrade(podLabels={"a": "b"})
        told = ops.until_verdict("stuck", "quota", deadline_s=_TOLD_S)
        assert told["cause"] == "quota", told
    ops.api.delete(ops.namespace.path("resourcequotas", "small"))


def _model_that_is_nowhere(ops: Ops, first: str) -> None:
    with _taken_back(ops, first, becomes=1):
        ops.upgrade(models=[{"id": "gone", "uri": f"{ops.values['bucket']['uri']}/models/gone"}])
        told = ops.until_verdict("stuck", "refused its newest configuration", deadline_s=_TOLD_S)
        look = told["fix"].split("kubectl ", 1)[1].split("; or go back", 1)[0]
        said = ops.run(["sh", "-c", f"kubectl {look}"], timeout_s=60)
        assert "models/gone" in said.out, f"{told}\n{said.all}"


def _value_that_is_none(ops: Ops, first: str) -> None:
    """The schema, before anything is sent anywhere."""
    values = str(ops.values_file(limits={"max_frame": 7}))
    said = ops.run(["helm", "upgrade", RELEASE, str(CHART), "--values", values], timeout_s=60)
    assert said.code != 0
    assert "max_frame" in said.err, said.all
    planned = ops.release("plan", "--chart", str(CHART), "--values", values)
    assert planned.code == 2, planned.all
    assert "max_frame" in planned.err, planned.all
    assert ops.clusters() == [first]


def _configuration_that_serve_refuses(ops: Ops, first: str) -> None:
    """Past the chart, by hand."""
    path = ops.namespace.path("rayservices", SERVICE, group="ray.io/v1")
    before = ops.api.get(path)["spec"]["serveConfigV2"]
    ops.api.patch(path, {"spec": {"serveConfigV2": before.replace("name: gateway", "name: no-such-deployment")}})
    told = ops.until_verdict("stuck", "no-such-deployment", deadline_s=_TOLD_S)
    assert told["serving"] == first, told
    ops.api.patch(path, {"spec": {"serveConfigV2": before}})
    ops.until_serving()
    assert ops.clusters() == [first]


@contextmanager
def _taken_back(ops: Ops, first: str, *, becomes: int) -> Iterator[None]:
    """A bad upgrade, and its end: never more clusters than `becomes`, and the first one all the time."""
    values, before = ops.values, _made(ops)
    yield
    assert ops.verdict()["serving"] == first
    said = ops.release("back", "--timeout", "5m")
    assert said.code == 0, said.all
    print(said.err, flush=True)
    ops.values = values
    ops.namespace.wait_for("the first cluster alone", lambda: ops.clusters() == [first], deadline_s=60)
    made = _made(ops) - before
    assert len(made) == becomes - 1, made


def _made(ops: Ops) -> set[str]:
    """Every cluster that KubeRay ever made, for however short a time."""
    events = ops.api.items(ops.namespace.path("events"))
    return {each["message"].rpartition("/")[2] for each in events if each["reason"] == "CreatedRayCluster"}
