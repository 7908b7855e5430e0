"""What is lost comes back: what failed meanwhile, for how long, and that no walk was lost."""

import time

import httpx
import pytest

from tests.cluster.release.crowd import Tally, visiting
from tests.cluster.release.ops import Ops

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800, func_only=True)]

# As helm/README.md promises, on two cores that the visitors and Kubernetes itself are on too.
_HEAD_S, _GATEWAY_S, _RENDERER_S = 300.0, 30.0, 0.0
_SETTLE_S = 20.0
_TWO_OF_ALL = {
    "workers": {"replicas": 2, "numCpus": 4, "resources": {"requests": {"cpu": "300m", "memory": "2Gi"}}},
    "rendererGroups": [
        {
            "name": "gpu",
            "gpus": 1,
            "replicas": 2,
            "resources": {"requests": {"cpu": "200m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
        }
    ],
    "deployments": {
        "gateway": {"minReplicas": 2, "maxReplicas": 2},
        "renderer": {"minReplicas": 2, "maxReplicas": 2, "numGpus": 1},
    },
    "application": {"drawing": {"device": "cpu"}},  # CUDA cannot be pretended
}


def test_what_is_lost_comes_back(ops: Ops) -> None:
    ops.upgrade(**_TWO_OF_ALL)
    ops.until_serving(timeout_s=600)
    (cluster,) = ops.clusters()
    for what, lose, most_s in (
        ("renderer's pod", lambda: ops.kill(ops.pods("renderer")[0]), _RENDERER_S),
        ("gateway", lambda: _kill_a_gateway(ops), _GATEWAY_S),
        ("head's pod", lambda: ops.kill(ops.pods("head")[0]), _HEAD_S),
    ):
        with visiting(ops.url) as crowd:
            time.sleep(_SETTLE_S)
            lost_at = time.monotonic()
            lose()
            time.sleep(_SETTLE_S)
            ops.until_serving(timeout_s=600)
            _until_answered(crowd.tally, after=time.monotonic())
        print(f"lost {what}: {crowd.tally.in_words()}; well again after {time.monotonic() - lost_at:.0f} s", flush=True)
        for failure in crowd.tally.failures[:6]:
            print(f"    at {failure.at - lost_at:.1f} s: {failure.what[:200]}", flush=True)
        assert crowd.tally.outage_s() <= most_s
        _assert_whole(ops, crowd.tally)
        assert ops.clusters() == [cluster]


def _assert_whole(ops: Ops, tally: Tally) -> None:
    """Every walk is done, whoever could take its GIF home; every stream told of each frame once."""
    with httpx.Client(base_url=ops.url, trust_env=False) as client:
        states = {walk: client.get(f"/v1/walks/{walk}").raise_for_status().json()["state"] for walk in tally.walks}
    assert set(states.values()) == {"done"}, states
    assert not [each for each in tally.failures if each.what.startswith("stream of")], tally.failures


def _kill_a_gateway(ops: Ops) -> None:
    pod, _, process = ops.replicas("gateway")[0].partition("/")
    assert ops.in_pod(pod, "sh", "-c", f"kill -9 {process}").code == 0


def _until_answered(tally: Tally, *, after: float) -> None:
    until = time.monotonic() + 120
    while not any(at > after for at in tally.answered):
        assert time.monotonic() < until, "nothing is answered"
        time.sleep(0.5)
