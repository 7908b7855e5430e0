from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from momalisa.training.style_score import style_distance, style_features, style_score
from tests.support.small_sd import SIZE, small_components


def _sets(count: int = 24, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A collection, a base model far from it, and a model half-way: features (count, 6)."""
    generator = torch.Generator().manual_seed(seed)
    real, before, after = (torch.randn(count, 6, generator=generator) for _ in range(3))
    return real, before + 4, after + 1


def test_distance_is_about_zero_for_one_source_and_grows_with_the_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(60, 4, generator=generator), torch.randn(60, 4, generator=generator)
    assert abs(style_distance(a, b)) < 0.1
    assert style_distance(a, b + 1) < style_distance(a, b + 2) < style_distance(a, b + 4)
    assert style_distance(a, b + 2) == pytest.approx(style_distance(b + 2, a))


def test_score_rises_from_no_change_to_the_collection_itself() -> None:
    real, before, after = _sets()
    unchanged = style_score(real, before, before)
    nearer = style_score(real, before, after)
    arrived = style_score(real, before, real.flip(0))
    assert unchanged.score == 0
    assert unchanged.score < nearer.score < arrived.score  # type: ignore[operator]
    assert arrived.score == pytest.approx(1, abs=0.1)
    assert nearer.low is not None
    assert nearer.high is not None
    assert 0 < nearer.low < nearer.score < nearer.high  # type: ignore[operator]


def test_going_away_from_the_collection_is_negative() -> None:
    real, before, after = _sets()
    score = style_score(real, after, before)
    assert score.score is not None
    assert score.score < 0
    assert score.high is not None
    assert score.high < 0


def test_no_score_where_the_base_model_draws_like_the_collection() -> None:
    generator = torch.Generator().manual_seed(3)
    real, before, after = (torch.randn(24, 6, generator=generator) for _ in range(3))
    score = style_score(real, before, after)
    assert score.score is None
    assert score.floor is not None
    assert score.distance_before < score.floor


def test_no_score_of_so_few_pictures_that_chance_cannot_be_told() -> None:
    real, before, after = _sets(count=6)
    score = style_score(real, before, after)
    assert score.score is None
    assert score.floor is None


def test_noise_alone_rarely_counts_as_learning() -> None:
    wrong = 0
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        real = torch.randn(24, 6, generator=generator)
        before, after = (torch.randn(24, 6, generator=generator) + 2 for _ in range(2))
        score = style_score(real, before, after)
        wrong += score.low is not None and score.low > 0
    assert wrong <= 4


def test_units_do_not_matter_and_a_constant_feature_does_no_harm() -> None:
    real, before, after = _sets()
    plain = style_score(real, before, after)
    scale = torch.tensor([1, 1000, 0.001, 1, 50, 1])
    assert style_score(real * scale, before * scale, after * scale).score == pytest.approx(plain.score, abs=1e-4)
    constant = torch.zeros(24, 1)
    with_constant = style_score(*(torch.cat([rows, constant], dim=1) for rows in (real, before, after)))
    assert with_constant.score == pytest.approx(plain.score)


def test_sets_of_different_sizes_and_the_same_result_twice() -> None:
    real, before, after = _sets()
    first = style_score(real, before[:10], after[:12])
    assert first == style_score(real, before[:10], after[:12])
    assert first.score is not None
    assert first.score > 0.5


def test_one_picture_is_too_few() -> None:
    with pytest.raises(ValueError, match="num_style_images"):
        style_score(torch.zeros(1, 3), torch.zeros(4, 3), torch.zeros(4, 3))


def test_features_of_pictures_tell_manners_apart(tmp_path: Path) -> None:
    vae = small_components(tmp_path).vae
    random = np.random.default_rng(0)
    stripes = [_stripes(random) for _ in range(12)]
    other_stripes = [_stripes(random) for _ in range(12)]
    clouds = [_clouds(random) for _ in range(12)]
    real, before, after = (style_features(vae, pictures) for pictures in (stripes, clouds, other_stripes))
    assert real.shape[0] == 12
    assert torch.isfinite(torch.cat([real, before, after])).all()
    score = style_score(real, before, after)
    assert score.score is not None
    assert score.score > 0.9
    assert score.low is not None
    assert score.low > 0.5


def test_plain_pictures_have_finite_features(tmp_path: Path) -> None:
    vae = small_components(tmp_path).vae
    plain = np.stack([np.full((SIZE, SIZE, 3), value, np.uint8) for value in (0, 128, 255)])
    assert torch.isfinite(style_features(vae, plain)).all()


def _stripes(random: np.random.Generator) -> Any:
    colours = random.integers(0, 255, size=(2, 3))
    which = (np.arange(SIZE) // random.integers(2, 6)) % 2
    return np.broadcast_to(colours[which][None], (SIZE, SIZE, 3)).astype(np.uint8)


def _clouds(random: np.random.Generator) -> Any:
    coarse = random.integers(60, 200, size=(4, 4, 3))
    return np.kron(coarse, np.ones((SIZE // 4, SIZE // 4, 1))).astype(np.uint8)
