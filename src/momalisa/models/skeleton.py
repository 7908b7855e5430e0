"""The parts of the miniature Stable Diffusion: the real classes, small.

128 px, latents 16 × 16 × 4 (factor 8), v-prediction.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

SIZE = 128
TEXT_WIDTH = 96
MAX_TOKENS = 24
VOCABULARY_SIZE = 600


def build_vae() -> AutoencoderKL:
    """Few channels at full resolution, where they cost the most; no attention."""
    return AutoencoderKL(
        sample_size=SIZE,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 32, 64, 96),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
    )


def build_unet() -> UNet2DConditionModel:
    """Two levels, 16 × 16 and 8 × 8, both with cross-attention."""
    return UNet2DConditionModel(
        sample_size=SIZE // 8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(64, 128),
        layers_per_block=2,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Two layers over the tokenizer's own vocabulary and special tokens."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            projection_dim=TEXT_WIDTH,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def build_tokenizer(captions: Iterable[str]) -> CLIPTokenizer:
    """A CLIP tokenizer whose byte pairs were learnt from the captions.

    Every byte is in the vocabulary, also as a word's end, so that unknown words become letters and do no harm.
    """
    learning = CLIPTokenizer().backend_tokenizer
    alphabet = sorted(ByteLevel.alphabet())
    trainer = BpeTrainer(
        vocab_size=VOCABULARY_SIZE, initial_alphabet=alphabet, end_of_word_suffix="</w>", show_progress=False
    )
    learning.train_from_iterator(captions, trainer)
    learnt = json.loads(learning.to_str())["model"]
    special = ("<|startoftext|>", "<|endoftext|>", "<|pad|>")
    tokens = [token for token in learnt["vocab"] if token not in special]
    tokens += [f"{letter}</w>" for letter in alphabet if f"{letter}</w>" not in learnt["vocab"]]
    vocabulary = {token: number for number, token in enumerate([*tokens, *special])}
    merges = [tuple(merge) if isinstance(merge, list) else tuple(merge.split(" ")) for merge in learnt["merges"]]
    return CLIPTokenizer(vocabulary, merges, pad_token="<|pad|>", model_max_length=MAX_TOKENS)  # noqa: S106


def build_scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, predicting v."""
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
    )


def save_model(folder: Path, vae: Any, captions: Iterable[str], *, seed: int = 0) -> None:
    """A diffusers folder with this VAE and a UNet and text encoder of random weights.

    UNet and VAE are stored in fp16, the text encoder in fp32: diffusers loads the first as fp32 whatever their
    files hold, transformers loads what the file holds, so that all parts come out as fp32.
    """
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(captions)
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=build_text_encoder(tokenizer),
        tokenizer=tokenizer,
        unet=build_unet(),
        scheduler=build_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.unet.half()
    pipeline.vae.half()
    pipeline.save_pretrained(folder, safe_serialization=True)
    pipeline.vae.float()
