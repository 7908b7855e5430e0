"""How much nearer the pictures drawn by a model got to a collection.

Pictures become features, features standardised by the collection's own; the distance of two sets is
the energy distance (Székely & Rizzo 2013) of their features. The features here need no download: they
come from the model's own VAE and from pixels. Others, such as a classifier's, can stand in for them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from momalisa.diffusion.encode import encode_images
from momalisa.training.estimates import StyleScore

Features = Callable[[Any], Tensor]
"""Pictures (N, H, W, 3) uint8 in, features (N, D) out."""

_MIN_REAL = 8
"""Fewer real pictures make halves too small to tell chance from distance."""
_NUM_RESAMPLES = 400
_NUM_SPLITS = 200
_FLOOR_QUANTILE = 0.95
_MIN_SCALE_SHARE = 0.1
"""A feature that hardly varies in the collection is scaled by this share of its spread over collection
and base model: else a black-and-white collection's saturation, say, would outweigh everything."""
_BATCH_SIZE = 8


def style_features(vae: Any, images: Any) -> Tensor:
    """Features (N, D), float32 on the CPU, of pictures (N, H, W, 3) uint8; sides multiples of 8, at least 32.

    Of the VAE's latents: mean, spread, spread at half the resolution, and roughness of each channel. Of
    the pixels: what `pixel_features` gives.
    """
    rows = []
    for start in range(0, len(images), _BATCH_SIZE):
        pixels = torch.from_numpy(np.stack(list(images[start : start + _BATCH_SIZE]))).permute(0, 3, 1, 2).float() / 255
        latents, _ = encode_images(vae, pixels * 2 - 1)
        rows.append(torch.cat([_latent_features(latents.float().cpu()), pixel_features(pixels)], dim=1))
    return torch.cat(rows)


def pixel_features(pixels_BCHW: Tensor) -> Tensor:
    """Colour, contrast, edges at three scales and their direction, (B, 25), of RGB in [0, 1]."""
    red, green, blue = pixels_BCHW.unbind(dim=1)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    opponents = torch.stack([luma, red - green, (red + green) / 2 - blue], dim=1)
    saturation = pixels_BCHW.amax(dim=1) - pixels_BCHW.amin(dim=1)
    quantiles = torch.quantile(luma.flatten(1), torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95]), dim=1).T
    parts = [
        opponents.mean(dim=(2, 3)),
        opponents.std(dim=(2, 3)),
        saturation.mean(dim=(1, 2))[:, None],
        saturation.std(dim=(1, 2))[:, None],
        quantiles,
    ]
    for scale in (1, 2, 4):
        parts.append(_edge_features(functional.avg_pool2d(luma[:, None], scale)[:, 0]))
    return torch.cat(parts, dim=1)


def style_distance(a: Tensor, b: Tensor) -> float:
    """The squared energy distance `2 E|A−B| − E|A−A'| − E|B−B'|` of two sets of features (N, D), (M, D).

    Unbiased: about 0 for two sets from one source, and then as often below as above. At least two each.
    """
    _require_two(a, b)
    ones_a, ones_b = np.ones(len(a)), np.ones(len(b))
    return _energy(_pairwise(a, b), _pairwise(a, a), _pairwise(b, b), ones_a, ones_b)


def style_score(real: Tensor, before: Tensor, after: Tensor, *, seed: int = 0) -> StyleScore:
    """Compares features (N, D) of the collection's pictures with those drawn before and after a run.

    The features are standardised by the real ones. Where all three have as many rows, row i of each is
    taken to be of one caption, and the bootstrap draws captions; else it draws each set by itself.
    """
    _require_two(real, before, after)
    mean, scale = _standard(real, before)
    real, before, after = ((rows.double() - mean) / scale for rows in (real, before, after))
    distances = _Distances(real, before, after)
    was, now = distances.weighted(*(np.ones(len(rows)) for rows in (real, before, after)))
    floor = _floor(distances.real_real, seed, num_drawn=len(before))
    if floor is None or was <= max(floor, 0.0):
        return StyleScore(None, None, None, was, now, floor, len(after))
    low, high = _bootstrap(distances, seed)
    return StyleScore(_score(was, now), low, high, was, now, floor, len(after))


