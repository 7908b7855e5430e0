"""A walk from request to frames: key frames, then those between them, then the worst gaps."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from momalisa.diffusion.loading import Components
from momalisa.walk.path import place_evenly
from momalisa.walk.plan import Branching, Frame, Plan, place_between, refine
from momalisa.walk.render import Rendered, Renderer
from momalisa.walk.request import WalkRequest

Ruler = Callable[[Any, Any], Any]
"""Distances (N,) of pictures uint8 (N, H, W, 3), the i-th of the one from the i-th of the other."""


@dataclass(frozen=True, slots=True)
class Walk:
    """Frames in order, uint8 (N, H, W, 3), and how they came about."""

    pixels: Any
    frames: tuple[Frame, ...]
    num_evaluations: int


def plan_walk(request: WalkRequest, branching: Branching | None = None) -> Plan:
    """What the request alone decides."""
    return Plan(
        path=request.path,
        num_frames=request.num_frames,
        num_inference_steps=request.num_inference_steps,
        easing=request.easing,
        branching=branching or Branching(),
        guided_steps=request.guided_steps,
    )


def render_walk(
    components: Components,
    request: WalkRequest,
    ruler: Ruler,
    *,
    branching: Branching | None = None,
    on_frames: Callable[[list[Rendered]], None] | None = None,
) -> Walk:
    """All frames of a walk. `on_frames` is given each chunk as it is done: the whole walk coarsely, then finer."""
    plan = plan_walk(request, branching)
    renderer = Renderer(components, request, plan)
    done: dict[int, Any] = {}
    frames: list[Frame] = []
    for round_ in _rounds(request, plan, frames, done, ruler):
        for chunk in renderer.render(round_):
            done.update({rendered.index: rendered.pixels for rendered in chunk})
            if on_frames is not None:
                on_frames(chunk)
        frames.extend(round_)
    frames.sort(key=lambda frame: frame.index)
    return Walk(np.stack([done[frame.index] for frame in frames]), tuple(frames), renderer.num_evaluations)


def _rounds(
    request: WalkRequest, plan: Plan, frames: list[Frame], done: dict[int, Any], ruler: Ruler
) -> Iterator[Sequence[Frame]]:
    """Each round is decided by the pictures of those before."""
    if request.mode == "text":
        yield [Frame(_grid_index(plan, point)) for point in place_evenly(plan.path, plan.num_frames, plan.easing)]
        return
    if request.mode == "image":
        placed = [_grid_index(plan, point) for point in place_evenly(plan.path, plan.num_frames, plan.easing)]
        yield from _image_rounds(plan, placed)
        return
    yield plan.keys()
    yield place_between(plan, _distances(plan, frames, done, ruler))
    frames.sort(key=lambda frame: frame.index)
    yield refine(plan, frames, _distances(plan, frames, done, ruler))


def _image_rounds(plan: Plan, placed: Sequence[int]) -> Iterator[Sequence[Frame]]:
    """The stops are denoised; frames between them are only decoded."""
    steps = plan.num_grid_steps // plan.path.num_segments
    yield [Frame(index) for index in placed if index % steps == 0]
    between = [index for index in placed if index % steps]
    lefts = [index - index % steps for index in between]
    rights = [left + steps for left in lefts]
    if plan.path.shape != "open":
        rights = [right % plan.num_grid_steps for right in rights]
    parents = zip(lefts, rights, strict=True)
    yield [Frame(index, pair, plan.num_inference_steps) for index, pair in zip(between, parents, strict=True)]


def _grid_index(plan: Plan, point: Any) -> int:
    steps = plan.num_grid_steps // plan.path.num_segments
    return int((point.segment + point.t) * steps)


def _distances(plan: Plan, frames: Sequence[Frame], done: dict[int, Any], ruler: Ruler) -> list[float]:
    """From each frame to its next, and of a closed path from the last to the first."""
    pictures = np.stack([done[frame.index] for frame in sorted(frames, key=lambda frame: frame.index)])
    if plan.path.shape == "open":
        return [float(d) for d in ruler(pictures[:-1], pictures[1:])]
    return [float(d) for d in ruler(pictures, np.roll(pictures, -1, axis=0))]
