"""Renderers that come when there is work and sleep when there is none, on a real Ray Serve."""

import time
from pathlib import Path

import httpx
import pytest

from momalisa.client import Client, FrameDrawn, Walk
from tests.support.served import Served, served
from tests.support.small_sd import save_small_sd

pytestmark = pytest.mark.slow

_NUM_LIVE = 10
_OFTEN = {
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "1",
}
"""What is 10 s each by default."""
_MOST_S = 120.0


def until_there_are(service: Served, num_renderers: int) -> float:
    """Seconds until as many renderers' processes are there; the service is ready all the time."""
    began = time.monotonic()
    while (found := len(service.replicas("renderer"))) != num_renderers:
        assert httpx.get(f"{service.url}/readyz", timeout=30).status_code == 200
        assert time.monotonic() < began + _MOST_S, f"{found} renderers"
        time.sleep(0.2)
    return time.monotonic() - began


def test_a_renderer_sleeps_while_there_is_nothing_to_do_and_a_walk_wakes_it(tmp_path: Path) -> None:
    model = save_small_sd(tmp_path / "small")
    flags = ("--model", f"small={model}", "--open", "--renderers", "0-1", "--set", "renderer.downscale_delay_s=2")
    with served(tmp_path, *flags, environment=_OFTEN) as service:
        asleep_s = until_there_are(service, 0)
        began = time.monotonic()
        walk = Client(service.url).walk("dots", "waves", wait=False, num_frames=12, num_inference_steps=6)
        next(event for event in walk.events() if isinstance(event, FrameDrawn))
        awake_s = time.monotonic() - began
        walk.wait()
        print(f"asleep after {asleep_s:.1f} s, the first frame {awake_s:.1f} s after the request that woke it")
        assert len(service.replicas("renderer")) == 1
        until_there_are(service, 0)


def test_a_long_queue_calls_a_second_renderer_which_goes_again(tmp_path: Path) -> None:
    model = save_small_sd(tmp_path / "small")
    (tmp_path / "life.json").write_text('{"conductor": {"admission": {"max_running_per_owner": 100}}}')
    flags = ("--model", f"small={model}", "--open", "--renderers", "1-2", "--config", str(tmp_path / "life.json"))
    # Longer than a renderer takes to start: it would be called off whenever the queue is short for a moment.
    flags += ("--set", "renderer.upscale_delay_s=1", "--set", "renderer.downscale_delay_s=15")
    with served(tmp_path, *flags, environment=_OFTEN) as service:
        began, walks = time.monotonic(), list[Walk]()
        while service.metrics()["momalisa_renderer_slots"] < 4:  # both are there, with their models
            assert time.monotonic() < began + _MOST_S
            if service.metrics()["momalisa_live_works"] < _NUM_LIVE:
                prompts = ("dots", f"waves {len(walks)}")
                walks.append(Client(service.url).walk(*prompts, wait=False, num_frames=60, num_inference_steps=20))
        came_s = time.monotonic() - began
        for walk in walks:
            walk.wait()
        went_s = until_there_are(service, 1)
        print(f"a second renderer after {came_s:.1f} s, gone {went_s:.1f} s after the last of {len(walks)} walks")
        assert service.metrics()["momalisa_lost_chunks_total"] == 0
