"""What is known of a model without it."""

import pytest

from momalisa.errors import ConfigError
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.request import WalkRequest, Waypoint

FULL_SIZE = ModelFacts(
    fingerprints={"unet": "abc"},
    dtype="float16",
    ruler="decoder",
    default_size=512,
    latent_channels=4,
    vae_scale_factor=8,
    num_unet_blocks=4,
)
WALK = WalkRequest(waypoints=(Waypoint(prompt="a"), Waypoint(prompt="b")), width=768)


def test_a_chunk_is_as_large_as_the_size_allows() -> None:
    assert FULL_SIZE.chunk_size(512, 512) == 4
    assert FULL_SIZE.chunk_size(128, 128) == 16
    assert FULL_SIZE.chunk_size(2048, 2048) == 1


def test_a_walk_has_the_models_size_but_for_its_own() -> None:
    rendition = FULL_SIZE.rendition(WALK)
    assert (rendition.height, rendition.width) == (512, 768)
    assert FULL_SIZE.latent_shape(512, 768) == (4, 64, 96)
    with pytest.raises(ConfigError, match="multiples of 64; take 512 × 768"):
        FULL_SIZE.latent_shape(770, 500)
