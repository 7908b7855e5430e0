"""Rounds of frames, for any walk and any distances."""

import itertools
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from momalisa.walk.path import EASINGS, Path
from momalisa.walk.plan import MODES, Branching, Frame, Plan
from momalisa.walk.rounds import first_round, next_round, repair_round


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    path = Path(draw(st.integers(2, 6)), draw(st.sampled_from(["open", "loop"])))
    steps = draw(st.integers(1, 50))
    pictures = draw(st.frozensets(st.integers(0, path.num_waypoints - 1)))
    return Plan(
        path=path,
        num_frames=draw(st.integers(path.min_frames, 300)),
        num_inference_steps=steps,
        mode=draw(st.sampled_from(MODES)),
        easing=draw(st.sampled_from(EASINGS)),
        pictures=pictures,
        entry_step=draw(st.integers(0, steps)) if pictures else 0,
    )


def by_chance(plan: Plan, frames: Sequence[Frame], rng: np.random.Generator) -> list[float]:
    """Distances, some of them nothing and some immense."""
    return (rng.random(len(frames) - (plan.path.shape == "open")) ** 8).tolist()


def rendered(plan: Plan, seed: int) -> list[Frame]:
    """All rounds; no frame before its parents."""
    rng = np.random.default_rng(seed)
    frames: list[Frame] = []
    round_ = first_round(plan)
    while round_:
        there = {frame.index for frame in frames}
        assert all(parent in there for frame in round_ for parent in frame.parents or ())
        frames = sorted([*frames, *round_], key=lambda frame: frame.index)
        round_ = next_round(plan, frames, by_chance(plan, frames, rng))
    return frames


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
            assert frame.start_step == 0 or frame in plan.stops()
            continue
        assert frame.start_step in plan.start_steps
        left, right = frame.parents
        assert left < frame.index < (right or plan.num_grid_steps)
        assert {left, right} <= by_index.keys()
        assert all(by_index[parent].start_step <= frame.start_step for parent in (left, right))


@settings(max_examples=80, deadline=None)
@given(plans(), st.integers(0, 2**32 - 1))
def test_no_placement_costs_more_than_the_bound(plan: Plan, seed: int) -> None:
    cost = plan.cost(rendered(plan, seed))
    assert cost.unet_evaluations <= plan.bound.unet_evaluations
    assert plan.num_frames == cost.decodes <= plan.bound.decodes


def test_frames_go_to_the_widest_gap_a_few_first_and_the_others_wait() -> None:
    plan = Plan(path=Path(2), num_frames=48, num_inference_steps=25, branching=Branching(fan=3))
    keys = plan.keys()
    assert len(keys) == 9
    distances = [0.15] * 8
    distances[5] = 2.0
    left, right = keys[5].index, keys[6].index
    few = next_round(plan, keys, distances)
    assert len(few) == 3  # four pieces at once, however long it is
    assert all(left < frame.index < right for frame in few)
    assert {frame.start_step for frame in few} == {4}


@settings(max_examples=40, deadline=None)
@given(st.integers(48, 120), st.integers(0, 2**32 - 1))
def test_steps_become_even_where_the_picture_changes_unevenly(num_frames: int, seed: int) -> None:
    plan = Plan(path=Path(2), num_frames=num_frames, num_inference_steps=25)
    middle, width = np.random.default_rng(seed).uniform((0.2, 0.03), (0.8, 0.2))

    def place(frame: Frame) -> float:
        t = frame.index / plan.num_grid_steps
        return t + 2 / (1 + np.exp(-(t - middle) / width))

    frames = list(first_round(plan))
    while round_ := next_round(plan, frames, [place(b) - place(a) for a, b in itertools.pairwise(frames)]):
        frames = sorted([*frames, *round_], key=lambda frame: frame.index)
    evenly = first_round(replace(plan, mode="text"))
    steps, plain = (np.diff([place(frame) for frame in each]) for each in (frames, evenly))
    assert steps.std() / steps.mean() < max(0.3, 0.5 * plain.std() / plain.mean())


def test_a_step_that_stands_out_gets_a_frame_more() -> None:
    plan = Plan(path=Path(2), num_frames=20, num_inference_steps=25)
    frames = [Frame(round(i * plan.num_grid_steps / 19)) for i in range(20)]
    even = [0.2] * 19
    assert repair_round(plan, frames, even) == ()
    jump = [0.2] * 9 + [0.9] + [0.2] * 9
    (added,) = repair_round(plan, frames, jump)
    assert added.parents == (frames[9].index, frames[10].index)
    assert len(repair_round(plan, frames, [0.2] * 10 + [0.9] * 9)) == 2


def test_pictures_decide_where_everything_begins() -> None:
    plan = Plan(path=Path(3), num_frames=40, num_inference_steps=20, pictures=frozenset({1}), entry_step=8)
    assert [stop.start_step for stop in first_round(plan)] == [0, 8, 0]
    keys = next_round(plan, first_round(plan), [1.0, 1.0])
    assert {frame.start_step for frame in keys} == {8}
    assert all(frame.parents is not None for frame in keys)
    whole = replace(plan, entry_step=20)
    assert whole.bound.unet_evaluations == 2 * plan.evaluations(Frame(0))


def test_distances_that_do_not_belong_to_the_frames_are_refused() -> None:
    plan = Plan(path=Path(2), num_frames=10, num_inference_steps=25)
    with pytest.raises(ValueError, match="distances for"):
        next_round(plan, plan.keys(), [1.0] * 99)
