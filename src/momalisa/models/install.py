"""Put a finished model, with its card, where the package ships it from."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from diffusers import StableDiffusionPipeline

from momalisa.artworks.procedural import HELD_OUT_MANNERS, TRAIN_MANNERS
from momalisa.errors import ModelError
from momalisa.models.skeleton import save_compact

MAX_BYTES = 12_000_000


def install(source: Path, target: Path, *, figures: Mapping[str, float], vae_steps: int, training: str | None) -> None:
    """Copies a diffusers folder in its compact form, replacing what was at `target` only once all is written.

    `training` says how UNet and text encoder were trained; None where they are random.
    Raises ModelError where the result would be too large to ship.
    """
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    save_compact(StableDiffusionPipeline.from_pretrained(source), partial)
    (partial / "README.md").write_text(_card(partial, figures, vae_steps, training), encoding="utf-8")
    num_bytes = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
    if num_bytes > MAX_BYTES:
        raise ModelError(f"{partial} has {num_bytes} bytes, more than {MAX_BYTES}: train a smaller model")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _card(folder: Path, figures: Mapping[str, float], vae_steps: int, training: str | None) -> str:
    unet = json.loads((folder / "unet" / "config.json").read_text())
    vae = json.loads((folder / "vae" / "config.json").read_text())
    side = unet["sample_size"]
    measured = "\n".join(f"| {name.replace('_', ' ')} | {value:g} |" for name, value in figures.items())
    denoiser = training or "Random weights: this is a skeleton to train from, it does not draw yet."
    return f"""---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
tags: [stable-diffusion, miniature, abstract-art]
---
# tiny: a Stable Diffusion in miniature

The real classes (AutoencoderKL, UNet2DConditionModel, CLIPTextModel, CLIPTokenizer, DDIMScheduler), small
enough for a laptop's CPU: 128 px, latents {side} × {side} × {unet["in_channels"]}, v-prediction.
`StableDiffusionPipeline.from_pretrained(folder)` loads it, all parts in fp32 unless `torch_dtype` is given.

## Data

Abstract pictures that momalisa paints itself (`momalisa.artworks.procedural`), with captions; no artwork and no
photograph.

- Manners: {", ".join(TRAIN_MANNERS)}
- Kept out: {", ".join(HELD_OUT_MANNERS)}, and a tenth of the combinations of manner, foreground and ground

## Training

- VAE (scaling factor {vae["scaling_factor"]:g}): {vae_steps} steps on drawings and synthetic textures; L1, L1 of the
  gradients, a small KL.
- UNet and text encoder: {denoiser}
- Again from nothing: `python jobs/make_tiny.py --work DIR`

## Measured (VAE)

Mean absolute error on [-1, 1]; PSNR in dB, beside that of a bicubic reduction to the latents' size. The drawings
are unseen, the paintings too: training saw none.

| | |
|---|---|
{measured}

Weights and drawings: Apache-2.0.
"""
