"""Put a finished model, with its card, where the package ships it from."""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from diffusers import StableDiffusionPipeline
from PIL import Image

from momalisa.artworks.procedural import HELD_OUT_MANNERS, TRAIN_MANNERS
from momalisa.errors import ModelError
from momalisa.models.skeleton import save_compact

MAX_BYTES = 24_000_000
SAMPLES = "samples.jpg"


@dataclass(frozen=True, kw_only=True, slots=True)
class Making:
    """How a model was made and what was measured, for its card."""

    vae_steps: int
    vae_hours: float
    vae_figures: Mapping[str, float]
    denoiser_steps: int
    denoiser_hours: float
    global_batch_size: int
    num_drawings: int
    num_cores: int
    learning: Mapping[str, Any] | None = None
    """What `tests/bench/learning.py --json` wrote."""


def install(source: Path, target: Path, making: Making, *, samples: Path | None = None) -> None:
    """Copies a diffusers folder in its compact form, replacing what was at `target` only once all is written.

    Raises ModelError where the result would be too large to ship.
    """
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    save_compact(StableDiffusionPipeline.from_pretrained(source), partial)
    if samples is not None:
        Image.open(samples).convert("RGB").save(partial / SAMPLES, quality=85)
    (partial / "README.md").write_text(_card(partial, making), encoding="utf-8")
    num_bytes = sum(file.stat().st_size for file in partial.rglob("*") if file.is_file())
    if num_bytes > MAX_BYTES:
        raise ModelError(f"{partial} has {num_bytes} bytes, more than {MAX_BYTES}: train a smaller model")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _card(folder: Path, making: Making) -> str:
    unet = json.loads((folder / "unet" / "config.json").read_text())
    vae = json.loads((folder / "vae" / "config.json").read_text())
    side = unet["sample_size"]
    samples = f"\n![samples]({SAMPLES})\n" if (folder / SAMPLES).is_file() else ""
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
Prompts name a manner and two colours: "blue dots on a yellow ground". Guidance of 3 to 5 does well.
{samples}
## Data

Abstract pictures that momalisa paints itself (`momalisa.artworks.procedural`), with captions; no artwork and no
photograph.

- Manners: {", ".join(TRAIN_MANNERS)}
- Kept out: {", ".join(HELD_OUT_MANNERS)}, and a tenth of the combinations of manner, foreground and ground

## Training

On {making.num_cores} CPU cores; again from nothing: `python jobs/make_tiny.py --work DIR --install`

- VAE (scaling factor {vae["scaling_factor"]:g}): {making.vae_steps} steps on drawings (absolute error and that of the
  gradients) and synthetic textures (squared error), with a small KL. {_hours(making.vae_hours)}.
- UNet and text encoder: momalisa's own training loop, recipe `tiny`: {making.denoiser_steps} steps of
  {making.global_batch_size} of {making.num_drawings} drawings; min-SNR weights, a moving average.
  {_hours(making.denoiser_hours)}.

## Measured

The VAE, on pictures that no training saw. Mean absolute error on [-1, 1]; PSNR in dB, beside that of a bicubic
reduction to the latents' size.

{_table(making.vae_figures)}
{_learning(making.learning)}
Weights and drawings: Apache-2.0.
"""


def _learning(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return ""
    names = ("manner_accuracy", "colour_accuracy", "colour_accuracy_unseen", "diversity", "frechet_distance")
    figures = {name: record[name] for name in (*names, "frechet_floor", "picture_s", "picture_over_decode")}
    return f"""
What it draws, judged by the style classifier (`tests/bench/learning.py`): {record["num_prompts"]} prompts, 25 steps,
guidance. `unseen`: combinations kept from training. `picture s`: seconds of one picture on one core.

{_table(figures)}
"""


def _table(figures: Mapping[str, float]) -> str:
    rows: Sequence[str] = [f"| {name.replace('_', ' ')} | {value:.4g} |" for name, value in figures.items()]
    return "\n".join(["| | |", "|---|---|", *rows])


def _hours(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{hours * 60:.0f} minutes"
