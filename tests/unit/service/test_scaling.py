"""How many renderers are wanted."""

from typing import Any

import pytest
from ray.serve.config import AutoscalingContext

from momalisa.service.on_ray.scaling import QUEUED, scale_renderers


def context(*, queued: float | None, with_renderers: float, least: int = 0, most: int = 8) -> AutoscalingContext:
    told: Any = {} if queued is None else {QUEUED: {"replica": queued}}
    return AutoscalingContext(
        deployment_id=None,
        deployment_name="renderer",
        app_name="momalisa",
        current_num_replicas=1,
        target_num_replicas=1,
        running_replicas=[],
        total_num_requests=with_renderers,
        total_queued_requests=0,
        aggregated_metrics=told,
        raw_metrics={},
        capacity_adjusted_min_replicas=least,
        capacity_adjusted_max_replicas=most,
        policy_state={},
        last_scale_up_time=None,
        last_scale_down_time=None,
        current_time=None,
        config=None,
    )


@pytest.mark.parametrize(
    ("queued", "with_renderers", "wanted"),
    [(None, 0, 0), (0, 0, 0), (None, 1, 1), (0, 2, 1), (0, 3, 2), (3, 2, 1), (4, 2, 2), (20, 2, 6), (1000, 2, 8)],
)
def test_as_many_renderers_as_the_queue_calls_for(queued: float | None, with_renderers: float, wanted: int) -> None:
    assert scale_renderers(context(queued=queued, with_renderers=with_renderers))[0] == wanted


def test_some_may_always_be_awake() -> None:
    assert scale_renderers(context(queued=0, with_renderers=0, least=2))[0] == 2
