"""Estimates, and walks that fit a budget."""

from pathlib import Path

import pytest

from momalisa.errors import ConfigError
from momalisa.walk.budget import Speed, estimate, fit, measure_speed
from momalisa.walk.plan import Cost
from momalisa.walk.request import WalkRequest, Waypoint
from tests.support.small_sd import small_components

REQUEST = WalkRequest(waypoints=(Waypoint(prompt="a"), Waypoint(prompt="b")))
SPEED = Speed(seconds_per_evaluation=0.02, seconds_per_decode=0.05)


def test_an_estimate_is_the_bound_in_seconds_and_money() -> None:
    assert SPEED.seconds(Cost(unet_evaluations=100, decodes=10)) == pytest.approx(2.5)
    alone = estimate(REQUEST, SPEED, price_per_hour=3.6)
    assert alone.cost == REQUEST.plan.bound
    assert alone.money == pytest.approx(alone.seconds / 1000)
    two = estimate(REQUEST, SPEED, num_replicas=2, price_per_hour=3.6)
    assert two.seconds == pytest.approx(alone.seconds / 2)
    assert two.money == pytest.approx(alone.money)


def test_a_budget_takes_steps_first_then_frames_and_never_more_than_it_is() -> None:
    asked = estimate(REQUEST, SPEED).seconds / 0.849  # the rest is for storing and writing
    assert fit(REQUEST, asked, SPEED) == REQUEST
    fewer_steps = fit(REQUEST, asked * 0.7, SPEED)
    assert fewer_steps.num_frames == 60
    assert fewer_steps.num_inference_steps < 25
    fewer_frames = fit(REQUEST, asked * 0.2, SPEED)
    assert fewer_frames.num_frames < 60
    assert fewer_frames.num_frames / fewer_frames.frames_per_second == pytest.approx(60 / 20)
    for share in (0.9, 0.7, 0.4, 0.2, 0.15):
        assert estimate(fit(REQUEST, asked * share, SPEED), SPEED).seconds <= asked * share
    assert fit(REQUEST, asked * 0.5, SPEED, num_replicas=2) == REQUEST


def test_a_budget_that_is_too_small_says_what_would_do() -> None:
    with pytest.raises(ConfigError, match=r"0\.1 s are too few .* take \d+\.\d s or more"):
        fit(REQUEST, 0.1, SPEED)


def test_speed_is_measured_on_the_model_itself(tmp_path: Path) -> None:
    speed = measure_speed(small_components(tmp_path))
    assert speed.seconds_per_evaluation > 0
    assert speed.seconds_per_decode > 0
