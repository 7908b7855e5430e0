"""Chunks of frames, on a Stable Diffusion of random weights."""

import numpy as np
import pytest

from momalisa.diffusion.loading import Components
from momalisa.errors import ConfigError
from momalisa.walk.course import chunks
from momalisa.walk.frames import MemoryFrames
from momalisa.walk.path import Path
from momalisa.walk.plan import Frame, Plan
from momalisa.walk.render import Renderer
from momalisa.walk.request import WalkRequest, Waypoint
from momalisa.walk.walk import render_walk
from tests.support.small_sd import small_components


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return small_components(tmp_path_factory.mktemp("small"))


def test_chunks_are_of_one_start() -> None:
    frames = [Frame(i, (0, 64), 10 if i % 2 else 14) for i in range(1, 12)]
    found = list(chunks(Plan(path=Path(2), num_frames=4, num_inference_steps=25), frames, 4))
    assert [len(chunk) for chunk in found] == [4, 2, 4, 1]
    assert all(len({frame.start_step for frame in chunk}) == 1 for chunk in found)


def test_a_size_that_the_model_cannot_draw_is_refused_with_the_nearest(components: Components) -> None:
    waypoints = (Waypoint(prompt="a"), Waypoint(prompt="b"))
    with pytest.raises(ConfigError, match="multiples of 4; take 32 × 36"):
        Renderer(components, WalkRequest(waypoints=waypoints, height=35, width=33))


def test_drawings_of_one_seed_and_another_size_have_that_size(components: Components) -> None:
    waypoints = (Waypoint(prompt="a"), Waypoint(prompt="b"))
    request = WalkRequest(waypoints=waypoints, num_frames=3, num_inference_steps=2, height=40, width=24)
    frames = MemoryFrames()
    walk = render_walk(Renderer(components, request), request, frames)
    assert np.stack(list(walk.pictures(frames))).shape == (3, 40, 24, 3)
