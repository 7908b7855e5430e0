"""What a walk renders, in which order, and what that costs, before and after the pictures have been looked at.

A plan is known from the request alone: the grid, the key frames, a bound of the cost. The placement follows from
the rendered frames' distances, round by round: keys, a few frames between them, then the rest. Each round is a few
whole numbers, so that once it is written down no machine's rounding can move a frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from momalisa.errors import ConfigError
from momalisa.walk.path import (
    Easing,
    Floats,
    Path,
    Point,
    ease,
    grid_depth,
    monotone_cubic,
    place_evenly,
    share_out,
    spread,
)

Mode = Literal["text", "image", "hybrid"]
MODES: tuple[str, ...] = ("text", "image", "hybrid")

_EASED_POINTS = 4097
_MAX_LEVELS = 64
_MAX_PIECES = 4
"""That a gap is cut into at once: who comes later has nearer parents."""
_NEARLY_WIDEST = 0.5
"""Gaps of so much of the widest one are cut together with it."""
MAX_REPAIRS = 0.1
"""Of the frames that were asked for."""
_TRACE = 1e-9
"""Of a distance, where two frames are the same: every gap keeps some length."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Branching:
    """How frames between two parents begin: late where the parents look alike, early where they do not."""

    earliest: float = 0.16
    """Share of the steps after which a frame between parents that are `far` apart goes its own way."""
    latest: float = 0.85
    """The same, between parents that look alike."""
    far: float = 0.9
    """Distance from which on parents count as far apart, by the ruler in use."""
    narrow: float = 2.0
    """A gap in which so many frames of a walk even in t have no room is a narrow one."""
    earliest_when_narrow: float = 0.6
    """As `earliest`, in narrow gaps: their prompts are alike, so what is far apart there is so by a leap of the
    model's, to one side of which a frame that began early would fall too."""
    num_levels: int = 4
    """So many steps there are to begin at, evenly from the earliest to the latest: those states are kept."""
    settled: float = 0.5
    """Share of the steps after which what is shown is settled, and only how it is done is left."""
    stride: int = 2
    """From there on a frame between two parents takes only every so manieth step."""
    key_share: float = 0.2
    """Of the frames may be key frames, denoised in full."""
    max_key_intervals: int = 8
    """Between two stops, in a power of two: longer walks begin with no more."""
    fan: int = 2
    """Into so many intervals a gap may be cut at once; longer ones are cut into such first."""
    reserve: float = 0.08
    """Of the frames are held back for the gaps that turn out to be the widest."""
    repair_from: float = 2.5
    """A step of so many times the median one is a jump, and gets a frame more."""

    def __post_init__(self) -> None:
        if not 0 <= self.earliest <= self.latest <= 1:
            raise ConfigError(f"branching from {self.earliest} to {self.latest}: 0 ≤ earliest ≤ latest ≤ 1 is needed")
        if not (0 <= self.earliest_when_narrow <= 1 and 0 <= self.settled <= 1 and self.narrow >= 0):
            raise ConfigError("earliest_when_narrow and settled must be in 0 … 1, narrow at least 0")
        if self.num_levels < 1 or self.stride < 1:
            raise ConfigError(f"num_levels {self.num_levels} and stride {self.stride}: take at least 1 of each")
        if self.fan < 2 or self.max_key_intervals < 1:
            raise ConfigError(f"fan {self.fan} and max_key_intervals {self.max_key_intervals}: take at least 2 and 1")
        if self.far <= 0 or self.repair_from <= 1:
            raise ConfigError(f"far {self.far} must be above 0, repair_from {self.repair_from} above 1")
        if not (0 <= self.key_share <= 1 and 0 <= self.reserve <= 1) or self.num_levels > _MAX_LEVELS:
            shares = f"key_share {self.key_share} and reserve {self.reserve}"
            raise ConfigError(f"{shares} must be in 0 … 1, num_levels at most {_MAX_LEVELS}")

    def steps(self, num_inference_steps: int) -> tuple[int, ...]:
        """Those that frames between two parents take, from where they begin."""
        settled = math.floor(self.settled * num_inference_steps)
        return (*range(settled), *range(settled, num_inference_steps, self.stride))

    def start_steps(self, num_inference_steps: int) -> tuple[int, ...]:
        """Steps, counted from 0, from which on a frame may be denoised by itself; the earliest first."""
        shares = np.linspace(self.earliest, self.latest, self.num_levels)
        taken = np.asarray(self.steps(num_inference_steps))
        wanted = np.floor(shares * num_inference_steps + _TRACE)
        return tuple(sorted({int(taken[taken <= step][-1]) for step in wanted}))

    def start_step(self, distance: float, num_inference_steps: int, *, is_narrow: bool = False) -> int:
        """The one for parents so far apart: never later than their distance allows, but for a narrow gap."""
        levels = self.start_steps(num_inference_steps)
        nearness = 1 - min(1.0, distance / self.far)
        level = math.floor(nearness * (len(levels) - 1) + _TRACE)
        if is_narrow:
            late = [step >= self.earliest_when_narrow * num_inference_steps for step in levels]
            level = max(level, late.index(True) if any(late) else len(levels) - 1)
        return levels[level]


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame to be: its grid point, counted from the walk's start, and what it starts from.

    Without parents it is denoised from noise, from step 0, or from a waypoint's picture, from the walk's entry step.
    """

    index: int
    parents: tuple[int, int] | None = None
    """Grid points of rendered frames on either side; 0 as the second one is the start that a closed walk returns to."""
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
    mode: Mode = "hybrid"
    easing: Easing = "linear"
    branching: Branching = Branching()
    guided_steps: tuple[int, int] | None = None
    """Steps, from and up to, that are guided and so cost two evaluations; None: all."""
    pictures: frozenset[int] = frozenset()
    """Waypoints that are pictures."""
    entry_step: int = 0
    """Where there are pictures: the step from which every frame but a prompt's own goes its way."""

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
        steps = 1 << self.depth
        segment = min(index // steps, self.path.num_segments - 1)
        return Point(segment, Fraction(index - segment * steps, steps))

    def index(self, point: Point) -> int:
        """The grid point of a place on the path."""
        return int((point.segment + point.t) * (1 << self.depth))

    @property
    def key_depth(self) -> int:
        """Key frames lie this fine: as many as their share allows, each stop at least."""
        most = max(self.path.min_frames, int(self.num_frames * self.branching.key_share))
        finest = min(self.depth, self.branching.max_key_intervals.bit_length() - 1)
        depth = 0
        while depth < finest and self._num_keys(depth + 1) <= most:
            depth += 1
        return depth

    @property
    def start_steps(self) -> frozenset[int]:
        """Every step but the first that some frame may begin at, and whose states are kept: the same in every mode, so
        that walks of all modes share frames."""
        levels = self.branching.start_steps(self.num_inference_steps)
        return frozenset({*levels, self.entry_step, self.num_inference_steps}) - {0}

    def stops(self) -> tuple[Frame, ...]:
        """The frames of the waypoints themselves."""
        waypoints = self.path.stops[: self.path.min_frames]
        return tuple(
            Frame(i << self.depth, None, self.entry_step if waypoint in self.pictures else 0)
            for i, waypoint in enumerate(waypoints)
        )

    def keys(self) -> tuple[Frame, ...]:
        """Frames that are denoised in full, or from the entry step of a walk with pictures."""
        stride = 1 << (self.depth - self.key_depth)
        return tuple(self.from_stops(i * stride, self.entry_step) for i in range(self._num_keys(self.key_depth)))

    def from_stops(self, index: int, start_step: int) -> Frame:
        """A frame that starts from those of the waypoints on either side, or for step 0 from noise."""
        segment, within = divmod(index, 1 << self.depth)
        if within == 0:
            return self.stops()[segment]
        if start_step == 0:
            return Frame(index)
        left, right = segment << self.depth, (segment + 1) << self.depth
        closes = right == self.num_grid_steps and self.path.shape != "open"
        return Frame(index, (left, 0 if closes else right), start_step)

    @property
    def bound(self) -> Cost:
        """The most that the walk may cost: as if all parents were far apart, and repairs needed."""
        stops = self.stops()
        full = sum(self.evaluations(stop.start_step) for stop in stops)
        num_others = self.num_frames - len(stops)
        if self.mode == "image":
            return Cost(unet_evaluations=full, decodes=self.num_frames)
        if self.mode == "text":
            others = num_others * self.evaluations(self.entry_step)
            return Cost(unet_evaluations=full + others, decodes=self.num_frames)
        num_keys, repairs = self._num_keys(self.key_depth), max(1, round(self.num_frames * MAX_REPAIRS))
        earliest = max(self.branching.start_step(math.inf, self.num_inference_steps), self.entry_step)
        keys = (num_keys - len(stops)) * self.evaluations(self.entry_step)
        between = (num_others - (num_keys - len(stops)) + repairs) * self.evaluations(earliest)
        return Cost(unet_evaluations=full + keys + between, decodes=self.num_frames + repairs)

    def cost(self, frames: Sequence[Frame]) -> Cost:
        """What these frames cost, exactly."""
        return Cost(unet_evaluations=sum(self.evaluations(f.start_step) for f in frames), decodes=len(frames))

    def steps(self, start_step: int) -> tuple[int, ...]:
        """Those that a frame takes from this one on. What begins where the walk does takes every step."""
        if start_step <= self.entry_step:
            return tuple(range(start_step, self.num_inference_steps))
        return tuple(step for step in self.branching.steps(self.num_inference_steps) if step >= start_step)

    def step_before(self, start_step: int) -> int | None:
        """The one whose prediction a frame goes on from."""
        if start_step <= self.entry_step:
            return start_step - 1 if start_step > 0 else None
        return max(step for step in self.branching.steps(self.num_inference_steps) if step < start_step)

    def evaluations(self, start_step: int) -> int:
        """Of the UNet, for one frame from this step to the last."""
        begin, end = self.guided_steps or (0, self.num_inference_steps)
        return sum(2 if begin <= step < end else 1 for step in self.steps(start_step))

    def _num_keys(self, depth: int) -> int:
        return (self.path.num_segments << depth) + (self.path.shape == "open")


def first_round(plan: Plan) -> tuple[Frame, ...]:
    """What is rendered before anything has been seen: frames without parents."""
    if plan.mode == "image" or plan.entry_step > 0:
        return plan.stops()
    return plan.keys() if plan.mode == "hybrid" else _evenly(plan)


def next_round(plan: Plan, frames: Sequence[Frame], distances: Sequence[float]) -> tuple[Frame, ...]:
    """Frames to render next; in `hybrid` so that the walk goes in even steps of the distance but for the easing.

    `frames` are all that are rendered so far, by their index; `distances` those from each one to its next, the last one
    of a closed path to the first. Where many frames are wanted between two, a few go ahead: the others start from
    nearer parents, later. Empty once all frames are there.
    """
    if len(frames) >= plan.num_frames:
        return ()
    rendered = {frame.index for frame in frames}
    fixed = plan.keys() if plan.mode == "hybrid" else _evenly(plan)
    if ahead := tuple(frame for frame in fixed if frame.index not in rendered):
        return ahead
    gaps = _gaps(plan, frames, distances)
    durations = _durations(plan, gaps)
    first = max(plan.path.min_frames, plan.num_frames - int(plan.num_frames * plan.branching.reserve))
    if len(frames) >= first:
        return _in_the_widest(plan, gaps, durations, plan.num_frames - len(frames))
    counts = _limited(share_out(plan.path.num_intervals(first), durations), gaps)
    pace = _pace(plan, gaps, durations)
    fan = plan.branching.fan
    # Wide gaps turn out to be longer than they look, so the narrower ones wait: what is placed by a guess stays there.
    widest = max(duration for duration, count in zip(durations, counts, strict=True) if count > 1)
    ripe = [
        (gap, count)
        for gap, count, duration in zip(gaps, counts, durations, strict=True)
        if count > 1 and duration >= _NEARLY_WIDEST * widest
    ]
    return tuple(_between(plan, gap, index) for gap, count in ripe for index in _places(gap, count, fan, pace))


def repair_round(plan: Plan, frames: Sequence[Frame], distances: Sequence[float]) -> tuple[Frame, ...]:
    """Frames beyond those that were asked for, in the middle of gaps that stand out; empty where none does.

    A gap stands out where it is `repair_from` times the median one; a tenth more frames are added at most.
    """
    gaps = _gaps(plan, frames, distances)
    most = max(1, round(plan.num_frames * MAX_REPAIRS)) - (len(frames) - plan.num_frames)
    usual = float(np.median(distances))
    if usual == 0:  # most of it stands still
        return ()
    wide = [gap for gap in gaps if gap.distance > plan.branching.repair_from * usual and gap.width >= 2]
    wide.sort(key=lambda gap: (-gap.distance, gap.begin))
    return tuple(sorted((_between(plan, gap, gap.middle) for gap in wide[:most]), key=lambda frame: frame.index))


def _evenly(plan: Plan) -> tuple[Frame, ...]:
    """All frames of a walk that goes by t alone."""
    start_step = plan.num_inference_steps if plan.mode == "image" else plan.entry_step
    points = place_evenly(plan.path, plan.num_frames, plan.easing)
    return tuple(plan.from_stops(plan.index(point), start_step) for point in points)


@dataclass(frozen=True, slots=True)
class _Gap:
    """A stretch of the grid between two rendered frames."""

    begin: int
    end: int
    left: Frame
    right: Frame
    distance: float

    @property
    def width(self) -> int:
        return self.end - self.begin

    @property
    def middle(self) -> int:
        return (self.begin + self.end) // 2


def _gaps(plan: Plan, frames: Sequence[Frame], distances: Sequence[float]) -> list[_Gap]:
    followers = [*frames[1:], *([] if plan.path.shape == "open" else [frames[0]])]
    if len(distances) != len(followers):
        raise ValueError(f"{len(distances)} distances for {len(followers)} gaps between frames")
    return [
        _Gap(left.index, right.index or plan.num_grid_steps, left, right, max(float(distance), _TRACE))
        for left, right, distance in zip(frames, followers, distances, strict=False)
    ]


def _between(plan: Plan, gap: _Gap, index: int) -> Frame:
    """A frame that starts from two others; not before they went their own ways, for they have no earlier states."""
    is_narrow = gap.width * plan.path.num_intervals(plan.num_frames) < plan.branching.narrow * plan.num_grid_steps
    wanted = plan.branching.start_step(gap.distance, plan.num_inference_steps, is_narrow=is_narrow)
    start_step = max(wanted, plan.entry_step, gap.left.start_step, gap.right.start_step)
    return Frame(index, (gap.left.index, gap.right.index), start_step) if start_step > 0 else Frame(index)


def _durations(plan: Plan, gaps: Sequence[_Gap]) -> list[float]:
    """How long each gap takes, at a pace that is even but for the easing between stops."""
    per_segment = 1 << plan.depth
    x = np.linspace(0, 1, _EASED_POINTS)
    eased = ease(plan.easing)(x)
    durations: list[float] = []
    for segment in range(plan.path.num_segments):
        inside = [gap.distance for gap in gaps if gap.begin // per_segment == segment]
        gone = np.concatenate([[0.0], np.cumsum(inside)])
        durations += (np.diff(np.interp(gone / gone[-1], eased, x)) * gone[-1]).tolist()
    return durations


def _in_the_widest(plan: Plan, gaps: Sequence[_Gap], durations: Sequence[float], num_frames: int) -> tuple[Frame, ...]:
    """So many frames where the steps are the widest, each of which makes them narrower."""
    counts = [1] * len(gaps)
    for _ in range(num_frames):
        with_room = [i for i, gap in enumerate(gaps) if counts[i] < gap.width]
        counts[max(with_room, key=lambda i: (durations[i] / counts[i], -i))] += 1
    return tuple(
        _between(plan, gap, gap.begin + gap.width * part // count)
        for gap, count in zip(gaps, counts, strict=True)
        for part in range(1, count)
    )


def _limited(counts: list[int], gaps: Sequence[_Gap]) -> list[int]:
    """No more intervals in a gap than it has grid steps; what does not fit goes to those with the most room."""
    over = sum(max(0, count - gap.width) for count, gap in zip(counts, gaps, strict=True))
    counts = [min(count, gap.width) for count, gap in zip(counts, gaps, strict=True)]
    for _ in range(over):
        counts[max(range(len(counts)), key=lambda i: gaps[i].width - counts[i])] += 1
    return counts


def _pace(plan: Plan, gaps: Sequence[_Gap], durations: Sequence[float]) -> Floats:
    """When each grid point is passed, as the durations let one guess, (grid points + 1,)."""
    passed = np.concatenate([[0.0], np.cumsum(durations)])
    bounds = [gap.begin for gap in gaps] + [plan.num_grid_steps]
    parts = []
    for segment in range(plan.path.num_segments):
        begin, end = segment << plan.depth, (segment + 1) << plan.depth
        inside = [i for i, bound in enumerate(bounds) if begin <= bound <= end]
        curve = monotone_cubic(np.array([bounds[i] for i in inside], dtype=float), passed[inside])
        parts.append(curve(np.arange(begin, end, dtype=float)))
    return np.concatenate([*parts, passed[-1:]])


def _places(gap: _Gap, count: int, fan: int, pace: Floats) -> list[int]:
    """Grid points that cut a gap into so many intervals of even duration; where they are more than a fan, only some."""
    within = pace[gap.begin : gap.end + 1]
    wanted = np.linspace(within[0], within[-1], count + 1)
    points = spread(
        np.rint(np.interp(wanted, within, np.arange(gap.begin, gap.end + 1))).astype(int).tolist(), gap.begin, gap.end
    )
    if count <= fan:
        return points[1:-1]
    pieces = min(_MAX_PIECES, math.ceil(count / fan))
    return [points[round(i * count / pieces)] for i in range(1, pieces)]
