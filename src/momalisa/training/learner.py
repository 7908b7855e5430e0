"""A rank's models: what learns (in the engine), what stays frozen, and a plain copy to evaluate with."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from momalisa.diffusion.encode import encode_images, encode_prompts, tokenize
from momalisa.diffusion.loading import Components, load_components
from momalisa.diffusion.objective import Diffusion, sample_losses
from momalisa.training.config import ObjectiveConfig, TrainConfig
from momalisa.training.denoiser import Denoiser, build_denoiser
from momalisa.training.engine import COMPUTE_DTYPES, TrainingEngine
from momalisa.training.estimates import WeightChange
from momalisa.training.measures import lora_relative_change, relative_change
from momalisa.training.world import World

Predict = Callable[..., Tensor]


@dataclass(slots=True)
class LatentBatch:
    """Samples as the denoiser needs them, on its device: latents (B, C, h, w), timesteps (B,), text."""

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    token_ids: Tensor | None
    text_embeddings: Tensor | None
    perturbation: Tensor | None = None

    def extended_by(self, other: "LatentBatch") -> "LatentBatch":
        """Both batches in one, where their latents have one shape."""

        def join(a: Tensor | None, b: Tensor | None) -> Tensor | None:
            return None if a is None or b is None else torch.cat([a, b])

        perturbation = None
        if self.perturbation is not None:
            perturbation = torch.cat([self.perturbation, torch.zeros_like(other.noise)])
        return LatentBatch(
            latents=torch.cat([self.latents, other.latents]),
            noise=torch.cat([self.noise, other.noise]),
            timesteps=torch.cat([self.timesteps, other.timesteps]),
            token_ids=join(self.token_ids, other.token_ids),
            text_embeddings=join(self.text_embeddings, other.text_embeddings),
            perturbation=perturbation,
        )


class Learner:
    """Owns the models of one rank."""

    def __init__(self, config: TrainConfig, world: World) -> None:
        self.config = config
        self.device = world.device
        self.components = load_components(config.model.uri, revision=config.model.revision)
        self.scaling_factor = float(self.components.vae.config.scaling_factor)
        self.diffusion = Diffusion(self.components.scheduler_config, self.device)
        self.prediction_type = self.components.prediction_type
        self.frozen_dtype = COMPUTE_DTYPES[config.engine.precision]
        denoiser = build_denoiser(self.components, config)
        self._initial = {n: p.detach().cpu().clone() for n, p in denoiser.named_parameters() if p.requires_grad}
        self._evaluated = copy.deepcopy(denoiser).requires_grad_(False).eval().to(self.device)
        self.components.vae.to(self.device, self.frozen_dtype)
        if not config.model.train_text_encoder:
            self.components.text_encoder.to(self.device, self.frozen_dtype)
        self.engine = TrainingEngine(denoiser, config, world_size=world.size, device=self.device)
        self.input_dtype = self.engine.compute_dtype if self.engine.stage else torch.float32

    def latents_of(self, batch: Any) -> Tensor:
        """Scaled latents of a micro-batch, from the cache's moments or from the VAE, each epoch sampled anew."""
        if batch.latent_mean is not None:
            mean, std = batch.latent_mean.to(self.device), batch.latent_std.to(self.device)
        else:
            mean, std = encode_images(self.components.vae, batch.pixel_values)
        latents: Tensor = (mean.float() + std.float() * batch.latent_noise.to(self.device)) * self.scaling_factor
        return latents

    def text_of(self, captions: list[str], text_embeddings: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """Token ids where the text encoder learns, else embeddings (cached, or computed now)."""
        if self.config.model.train_text_encoder:
            return tokenize(self.components.tokenizer, captions).to(self.device), None
        if text_embeddings is not None:
            return None, text_embeddings.to(self.device)
        return None, encode_prompts(self.components, captions)

    def latent_batch(self, batch: Any) -> LatentBatch:
        """A loader's micro-batch as latents, with noise offset and perturbation applied."""
        noise = batch.noise.to(self.device)
        objective = self.config.objective
        if objective.noise_offset:
            noise = noise + objective.noise_offset * batch.offset_noise.to(self.device)
        perturbation = None
        if objective.input_perturbation and batch.perturbation_noise is not None:
            perturbation = objective.input_perturbation * batch.perturbation_noise.to(self.device)
        token_ids, embeddings = self.text_of(batch.captions, batch.text_embeddings)
        return LatentBatch(
            latents=self.latents_of(batch),
            noise=noise,
            timesteps=batch.timesteps.to(self.device),
            token_ids=token_ids,
            text_embeddings=embeddings,
            perturbation=perturbation,
        )

    def losses(
        self, predict: Predict, batch: LatentBatch, objective: ObjectiveConfig, dtype: torch.dtype | None = None
    ) -> Tensor:
        """The loss of each sample, (B,), fp32."""
        dtype = dtype or self.input_dtype
        noise = batch.noise if batch.perturbation is None else batch.noise + batch.perturbation
        noisy = self.diffusion.add_noise(batch.latents, noise, batch.timesteps)
        embeddings = None if batch.text_embeddings is None else batch.text_embeddings.to(dtype)
        prediction = predict(
            noisy.to(dtype), batch.timesteps, token_ids_BT=batch.token_ids, text_embeddings_BTD=embeddings
        )
        target = self.diffusion.target(self.prediction_type, batch.latents, batch.noise, batch.timesteps)
        weights = None
        if objective.min_snr_gamma is not None:
            weights = self.diffusion.min_snr_weights(self.prediction_type, batch.timesteps, objective.min_snr_gamma)
        return sample_losses(prediction, target, objective, weights)

    def zero_loss(self) -> Tensor:
        """A loss of 0 that depends on every parameter that learns."""
        unet: Any = self._evaluated.unet.config
        noise = torch.zeros(1, unet.in_channels, unet.sample_size, unet.sample_size, device=self.device)
        token_ids, embeddings = self.text_of([""], None)
        batch = LatentBatch(noise, noise, torch.zeros(1, dtype=torch.long, device=self.device), token_ids, embeddings)
        return self.losses(self.engine, batch, ObjectiveConfig()).sum() * 0.0

    def evaluated(self, kind: str | None = None) -> Denoiser:
        """The plain copy; with a kind (`master`, `ema`), holding those weights. Collective then."""
        if kind is not None:
            own = dict(self._evaluated.named_parameters())
            with torch.no_grad():
                for name, tensor in self.engine.state_of(kind):
                    own[name].copy_(tensor)
        return self._evaluated

    def weight_change(self) -> WeightChange:
        """How far the plain copy's weights are from those at step 0; LoRA's from the weights that it adapts."""
        if self.config.model.lora is not None:
            return lora_relative_change(self._evaluated)
        own = dict(self._evaluated.named_parameters())
        return relative_change(self._initial, ((name, own[name].cpu()) for name in self._initial))

    def loader_arguments(self, world: World) -> dict[str, int]:
        """What loaders need to know of the run and the model."""
        return {
            "rank": world.rank,
            "world_size": world.size,
            "micro_batch_size": self.config.micro_batch_size,
            "latent_channels": int(self.components.vae.config.latent_channels),
            "vae_scale_factor": self.components.vae_scale_factor,
            "num_train_timesteps": self.diffusion.num_train_timesteps,
        }

    @property
    def averaged_kind(self) -> str:
        """The weights that are validated and exported: the moving average where there is one."""
        return "ema" if "ema" in self.engine.state_kinds else "master"

    def drawing_components(self) -> Components:
        """The components with the plain copy in them, to draw with."""
        text_encoder = self._evaluated.text_encoder or self.components.text_encoder
        return replace(self.components, unet=self._evaluated.unet, text_encoder=text_encoder)
