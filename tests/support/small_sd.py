"""A Stable Diffusion of the real classes with random weights, small enough to make for one test."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from momalisa.diffusion.loading import Components
from momalisa.diffusion.sampling import pipeline_of

SIZE = 32
"""Pixels of its pictures' sides."""
_MAX_TOKENS = 16


def small_components(folder: Path, *, seed: int = 0) -> Components:
    """The parts, in eval mode and without gradients; `folder` holds the tokenizer's files."""
    torch.manual_seed(seed)
    tokenizer = _tokenizer(folder)
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", steps_offset=1, clip_sample=False)
    components = Components(
        uri="small",
        path=folder,
        tokenizer=tokenizer,
        text_encoder=_text_encoder(len(tokenizer)),
        vae=_vae(),
        unet=_unet(),
        scheduler_config={**scheduler.config, "_class_name": "DDPMScheduler"},
        fingerprints={"unet": "0" * 64, "vae": "1" * 64, "text_encoder": "2" * 64},
    )
    for part in (components.text_encoder, components.vae, components.unet):
        part.eval().requires_grad_(False)
    return components


def save_small_sd(folder: Path) -> Path:
    """The same as a folder that diffusers loads."""
    (folder / "tokenizer").mkdir(parents=True)
    pipeline_of(small_components(folder / "tokenizer")).save_pretrained(folder, safe_serialization=True)
    return folder


def _tokenizer(folder: Path) -> Any:
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    words = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=_MAX_TOKENS)


def _text_encoder(vocab_size: int) -> Any:
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocab_size,
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=_MAX_TOKENS,
            bos_token_id=0,
            eos_token_id=1,
            pad_token_id=1,
        )
    )


def _vae() -> Any:
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=SIZE,
    )


def _unet() -> Any:
    return UNet2DConditionModel(
        sample_size=SIZE // 2,
        block_out_channels=(8, 16),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=16,
        attention_head_dim=4,
        norm_num_groups=4,
    )
