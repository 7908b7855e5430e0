import numpy as np
import pytest

from momalisa.artworks.images import channel_sums
from momalisa.artworks.statistics import distribution, statistics
from tests.support.shards import make_picture


def test_mean_and_deviation_are_those_of_all_pixels() -> None:
    pictures = [make_picture(number, 40 + number, 50) for number in range(5)]
    sums = [channel_sums(picture) for picture in pictures]
    found = statistics(
        [count for count, _, _ in sums],
        [[totals[channel] for _, totals, _ in sums] for channel in range(3)],
        [[squares[channel] for _, _, squares in sums] for channel in range(3)],
        widths=[picture.width for picture in pictures],
        heights=[picture.height for picture in pictures],
        caption_lengths=[1, 2, 3, 4, 5],
    )
    pixels = np.concatenate([np.asarray(picture).reshape(-1, 3) for picture in pictures]) / 255
    assert found.channel_mean == pytest.approx(pixels.mean(axis=0), abs=1e-8)
    assert found.channel_std == pytest.approx(pixels.std(axis=0), abs=1e-8)
    assert found.aspect_ratio.max == pytest.approx(44 / 50)
    assert found.caption_length.median == 3


def test_a_flat_picture_has_no_deviation() -> None:
    # Floating point would give the root of a small negative number.
    found = statistics(
        [10**15], [[77 * 10**15]] * 3, [[77**2 * 10**15]] * 3, widths=[1], heights=[1], caption_lengths=[1]
    )
    assert found.channel_std == (0, 0, 0)


def test_a_distribution_is_of_values_in_any_order() -> None:
    values = np.random.default_rng(0).normal(size=101)
    assert distribution(values) == distribution(values[::-1])
    assert distribution([3, 1, 2]).model_dump() == {"min": 1, "p25": 1.5, "median": 2, "p75": 2.5, "max": 3, "mean": 2}
