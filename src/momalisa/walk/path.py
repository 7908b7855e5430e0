"""The path of a walk: which waypoints it visits, where its frames lie, and how it blends. Pure maths, no model.

A path is a chain of segments, from one waypoint to the next. On each segment lies the same dyadic grid of
2^depth steps; every frame sits on a grid point, so that walks share frames and no rounding can move one.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from momalisa.errors import ConfigError

Shape = Literal["open", "loop"]
Easing = Literal["linear", "smooth", "slow_in_the_middle", "slow_at_the_ends"]
Floats = NDArray[np.float64]
Array = NDArray[np.floating[Any]]

_SWING: dict[str, float] = {"linear": 0.0, "smooth": -0.5, "slow_in_the_middle": 0.8, "slow_at_the_ends": -0.9}
EASINGS: tuple[str, ...] = tuple(_SWING)
_PARALLEL = 1 - 1e-7
"""Cosine from which on two directions count as one, and slerp as lerp."""


@dataclass(frozen=True, slots=True)
class Point:
    """A place on a path: so far along one of its segments, 0 ≤ t < 1, or t = 1 at the very end of an open one."""

    segment: int
    t: Fraction


@dataclass(frozen=True, slots=True)
class Blend:
    """The waypoints' shares at a point: `1 - weight` of `first` and `weight` of `second`, by their indices."""

    first: int
    second: int
    weight: float


@dataclass(frozen=True, slots=True)
class Path:
    """The order in which `num_waypoints` are visited.

    `open` ends at the last; `loop` goes on to the first and ends one frame before it, so that the animation repeats
    without a doubled frame. A boomerang is an open path whose frames are shown again (`there_and_back`).
    """

    num_waypoints: int
    shape: Shape = "open"

    def __post_init__(self) -> None:
        if self.num_waypoints < 2:
            raise ConfigError(f"a walk needs at least two waypoints, not {self.num_waypoints}: add a prompt")

    @property
    def stops(self) -> tuple[int, ...]:
        """Indices of the waypoints in order, the one that closes a loop included."""
        there = tuple(range(self.num_waypoints))
        return there if self.shape == "open" else (*there, 0)

    @property
    def num_segments(self) -> int:
        """Stretches between two stops."""
        return len(self.stops) - 1

    @property
    def min_frames(self) -> int:
        """So many frames show every stop once."""
        return self.num_segments + (self.shape == "open")

    def num_intervals(self, num_frames: int) -> int:
        """Steps between frames, that back to the first frame of a closed path included.

        Raises ConfigError for fewer frames than stops.
        """
        if num_frames < self.min_frames:
            raise ConfigError(
                f"{num_frames} frames are too few for {self.num_waypoints} waypoints ({self.shape}): "
                f"take at least {self.min_frames}"
            )
        return num_frames - (self.shape == "open")

    def blend(self, point: Point) -> Blend:
        """Whose shares are at a point; exactly one waypoint's at a stop."""
        return Blend(self.stops[point.segment], self.stops[point.segment + 1], float(point.t))


def grid_depth(path: Path, num_frames: int) -> int:
    """So fine a grid that all frames have room on any one segment, with sixteen points or more to each."""
    return math.ceil(math.log2(16 * path.num_intervals(num_frames)))


def place_evenly(path: Path, num_frames: int, easing: Easing = "linear") -> list[Point]:
    """Frames evenly in t, but for the easing, which holds between each two stops; as many in every segment as can be.

    Every stop gets a frame, no point gets two. Raises ConfigError for fewer frames than stops.
    """
    intervals = share_out(path.num_intervals(num_frames), [1.0] * path.num_segments)
    steps = 1 << grid_depth(path, num_frames)
    points = []
    for segment, count in enumerate(intervals):
        wanted = ease(easing)(np.linspace(0, 1, count + 1)) * steps
        places = spread(np.rint(wanted).astype(int).tolist(), 0, steps)
        points += [Point(segment, Fraction(i, steps)) for i in places[:-1]]
    if path.shape == "open":
        points.append(Point(path.num_segments - 1, Fraction(1)))
    return points


def num_there(num_frames: int) -> int:
    """Frames on the way there, of a boomerang that shows so many."""
    return (num_frames + 1) // 2 + 1


