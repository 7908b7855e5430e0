"""Aspect-ratio buckets: the sizes that pictures are trained at, so that few of their pixels are cropped.

Without buckets every picture is a centre or random square. With them, a picture gets the size nearest to
its own shape out of a short list, all of about the same area (the idea is NovelAI's; kohya-ss/sd-scripts).
"""

from typing import Any

import numpy as np

IntArray = np.ndarray[Any, np.dtype[np.int64]]
Size = tuple[int, int]
"""Width, height in pixels."""


def make_buckets(resolution: int, *, vae_scale_factor: int, max_aspect_ratio: float) -> tuple[Size, ...]:
    """The sizes, from tall to wide; `(resolution, resolution)` is among them.

    The other sides are multiples of `bucket_step`, areas at most resolution², no side more than
    `max_aspect_ratio` times the other.
    """
    step = bucket_step(resolution, vae_scale_factor)
    wide = {(resolution, resolution)}
    for width in range(resolution // step * step + step, int(resolution * max_aspect_ratio) + 1, step):
        height = resolution * resolution // width // step * step
        if height > 0 and width <= height * max_aspect_ratio:
            wide.add((width, height))
    tall = {(height, width) for width, height in wide}
    return tuple(sorted(wide | tall, key=lambda size: size[0] / size[1]))


def bucket_step(resolution: int, vae_scale_factor: int) -> int:
    """Pixels between bucket sides: an eighth of the resolution, in whole pairs of latent pixels (512: 64)."""
    pair = 2 * vae_scale_factor
    return max(pair, round(resolution / 8 / pair) * pair)


def assign_buckets(widths: IntArray, heights: IntArray, buckets: tuple[Size, ...]) -> IntArray:
    """The number of the bucket nearest in shape to each picture, (N,)."""
    shapes = np.log(np.array([width / height for width, height in buckets]))
    distances = np.abs(np.log(widths / heights)[:, None] - shapes[None, :])
    nearest: IntArray = np.argmin(distances, axis=1).astype(np.int64)
    return nearest
