"""Denoise batches of latents from any step on, and keep the states from which others may branch off.

The scheduler is DPM-Solver++ 2M (Lu et al. 2022, arXiv:2211.01095) on Karras's noise levels (2022,
arXiv:2206.00364); after a branch it goes on at order 2, from what the parents were last predicted to become.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler
from numpy.typing import NDArray
from torch import Tensor

from momalisa.diffusion.loading import Components
from momalisa.lora.adapters import Adapters
from momalisa.walk.frames import State
from momalisa.walk.guidance import Guidance
from momalisa.walk.path import lerp, slerp


@dataclass(frozen=True, slots=True)
class Conditions:
    """What B frames are drawn under: embeddings (B, tokens, width), guidance scales (B,), adapters' weights (B, A)."""

    embeddings: Tensor
    negative_embeddings: Tensor
    guidance_scales: Tensor
    adapter_weights: Tensor


@dataclass(frozen=True, slots=True)
class BatchState:
    """Latents (B, C, h, w) as they are before a step, and what they were last predicted to become."""

    latents: Tensor
    denoised: Tensor


class Sampler:
    """Runs the UNet of loaded components; one noise schedule, any batch. Latents are scaled, as the UNet knows them."""

    def __init__(
        self,
        components: Components,
        *,
        num_inference_steps: int,
        guidance: Guidance | None = None,
        adapters: Adapters | None = None,
    ) -> None:
        self._unet = components.unet
        self._adapters = adapters
        self._config = {**components.scheduler_config, "use_karras_sigmas": True, "algorithm_type": "dpmsolver++"}
        self.num_inference_steps = num_inference_steps
        self._guidance = guidance or Guidance(0, num_inference_steps)
        self.num_evaluations = 0
        """Latents that went through the UNet, with the prompt and without."""

    @torch.no_grad()
    def denoise(
        self,
        latents: Tensor,
        conditions: Conditions,
        *,
        steps: Sequence[int] | None = None,
        keep: Mapping[int, int] | None = None,
        denoised: Tensor | None = None,
        denoised_at: int | None = None,
    ) -> tuple[Tensor, dict[int, BatchState]]:
        """Takes latents (B, C, h, w), float32, at the noise level of the first of the steps to the end; by default all.

        Also gives the states before the steps in `keep`, as far as they are passed, with what was predicted at the step
        that is given there; that before the step after the last one is the result. `denoised` is what the latents are
        known to become, as of an earlier step; None for noise.
        """
        steps, keep = range(self.num_inference_steps) if steps is None else steps, keep or {}
        scheduler = self._scheduler(steps, denoised_at)
        if denoised is not None and denoised_at is not None:
            # The solver goes on at order 2, as if it had made the step before itself: so a frame right beside its
            # parent becomes what the parent became. Begun again at order 1 it may become something else.
            scheduler.model_outputs[-1] = denoised
            scheduler.lower_order_nums = 1
        states, predicted = {}, {}
        if denoised is not None and steps and steps[0] in keep:
            states[steps[0]] = BatchState(latents, denoised)
        followers, added = [*steps[1:], self.num_inference_steps], None
        found_at = self._guidance.found_at(steps)
        for step, after, timestep in zip(steps, followers, scheduler.timesteps[scheduler.begin_index :], strict=False):
            scaled = scheduler.scale_model_input(latents, timestep)
            if step in found_at:
                prediction, added = self._guided(scaled, timestep, conditions)
            else:
                prediction = self._unet_output(scaled, timestep, conditions.embeddings, conditions.adapter_weights)
                if added is not None and self._guidance.guides(step):
                    prediction = prediction + added
            latents = scheduler.step(prediction, timestep, latents).prev_sample
            predicted[step] = scheduler.model_outputs[-1]
            if after in keep:
                states[after] = BatchState(latents, predicted.get(keep[after], predicted[step]))
        if self.num_inference_steps in keep:
            states[self.num_inference_steps] = BatchState(latents, latents)
        return latents, states

    def noise_level(self, step: int) -> tuple[float, float]:
        """The shares (α, σ) of picture and noise before a step: latents are α × picture + σ × noise."""
        scheduler = self._scheduler(range(self.num_inference_steps), None)
        alpha, sigma = scheduler._sigma_to_alpha_sigma_t(scheduler.sigmas[step])
        return float(alpha), float(sigma)

    def _guided(self, latents: Tensor, timestep: Tensor, conditions: Conditions) -> tuple[Tensor, Tensor]:
        """The guided prediction, and what guidance has added to the prompt's own."""
        embeddings = torch.cat([conditions.negative_embeddings, conditions.embeddings])
        weights = torch.cat([conditions.adapter_weights] * 2)
        without, towards = self._unet_output(torch.cat([latents, latents]), timestep, embeddings, weights).chunk(2)
        added = (conditions.guidance_scales[:, None, None, None] - 1) * (towards - without)
        return towards + added, added

    def _unet_output(self, latents: Tensor, timestep: Tensor, embeddings: Tensor, adapter_weights: Tensor) -> Tensor:
        """In float32, whatever the UNet computes in."""
        self.num_evaluations += len(latents)
        if self._adapters is not None:
            self._adapters.set_weights(adapter_weights)
        output: Tensor = self._unet(latents.to(self._unet.dtype), timestep, embeddings.to(self._unet.dtype)).sample
        return output.float()

    def _scheduler(self, steps: Sequence[int], before: int | None) -> Any:
        """One that takes these of the steps, and knows the noise level of the one before."""
        scheduler = DPMSolverMultistepScheduler.from_config(self._config)
        scheduler.set_timesteps(self.num_inference_steps, device=self._unet.device)
        known = [*([] if before is None else [before]), *steps]
        scheduler.sigmas = scheduler.sigmas[[*known, self.num_inference_steps]]
        scheduler.timesteps = scheduler.timesteps[known]
        scheduler.num_inference_steps = len(known)
        scheduler.set_begin_index(len(known) - len(steps))
        return scheduler


def between(
    left: State, right: State, weight: float, noise_level: tuple[float, float]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Latents (C, h, w) between two frames' states before one step, and what they are known to become.

    What the two are predicted to become and the noise on them are blended apart, the picture along the straight line,
    the noise along the great circle: blended as they are, they would lose noise, and with it detail. Where no noise is
    left, the latents themselves go along the great circle.
    """
    alpha, sigma = noise_level
    pictures = [state.denoised.astype(np.float32) for state in (left, right)]
    if sigma == 0:
        finished = slerp(pictures[0], pictures[1], weight)
        return finished, finished
    latents = [state.latents.astype(np.float32) for state in (left, right)]
    noises = [(noisy - alpha * picture) / sigma for noisy, picture in zip(latents, pictures, strict=True)]
    picture = lerp(pictures[0], pictures[1], weight)
    return alpha * picture + sigma * slerp(noises[0], noises[1], weight), picture
