"""Train the VAE of `tiny` on drawings and synthetic textures, on a CPU, resumably.

Most steps see small crops (many of them, cheaply), the last ones whole pictures, so that attention
and group statistics fit the size at which the model is used. Everything random is a function of
(seed, step), so a resumed run continues exactly.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from momalisa.artworks.procedural import TRAIN_MANNERS, sample
from momalisa.artworks.textures import brushwork, dead_leaves
from momalisa.errors import ConfigError, TrainingError
from momalisa.models.skeleton import create_vae
from momalisa.models.training_state import Report, TrainingState, remember_settings, run_steps

STATE_FILE = "vae_state.safetensors"
CONFIG_FILE = "vae_training.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class VaeTrainConfig:
    """How the VAE is trained."""

    num_steps: int = 4000
    seed: int = 0
    learning_rate: float = 2e-3
    num_warmup_steps: int = 50
    crop: int = 64
    num_crops: int = 16
    whole: int = 128
    num_wholes: int = 4
    share_of_wholes: float = 0.25
    """Of the steps, at the end, that see whole pictures."""
    share_of_textures: float = 0.6
    gradient_weight: float = 0.5
    """Of the drawings' finite differences, beside their absolute error."""
    squared_weight: float = 4.0
    """Of the textures' squared error: what is fine and uneven is best met in the mean."""
    texture_gradient_weight: float = 0.05
    kl_weight: float = 1e-4
    ema_decay: float = 0.998
    max_grad_norm: float = 1.0
    save_every: int = 250

    def __post_init__(self) -> None:
        if self.num_steps < 1:
            raise ConfigError(f"num_steps is {self.num_steps}; give at least 1")
        if self.crop % 8 or self.whole % 8:
            raise ConfigError(f"crop {self.crop} and whole {self.whole} must be multiples of 8, the VAE's factor")


def train_vae(work: Path, config: VaeTrainConfig, *, report: Report | None = None) -> Any:
    """Trains, or goes on with what `work` holds, and returns the averaged AutoencoderKL, fp32, in eval mode,
    its latents standardized and its `scaling_factor` measured.

    Raises ConfigError where `work` was begun with other settings, TrainingError for a loss that is not finite.
    """
    remember_settings(work / CONFIG_FILE, config)
    vae = create_vae(config.seed)
    averaged = create_vae(config.seed).requires_grad_(False)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=1e-3)
    state = TrainingState(work / STATE_FILE, {"model": vae, "ema": averaged}, vae, optimizer)

    def take_step(step: int) -> dict[str, float]:
        losses = _step(vae, optimizer, training_batch(step, config), config, step)
        _average(averaged, vae, min(config.ema_decay, (1 + step) / (10 + step)))
        return losses

    run_steps(
        state,
        take_step,
        num_steps=config.num_steps,
        num_warmup_steps=config.num_warmup_steps,
        learning_rate=config.learning_rate,
        save_every=config.save_every,
        report=report,
    )
    averaged.eval()
    standardize_latents(averaged)
    averaged.register_to_config(scaling_factor=measure_scaling_factor(averaged))
    return averaged


@dataclass(frozen=True, slots=True)
class Batch:
    """Pixels (B, 3, H, W) in [-1, 1]; the first `num_textures` are textures, the others drawings."""

    pixels: Tensor
    num_textures: int


