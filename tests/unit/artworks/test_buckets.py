import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from momalisa.artworks.buckets import assign_buckets, bucket_step, make_buckets


def test_buckets_of_512():
    assert make_buckets(512, vae_scale_factor=8, max_aspect_ratio=2.0) == (
        (384, 640),
        (448, 576),
        (512, 512),
        (576, 448),
        (640, 384),
    )


def test_a_ratio_of_one_leaves_the_square():
    assert make_buckets(512, vae_scale_factor=8, max_aspect_ratio=1.0) == ((512, 512),)


@settings(deadline=None)
@given(st.integers(4, 128), st.sampled_from([2, 4, 8]), st.floats(1, 4))
def test_sides_areas_and_shapes(eighths, scale, ratio):
    resolution = eighths * 8
    for width, height in make_buckets(resolution, vae_scale_factor=scale, max_aspect_ratio=ratio):
        assert width * height <= resolution * resolution
        assert max(width, height) <= ratio * min(width, height)
        if (width, height) != (resolution, resolution):
            assert width % bucket_step(resolution, scale) == height % bucket_step(resolution, scale) == 0


@pytest.mark.parametrize(("resolution", "scale", "step"), [(512, 8, 64), (128, 8, 16), (32, 4, 8), (768, 8, 96)])
def test_steps(resolution, scale, step):
    assert bucket_step(resolution, scale) == step


def test_pictures_go_to_the_bucket_of_their_shape():
    buckets = make_buckets(512, vae_scale_factor=8, max_aspect_ratio=2.0)
    widths, heights = np.array([100, 3000, 10, 640, 80]), np.array([100, 1000, 50, 400, 100])
    assert [buckets[b] for b in assign_buckets(widths, heights, buckets)] == [
        (512, 512),
        (640, 384),
        (384, 640),
        (640, 384),
        (448, 576),
    ]
