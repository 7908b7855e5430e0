"""What a walk renders and what that costs, as far as the request alone decides: the grid, the key frames, a bound."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

import numpy as np

from momalisa.errors import ConfigError
from momalisa.walk.guidance import Guidance
from momalisa.walk.path import (
    Easing,
    Path,
    Point,
    grid_depth,
)

Mode = Literal["text", "image", "hybrid"]
MODES: tuple[str, ...] = ("text", "image", "hybrid")

_MAX_LEVELS = 64
_ROUNDING = 1e-9
MAX_REPAIRS = 0.1
"""Of the frames that were asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Branching:
    """How frames between two parents begin: late where the parents look alike, early where they do not."""

    earliest: float = 0.16
    """Share of the steps after which a frame between parents that are `far` apart goes its own way."""
    latest: float = 0.85
    """The same, between parents that look alike."""
    far: float = 0.9
    """Distance from which on parents count as far apart, by the ruler in use."""
    narrow: float = 1.0
    """A gap in which so many frames of a walk even in t have no room is a narrow one."""
    earliest_when_narrow: float = 0.6
    """As `earliest`, in narrow gaps: their prompts are alike, so what is far apart there is so by a leap of the
    model's, to one side of which a frame that began early would fall too."""
    num_levels: int = 4
    """So many steps there are to begin at, evenly from the earliest to the latest: those states are kept."""
    settled: float = 0.6
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
    repair_from: float = 1.7
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
        wanted = np.floor(shares * num_inference_steps + _ROUNDING)
        return tuple(sorted({int(taken[taken <= step][-1]) for step in wanted}))

    def start_step(self, distance: float, num_inference_steps: int, *, is_narrow: bool = False) -> int:
        """The one for parents so far apart: never later than their distance allows, but for a narrow gap."""
        levels = self.start_steps(num_inference_steps)
        nearness = 1 - min(1.0, distance / self.far)
        level = math.floor(nearness * (len(levels) - 1) + _ROUNDING)
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
    guidance: Guidance | None = None
    """Steps that are guided; None: all."""
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
        full = self.cost(stops).unet_evaluations
        num_others = self.num_frames - len(stops)
        if self.mode == "image":
            return Cost(unet_evaluations=full, decodes=self.num_frames)
        if self.mode == "text":
            others = num_others * self.evaluations(Frame(1, None, self.entry_step))
            return Cost(unet_evaluations=full + others, decodes=self.num_frames)
        num_keys, repairs = self._num_keys(self.key_depth), max(1, round(self.num_frames * MAX_REPAIRS))
        earliest = max(self.branching.start_step(math.inf, self.num_inference_steps), self.entry_step)
        keys = (num_keys - len(stops)) * self.evaluations(Frame(1, None, self.entry_step))
        between = (num_others - (num_keys - len(stops)) + repairs) * self.evaluations(Frame(1, None, earliest))
        return Cost(unet_evaluations=full + keys + between, decodes=self.num_frames + repairs)

    def cost(self, frames: Sequence[Frame]) -> Cost:
        """What these frames cost, exactly."""
        return Cost(unet_evaluations=sum(self.evaluations(frame) for frame in frames), decodes=len(frames))

    def takes_every_step(self, frame: Frame) -> bool:
        """Those that begin where the walk does: `hybrid`'s key frames, and all frames of the other modes."""
        return self.mode != "hybrid" or frame.start_step <= self.entry_step

    def steps(self, frame: Frame) -> tuple[int, ...]:
        """Those that a frame takes from where it begins."""
        if self.takes_every_step(frame):
            return tuple(range(frame.start_step, self.num_inference_steps))
        later = (step for step in self.branching.steps(self.num_inference_steps) if step > frame.start_step)
        return (frame.start_step, *later) if frame.start_step < self.num_inference_steps else ()

    def step_before(self, start_step: int) -> int | None:
        """The one whose prediction a frame goes on from."""
        if start_step <= self.entry_step:
            return start_step - 1 if start_step > 0 else None
        # Key frames keep the prediction of that step too, though they take those between as well: what is blended must
        # be of one noise level.
        return max(step for step in self.branching.steps(self.num_inference_steps) if step < start_step)

    def evaluations(self, frame: Frame) -> int:
        """Of the UNet, for a frame."""
        guidance, steps = self.guidance or Guidance(0, self.num_inference_steps), self.steps(frame)
        return len(steps) + len(guidance.found_at(steps))

    def _num_keys(self, depth: int) -> int:
        return (self.path.num_segments << depth) + (self.path.shape == "open")
