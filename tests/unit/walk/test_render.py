"""Whole walks, on a Stable Diffusion of random weights."""

from typing import Any

import numpy as np
import pytest

from momalisa.diffusion.loading import Components
from momalisa.walk.plan import Branching, Frame
from momalisa.walk.render import chunk_size, chunks
from momalisa.walk.request import WalkRequest, Waypoint
from momalisa.walk.walk import plan_walk, render_walk
from tests.support.small_sd import small_components

BRANCHING = Branching(earliest=0.5, latest=0.8, far=40.0, num_levels=2)


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return small_components(tmp_path_factory.mktemp("small"))


def ruler(a: Any, b: Any) -> Any:
    return np.abs(a.astype(float) - b).mean(axis=(1, 2, 3))


def request(**settings: Any) -> WalkRequest:
    waypoints = (Waypoint(prompt="red dots"), Waypoint(prompt="blue waves"))
    return WalkRequest(**{"waypoints": waypoints, "num_frames": 12, "num_inference_steps": 6, **settings})


@pytest.mark.parametrize("shape", ["open", "loop", "boomerang"])
@pytest.mark.parametrize("mode", ["text", "image", "hybrid"])
def test_every_mode_and_shape_gives_the_frames_that_were_asked_for(
    components: Components, mode: str, shape: str
) -> None:
    walk = render_walk(components, request(mode=mode, shape=shape), ruler, branching=BRANCHING)
    assert walk.pixels.shape == (12, 32, 32, 3)
    assert len({frame.index for frame in walk.frames}) == 12


def test_the_ends_are_the_same_in_every_mode(components: Components) -> None:
    walks = [
        render_walk(components, request(mode=mode), ruler, branching=BRANCHING) for mode in ("text", "image", "hybrid")
    ]
    for walk in walks[1:]:
        for end in (0, -1):
            assert np.abs(walk.pixels[end].astype(int) - walks[0].pixels[end]).max() <= 1


def test_hybrid_costs_what_its_placement_says_and_no_more_than_the_bound(components: Components) -> None:
    walk = render_walk(components, request(), ruler, branching=BRANCHING)
    plan = plan_walk(request(), BRANCHING)
    assert walk.num_evaluations == plan.cost(walk.frames).unet_evaluations <= plan.bound.unet_evaluations
    text = render_walk(components, request(mode="text"), ruler)
    assert walk.num_evaluations < 0.8 * text.num_evaluations


def test_the_first_frames_show_the_whole_walk(components: Components) -> None:
    seen: list[list[int]] = []
    render_walk(
        components, request(), ruler, branching=BRANCHING, on_frames=lambda chunk: seen.append([f.index for f in chunk])
    )
    keys = plan_walk(request(), BRANCHING).keys()
    assert seen[0] == [frame.index for frame in keys]
    assert sum(len(chunk) for chunk in seen) == 12


def test_the_same_request_gives_the_same_frames(components: Components) -> None:
    first, again = (render_walk(components, request(), ruler, branching=BRANCHING) for _ in range(2))
    assert (first.pixels == again.pixels).all()
    assert first.frames == again.frames


def test_chunks_are_of_one_start_and_of_the_sizes_own_size() -> None:
    frames = [Frame(i, (0, 64), 10 if i % 2 else 14) for i in range(1, 12)]
    found = list(chunks(frames, 4))
    assert [len(chunk) for chunk in found] == [4, 2, 4, 1]
    assert all(len({frame.start_step for frame in chunk}) == 1 for chunk in found)
    assert chunk_size((4, 16, 16)) == 16
    assert chunk_size((4, 64, 64)) == 4
    assert chunk_size((4, 256, 256)) == 1
