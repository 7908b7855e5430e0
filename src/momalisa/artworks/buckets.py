"""Resolution and crop of each picture: one square, or the bucket of its own shape."""

from collections.abc import Sequence
from typing import Any

import numpy as np

Size = tuple[int, int]
"""Width, height in pixels."""

_STEPS_PER_SIDE = 8


def bucket_sizes(resolution: int, max_aspect_ratio: float, multiple: int) -> list[Size]:
    """The shapes there are: sides multiples of `multiple`, area at most resolution², the square first.

    The wider a bucket the lower, as NovelAI's aspect-ratio bucketing makes them.
    """
    step = max(multiple, resolution // _STEPS_PER_SIDE // multiple * multiple)
    sizes: list[Size] = [(resolution, resolution)]
    side = step
    while side <= resolution * max_aspect_ratio:
        other = resolution * resolution // side // step * step
        if other >= step and max(side, other) / min(side, other) <= max_aspect_ratio and (side, other) not in sizes:
            sizes.append((side, other))
        side += step
    return sizes


def assign_buckets(
    sizes_N2: "np.ndarray[Any, np.dtype[np.int64]]", buckets: Sequence[Size]
) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """For each picture (width, height) the index of the bucket whose shape is nearest, by log aspect ratio."""
    ratios = np.log(np.array([w / h for w, h in buckets]))
    own = np.log(sizes_N2[:, 0] / sizes_N2[:, 1])
    return np.abs(own[:, None] - ratios[None, :]).argmin(axis=1).astype(np.int64)
