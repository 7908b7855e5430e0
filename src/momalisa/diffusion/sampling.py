"""Draw pictures with a model, from seeds."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, StableDiffusionPipeline
from torch import Tensor

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
        drawn = pipeline(
            batch,
            negative_prompt=[negative_prompt] * len(batch),
            num_inference_steps=num_inference_steps,
            guidance_scale=guidance_scale,
            height=height,
            width=width,
            generator=_generators(seeds[start : start + batch_size]),
            output_type="np" if output == "pixels" else "latent",
        ).images
        pictures.append(drawn.float().cpu().numpy() if output == "latent" else _to_pixels(drawn))
    return np.concatenate(pictures)


def draw_encoded(
    components: Components,
    embeddings: Tensor,
    negative_embeddings: Tensor,
    *,
    seeds: Sequence[int],
    num_inference_steps: int = 25,
    guidance_scale: float = 7.5,
    height: int | None = None,
    width: int | None = None,
) -> "np.ndarray[Any, np.dtype[Any]]":
    """As `draw`, from prompts that were encoded before, (N, tokens, width) each: no text encoder is needed."""
    where = {"device": components.unet.device, "dtype": components.unet.dtype}
    drawn = pipeline_of(components)(
        prompt_embeds=embeddings.to(**where),
        negative_prompt_embeds=negative_embeddings.to(**where),
        num_inference_steps=num_inference_steps,
        guidance_scale=guidance_scale,
        height=height,
        width=width,
        generator=_generators(seeds),
        output_type="np",
    ).images
    return _to_pixels(drawn)


def _generators(seeds: Sequence[int]) -> list[torch.Generator]:
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def _to_pixels(drawn: "np.ndarray[Any, np.dtype[Any]]") -> "np.ndarray[Any, np.dtype[Any]]":
    return (drawn * 255).round().clip(0, 255).astype(np.uint8)


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