class _Distances:
    """The five matrices that both energy distances need, computed once for all resamples."""

    def __init__(self, real: Tensor, before: Tensor, after: Tensor) -> None:
        self.sizes = len(real), len(before), len(after)
        self.real_real = _pairwise(real, real)
        self._before, self._before_real = _pairwise(before, before), _pairwise(before, real)
        self._after, self._after_real = _pairwise(after, after), _pairwise(after, real)

    def weighted(self, real: Any, before: Any, after: Any) -> tuple[float, float]:
        """Distances before and after, each picture counting as often as its weight says."""
        return (
            _energy(self._before_real, self._before, self.real_real, before, real),
            _energy(self._after_real, self._after, self.real_real, after, real),
        )


def _latent_features(latents: Tensor) -> Tensor:
    coarse = functional.avg_pool2d(latents, 2)
    roughness = latents.diff(dim=2).abs().mean(dim=(2, 3)) + latents.diff(dim=3).abs().mean(dim=(2, 3))
    return torch.cat([latents.mean(dim=(2, 3)), latents.std(dim=(2, 3)), coarse.std(dim=(2, 3)), roughness], dim=1)


def _edge_features(luma_BHW: Tensor) -> Tensor:
    """Strength, spread, peakedness of the edges, and how far they run upright rather than level; (B, 4)."""
    across, down = luma_BHW.diff(dim=2)[:, 1:, :], luma_BHW.diff(dim=1)[:, :, 1:]
    strength = (across.square() + down.square()).sqrt()
    mean, spread = strength.mean(dim=(1, 2)), strength.std(dim=(1, 2))
    upright = (across.abs() - down.abs()).mean(dim=(1, 2)) / (across.abs() + down.abs()).mean(dim=(1, 2)).add(1e-3)
    return torch.stack([mean, spread, mean / (spread + 1e-3), upright], dim=1)


def _score(was: float, now: float) -> float:
    # The unbiased distance of equal sets is as often below 0 as above: not nearer than there.
    return 1 - max(now, 0.0) / was


def _standard(real: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
    real, both = real.double(), torch.cat([real, before]).double()
    scale = torch.maximum(real.std(dim=0), _MIN_SCALE_SHARE * both.std(dim=0)).clamp_min(1e-6)
    return real.mean(dim=0), scale


def _pairwise(a: Tensor, b: Tensor) -> Any:
    # Not by the matrix product: for a row with itself that gives 1e-7 rather than 0.
    return torch.cdist(a.double(), b.double(), compute_mode="donot_use_mm_for_euclid_dist").numpy()


def _energy(between: Any, within_a: Any, within_b: Any, weights_a: Any, weights_b: Any) -> float:
    cross = weights_a @ between @ weights_b / (weights_a.sum() * weights_b.sum())
    return float(2 * cross - _mean_within(within_a, weights_a) - _mean_within(within_b, weights_b))


def _mean_within(distances: Any, weights: Any) -> float:
    # A picture's distance to itself, or to its own copy in a resample, is left out: it would bias.
    pairs = weights.sum() ** 2 - (weights**2).sum()
    return float(weights @ distances @ weights / pairs) if pairs else 0.0


def _floor(real_real: Any, seed: int, *, num_drawn: int) -> float | None:
    count = len(real_real)
    if count < _MIN_REAL:
        return None
    random = np.random.default_rng(seed)
    values = []
    for _ in range(_NUM_SPLITS):
        first = np.zeros(count)
        first[random.permutation(count)[: count // 2]] = 1
        values.append(_energy(real_real, real_real, real_real, first, 1 - first))
    # By chance alone the distance of sets of n and m goes as 1/n + 1/m; halves are smaller than what is compared.
    to_full_size = (1 / count + 1 / num_drawn) / (4 / count)
    return float(np.quantile(values, _FLOOR_QUANTILE)) * to_full_size


def _bootstrap(distances: _Distances, seed: int) -> tuple[float, float]:
    random = np.random.default_rng(seed + 1)
    paired = len(set(distances.sizes)) == 1
    scores = []
    for _ in range(_NUM_RESAMPLES):
        if paired:
            weights = [random.multinomial(distances.sizes[0], np.full(distances.sizes[0], 1 / distances.sizes[0]))] * 3
        else:
            weights = [random.multinomial(size, np.full(size, 1 / size)) for size in distances.sizes]
        was, now = distances.weighted(*(w.astype(np.float64) for w in weights))
        if was > 0:
            scores.append(_score(was, now))
    low, high = np.quantile(scores, [0.025, 0.975]) if scores else (np.nan, np.nan)
    return float(low), float(high)


def _require_two(*sets: Tensor) -> None:
    if any(len(rows) < 2 for rows in sets):
        raise ValueError("a style distance needs at least two pictures in each set: raise validation.num_style_images")
