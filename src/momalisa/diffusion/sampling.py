"""Draw pictures with a model, from seeds."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline

from momalisa.diffusion.loading import Components


def draw(
    components: Components,
    prompts: Sequence[str],
    *,
    seeds: Sequence[int],
    num_inference_steps: int = 25,
    guidance_scale: float = 7.5,
    negative_prompt: str = "",
    height: int | None = None,
    width: int | None = None,
    batch_size: int = 8,
    output: Literal["pixels", "latent"] = "pixels",
) -> "np.ndarray[Any, np.dtype[Any]]":
    """Pictures (N, height, width, 3) uint8 of the prompts, each from the noise of its own seed.

    Or their scaled latents (N, C, h, w) float32.

    Sizes are pixels, by default the model's own. The noise is drawn on the CPU, so that a seed means
    the same picture on every device.
    """
    pipeline = pipeline_of(components)
    pictures = []
    for start in range(0, len(prompts), batch_size):
        batch = list(prompts[start : start + batch_size])
        generators = [torch.Generator("cpu").manual_seed(s) for s in seeds[start : start + batch_size]]
        drawn = pipeline(
            batch,
            negative_prompt=[negative_prompt] * len(batch),
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            height=height,
            width=width,
            generator=generators,
            output_type="np" if output == "pixels" else "latent",
        ).images
        if output == "latent":
            pictures.append(drawn.float().cpu().numpy())
        else:
            pictures.append((drawn * 255).round().clip(0, 255).astype(np.uint8))
    return np.concatenate(pictures)


def pipeline_of(components: Components) -> Any:
    """diffusers' own pipeline around the parts, without a safety checker; DPM-Solver++ 2M, no progress bar."""
    pipeline = StableDiffusionPipeline(
        vae=components.vae,
        text_encoder=components.text_encoder,
        tokenizer=components.tokenizer,
        unet=components.unet,
        scheduler=DPMSolverMultistepScheduler.from_config(components.scheduler_config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline
