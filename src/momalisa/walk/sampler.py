"""Denoise batches of latents from any step on, and keep the states from which others may branch off.

The scheduler is DPM-Solver++ 2M (Lu et al. 2022, arXiv:2211.01095) on Karras's noise levels (2022,
arXiv:2206.00364); after a branch it begins again at order 1, for the step before was another's.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

from momalisa.diffusion.loading import Components
from momalisa.walk.path import slerp

SCHEDULER = "dpmsolver++-2m-karras"


@dataclass(frozen=True, slots=True)
class Conditions:
    """What B frames are drawn under: embeddings (B, tokens, width) each, guidance scales (B,)."""

    embeddings: Tensor
    negative_embeddings: Tensor
    guidance_scales: Tensor

    def __getitem__(self, rows: slice) -> "Conditions":
        return Conditions(self.embeddings[rows], self.negative_embeddings[rows], self.guidance_scales[rows])


@dataclass(frozen=True, slots=True)
class State:
    """Latents (B, C, h, w) as they are before a step, and what they were last predicted to become."""

    step: int
    latents: Tensor
    denoised: Tensor


class Sampler:
    """Runs the UNet of loaded components; one noise schedule, any batch. Latents are scaled, as the UNet knows them."""

    def __init__(
        self, components: Components, *, num_inference_steps: int, guided_steps: tuple[int, int] | None = None
    ) -> None:
        self._unet = components.unet
        self._config = {**components.scheduler_config, "use_karras_sigmas": True, "algorithm_type": "dpmsolver++"}
        self.num_inference_steps = num_inference_steps
        self._guided = guided_steps or (0, num_inference_steps)
        self.num_evaluations = 0
        """Latents that went through the UNet, the unguided halves of guided steps counted too."""

    @torch.no_grad()
    def denoise(
        self, latents: Tensor, conditions: Conditions, *, start_step: int = 0, keep: Collection[int] = ()
    ) -> tuple[Tensor, dict[int, State]]:
        """Takes latents (B, C, h, w) at the noise level of `start_step` to the end; also the states before the steps
        in `keep`, those that are passed."""
        scheduler = self._scheduler(start_step)
        states = {}
        denoised = latents
        for step in range(start_step, self.num_inference_steps):
            if step in keep and step > start_step:
                states[step] = State(step, latents, denoised)
            timestep = scheduler.timesteps[step]
            prediction = self._predict(scheduler.scale_model_input(latents, timestep), timestep, conditions, step)
            latents = scheduler.step(prediction, timestep, latents).prev_sample
            denoised = scheduler.model_outputs[-1]
        return latents, states

    def noise_level(self, step: int) -> tuple[float, float]:
        """The shares (α, σ) of picture and noise before a step: latents are α × picture + σ × noise."""
        scheduler = self._scheduler(0)
        alpha, sigma = scheduler._sigma_to_alpha_sigma_t(scheduler.sigmas[step])
        return float(alpha), float(sigma)

    def _predict(self, latents: Tensor, timestep: Tensor, conditions: Conditions, step: int) -> Tensor:
        guided = self._guided[0] <= step < self._guided[1]
        self.num_evaluations += len(latents) * (2 if guided else 1)
        if not guided:
            unguided: Tensor = self._unet(latents, timestep, conditions.embeddings).sample
            return unguided
        both = torch.cat([conditions.negative_embeddings, conditions.embeddings])
        without, towards = self._unet(torch.cat([latents, latents]), timestep, both).sample.chunk(2)
        scales = conditions.guidance_scales[:, None, None, None]
        guided_prediction: Tensor = without + scales * (towards - without)
        return guided_prediction

    def _scheduler(self, start_step: int) -> Any:
        scheduler = DPMSolverMultistepScheduler.from_config(self._config)
        scheduler.set_timesteps(self.num_inference_steps, device=self._unet.device)
        scheduler.set_begin_index(start_step)
        return scheduler


def between(left: State, right: State, weight: float, noise_level: tuple[float, float]) -> State:
    """The state between two single ones, (C, h, w), of one step, at the same noise level.

    What they are predicted to become and the noise on it are blended apart, the picture along the straight line,
    the noise along the great circle: blended as they are, they would lose noise, and with it detail.
    """
    alpha, sigma = noise_level
    noises = [((state.latents - alpha * state.denoised) / sigma).cpu().numpy() for state in (left, right)]
    noise = torch.from_numpy(slerp(noises[0], noises[1], weight)).to(left.latents)
    denoised = torch.lerp(left.denoised, right.denoised, weight)
    return State(left.step, alpha * denoised + sigma * noise, denoised)
