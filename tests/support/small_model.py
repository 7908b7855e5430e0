"""A complete Stable Diffusion folder with random weights, small enough to be made in a test."""

import json
import string
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

TEXT_WIDTH = 8
NUM_TOKENS = 16
VAE_SCALE_FACTOR = 2


def write_small_model(folder: Path, seed: int = 0) -> Path:
    """Writes the parts with weights of the seed's; gives the folder."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(4, 8),
            norm_num_groups=2,
            latent_channels=4,
            sample_size=16,
        ).save_pretrained(folder / "vae", safe_serialization=True)
        UNet2DConditionModel(
            sample_size=8,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(8, 8),
            layers_per_block=1,
            norm_num_groups=2,
            attention_head_dim=4,
            cross_attention_dim=TEXT_WIDTH,
        ).save_pretrained(folder / "unet", safe_serialization=True)
        vocabulary = _vocabulary()
        CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(vocabulary),
                hidden_size=TEXT_WIDTH,
                intermediate_size=16,
                num_hidden_layers=1,
                num_attention_heads=2,
                max_position_embeddings=NUM_TOKENS,
                bos_token_id=len(vocabulary) - 2,
                eos_token_id=len(vocabulary) - 1,
            )
        ).save_pretrained(folder / "text_encoder", safe_serialization=True)
    DDPMScheduler(beta_schedule="scaled_linear", steps_offset=1, clip_sample=False).save_pretrained(
        folder / "scheduler"
    )
    _write_tokenizer(folder / "tokenizer", vocabulary)
    classes = {
        "vae": ["diffusers", "AutoencoderKL"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "scheduler": ["diffusers", "DDPMScheduler"],
    }
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline", **classes}))
    return folder


def _vocabulary() -> dict[str, int]:
    characters = list(string.ascii_lowercase + string.digits + string.punctuation)
    tokens = characters + [f"{c}</w>" for c in characters] + ["<|startoftext|>", "<|endoftext|>"]
    return {token: number for number, token in enumerate(tokens)}


def _write_tokenizer(folder: Path, vocabulary: dict[str, int]) -> None:
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": NUM_TOKENS,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
