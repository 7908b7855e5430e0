import math

import numpy as np
import pytest

from momalisa.training.estimates import estimate_loss, paired_difference, student_t_quantile


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.706), (4, 2.776), (5, 2.571), (6, 2.447), (10, 2.228), (30, 2.042), (255, 1.969)],
)
def test_student_t_is_that_of_the_tables(degrees: int, quantile: float) -> None:
    assert student_t_quantile(degrees) == pytest.approx(quantile, abs=1.5e-3)


def test_an_interval_holds_the_true_mean_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    estimates = [estimate_loss(random.normal(3.0, 1.0, size=8).tolist()) for _ in range(2000)]
    covered = np.mean([e.low <= 3.0 <= e.high for e in estimates])
    assert covered == pytest.approx(0.95, abs=0.015)


def test_timesteps_are_not_counted_as_samples() -> None:
    by_timestep = estimate_loss([[0.0, 2.0], [1.0, 3.0]])
    by_sample = estimate_loss([1.0, 2.0])
    assert by_timestep == by_sample
    assert by_timestep.num_samples == 2


def test_pairing_finds_a_change_that_the_losses_own_intervals_hide() -> None:
    random = np.random.default_rng(1)
    before = random.uniform(0.05, 0.5, size=64)
    after = before * 0.97 + random.normal(0, 0.002, size=64)
    change = paired_difference(before.tolist(), after.tolist())
    first, last = estimate_loss(before.tolist()), estimate_loss(after.tolist())
    assert first.low < last.mean < first.high
    assert change.high < 0
    assert not change.contains_zero
    assert change.relative == pytest.approx(-0.03, abs=0.005)
    assert change.relative_low < change.relative < change.relative_high


def test_a_single_sample_has_a_mean_and_no_interval() -> None:
    change = paired_difference([1.0], [0.5])
    assert change.mean == -0.5
    assert math.isnan(change.low)
    assert change.contains_zero


def test_a_loss_that_is_not_finite_has_no_interval() -> None:
    change = paired_difference([1.0, 1.0, 1.0], [1.0, math.inf, 1.0])
    assert change.after == math.inf
    assert math.isnan(change.high)


def test_different_samples_are_refused() -> None:
    with pytest.raises(ValueError, match="2 samples before and 1 after"):
        paired_difference([1.0, 2.0], [1.0])
    with pytest.raises(ValueError, match="no samples"):
        estimate_loss([])