def training_batch(step: int, config: VaeTrainConfig) -> Batch:
    """The pictures of one step."""
    rng = np.random.default_rng([config.seed, step])
    whole = step >= config.num_steps * (1 - config.share_of_wholes)
    count, side = (config.num_wholes, config.whole) if whole else (config.num_crops, config.crop)
    num_textures = int(count * config.share_of_textures + rng.random())
    pictures = [(brushwork if rng.random() < 0.6 else dead_leaves)(rng, side) for _ in range(num_textures)]
    source: Image.Image | None = None
    while len(pictures) < count:
        # Painting costs more than cropping: a drawing serves for a few crops.
        if source is None or whole or rng.random() < 0.4:
            size = int(rng.choice([config.whole, config.whole, config.whole * 3 // 4, config.whole * 3 // 2]))
            source = sample(int(rng.integers(2**40)), size=max(size, side), manners=TRAIN_MANNERS).image
        pictures.append(_random_crop(source, side, rng))
    return Batch(torch.stack([to_pixels(picture) for picture in pictures]), num_textures)


def to_pixels(image: Image.Image) -> Tensor:
    """An RGB picture as (3, H, W) in [-1, 1]."""
    array = np.asarray(image, dtype=np.float32) / 127.5 - 1
    return torch.from_numpy(array).permute(2, 0, 1).contiguous()


@torch.no_grad()
def standardize_latents(vae: Any) -> None:
    """Gives each latent channel mean 0 and deviation 1 over drawings, in place; what is decoded stays the same.

    Stable Diffusion's pipelines know one scale for all channels and no shift, so both go into the two 1 × 1
    convolutions around the latents.
    """
    latents = _latents_of_drawings(vae)
    mean_C, deviation_C = latents.mean(dim=(0, 2, 3)), latents.std(dim=(0, 2, 3))
    channels = len(mean_C)
    inner, outer = vae.post_quant_conv, vae.quant_conv
    outer.weight[:channels] /= deviation_C[:, None, None, None]
    outer.bias[:channels] = (outer.bias[:channels] - mean_C) / deviation_C
    outer.bias[channels:] -= 2 * deviation_C.log()  # The log of the variance.
    inner.bias += inner.weight[:, :, 0, 0] @ mean_C
    inner.weight *= deviation_C[None, :, None, None]


@torch.no_grad()
def measure_scaling_factor(vae: Any) -> float:
    """1 / std of the latents of drawings that training did not see: what makes them of unit deviation."""
    return round(1 / float(_latents_of_drawings(vae, seed=100).std()), 5)


def _latents_of_drawings(vae: Any, *, count: int = 128, seed: int = 99) -> Tensor:
    pixels = torch.stack([to_pixels(sample((1 << 41) + seed * 10_007 + i).image) for i in range(count)])
    return torch.cat([vae.encode(chunk).latent_dist.mean for chunk in torch.split(pixels, 16)])


def _step(
    vae: Any, optimizer: torch.optim.Optimizer, batch: Batch, config: VaeTrainConfig, step: int
) -> dict[str, float]:
    generator = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
    with torch.autocast("cpu", torch.bfloat16):
        posterior = vae.encode(batch.pixels).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=generator)
        decoded = vae.decode(posterior.mean.float() + posterior.std.float() * noise).sample
    error = decoded.float() - batch.pixels
    textures, drawings = error[: batch.num_textures], error[batch.num_textures :]
    # Sums over the samples, so that each weighs the same; an empty share weighs nothing.
    squared = textures.square().mean(dim=(1, 2, 3)).sum() / len(error)
    texture_edges = gradient_size(textures).sum() / len(error)
    absolute = drawings.abs().mean(dim=(1, 2, 3)).sum() / len(error)
    edges = gradient_size(drawings).sum() / len(error)
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    loss = (
        config.squared_weight * squared
        + config.texture_gradient_weight * texture_edges
        + absolute
        + config.gradient_weight * edges
        + config.kl_weight * divergence
    )
    if not torch.isfinite(loss):
        raise TrainingError(f"the VAE's loss is {loss.item()} at step {step}: lower the learning rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(vae.parameters(), config.max_grad_norm)
    optimizer.step()
    return {
        "squared": squared.item(),
        "absolute": absolute.item(),
        "edges": edges.item(),
        "divergence": divergence.item(),
    }


def gradient_size(error_BCHW: Tensor) -> Tensor:
    """Mean absolute finite differences of the errors in x and y, (B,): small where edges are as sharp as they were."""
    across, down = error_BCHW.diff(dim=-1), error_BCHW.diff(dim=-2)
    return across.abs().mean(dim=(1, 2, 3)) + down.abs().mean(dim=(1, 2, 3))


def _random_crop(image: Image.Image, side: int, rng: np.random.Generator) -> Image.Image:
    left, top = (int(rng.integers(image.size[0] - side + 1)) for _ in range(2))
    crop = image.crop((left, top, left + side, top + side))
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else crop


def _average(averaged: Any, vae: Any, decay: float) -> None:
    with torch.no_grad():
        torch._foreach_lerp_(list(averaged.parameters()), list(vae.parameters()), 1 - decay)
