"""Distances of pictures and of sets of pictures, by the style classifier's features: nothing to download."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from momalisa.styles.classifier import StyleClassifier

_MIN_PER_FEATURE = 2
_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class FrechetDistance:
    """`value` of drawn against real, `floor` of real against other real ones, each of `num_pictures`."""

    value: float
    floor: float
    num_pictures: int


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The Fréchet distance `|μa − μb|² + tr(Σa + Σb − 2(ΣaΣb)^½)` (Dowson & Landau 1982; as FID: Heusel et al. 2017,
    arXiv:1706.08500) of two sets of features (N, D), as many in each.

    It has a bias that falls with N: compare it with that of two sets of real pictures, of the same N.
    Raises ValueError for sets of different sizes, or of fewer than two pictures to a feature.
    """
    if a.shape != b.shape:
        raise ValueError(
            f"sets of {tuple(a.shape)} and {tuple(b.shape)} features: their bias differs; take equal sizes"
        )
    if len(a) < _MIN_PER_FEATURE * a.shape[1]:
        raise ValueError(f"{len(a)} pictures are too few for {a.shape[1]} features: take at least twice as many")
    a, b = a.double(), b.double()
    difference = a.mean(dim=0) - b.mean(dim=0)
    covariance_a, covariance_b = torch.cov(a.T), torch.cov(b.T)
    # tr (ΣaΣb)^½ = tr (Σa^½ Σb Σa^½)^½, whose matrix is symmetric.
    root = _symmetric_root(covariance_a)
    cross = torch.linalg.eigvalsh(root @ covariance_b @ root).clamp_min(0).sqrt().sum()
    return float(difference.square().sum() + covariance_a.trace() + covariance_b.trace() - 2 * cross)


def frechet_against_floor(drawn: Tensor, real: Tensor, other_real: Tensor) -> FrechetDistance:
    """The distance of drawn pictures from real ones beside that of real ones from real ones, (N, D) each."""
    return FrechetDistance(frechet_distance(drawn, real), frechet_distance(other_real, real), len(real))


def perceptual_distance(classifier: StyleClassifier, a: Any, b: Any) -> Tensor:
    """How different pictures look, (N,): pictures uint8 (N, H, W, 3), the i-th of `a` with the i-th of `b`.

    As LPIPS (Zhang et al. 2018, arXiv:1801.03924) without learnt weights: maps of four scales, made of unit
    length over their channels, squared differences, the mean over space and scales. 0 for equal pictures.
    """
    return _distance_of_maps(_unit_maps(classifier, a), _unit_maps(classifier, b))


def mean_pairwise_distance(classifier: StyleClassifier, pictures: Any) -> float:
    """The mean perceptual distance of all pairs of at least two pictures: how various they are."""
    if len(pictures) < 2:
        raise ValueError("one picture has no variety: give at least two")
    maps = _unit_maps(classifier, pictures)
    first, second = (list(index) for index in zip(*combinations(range(len(pictures)), 2), strict=True))
    return float(_distance_of_maps([m[first] for m in maps], [m[second] for m in maps]).mean())


def diversity(classifier: StyleClassifier, drawn: Sequence[Any], real: Sequence[Any]) -> float:
    """Mean pairwise distance of pictures drawn for one prompt with several seeds, over that of real ones for it.

    Each element holds the pictures of one prompt. 1: as various as the real ones; 0: all the same.
    """
    ours = np.mean([mean_pairwise_distance(classifier, pictures) for pictures in drawn])
    theirs = np.mean([mean_pairwise_distance(classifier, pictures) for pictures in real])
    return float(ours / theirs)


def _symmetric_root(matrix: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = (vectors * values.clamp_min(0).sqrt()) @ vectors.T
    return root


def _unit_maps(classifier: StyleClassifier, pictures: Any) -> list[Tensor]:
    return [m / (m.square().sum(dim=1, keepdim=True).sqrt() + _EPSILON) for m in classifier.maps(pictures)]


def _distance_of_maps(a: list[Tensor], b: list[Tensor]) -> Tensor:
    scales = [(x - y).square().sum(dim=1).mean(dim=(1, 2)) for x, y in zip(a, b, strict=True)]
    return torch.stack(scales).mean(dim=0)
