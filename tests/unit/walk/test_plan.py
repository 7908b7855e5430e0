"""Plans and placements, for any walk and any distances."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from momalisa.errors import ConfigError
from momalisa.walk.path import EASINGS, Path
from momalisa.walk.plan import Branching, Frame, Plan, place_between, refine


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    path = Path(draw(st.integers(2, 6)), draw(st.sampled_from(["open", "loop", "boomerang"])))
    return Plan(
        path=path,
        num_frames=draw(st.integers(path.min_frames, 300)),
        num_inference_steps=draw(st.integers(1, 50)),
        easing=draw(st.sampled_from(EASINGS)),
    )


def num_gaps(plan: Plan) -> int:
    return len(plan.keys()) - (plan.path.shape == "open")


def rendered(plan: Plan, seed: int) -> list[Frame]:
    """All rounds, with distances by chance, some of them nothing and some immense."""
    rng = np.random.default_rng(seed)
    keys = plan.keys()
    frames = sorted([*keys, *place_between(plan, (rng.random(num_gaps(plan)) ** 8).tolist())], key=lambda f: f.index)
    last = len(frames) - (plan.path.shape == "open")
    return sorted([*frames, *refine(plan, frames, (rng.random(last) ** 8).tolist())], key=lambda f: f.index)


@settings(max_examples=80, deadline=None)
@given(plans(), st.integers(0, 2**32 - 1))
def test_the_rounds_make_exactly_the_frames_that_were_asked_for(plan: Plan, seed: int) -> None:
    frames = rendered(plan, seed)
    indices = [frame.index for frame in frames]
    assert len(frames) == plan.num_frames
    assert len(set(indices)) == len(indices)
    assert indices[0] == 0
    assert indices[-1] == plan.num_grid_steps if plan.path.shape == "open" else indices[-1] < plan.num_grid_steps
    assert rendered(plan, seed) == frames


@settings(max_examples=80, deadline=None)
@given(plans(), st.integers(0, 2**32 - 1))
def test_parents_are_rendered_before_and_lie_on_either_side(plan: Plan, seed: int) -> None:
    frames = rendered(plan, seed)
    by_index = {frame.index: frame for frame in frames}
    for frame in frames:
        if frame.parents is None:
            assert frame.start_step == 0
            continue
        left, right = frame.parents
        assert left < frame.index < (right or plan.num_grid_steps)
        assert {left, right} <= by_index.keys()
        assert all(by_index[parent].start_step <= frame.start_step for parent in (left, right))


@settings(max_examples=80, deadline=None)
@given(plans(), st.integers(0, 2**32 - 1))
def test_no_placement_costs_more_than_the_bound(plan: Plan, seed: int) -> None:
    cost = plan.cost(rendered(plan, seed))
    assert cost.unet_evaluations <= plan.bound.unet_evaluations
    assert cost.decodes == plan.bound.decodes == plan.num_frames


def test_a_guidance_interval_makes_steps_outside_of_it_cheap() -> None:
    all_guided = Plan(path=Path(2), num_frames=20, num_inference_steps=20)
    some = Plan(path=Path(2), num_frames=20, num_inference_steps=20, guided_steps=(2, 12))
    assert all_guided.evaluations(0) == 40
    assert some.evaluations(0) == 30
    assert some.evaluations(8) == 16
    assert some.evaluations(15) == 5


def test_close_parents_branch_late_and_distant_ones_early() -> None:
    branching = Branching(earliest=0.4, latest=0.8, far=1.0, num_levels=3)
    assert branching.start_steps(25) == (10, 15, 20)
    steps = [branching.start_step(distance, 25) for distance in (0.0, 0.25, 0.5, 0.75, 1.0, 7.0)]
    assert steps == [20, 15, 15, 10, 10, 10]
    with pytest.raises(ConfigError, match="earliest ≤ latest"):
        Branching(earliest=0.9, latest=0.5)


def test_frames_go_to_the_widest_gap() -> None:
    plan = Plan(path=Path(2), num_frames=40, num_inference_steps=25)
    assert num_gaps(plan) == 8
    distances = [0.1] * 8
    distances[5] = 2.0
    left, right = plan.keys()[5].index, plan.keys()[6].index
    inside = [frame for frame in place_between(plan, distances) if left < frame.index < right]
    assert len(inside) >= 15
    assert {frame.start_step for frame in inside} == {12}


def test_a_walk_of_a_plan_that_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match="too few for 3 waypoints"):
        Plan(path=Path(3), num_frames=2, num_inference_steps=25)
    with pytest.raises(ConfigError, match="at least 1"):
        Plan(path=Path(2), num_frames=2, num_inference_steps=0)
    plan = Plan(path=Path(2), num_frames=10, num_inference_steps=25)
    with pytest.raises(ValueError, match="distances for"):
        place_between(plan, [1.0] * 99)


def test_cost_grows_no_faster_than_frames() -> None:
    def bound(num_frames: int) -> int:
        return Plan(path=Path(2), num_frames=num_frames, num_inference_steps=25).bound.unet_evaluations

    assert bound(300) <= 10 * bound(30) * 1.05
    for before, after in itertools.pairwise(range(2, 120)):
        assert bound(before) < bound(after)
