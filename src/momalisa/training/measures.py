"""Measures of what a run changed: pure functions of losses, weights and features."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

_T_975 = {
    1: 12.71,
    2: 4.303,
    3: 3.182,
    4: 2.776,
    5: 2.571,
    7: 2.365,
    10: 2.228,
    15: 2.131,
    20: 2.086,
    30: 2.042,
    60: 2.0,
}
"""Student's t at 97.5 % by degrees of freedom; 1.96 beyond."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def mean_interval(values: Sequence[float]) -> Interval:
    """Of independent values, at least two: mean ± t · s / √n."""
    array = np.asarray(values, dtype=np.float64)
    mean = float(array.mean())
    half = _student(len(array) - 1) * float(array.std(ddof=1)) / float(np.sqrt(len(array)))
    return Interval(mean, mean - half, mean + half)


def relative_difference(before: Sequence[float], after: Sequence[float]) -> Interval:
    """Of paired values: the mean of after − before, over the mean of before, with its interval.

    Paired by sample, noise and timestep, which makes it far tighter than the two means' own intervals.
    """
    base = float(np.mean(before))
    difference = mean_interval([b - a for a, b in zip(before, after, strict=True)])
    return Interval(difference.mean / base, difference.low / base, difference.high / base)


def relative_change(changes: Iterable[tuple[Tensor, Tensor]]) -> float:
    """‖after − before‖ / ‖before‖ over all weights, from pairs of tensors (before, after)."""
    moved = size = 0.0
    for before, after in changes:
        moved += float((after.float() - before.float()).square().sum())
        size += float(before.float().square().sum())
    return float(np.sqrt(moved / max(size, 1e-30)))


@dataclass(frozen=True, slots=True)
class StyleScore:
    """How much nearer to the collection the drawn pictures came: `1 − after / before`.

    0: no nearer; 1: as near as can be; below 0: further away. Distances are energy distances; `floor` is
    that between two halves of the collection's own pictures.
    """

    score: float
    low: float
    high: float
    distance_before: float
    distance_after: float
    floor: float


def style_score(real: Tensor, before: Tensor, after: Tensor, *, num_resamples: int = 200, seed: int = 0) -> StyleScore:
    """From features (N, D) of held-out pictures and of pictures drawn for their captions, before and after.

    The interval is a bootstrap's over pictures.
    """
    mean, std = real.mean(0), real.std(0).clamp_min(1e-6)
    real, before, after = ((x - mean) / std for x in (real, before, after))
    near, nearer = energy_distance(real, before), energy_distance(real, after)
    random = np.random.default_rng(seed)
    scores = []
    for _ in range(num_resamples):
        rows = torch.from_numpy(random.integers(0, len(real), len(real)))
        others = torch.from_numpy(random.integers(0, len(before), len(before)))
        far = energy_distance(real[rows], before[others])
        scores.append(1 - energy_distance(real[rows], after[others]) / max(far, 1e-9))
    low, high = (float(q) for q in np.percentile(scores, [2.5, 97.5]))
    half = len(real) // 2
    return StyleScore(1 - nearer / max(near, 1e-9), low, high, near, nearer, energy_distance(real[:half], real[half:]))


def energy_distance(a: Tensor, b: Tensor) -> float:
    """Energy distance of two sets of features, (N, D) and (M, D): `2 E‖a−b‖ − E‖a−a'‖ − E‖b−b'‖`.

    Székely & Rizzo 2013; at least 0, and 0 for the same distribution.
    """
    return float((2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).clamp_min(0))


def picture_features(vae: Any, pictures: Any, batch_size: int = 8) -> Tensor:
    """Features (N, D) of pictures (N, H, W, 3) uint8 that need no other model than the VAE.

    Of the latents: mean and deviation by channel, and the deviations of neighbours' differences at two
    scales; of the pixels: mean and deviation by channel.
    """
    features = []
    for start in range(0, len(pictures), batch_size):
        pixels = torch.from_numpy(np.ascontiguousarray(pictures[start : start + batch_size])).permute(0, 3, 1, 2)
        pixels = pixels.float() / 127.5 - 1
        with torch.no_grad():
            latents = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist.mean.float().cpu()
        coarse = torch.nn.functional.avg_pool2d(latents, 2)
        parts = [latents.mean((2, 3)), latents.std((2, 3)), pixels.mean((2, 3)), pixels.std((2, 3))]
        parts += [scale.diff(dim=axis).std((2, 3)) for scale in (latents, coarse) for axis in (2, 3)]
        features.append(torch.cat(parts, dim=1))
    return torch.cat(features)


def _student(degrees: int) -> float:
    if degrees < 1:
        raise ValueError("an interval needs at least two values")
    return next((_T_975[d] for d in sorted(_T_975, reverse=True) if d <= degrees), 12.71) if degrees <= 120 else 1.96
