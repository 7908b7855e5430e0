"""What a walk renders, in which order, and what that costs, before and after the pictures have been looked at.

A plan is known from the request alone: the grid, the key frames, a bound of the cost. The placement follows
from the key frames' distances, in rounds: keys, the frames between them, refinements of the worst gaps. Each
round is a few whole numbers, so that once it is written down no machine's rounding can move a frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from momalisa.errors import ConfigError
from momalisa.walk.path import Easing, Path, Point, ease, grid_depth, share_out


@dataclass(frozen=True, kw_only=True, slots=True)
class Branching:
    """How frames between two parents begin: late where the parents look alike, early where they do not."""

    earliest: float = 0.5
    """Share of the steps after which a frame between parents that are `far` apart goes its own way."""
    latest: float = 0.85
    """The same, between parents that look alike."""
    far: float = 0.5
    """Distance from which on parents count as far apart, by the ruler in use."""
    num_levels: int = 4
    """So many steps there are to begin at, evenly from the earliest to the latest: those states are kept."""
    max_key_share: float = 0.25
    """Of the frames may be key frames, denoised in full."""
    refine_share: float = 0.1
    """Of the frames are kept for the worst gaps."""

    def __post_init__(self) -> None:
        if not 0 <= self.earliest <= self.latest < 1:
            raise ConfigError(f"branching from {self.earliest} to {self.latest}: 0 ≤ earliest ≤ latest < 1 is needed")
        if self.num_levels < 1:
            raise ConfigError(f"{self.num_levels} levels to branch off from: take at least 1")

    def start_steps(self, num_inference_steps: int) -> tuple[int, ...]:
        """Steps, counted from 0, from which on a frame may be denoised by itself; the earliest first."""
        shares = np.linspace(self.earliest, self.latest, self.num_levels)
        return tuple(sorted({math.floor(share * num_inference_steps) for share in shares.tolist()}))

    def start_step(self, distance: float, num_inference_steps: int) -> int:
        """The one for parents so far apart: never later than their distance allows."""
        levels = self.start_steps(num_inference_steps)
        nearness = 1 - min(1.0, distance / self.far)
        return levels[math.floor(nearness * (len(levels) - 1) + 1e-9)]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to be: its grid point, counted from the walk's start, and what it starts from.

    Without parents it is denoised from noise, from step 0.
    """

    index: int
    parents: tuple[int, int] | None = None
    """Grid points of rendered frames on either side."""
    start_step: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What rendering takes."""

    unet_evaluations: int
    """Of one latent each; a guided step has two."""
    decodes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A walk's frames, as far as the request decides them."""

    path: Path
    num_frames: int
    num_inference_steps: int
    easing: Easing = "linear"
    branching: Branching = Branching()
    guided_steps: tuple[int, int] | None = None
    """Steps, from and up to, that are guided and so cost two evaluations; None: all."""

    def __post_init__(self) -> None:
        self.path.num_intervals(self.num_frames)  # refuses too few frames
        if self.num_inference_steps < 1:
            raise ConfigError(f"{self.num_inference_steps} inference steps are too few: take at least 1")

    @property
    def depth(self) -> int:
        """Of the grid: 2^depth steps on each segment."""
        return grid_depth(self.path, self.num_frames)

    @property
    def num_grid_steps(self) -> int:
        """Of the whole walk; the grid point of this index is the end, which a closed path leaves out."""
        return self.path.num_segments << self.depth

    def point(self, index: int) -> Point:
        """Where a grid point lies on the path."""
        steps = 2**self.depth
        segment = min(index // steps, self.path.num_segments - 1)
        return Point(segment, Fraction(index - segment * steps, steps))

    @property
    def key_depth(self) -> int:
        """Key frames lie this fine: as many as their share allows, each stop at least."""
        most = max(self.path.min_frames, int(self.num_frames * self.branching.max_key_share))
        depth = 0
        while self._num_keys(depth + 1) <= most and depth < self.depth:
            depth += 1
        return depth

    def keys(self) -> tuple[Frame, ...]:
        """The first round: frames that are denoised in full."""
        stride = 2 ** (self.depth - self.key_depth)
        return tuple(Frame(i * stride) for i in range(self._num_keys(self.key_depth)))

    @property
    def bound(self) -> Cost:
        """The most that the walk may cost: as if all parents were far apart."""
        num_keys = len(self.keys())
        latest = self.branching.start_step(math.inf, self.num_inference_steps)
        between = (self.num_frames - num_keys) * self.evaluations(latest)
        return Cost(unet_evaluations=num_keys * self.evaluations(0) + between, decodes=self.num_frames)

    def cost(self, frames: Sequence[Frame]) -> Cost:
        """What these frames cost, exactly."""
        return Cost(unet_evaluations=sum(self.evaluations(f.start_step) for f in frames), decodes=len(frames))

    def evaluations(self, start_step: int) -> int:
        """Of the UNet, for one frame from this step to the last."""
        begin, end = self.guided_steps or (0, self.num_inference_steps)
        guided = max(0, min(end, self.num_inference_steps) - max(begin, start_step))
        return self.num_inference_steps - start_step + guided

    def _num_keys(self, depth: int) -> int:
        return (self.path.num_segments << depth) + (self.path.shape == "open")


def place_between(plan: Plan, distances: Sequence[float]) -> tuple[Frame, ...]:
    """The second round: frames between the keys, in even steps of the distance but for the easing.

    `distances` are those of neighbouring keys, that from the last key back to the first of a closed path included.
    Some frames are left for `refine`.
    """
    keys = plan.keys()
    bounds = [*(key.index for key in keys), *([] if plan.path.shape == "open" else [plan.num_grid_steps])]
    gaps = len(bounds) - 1
    if len(distances) != gaps:
        raise ValueError(f"{len(distances)} distances for {gaps} gaps between keys")
    spare = min(int(plan.num_frames * plan.branching.refine_share), plan.num_frames - len(keys))
    total = plan.path.num_intervals(plan.num_frames - spare)
    frames = []
    times = _times(plan, distances)
    counts = _limited(share_out(total, np.diff(times).tolist()), bounds)
    followers = [*keys[1:], keys[0]]
    for gap, count in enumerate(counts):
        begin, width = bounds[gap], bounds[gap + 1] - bounds[gap]
        frames += [
            _between(plan, begin + step, keys[gap], followers[gap], distances[gap])
            for step in _steps_within(count, width)
        ]
    return tuple(frames)


def refine(plan: Plan, frames: Sequence[Frame], distances: Sequence[float]) -> tuple[Frame, ...]:
    """The last round: the frames that were left, into the middle of the widest gaps, again and again.

    `frames` are all that are rendered, by their index; `distances` those to each one's next.
    """
    closed = plan.path.shape != "open"
    followers = [*frames[1:], *([frames[0]] if closed else [])]
    gaps = [
        _Gap(distance, left.index, right.index or plan.num_grid_steps, left, right)
        for distance, left, right in zip(distances, frames, followers, strict=False)
    ]
    added = []
    for _ in range(plan.num_frames - len(frames)):
        widest = max((gap for gap in gaps if gap.end - gap.begin >= 2), key=lambda gap: (gap.distance, -gap.begin))
        middle, half = (widest.begin + widest.end) // 2, widest.distance / 2
        added.append(_between(plan, middle, widest.left, widest.right, widest.distance))
        gaps.remove(widest)
        gaps += [replace(widest, distance=half, end=middle), replace(widest, distance=half, begin=middle)]
    return tuple(sorted(added, key=lambda frame: frame.index))


@dataclass(frozen=True, slots=True)
class _Gap:
    """A stretch of the grid between two rendered frames, or a part of it."""

    distance: float
    begin: int
    end: int
    left: Frame
    right: Frame


def _between(plan: Plan, index: int, left: Frame, right: Frame, distance: float) -> Frame:
    """A frame that starts from two others; not before they went their own ways, for they have no earlier states."""
    wanted = plan.branching.start_step(distance, plan.num_inference_steps)
    return Frame(index, (left.index, right.index), max(wanted, left.start_step, right.start_step))


def _times(plan: Plan, distances: Sequence[float]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """When each key is passed, at a pace that is even but for the easing between stops."""
    per_segment = 2**plan.key_depth
    eased_t = np.linspace(0, 1, 4097)
    eased = ease(plan.easing)(eased_t)
    times = [0.0]
    for start in range(0, len(distances), per_segment):
        gone = np.concatenate([[0.0], np.cumsum(np.maximum(distances[start : start + per_segment], 1e-9))])
        within = np.interp(gone / gone[-1], eased, eased_t)
        times += (times[-1] + within[1:] * gone[-1]).tolist()
    return np.array(times)


def _limited(counts: list[int], bounds: Sequence[int]) -> list[int]:
    """No more intervals in a gap than it has grid steps; what does not fit goes to the neighbours with room."""
    room = [right - left for left, right in pairwise(bounds)]
    over = sum(max(0, count - most) for count, most in zip(counts, room, strict=True))
    counts = [min(count, most) for count, most in zip(counts, room, strict=True)]
    while over > 0:
        roomiest = max(range(len(counts)), key=lambda i: room[i] - counts[i])
        counts[roomiest] += 1
        over -= 1
    return counts


def _steps_within(count: int, width: int) -> list[int]:
    """Grid steps that cut a gap into so many even intervals, its ends left out."""
    return [round(i * width / count) for i in range(1, count)]
