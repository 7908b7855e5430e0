"""Conditions at waypoints and between them."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from momalisa.diffusion.encode import encode_prompts
from momalisa.diffusion.loading import Components
from momalisa.errors import ConfigError
from momalisa.lora.adapters import Adapters
from momalisa.walk.conditions import WalkConditions, initial_noise
from momalisa.walk.frames import pixels_sha256
from momalisa.walk.path import place_evenly
from momalisa.walk.request import WalkRequest, Waypoint
from tests.support.small_sd import small_components

SHAPE = (4, 16, 16)


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return small_components(tmp_path_factory.mktemp("small"))


def conditions_of(request: WalkRequest, components: Components, pictures: Any = None) -> WalkConditions:
    return WalkConditions(request, components, SHAPE, adapters=Adapters(components, []), pictures=pictures)


def test_the_ends_are_exactly_the_waypoints(components: Components) -> None:
    waypoints = (Waypoint(prompt="red dots", seed=3), Waypoint(prompt="blue waves", seed=4, guidance_scale=2.0))
    request = WalkRequest(waypoints=waypoints, num_frames=5, guidance_scale=6.0, negative_prompt="grey")
    conditions, points = conditions_of(request, components), place_evenly(request.path, 5)
    found = conditions.at(points)
    expected = encode_prompts(components, ["red dots", "blue waves", "grey"])
    torch.testing.assert_close(found.embeddings[[0, -1]], expected[:2], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.negative_embeddings, expected[2:].expand(5, -1, -1), atol=1e-5, rtol=1e-4)
    assert found.guidance_scales.tolist() == [6, 5, 4, 3, 2]
    assert (conditions.noise(points[0]) == initial_noise(3, SHAPE)).all()
    assert (conditions.noise(points[-1]) == initial_noise(4, SHAPE)).all()
    assert conditions.noise(points[2]).std() == pytest.approx(1, abs=0.05)


def test_one_seed_is_one_noise_all_the_way(components: Components) -> None:
    request = WalkRequest(waypoints=(Waypoint(prompt="a"), Waypoint(prompt="b")), num_frames=4, seed=9)
    conditions = conditions_of(request, components)
    for point in place_evenly(request.path, 4):
        assert conditions.noise(point) == pytest.approx(initial_noise(9, SHAPE), abs=1e-6)


def test_a_picture_is_encoded_once_it_is_at_hand_and_fits(components: Components) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    name = pixels_sha256(pixels)
    request = WalkRequest(waypoints=(Waypoint(prompt="a", picture_sha256=name), Waypoint(prompt="b")), num_frames=4)
    start = place_evenly(request.path, 4)[0]
    latents = conditions_of(request, components, {name: pixels}).picture(start)
    assert latents.shape == SHAPE
    with pytest.raises(ConfigError, match="not at hand"):
        conditions_of(request, components)
    with pytest.raises(ConfigError, match="is another one"):
        conditions_of(request, components, {name: 255 - pixels})
    narrow = Waypoint(prompt="a", picture_sha256=pixels_sha256(pixels[:16]))
    with pytest.raises(ConfigError, match="fit it to the walk's size"):
        conditions_of(replace(request, waypoints=(narrow, narrow)), components, {narrow.picture_sha256: pixels[:16]})


def test_noise_is_what_diffusers_draws_from_a_seed() -> None:
    from diffusers.utils.torch_utils import randn_tensor

    expected = randn_tensor((2, *SHAPE), generator=[torch.Generator("cpu").manual_seed(seed) for seed in (7, 8)])
    assert (initial_noise(8, SHAPE) == expected[1].numpy()).all()
