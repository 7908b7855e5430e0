"""A walk on the shape of Stable Diffusion 1.x with random weights: speed and memory, where there is a GPU.

    python tests/bench/walk_full_size.py [--device cuda] [--dtype float16] [--frames 60] [--compile] [--json FILE]

- `seconds_per_image`: one picture at batch 1 by diffusers' own pipeline, guided throughout, the model warm
- `frames_per_second`: of a walk by our renderer, from prompts to frames in memory, the second one of two
- `speedup_vs_framewise`: so many pictures one by one, over the walk
- `peak_memory_mib`: of the device (CUDA), in the walk

Random weights draw nothing, but take as long. `--small` takes a shape that a processor can do, to try the script.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

sys.path.insert(0, str(Path(__file__).parents[2]))  # the folder of `tests`, when this file is run by itself

from momalisa.diffusion.loading import load_components
from momalisa.diffusion.sampling import pipeline_of
from momalisa.models.tokenizer import MAX_TOKENS, create_tokenizer
from momalisa.walk.settings import Settings
from momalisa.walk.studio import DTYPES, prepare
from tests.bench.walk_sides import Pair, ours, request_of

_PAIR = Pair(("blue dots on a yellow ground", "red stripes on white"), ("dots", "stripes"), 0)
_IMAGES = 3


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--dtype", choices=DTYPES, default="float16")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--json", type=Path, metavar="FILE")
    flags = parser.parse_args()
    device = torch.device(flags.device)
    with tempfile.TemporaryDirectory() as name:
        create_model(Path(name), width=32 if flags.small else 320)
        components = load_components(name, dtype=DTYPES[flags.dtype])
        prepare(components, device, Settings(compile=flags.compile))
        record = measure(components, flags)
    for key, value in record.items():
        print(f"{key:24s}{value:10.3f}")
    if flags.json:
        flags.json.write_text(json.dumps(record, indent=1))
    return 0


def create_model(folder: Path, width: int) -> None:
    """A diffusers folder in the shape of Stable Diffusion 1.x (for a width of 320), with random weights."""
    tokenizer, small = create_tokenizer(), width < 320
    text_width = 2 * width if small else 768
    unet = UNet2DConditionModel(
        sample_size=16 if small else 64,
        block_out_channels=(width, 2 * width, 4 * width, 4 * width),
        cross_attention_dim=text_width,
        attention_head_dim=8,
    )
    vae_width = 32 if small else 128
    vae = AutoencoderKL(
        block_out_channels=(vae_width, 2 * vae_width, 4 * vae_width, 4 * vae_width),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
    )
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=text_width,
        intermediate_size=4 * text_width,
        num_hidden_layers=2 if small else 12,
        num_attention_heads=text_width // 64,
        max_position_embeddings=MAX_TOKENS,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel(text),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder, safe_serialization=True)


def measure(components: Any, flags: argparse.Namespace) -> dict[str, float]:
    """The figures; everything runs once before it is timed."""
    pipeline = pipeline_of(components)
    request = request_of(_PAIR, num_frames=flags.frames, num_inference_steps=flags.steps)

    def draw() -> None:
        pipeline(_PAIR.prompts[0], num_inference_steps=flags.steps, guidance_scale=request.guidance_scale)

    draw()
    per_image = _seconds(lambda: [draw() for _ in range(_IMAGES)], flags.device) / _IMAGES
    ours(components, request)
    is_cuda = torch.device(flags.device).type == "cuda"
    if is_cuda:
        torch.cuda.reset_peak_memory_stats()
    per_walk = _seconds(lambda: ours(components, request), flags.device)
    return {
        "seconds_per_image": per_image,
        "frames_per_second": flags.frames / per_walk,
        "speedup_vs_framewise": flags.frames * per_image / per_walk,
        "peak_memory_mib": torch.cuda.max_memory_allocated() / 2**20 if is_cuda else float("nan"),
    }


def _seconds(call: Callable[[], object], device: str) -> float:
    began = time.perf_counter()
    call()
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
