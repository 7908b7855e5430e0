"""What the pictures of a dataset are like, from exact sums, so that parallelism changes nothing."""

from collections.abc import Iterable, Sequence

import numpy as np

from momalisa.artworks.manifest import Distribution, Statistics


def statistics(
    sums: Iterable[tuple[int, Sequence[int], Sequence[int]]],
    widths: Sequence[int],
    heights: Sequence[int],
    caption_lengths: Sequence[int],
) -> Statistics:
    """From each picture's pixels, sums and sums of squares by channel (values 0 to 255), and its sizes."""
    pixels, totals, squares = 0, [0, 0, 0], [0, 0, 0]
    for count, by_channel, squared in sums:
        pixels += count
        totals = [a + b for a, b in zip(totals, by_channel, strict=True)]
        squares = [a + b for a, b in zip(squares, squared, strict=True)]
    means = [total / pixels for total in totals]
    # Integers until here: the variance is a small difference of large numbers.
    variances = [
        (pixels * square - total * total) / (pixels * pixels) for total, square in zip(totals, squares, strict=True)
    ]
    return Statistics(
        channel_mean=_three([round(mean / 255, 9) for mean in means]),
        channel_std=_three([round(float(np.sqrt(variance)) / 255, 9) for variance in variances]),
        width=distribution(widths),
        height=distribution(heights),
        aspect_ratio=distribution([w / h for w, h in zip(widths, heights, strict=True)]),
        caption_length=distribution(caption_lengths),
    )


def distribution(values: Sequence[float]) -> Distribution:
    """Five numbers and the mean."""
    array = np.sort(np.asarray(values, dtype=np.float64))
    low, p25, median, p75, high = (float(q) for q in np.percentile(array, [0, 25, 50, 75, 100]))
    return Distribution(min=low, p25=p25, median=median, p75=p75, max=high, mean=round(float(array.mean()), 9))


def _three(values: list[float]) -> tuple[float, float, float]:
    first, second, third = values
    return first, second, third
