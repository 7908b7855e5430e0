"""Renderers that sleep: their pods are gone, and a walk wakes one."""

import time

import pytest

from momalisa.client import Client, FrameDrawn
from tests.cluster.release.ops import Ops

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500, func_only=True)]

_ASLEEP_S = 300
_WAKE_S = 240
"""To the first frame, as helm/README.md promises of a node that is there with its image."""


def test_renderers_sleep_and_a_walk_wakes_one(ops: Ops) -> None:
    ops.upgrade(
        autoscaling={"enabled": True, "idleTimeoutSeconds": 10},
        rendererGroups=[
            {
                "name": "gpu",
                "gpus": 1,
                "maxReplicas": 2,
                "resources": {"requests": {"cpu": "200m", "memory": "2Gi"}, "limits": {"memory": "4Gi"}},
            }
        ],
        workers={"maxReplicas": 1},
        deployments={"renderer": {"minReplicas": 0, "maxReplicas": 2, "numGpus": 1, "downscaleDelaySeconds": 5}},
        application={"drawing": {"device": "cpu"}},  # CUDA cannot be pretended
        networkPolicy={"enabled": False},
    )
    ops.until_serving(timeout_s=600)
    ops.namespace.wait_for("the renderers' pods are gone", lambda: not ops.pods("renderer"), deadline_s=_ASLEEP_S)
    assert ops.verdict()["state"] == "serving"
    began = time.monotonic()
    with Client(ops.url) as client:
        walk = client.walk("dots", "stripes", num_frames=4, num_inference_steps=4, wait=False)
        next(event for event in walk.events() if isinstance(event, FrameDrawn))
        first_s = time.monotonic() - began
        walk.wait(timeout_s=120)
    print(f"a walk woke a renderer: its first frame after {first_s:.0f} s", flush=True)
    assert first_s < _WAKE_S
    ops.namespace.wait_for("they sleep again", lambda: not ops.pods("renderer"), deadline_s=_ASLEEP_S)
