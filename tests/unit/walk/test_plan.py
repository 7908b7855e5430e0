"""What a request alone decides of a walk."""

import itertools
from typing import Any

import pytest

from momalisa.errors import ConfigError
from momalisa.walk.guidance import Guidance
from momalisa.walk.path import Path
from momalisa.walk.plan import Branching, Frame, Plan


def test_a_guidance_interval_makes_steps_outside_of_it_cheap() -> None:
    usual: dict[str, Any] = {
        "path": Path(2),
        "num_frames": 20,
        "num_inference_steps": 20,
        "branching": Branching(settled=0.5),
    }
    all_guided = Plan(**usual)
    some = Plan(**usual, guidance=Guidance(2, 12))
    assert all_guided.evaluations(Frame(0)) == 40
    assert some.evaluations(Frame(0)) == 30
    # Every step up to the tenth, then every second one.
    assert some.steps(Frame(1, (0, 2), 8)) == (8, 9, 10, 12, 14, 16, 18)
    assert some.evaluations(Frame(1, (0, 2), 8)) == 7 + 3
    assert some.evaluations(Frame(1, (0, 2), 16)) == 2
    assert some.evaluations(Frame(1)) == 30
    every_second = Plan(**usual, guidance=Guidance(2, 12, 2))
    assert every_second.evaluations(Frame(0)) == 25
    assert every_second.evaluations(Frame(1, (0, 2), 8)) == 7 + 2


def test_close_parents_branch_late_and_distant_ones_early() -> None:
    branching = Branching(earliest=0.4, latest=0.8, far=1.0, num_levels=3, settled=0.5)
    assert branching.start_steps(25) == (10, 14, 20)
    assert set(branching.start_steps(25)) <= set(branching.steps(25))
    steps = [branching.start_step(distance, 25) for distance in (0.0, 0.25, 0.5, 0.75, 1.0, 7.0)]
    assert steps == [20, 14, 14, 10, 10, 10]
    with pytest.raises(ConfigError, match="earliest ≤ latest"):
        Branching(earliest=0.9, latest=0.5)


def test_a_leap_between_alike_prompts_is_bridged_late() -> None:
    branching = Branching(earliest=0.4, latest=0.8, far=1.0, num_levels=3, earliest_when_narrow=0.5, settled=0.5)
    assert branching.start_step(7.0, 25) == 10
    assert branching.start_step(7.0, 25, is_narrow=True) == 14
    assert branching.start_step(0.0, 25, is_narrow=True) == 20
    with pytest.raises(ConfigError, match="narrow"):
        Branching(narrow=-1)


def test_a_walk_of_a_plan_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="too few for 3 waypoints"):
        Plan(path=Path(3), num_frames=2, num_inference_steps=25)
    with pytest.raises(ConfigError, match="at least 1"):
        Plan(path=Path(2), num_frames=2, num_inference_steps=0)


def test_cost_grows_no_faster_than_frames() -> None:
    def bound(num_frames: int) -> int:
        return Plan(path=Path(2), num_frames=num_frames, num_inference_steps=25).bound.unet_evaluations

    assert bound(300) <= 10 * bound(30) * 1.05
    for before, after in itertools.pairwise(range(2, 120)):
        assert bound(before) < bound(after)
