"""Content addresses: what a frame's pixels depend on, hashed, so that equal frames are rendered once.

Prompts stand for their embeddings and seeds for their noise, by the models' fingerprints: hashes of
floating-point numbers would differ from machine to machine. A frame that starts from two others has their
addresses in its own, so the addresses form a directed acyclic graph.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from momalisa.walk.plan import Frame, Plan
from momalisa.walk.request import WalkRequest, Waypoint

_VERSION = 1
"""Of what rendering makes of the same inputs; to be raised where that changes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendition:
    """What all frames of a walk have in common, beside the request: fingerprints of weights, final sizes."""

    model_fingerprints: Mapping[str, str]
    """Of the parts' weights, and of all configuration that drawing depends on."""
    adapter_fingerprints: Mapping[str, str]
    scheduler: str
    height: int
    width: int
    dtype: str
    ruler: str
    """The kind of the sketches that are kept with the frames."""


def frame_addresses(request: WalkRequest, rendition: Rendition, plan: Plan, frames: Sequence[Frame]) -> dict[int, str]:
    """The address of each frame by its grid index; parents must be among the frames.

    The direction does not matter: a frame a quarter of the way from A to B is the one three quarters from B to A.
    """
    common = _digest(_common(request, rendition))
    waypoints = [_waypoint(request.settled(i), rendition.adapter_fingerprints) for i in range(len(request.waypoints))]
    by_index = {frame.index: frame for frame in frames}
    found: dict[int, str] = {}

    def address(index: int) -> str:
        if index not in found:
            found[index] = _digest(_content(by_index[index]))
        return found[index]

    def _content(frame: Frame) -> dict[str, Any]:
        point = plan.point(frame.index)
        blend = plan.path.blend(point)
        content = {"common": common, **_place(waypoints[blend.first], waypoints[blend.second], point.t)}
        if frame.parents is not None:
            left, right = frame.parents
            share = Fraction(frame.index - left, (right or plan.num_grid_steps) - left)
            content["starts"] = sorted([[address(left), str(1 - share)], [address(right), str(share)]])
        if frame.start_step > 0:
            content["start_step"] = frame.start_step
        if not plan.takes_every_step(frame):
            content["steps"] = list(plan.steps(frame))
        return content

    for frame in frames:
        address(frame.index)
    return found


def _common(request: WalkRequest, rendition: Rendition) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "model": dict(rendition.model_fingerprints),
        "scheduler": rendition.scheduler,
        "num_inference_steps": request.num_inference_steps,
        "guidance": [request.guidance.begin, request.guidance.end, request.guidance.stride],
        "size": [rendition.height, rendition.width],
        "dtype": rendition.dtype,
        "ruler": rendition.ruler,
        "embeddings": request.embeddings,
        "noise": request.noise,
    }


def _place(a: dict[str, Any], b: dict[str, Any], t: Fraction) -> dict[str, Any]:
    if t in (0, 1) or a == b:
        return {"at": b if t == 1 else a}
    shares = sorted([[_digest(a), str(1 - t), a], [_digest(b), str(t), b]])
    return {"between": [[share, waypoint] for _, share, waypoint in shares]}


def _waypoint(waypoint: Waypoint, adapter_fingerprints: Mapping[str, str]) -> dict[str, Any]:
    """What of a waypoint its pixels depend on: not how long it stands, nor where its adapters lie."""
    adapters: dict[str, float] = {}
    for uri, weight in waypoint.adapters.items():
        name = adapter_fingerprints[uri]  # the same file may be there by two names
        adapters[name] = adapters.get(name, 0.0) + weight
    return {
        "prompt": waypoint.prompt,
        "picture": waypoint.picture_sha256,
        "negative_prompt": waypoint.negative_prompt,
        "guidance_scale": float(waypoint.guidance_scale or 1.0),
        "seed": waypoint.seed,
        "adapters": {name: weight for name, weight in adapters.items() if weight},
    }


def _digest(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
