"""Conditions at waypoints and between them."""

import pytest
import torch

from momalisa.diffusion.encode import encode_prompts
from momalisa.diffusion.loading import Components
from momalisa.walk.conditions import WalkConditions, initial_noise
from momalisa.walk.path import place_evenly
from momalisa.walk.request import WalkRequest, Waypoint
from tests.support.small_sd import small_components

SHAPE = (4, 16, 16)


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return small_components(tmp_path_factory.mktemp("small"))


def test_the_ends_are_exactly_the_waypoints(components: Components) -> None:
    waypoints = (Waypoint(prompt="red dots", seed=3), Waypoint(prompt="blue waves", seed=4, guidance_scale=2.0))
    request = WalkRequest(waypoints=waypoints, num_frames=5, guidance_scale=6.0, negative_prompt="grey")
    conditions, points = WalkConditions(request, components, SHAPE), place_evenly(request.path, 5)
    found = conditions.at(points)
    expected = encode_prompts(components, ["red dots", "blue waves", "grey"])
    torch.testing.assert_close(found.embeddings[[0, -1]], expected[:2])
    torch.testing.assert_close(found.negative_embeddings, expected[2:].expand(5, -1, -1))
    assert found.guidance_scales.tolist() == [6, 5, 4, 3, 2]
    noise = conditions.noise(points)
    assert (noise[0].numpy() == initial_noise(3, SHAPE)).all()
    assert (noise[-1].numpy() == initial_noise(4, SHAPE)).all()
    assert noise[2].std() == pytest.approx(1, abs=0.05)


def test_one_seed_is_one_noise_all_the_way(components: Components) -> None:
    request = WalkRequest(waypoints=(Waypoint(prompt="a"), Waypoint(prompt="b")), num_frames=4, seed=9)
    noise = WalkConditions(request, components, SHAPE).noise(place_evenly(request.path, 4))
    torch.testing.assert_close(noise, torch.from_numpy(initial_noise(9, SHAPE)).expand(4, -1, -1, -1))


def test_noise_is_what_diffusers_draws_from_a_seed() -> None:
    from diffusers.utils.torch_utils import randn_tensor

    expected = randn_tensor((2, *SHAPE), generator=[torch.Generator("cpu").manual_seed(seed) for seed in (7, 8)])
    assert (initial_noise(8, SHAPE) == expected[1].numpy()).all()
