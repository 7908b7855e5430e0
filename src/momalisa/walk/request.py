"""What a visitor asks for: a walk from waypoint to waypoint."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from momalisa.errors import ConfigError
from momalisa.walk.guidance import Guidance
from momalisa.walk.path import EASINGS, Easing, Path, num_there, there_and_back
from momalisa.walk.plan import MODES, Branching, Mode, Plan

Shape = Literal["open", "loop", "boomerang"]
Interpolation = Literal["lerp", "slerp"]

SHAPES: tuple[str, ...] = get_args(Shape)
MAX_SEED = 2**63 - 1
MAX_FRAMES = 10_000
MAX_STEPS = 1000
MAX_SIDE = 8192
MAX_HOLD_S = 600
MAX_GUIDANCE_SCALE = 100
MAX_FRAMES_PER_SECOND = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Waypoint:
    """A prompt, or a picture with a prompt. None stands for the walk's own setting."""

    prompt: str = ""
    picture_sha256: str | None = None
    """Of the picture's decoded pixels at the walk's size, where the waypoint is one; the pixels go another way."""
    negative_prompt: str | None = None
    guidance_scale: float | None = None
    seed: int | None = None
    """Of the noise."""
    hold_s: float = 0.0
    """How long its frame stands longer than the others."""
    adapters: Mapping[str, float] = field(default_factory=dict)
    """Weights of LoRA adapters by URI; they change along the way."""

    def __post_init__(self) -> None:
        if not self.prompt.strip() and self.picture_sha256 is None:
            raise ConfigError("a waypoint has neither a prompt nor a picture: say what it shows")
        if self.seed is not None and not 0 <= self.seed <= MAX_SEED:
            raise ConfigError(f"seed {self.seed} is out of range: take one from 0 to {MAX_SEED}")
        if not 0 <= self.hold_s <= MAX_HOLD_S:
            raise ConfigError(f"a hold of {self.hold_s} s cannot be: take 0 to {MAX_HOLD_S}")
        if self.guidance_scale is not None and not 1 <= self.guidance_scale <= MAX_GUIDANCE_SCALE:
            raise ConfigError(f"guidance_scale is {self.guidance_scale}; take 1 (none) to {MAX_GUIDANCE_SCALE}")
        if not all(math.isfinite(weight) for weight in self.adapters.values()):
            raise ConfigError(f"the adapters' weights {dict(self.adapters)} are no numbers")


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkRequest:
    """Everything that decides a walk's frames, and how long each is shown."""

    waypoints: tuple[Waypoint, ...]
    num_frames: int = 60
    shape: Shape = "open"
    easing: Easing = "linear"
    mode: Mode = "hybrid"
    model: str = "tiny"
    """A hub id, folder, URI, or `tiny`."""
    revision: str | None = None
    height: int | None = None
    """Pixels; None: the model's own."""
    width: int | None = None
    num_inference_steps: int = 25
    guidance_scale: float = 5.0
    guidance_interval: tuple[float, float] = (0.2, 0.5)
    """Shares of the steps between which guidance is given: before and after, it does more harm than good
    (Kynkäänniemi et al. 2024, arXiv:2404.07724)."""
    guidance_stride: int = 2
    """What guidance adds is found at every so manieth guided step, and given again at those between."""
    negative_prompt: str = ""
    seed: int = 0
    strength: float = 0.6
    """For walks with a picture among the waypoints: at 0 its reconstruction, at 1 the prompt alone."""
    embeddings: Interpolation = "lerp"
    noise: Interpolation = "slerp"
    frames_per_second: float = 20.0
    branching: Branching = field(default_factory=Branching)

    def __post_init__(self) -> None:
        _require(self.mode in MODES, f"no mode {self.mode!r}; choose from {', '.join(MODES)}")
        _require(self.shape in SHAPES, f"no shape {self.shape!r}; choose from {', '.join(SHAPES)}")
        _require(self.easing in EASINGS, f"no easing {self.easing!r}; choose from {', '.join(EASINGS)}")
        _within("num_frames", self.num_frames, 1, MAX_FRAMES)
        _within("num_inference_steps", self.num_inference_steps, 1, MAX_STEPS)
        _within("guidance_scale", self.guidance_scale, 1, MAX_GUIDANCE_SCALE)
        begin, end = self.guidance_interval
        _require(0 <= begin <= end <= 1, f"guidance_interval {begin} … {end} must lie in 0 … 1, in order")
        _within("guidance_stride", self.guidance_stride, 1, MAX_STEPS)
        _require(0 <= self.strength <= 1, f"strength is {self.strength}; it must be in 0 … 1")
        _within("frames_per_second", self.frames_per_second, 0.01, MAX_FRAMES_PER_SECOND)
        _require(0 <= self.seed <= MAX_SEED, f"seed {self.seed} is out of range: take one from 0 to {MAX_SEED}")
        for side, pixels in (("height", self.height), ("width", self.width)):
            if pixels is not None:
                _within(side, pixels, 1, MAX_SIDE)
        least = self.path.min_frames
        if self.shape == "boomerang":
            least = 2 * (least - 1)
        _require(
            self.num_frames >= least,
            f"{self.num_frames} frames are too few for {len(self.waypoints)} waypoints ({self.shape}): "
            f"take at least {least}",
        )

    @property
    def path(self) -> Path:
        """What is rendered: of a boomerang the way there. Raises ConfigError for a single waypoint."""
        return Path(len(self.waypoints), "loop" if self.shape == "loop" else "open")

    @property
    def plan(self) -> Plan:
        """What the request alone decides of its frames."""
        return Plan(
            path=self.path,
            num_frames=num_there(self.num_frames) if self.shape == "boomerang" else self.num_frames,
            num_inference_steps=self.num_inference_steps,
            mode=self.mode,
            easing=self.easing,
            branching=self.branching,
            guidance=self.guidance,
            pictures=self.pictures,
            entry_step=self.entry_step,
        )

    @property
    def pictures(self) -> frozenset[int]:
        """Waypoints that are pictures."""
        return frozenset(i for i, waypoint in enumerate(self.waypoints) if waypoint.picture_sha256 is not None)

    @property
    def entry_step(self) -> int:
        """Where pictures are among the waypoints, the step that all other frames start from, as in image-to-image
        pipelines: a strength of 1 leaves nothing of them."""
        if not self.pictures:
            return 0
        return self.num_inference_steps - int(self.num_inference_steps * self.strength + 1e-9)

    def shown(self, num_rendered: int) -> list[int]:
        """Which of the rendered frames, in order, is shown when."""
        if self.shape != "boomerang":
            return list(range(num_rendered))
        if num_rendered == num_there(self.num_frames):
            return there_and_back(self.num_frames)
        return there_and_back(2 * (num_rendered - 1))  # frames were added

    @property
    def guidance(self) -> Guidance:
        """Steps that are guided; none without guidance anywhere."""
        strongest = max(self.settled(i).guidance_scale or 1.0 for i in range(len(self.waypoints)))
        if strongest <= 1:
            return Guidance(0, 0)
        begin, end = (round(share * self.num_inference_steps) for share in self.guidance_interval)
        return Guidance(begin, end, self.guidance_stride)

    def settled(self, index: int) -> Waypoint:
        """A waypoint with the walk's own settings where it had none."""
        own = self.waypoints[index]
        return Waypoint(
            prompt=own.prompt,
            picture_sha256=own.picture_sha256,
            negative_prompt=self.negative_prompt if own.negative_prompt is None else own.negative_prompt,
            guidance_scale=self.guidance_scale if own.guidance_scale is None else own.guidance_scale,
            seed=self.seed if own.seed is None else own.seed,
            hold_s=own.hold_s,
            adapters=own.adapters,
        )


def _within(name: str, value: float, least: float, most: float) -> None:
    # Also for NaN, which is never within.
    _require(least <= value <= most, f"{name} is {value}; take at least {least} and at most {most}")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ConfigError(message)
