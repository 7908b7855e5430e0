"""What a run measures, as records: means with 95 % intervals, and how weights and pictures changed.

A sample's loss is the mean over its timesteps, so that timesteps are never counted as samples. Nothing
here needs torch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, stdev

_SMALL_QUANTILES = (12.7062, 4.3027, 3.1824, 2.7764)
"""Student's t at 97.5 % for 1 to 4 degrees of freedom, where the expansion below is too coarse."""


@dataclass(frozen=True, slots=True)
class LossEstimate:
    """A mean loss and its 95 % interval; NaN bounds for fewer than two samples."""

    mean: float
    low: float
    high: float
    num_samples: int

    def __str__(self) -> str:
        return f"{self.mean:.4f} (95 % of {self.low:.4f} … {self.high:.4f}, {self.num_samples} samples)"


@dataclass(frozen=True, slots=True)
class Recognition:
    """Shares of drawn pictures in which the style classifier saw the manner that was asked for."""

    taught: str
    """The collection's manner."""
    taught_before: float
    taught_after: float
    known_before: float
    """Of the manners that the base model could draw."""
    known_after: float
    num_taught: int
    """Pictures, before and after each."""
    num_known: int

    @property
    def known_loss(self) -> float:
        """By how much the share of the known manners fell."""
        return self.known_before - self.known_after


@dataclass(frozen=True, slots=True)
class Difference:
    """after − before of the same samples, with its 95 % interval; negative is better, for losses."""

    before: float
    """The mean before."""
    after: float
    mean: float
    low: float
    high: float
    num_samples: int

    @property
    def relative(self) -> float:
        """The change as a share of the mean before; NaN where that is 0."""
        return self._share(self.mean)

    @property
    def relative_low(self) -> float:
        """The lower bound as a share of the mean before."""
        return self._share(self.low)

    @property
    def relative_high(self) -> float:
        """The upper bound as a share of the mean before."""
        return self._share(self.high)

    @property
    def contains_zero(self) -> bool:
        """Whether no change at all fits the measurement; also where there is no interval."""
        return not (self.low > 0 or self.high < 0)

    def in_percent(self) -> str:
        """For a sentence: `-4.1 % (-5.0 … -3.2)`."""
        return f"{self.relative:+.1%} ({self.relative_low:+.1%} … {self.relative_high:+.1%})"

    def _share(self, value: float) -> float:
        return value / self.before if self.before else math.nan


@dataclass(frozen=True, slots=True)
class WeightChange:
    """‖after − before‖ / ‖before‖ in the Frobenius norm."""

    overall: float
    by_module: dict[str, float]
    """By the leading parts of the parameters' names, for example `unet.mid_block`."""
    is_lora: bool = False
    """Of the weights that adapters were put on, as if merged into them."""


@dataclass(frozen=True, slots=True)
class StyleScore:
    """`1 − distance_after / distance_before`: 1 is indistinguishable, 0 no nearer, negative further away."""

    score: float | None
    """None where even the base model's pictures are no further away than the floor, or there is no floor."""
    low: float | None
    """Of the 95 % bootstrap interval."""
    high: float | None
    distance_before: float
    distance_after: float
    floor: float | None
    """What chance alone gives: the 95 % quantile of the distance between halves of the real pictures, scaled
    to the number of pictures compared. None where the real ones are too few to say."""
    num_images: int


def estimate_loss(sample_losses: Sequence[float] | Sequence[Sequence[float]]) -> LossEstimate:
    """The mean of samples' losses, each a number or the numbers of its timesteps.

    Raises ValueError where there is no sample.
    """
    means = _sample_means(sample_losses)
    mean, half = _mean_and_half_width(means)
    return LossEstimate(mean=mean, low=mean - half, high=mean + half, num_samples=len(means))


def paired_difference(
    before: Sequence[float] | Sequence[Sequence[float]], after: Sequence[float] | Sequence[Sequence[float]]
) -> Difference:
    """How the same samples' losses changed, with the same noise and timesteps.

    The interval is over the samples' own differences: most of a loss's spread is what a picture and a
    timestep are, which cancels, so it is far tighter than the two losses' own intervals.
    Raises ValueError where the two differ in length or are empty.
    """
    old, new = _sample_means(before), _sample_means(after)
    if len(old) != len(new):
        raise ValueError(f"{len(old)} samples before and {len(new)} after: measure the same samples both times")
    mean, half = _mean_and_half_width([b - a for a, b in zip(old, new, strict=True)])
    return Difference(
        before=fmean(old), after=fmean(new), mean=mean, low=mean - half, high=mean + half, num_samples=len(old)
    )


def student_t_quantile(degrees_of_freedom: int) -> float:
    """The 97.5 % quantile of Student's t, to three decimals.

    Cornish–Fisher expansion around the normal's (Abramowitz & Stegun 26.7.5), tabled where it is too coarse.
    """
    if degrees_of_freedom <= len(_SMALL_QUANTILES):
        return _SMALL_QUANTILES[degrees_of_freedom - 1]
    z, n = NormalDist().inv_cdf(0.975), degrees_of_freedom
    terms = (
        z,
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return math.fsum(term / n**power for power, term in enumerate(terms))


def _sample_means(losses: Sequence[float] | Sequence[Sequence[float]]) -> list[float]:
    means = [float(value) if isinstance(value, (int, float)) else fmean(value) for value in losses]
    if not means:
        raise ValueError("there are no samples to estimate a loss from: use at least two held-out pictures")
    return means


def _mean_and_half_width(values: Sequence[float]) -> tuple[float, float]:
    mean = fmean(values)
    # stdev refuses NaN and infinity in its own ways; a loss that diverged has no interval.
    if len(values) < 2 or not all(map(math.isfinite, values)):
        return mean, math.nan
    return mean, student_t_quantile(len(values) - 1) * stdev(values) / math.sqrt(len(values))
