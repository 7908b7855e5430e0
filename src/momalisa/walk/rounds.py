"""Which frames a walk renders next, by the distances of those that are there: keys, some between them, the rest.

Each round is a few whole numbers, so that once it is written down no machine's rounding can move a frame.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from momalisa.walk.path import Floats, ease, monotone_cubic, place_evenly, share_out, spread
from momalisa.walk.plan import MAX_REPAIRS, Frame, Plan

_EASED_POINTS = 4097
_MAX_PIECES = 4
"""That a gap is cut into at once: who comes later has nearer parents."""
_NEARLY_WIDEST = 0.5
"""Gaps of so much of the widest one are cut together with it."""
_TRACE = 1e-9
"""Of a distance, where two frames are the same: every gap keeps some length."""


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