def there_and_back(num_frames: int) -> list[int]:
    """Which frame of the way there a boomerang shows when: its ends once, so that it repeats without a doubled frame.

    Of an odd number of frames the way back has one less, in its middle.
    """
    there = list(range(num_there(num_frames)))
    back = there[-2:0:-1]
    if num_frames % 2:
        del back[len(back) // 2]
    return there + back


def share_out(total: int, lengths: Sequence[float]) -> list[int]:
    """`total` in whole parts by the lengths, at least one each: by the largest remainders (Hamilton's method)."""
    if total < len(lengths):
        raise ConfigError(f"{total} steps are too few for {len(lengths)} segments")
    whole = sum(lengths)
    spare = total - len(lengths)
    # A path without any length is one whose segments count alike.
    exact = [spare * (length / whole if whole > 0 else 1 / len(lengths)) for length in lengths]
    parts = [math.floor(share) for share in exact]
    by_remainder = sorted(range(len(lengths)), key=lambda i: (parts[i] - exact[i], i))
    for index in by_remainder[: spare - sum(parts)]:
        parts[index] += 1
    return [part + 1 for part in parts]


def ease(easing: Easing) -> Callable[[Floats], Floats]:
    """A strictly rising map of [0, 1] onto itself: x + a sin(2πx) / 2π, of speed 1 + a cos(2πx).

    `smooth` and `slow_at_the_ends` rest at the waypoints, `slow_in_the_middle` rests between them.
    Raises ConfigError for an unknown one.
    """
    if easing not in _SWING:
        raise ConfigError(f"no easing {easing!r}; choose from {', '.join(EASINGS)}")
    swing = _SWING[easing]

    def eased(x: Floats) -> Floats:
        return x + swing * np.sin(2 * np.pi * x) / (2 * np.pi)

    return eased


def lerp(a: Array, b: Array, weight: float) -> Array:
    """The straight line from `a` to `b`; at 0 and 1 exactly they themselves."""
    if weight in (0, 1):
        return b if weight else a
    return ((1 - weight) * a + weight * b).astype(a.dtype)


def slerp(a: Array, b: Array, weight: float, *, axis: int | None = None) -> Array:
    """The great circle from `a` to `b` (Shoemake 1985), lengths in between; at 0 and 1 exactly they themselves.

    Whole arrays count as one vector each, or those along `axis`. For Gaussian noise it keeps the variance that
    the straight line would halve in the middle. Vectors that are parallel, or of no length, go straight; opposite
    ones, between which there is no one shortest way, do too.
    """
    if weight in (0, 1):
        return b if weight else a
    first, second = a.astype(np.float64), b.astype(np.float64)
    length_a, length_b = (np.sqrt(np.sum(v * v, axis=axis, keepdims=True)) for v in (first, second))
    products = length_a * length_b
    cosine = np.sum(first * second, axis=axis, keepdims=True) / np.where(products > 0, products, 1)
    angle = np.arccos(np.clip(cosine, -1, 1))
    straight = (np.abs(cosine) > _PARALLEL) | (products == 0)
    sine = np.where(straight, 1, np.sin(angle))
    share_a = np.where(straight, 1 - weight, np.sin((1 - weight) * angle) / sine)
    share_b = np.where(straight, weight, np.sin(weight * angle) / sine)
    # On directions, with the lengths blended apart: vectors of different lengths turn at an even pace too.
    length = (1 - weight) * length_a + weight * length_b
    unit_a, unit_b = (v / np.where(n > 0, n, 1) for v, n in ((first, length_a), (second, length_b)))
    turned = length * (share_a * unit_a + share_b * unit_b)
    gone_straight = (1 - weight) * first + weight * second
    return np.where(straight, gone_straight, turned).astype(a.dtype)


def spread(points: list[int], first: int, last: int) -> list[int]:
    """The nearest rising whole numbers that are all different, from `first` to `last`, where there are enough."""
    points = [first, *points[1:-1], last]
    for i in range(1, len(points)):
        points[i] = max(points[i], points[i - 1] + 1)
    points[-1] = last
    for i in range(len(points) - 2, -1, -1):
        points[i] = min(points[i], points[i + 1] - 1)
    return points


def monotone_cubic(x: Floats, y: Floats) -> Callable[[Floats], Floats]:
    """The smooth curve through rising points (x, y) that never falls (Fritsch & Butland 1984): cubic in each interval,
    with the harmonic mean of the neighbouring slopes at each point."""
    widths, slopes = np.diff(x), np.diff(y) / np.diff(x)
    before, after = slopes[:-1], slopes[1:]
    weight = (widths[:-1] + 2 * widths[1:]) / (3 * (widths[:-1] + widths[1:]))
    total = weight * after + (1 - weight) * before
    inner = np.where(before * after > 0, before * after / np.where(total > 0, total, 1), 0)
    tangents = np.concatenate([slopes[:1], inner, slopes[-1:]])

    def curve(at: Floats) -> Floats:
        i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(widths) - 1)
        h, s = widths[i], (at - x[i]) / widths[i]
        start = (1 + 2 * s) * (1 - s) ** 2 * y[i] + s * (1 - s) ** 2 * h * tangents[i]
        end = s * s * (3 - 2 * s) * y[i + 1] + s * s * (s - 1) * h * tangents[i + 1]
        whole: Floats = start + end
        return whole

    return curve
