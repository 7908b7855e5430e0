"""One palette for a whole animation, chosen and applied in a perceptual colour space.

The space is OKLab (Ottosson 2020, https://bottosson.github.io/posts/oklab/). The palette is the weighted
k-means of a pooled histogram, begun greedily, without anything random. The dither is an ordered one, locked to
the screen: error diffusion would shimmer as the picture moves beneath it.
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Pixels = NDArray[np.uint8]

_BINS = 32
_LUT_BITS = 6
_UNKNOWN = -1
_ROUNDS = 12
_WEIGHT = 0.75
_CHUNK = 8192
_EXACT = 0.004
"""In OKLab, where two hundredths are just noticeable."""

_TO_LMS = np.array(
    [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566],
     [0.0883024619, 0.2817188376, 0.6299787005]], dtype=np.float32)  # fmt: skip
_TO_LAB = np.array(
    [[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099],
     [0.0259040371, 0.7827717662, -0.8086757660]], dtype=np.float32)  # fmt: skip


def to_oklab(rgb: NDArray[Any]) -> Floats:
    """Colours (…, 3) of sRGB, 0–255, as lightness and two opponents, (…, 3)."""
    linear = _LINEAR[rgb] if rgb.dtype == np.uint8 else _to_linear(rgb)
    lab: Floats = np.cbrt(linear @ _TO_LMS.T) @ _TO_LAB.T
    return lab


def _to_linear(rgb: NDArray[Any]) -> Floats:
    encoded = np.asarray(rgb, dtype=np.float32) / 255
    return np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _to_linear(np.arange(256))


@dataclass(slots=True)
class Histogram:
    """How often colours occur, in 32 × 32 × 32 bins with their mean colours: as large for ten frames as for ten
    thousand."""

    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS**3, dtype=np.int64))
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros((_BINS**3, 3)))

    def add(self, pixels: Pixels) -> None:
        """Counts a picture (H, W, 3)."""
        flat = pixels.reshape(-1, 3)
        bins = (flat >> 3).astype(np.int32) @ np.array([_BINS**2, _BINS, 1], dtype=np.int32)
        self.counts += np.bincount(bins, minlength=_BINS**3)
        for channel in range(3):
            self.sums[:, channel] += np.bincount(bins, weights=flat[:, channel], minlength=_BINS**3)

    def colors(self) -> tuple[Floats, Floats]:
        """The mean colours of the bins that occur, (N, 3) sRGB 0–255, and their counts (N,)."""
        occur = self.counts > 0
        means = self.sums[occur] / self.counts[occur, None]
        return means.astype(np.float32), self.counts[occur].astype(np.float32)


def choose_palette(histogram: Histogram, num_colors: int) -> Pixels:
    """At most so many colours (K, 3), sRGB, that the counted pixels are near to."""
    colors, counts = histogram.colors()
    if len(colors) <= num_colors:
        return np.rint(colors).astype(np.uint8)
    # A root of the counts, so that small things keep colours of their own.
    lab, weights = to_oklab(colors), counts**_WEIGHT
    centers = lab[_spread_out(lab, weights, num_colors)]
    for _ in range(_ROUNDS):
        nearest = _nearest(lab, centers)
        total = np.bincount(nearest, weights=weights, minlength=num_colors)
        moved = np.stack([np.bincount(nearest, weights=weights * lab[:, i], minlength=num_colors) for i in range(3)], 1)
        centers = np.where(total[:, None] > 0, moved / np.maximum(total, 1e-9)[:, None], centers).astype(np.float32)
    nearest = _nearest(lab, centers)
    total = np.bincount(nearest, weights=weights, minlength=num_colors)
    # Back to sRGB by the members' mean: no inverse, no colour out of gamut.
    mean = np.stack([np.bincount(nearest, weights=weights * colors[:, i], minlength=num_colors) for i in range(3)], 1)
    used = total > 0
    return np.rint(mean[used] / total[used, None]).astype(np.uint8)


class Quantizer:
    """Pictures as palette indices, dithered by a pattern that stands still on the screen."""

    def __init__(self, palette: Pixels, *, strength: float = 0.25) -> None:
        self.palette = palette
        self._lab = to_oklab(palette)
        self._lut = np.full(2 ** (3 * _LUT_BITS), _UNKNOWN, dtype=np.int16)
        self._amplitude = strength * _spacing(palette)

    def indices(self, pixels: Pixels, lab: Floats | None = None) -> Pixels:
        """(H, W) of a picture (H, W, 3), whose colours in OKLab may be at hand."""
        height, width, _ = pixels.shape
        pattern = np.tile(_bayer(3), (height // 8 + 1, width // 8 + 1))[:height, :width]
        dithered = np.clip(pixels + self._amplitude * pattern[..., None], 0, 255).astype(np.uint8)
        plain = self._look_up(pixels)
        # What the palette has needs no dither.
        exact = self.distances(to_oklab(pixels) if lab is None else lab, plain) < _EXACT
        return np.where(exact, plain, self._look_up(dithered))

    def distances(self, lab: Floats, indices: Pixels) -> Floats:
        """How far colours in OKLab (H, W, 3) are from those of indices, (H, W)."""
        difference = lab - self._lab[indices]
        far: Floats = np.sqrt(np.einsum("...i,...i->...", difference, difference))
        return far

    def _look_up(self, pixels: Pixels) -> Pixels:
        high = (pixels >> (8 - _LUT_BITS)).astype(np.int32)
        codes = (high[..., 0] << 2 * _LUT_BITS) | (high[..., 1] << _LUT_BITS) | high[..., 2]
        if (unknown := self._lut[codes] == _UNKNOWN).any():
            self._learn(np.unique(codes[unknown]))
        found: Pixels = self._lut[codes].astype(np.uint8)
        return found

    def _learn(self, codes: NDArray[np.int32]) -> None:
        """Colours that occur for the first time: few of all that there are."""
        channels = np.stack([codes >> 2 * _LUT_BITS, codes >> _LUT_BITS, codes], axis=-1) & (2**_LUT_BITS - 1)
        self._lut[codes] = _nearest(to_oklab((channels + 0.5) * 2 ** (8 - _LUT_BITS)), self._lab)


def _spread_out(lab: Floats, weights: Floats, count: int) -> list[int]:
    """Greedily the colours that are worst served so far: weight times squared distance."""
    chosen = [int(weights.argmax())]
    distance = ((lab - lab[chosen[0]]) ** 2).sum(axis=1)
    while len(chosen) < count:
        chosen.append(int((weights * distance).argmax()))
        distance = np.minimum(distance, ((lab - lab[chosen[-1]]) ** 2).sum(axis=1))
    return chosen


def _nearest(lab: Floats, centers: Floats) -> NDArray[np.int64]:
    norms = (centers**2).sum(axis=1)
    parts = [(norms - 2 * lab[i : i + _CHUNK] @ centers.T).argmin(axis=1) for i in range(0, len(lab), _CHUNK)]
    return np.concatenate(parts)


def _spacing(palette: Pixels) -> float:
    """The median distance of a palette's colours to their nearest neighbours, in steps of sRGB."""
    if len(palette) < 2:
        return 0.0
    values = palette.astype(np.float32)
    distances = np.sqrt(((values[:, None] - values[None]) ** 2).sum(axis=-1))
    np.fill_diagonal(distances, np.inf)
    return float(np.median(distances.min(axis=1)))


@cache
def _bayer(order: int) -> Floats:
    """Bayer's dither matrix of 2^order, values evenly in (-0.5, 0.5)."""
    matrix = np.zeros((1, 1))
    for _ in range(order):
        matrix = np.block([[4 * matrix, 4 * matrix + 2], [4 * matrix + 3, 4 * matrix + 1]])
    return ((matrix + 0.5) / matrix.size - 0.5).astype(np.float32)
