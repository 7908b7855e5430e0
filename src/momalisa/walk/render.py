"""Frames of a walk, chunk by chunk: from noise, or from the states of two frames on either side."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from momalisa.diffusion.loading import Components
from momalisa.walk.conditions import WalkConditions
from momalisa.walk.path import slerp
from momalisa.walk.plan import Frame, Plan
from momalisa.walk.request import WalkRequest
from momalisa.walk.sampler import Sampler, State, between

_MAX_CHUNK = 16
_CHUNK_LATENTS = 16_384
"""Latent pixels in a chunk: four frames of Stable Diffusion's full size, sixteen of `tiny`'s."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A frame's pixels, uint8 (H, W, 3), by its grid index."""

    index: int
    pixels: Any


@dataclass(slots=True)
class _Kept:
    """What a rendered frame leaves for others."""

    latents: Tensor
    states: dict[int, State]


class Renderer:
    """Draws the frames of one request with one model, and remembers the states that others start from."""

    def __init__(self, components: Components, request: WalkRequest, plan: Plan) -> None:
        self._components = components
        self._plan = plan
        height, width = request.height or components.default_size, request.width or components.default_size
        scale = components.vae_scale_factor
        shape = (int(components.unet.config.in_channels), height // scale, width // scale)
        self._chunk_size = chunk_size(shape)
        self._conditions = WalkConditions(request, components, shape)
        self._sampler = Sampler(
            components, num_inference_steps=plan.num_inference_steps, guided_steps=plan.guided_steps
        )
        self._levels = plan.branching.start_steps(plan.num_inference_steps)
        self._kept: dict[int, _Kept] = {}

    @property
    def num_evaluations(self) -> int:
        """Latents that have gone through the UNet so far."""
        return self._sampler.num_evaluations

    def render(self, frames: Sequence[Frame]) -> Iterator[list[Rendered]]:
        """One round's frames, whose parents are rendered already; a list for each chunk."""
        for chunk in chunks(frames, self._chunk_size):
            latents = self._latents(chunk)
            pixels = self._decode(latents)
            yield [Rendered(frame.index, picture) for frame, picture in zip(chunk, pixels, strict=True)]

    def _latents(self, chunk: Sequence[Frame]) -> Tensor:
        """Denoised latents (B, C, h, w) of frames that begin at the same step."""
        points = [self._plan.point(frame.index) for frame in chunk]
        start_step = chunk[0].start_step
        if start_step >= self._plan.num_inference_steps:
            finished = torch.stack([self._finished_between(frame) for frame in chunk])
            self._keep(chunk, finished, {})
            return finished
        begun = [] if start_step == 0 else [self._begun_between(frame) for frame in chunk]
        latents, states = self._sampler.denoise(
            torch.stack([state.latents for state in begun]) if begun else self._conditions.noise(points),
            self._conditions.at(points),
            start_step=start_step,
            keep=self._levels,
        )
        if begun:
            first = torch.stack([state.latents for state in begun]), torch.stack([state.denoised for state in begun])
            states[start_step] = State(start_step, *first)
        self._keep(chunk, latents, states)
        return latents

    def _keep(self, chunk: Sequence[Frame], latents: Tensor, states: dict[int, State]) -> None:
        for row, frame in enumerate(chunk):
            own = {k: State(k, s.latents[row].clone(), s.denoised[row].clone()) for k, s in states.items()}
            self._kept[frame.index] = _Kept(latents[row].clone(), own)

    def _begun_between(self, frame: Frame) -> State:
        left, right, weight = self._parents(frame)
        step = frame.start_step
        return between(left.states[step], right.states[step], weight, self._sampler.noise_level(step))

    def _finished_between(self, frame: Frame) -> Tensor:
        left, right, weight = self._parents(frame)
        mixed = slerp(left.latents.float().cpu().numpy(), right.latents.float().cpu().numpy(), weight)
        return torch.from_numpy(mixed).to(left.latents)

    def _parents(self, frame: Frame) -> tuple[_Kept, _Kept, float]:
        assert frame.parents is not None
        left, right = frame.parents
        width = (right or self._plan.num_grid_steps) - left
        return self._kept[left], self._kept[right], (frame.index - left) / width

    @torch.no_grad()
    def _decode(self, latents: Tensor) -> Any:
        vae = self._components.vae
        decoded = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample
        pixels = (decoded.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        return (pixels * 255).round().astype(np.uint8)


def chunks(frames: Sequence[Frame], size: int) -> Iterator[list[Frame]]:
    """Frames that begin at the same step, in order, so many together; those from noise first."""
    for step in sorted({frame.start_step for frame in frames}):
        alike = sorted((frame for frame in frames if frame.start_step == step), key=lambda frame: frame.index)
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def chunk_size(latent_shape: tuple[int, int, int]) -> int:
    """How many frames are denoised together: decided by the size alone, so that every machine does the same."""
    _, height, width = latent_shape
    return max(1, min(_MAX_CHUNK, _CHUNK_LATENTS // (height * width)))
