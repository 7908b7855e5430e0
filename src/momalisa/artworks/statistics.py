"""What the pictures of a dataset are like, from exact sums, so that parallelism changes nothing."""

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from momalisa.artworks.manifest import Distribution, Statistics


def statistics(
    num_pixels: Iterable[int],
    totals: Sequence[Iterable[int]],
    squares: Sequence[Iterable[int]],
    *,
    widths: ArrayLike,
    heights: ArrayLike,
    caption_lengths: ArrayLike,
) -> Statistics:
    """From each picture's pixels, sums and sums of squares of values 0 to 255, sizes in pixels and captions.

    `totals` and `squares` hold the sums of all pictures for red, green and blue.
    """
    # Python's integers, without an end: the variance is a small difference of large numbers.
    pixels = sum(num_pixels)
    sums, squared = [sum(channel) for channel in totals], [sum(channel) for channel in squares]
    variances = [(pixels * b - a * a) / (pixels * pixels) for a, b in zip(sums, squared, strict=True)]
    return Statistics(
        channel_mean=_three([round(a / pixels / 255, 9) for a in sums]),
        channel_std=_three([round(variance**0.5 / 255, 9) for variance in variances]),
        width=distribution(widths),
        height=distribution(heights),
        aspect_ratio=distribution(np.divide(widths, heights)),
        caption_length=distribution(caption_lengths),
    )


def distribution(values: ArrayLike) -> Distribution:
    """Five numbers and the mean; the order of the values is no matter."""
    array = np.sort(np.asarray(values, dtype=np.float64))
    low, p25, median, p75, high = (round(float(q), 9) for q in np.percentile(array, [0, 25, 50, 75, 100]))
    return Distribution(min=low, p25=p25, median=median, p75=p75, max=high, mean=round(float(array.mean()), 9))


def _three(values: list[float]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third
