"""Frames of a walk, chunk by chunk: from noise, from pictures, or from the states of two frames on either side."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from momalisa.diffusion.loading import Components
from momalisa.lora.adapters import Adapters
from momalisa.walk.conditions import WalkConditions
from momalisa.walk.frames import Drawn, Frames, Pixels, State
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.plan import Frame
from momalisa.walk.request import WalkRequest
from momalisa.walk.sampler import BatchState, Sampler, between
from momalisa.walk.sketches import Sketcher, sketcher_for
from momalisa.walk.texts import Texts


class Renderer:
    """Draws chunks of one walk's frames with a loaded model; what the frames have in common is computed once.

    With `texts` that were encoded elsewhere the components need no text encoder.
    Raises ConfigError for a size that the model cannot draw, and for a picture that is missing or of another size.
    """

    def __init__(
        self,
        components: Components,
        request: WalkRequest,
        *,
        adapters: Adapters | None = None,
        pictures: Mapping[str, Pixels] | None = None,
        sketcher: Sketcher | None = None,
        texts: Texts | None = None,
    ) -> None:
        adapters = adapters or Adapters(components, [])
        self._components = components
        self.plan = request.plan
        self._sketcher = sketcher or sketcher_for(components)
        self._facts = facts_of(components, self._sketcher)
        self.rendition = self._facts.rendition(request, adapters.fingerprints)
        shape = self._facts.latent_shape(self.rendition.height, self.rendition.width)
        self._conditions = WalkConditions(request, components, shape, adapters=adapters, pictures=pictures, texts=texts)
        self._sampler = Sampler(
            components,
            num_inference_steps=request.num_inference_steps,
            guidance=request.guidance,
            adapters=adapters,
        )

    @property
    def chunk_size(self) -> int:
        """Frames that are drawn together."""
        return self._facts.chunk_size(self.rendition.height, self.rendition.width)

    @property
    def start_steps(self) -> frozenset[int]:
        """Steps before which states are kept with every frame that goes through them."""
        return self.plan.start_steps

    @property
    def num_evaluations(self) -> int:
        """Latents that have gone through the UNet so far."""
        return self._sampler.num_evaluations

    def render(self, chunk: Sequence[Frame], addresses: Mapping[int, str], frames: Frames) -> list[Drawn]:
        """Draws frames that take the same steps. Their parents are in `frames`, which is left as it is."""
        begun = [self._begin(frame, addresses, frames) for frame in chunk]
        device = self._components.unet.device
        latents, states = self._sampler.denoise(
            torch.from_numpy(np.stack([latents for latents, _ in begun])).to(device),
            self._conditions.at([self.plan.point(frame.index) for frame in chunk]),
            steps=self.plan.steps(chunk[0]),
            denoised_at=self.plan.step_before(chunk[0].start_step),
            keep={step: self.plan.step_before(step) or 0 for step in self.start_steps},
            denoised=torch.from_numpy(np.stack([denoised for _, denoised in begun])).to(device),
        )
        pixels, sketches = self._decode(latents)
        return [
            Drawn(addresses[frame.index], pixels[row], sketches[row], _row(states, row))
            for row, frame in enumerate(chunk)
        ]

    def _begin(self, frame: Frame, addresses: Mapping[int, str], frames: Frames) -> tuple[Any, Any]:
        """Latents (C, h, w) before the frame's first step, and what they are known to become."""
        point, step = self.plan.point(frame.index), frame.start_step
        if frame.parents is not None:
            left, right = frame.parents
            weight = (frame.index - left) / ((right or self.plan.num_grid_steps) - left)
            first, second = (frames.load(addresses[parent]).states[step] for parent in frame.parents)
            return between(first, second, weight, self._sampler.noise_level(step))
        noise = self._conditions.noise(point)
        if step == 0:
            return noise, np.zeros_like(noise)
        alpha, sigma = self._sampler.noise_level(step)
        picture = self._conditions.picture(point)
        return (alpha * picture + sigma * noise).astype(np.float32), picture

    @torch.no_grad()
    def _decode(self, latents: Tensor) -> tuple[Pixels, list[Any]]:
        vae = self._components.vae
        with self._sketcher.watching(vae):
            decoded = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample
        values = (decoded.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        pixels = (values * 255).round().astype(np.uint8)
        return pixels, self._sketcher.sketch(pixels)


def facts_of(components: Components, sketcher: Sketcher) -> ModelFacts:
    """Of a loaded model."""
    return ModelFacts(
        fingerprints={**components.fingerprints, "configuration": components.configuration_fingerprint},
        dtype=str(components.unet.dtype).removeprefix("torch."),
        ruler=sketcher.kind,
        default_size=components.default_size,
        latent_channels=int(components.unet.config.in_channels),
        vae_scale_factor=components.vae_scale_factor,
        num_unet_blocks=len(components.unet.config.block_out_channels),
    )


def _row(states: Mapping[int, BatchState], row: int) -> dict[int, State]:
    """One frame's states, in the precision that they are stored in: a stored one and one of this process are equal."""
    return {
        step: State(state.latents[row].half().cpu().numpy(), state.denoised[row].half().cpu().numpy())
        for step, state in states.items()
    }
