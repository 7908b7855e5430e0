"""The training objective: what the UNet should have predicted, and how far off it was.

Noise and timesteps are arguments: nothing here is random.
"""

from typing import Any, Literal

import torch
from diffusers import DDPMScheduler
from torch import Tensor
from torch.nn import functional

from momalisa.training.config import ObjectiveConfig

PredictionType = Literal["epsilon", "v_prediction"]


class Diffusion:
    """The forward process of a model: `x_t = sqrt(ᾱ_t) x_0 + sqrt(1 - ᾱ_t) ε` (Ho et al. 2020, eq. 4)."""

    def __init__(self, scheduler_config: dict[str, Any], device: torch.device | str = "cpu") -> None:
        scheduler = DDPMScheduler.from_config(scheduler_config)
        self.num_train_timesteps = int(scheduler.config.num_train_timesteps)
        self.alphas_cumprod = scheduler.alphas_cumprod.to(device=device, dtype=torch.float32)

    def add_noise(self, latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """Noisy latents x_t, (B, C, h, w)."""
        signal, sigma = self._coefficients(timesteps_B)
        noisy: Tensor = signal * latents_BCHW + sigma * noise_BCHW
        return noisy

    def target(self, kind: PredictionType, latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
        """ε, or `v = sqrt(ᾱ) ε - sqrt(1 - ᾱ) x_0` (Salimans & Ho 2022, appendix D), (B, C, h, w)."""
        if kind == "epsilon":
            return noise_BCHW
        signal, sigma = self._coefficients(timesteps_B)
        velocity: Tensor = signal * noise_BCHW - sigma * latents_BCHW
        return velocity

    def min_snr_weights(self, kind: PredictionType, timesteps_B: Tensor, gamma: float) -> Tensor:
        """Loss weights (B,) of Hang et al. 2023, section 3.4: `min(SNR, γ) / SNR` for ε, `/ (SNR + 1)` for v."""
        alphas = self.alphas_cumprod[timesteps_B]
        snr = alphas / (1 - alphas).clamp_min(1e-8)
        capped = snr.clamp_max(gamma)
        weights: Tensor = capped / (snr.clamp_min(1e-8) if kind == "epsilon" else snr + 1)
        return weights

    def _coefficients(self, timesteps_B: Tensor) -> tuple[Tensor, Tensor]:
        alphas = self.alphas_cumprod[timesteps_B].reshape(-1, 1, 1, 1)
        return alphas.sqrt(), (1 - alphas).sqrt()


def sample_losses(
    prediction_BCHW: Tensor, target_BCHW: Tensor, config: ObjectiveConfig, weights_B: Tensor | None = None
) -> Tensor:
    """The loss of each sample, (B,), in fp32: mean squared, or Huber, over its latent; weighted."""
    prediction, target = prediction_BCHW.float(), target_BCHW.float()
    if config.loss == "huber":
        # Divided by δ: near zero it is half the squared error, far out it grows like the absolute one.
        errors = (
            functional.huber_loss(prediction, target, reduction="none", delta=config.huber_delta) / config.huber_delta
        )
    else:
        errors = functional.mse_loss(prediction, target, reduction="none")
    losses_B = errors.flatten(1).mean(dim=1)
    return losses_B if weights_B is None else losses_B * weights_B
