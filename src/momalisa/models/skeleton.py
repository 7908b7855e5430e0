"""The shape of `tiny`: the real classes of a Stable Diffusion, small, with random weights."""

import json
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from momalisa.models.tokenizer import MAX_TOKENS, create_tokenizer

RESOLUTION = 128
TEXT_WIDTH = 96


def create_skeleton(path: Path | str, seed: int, *, vae: Any = None) -> Path:
    """Writes a diffusers folder: UNet and text encoder of random weights, and the given VAE (or one of random
    weights). `StableDiffusionPipeline.from_pretrained(path)` loads it, all parts in fp32.

    UNet and VAE are stored in fp16, which diffusers loads as fp32 by default. The small text encoder is stored
    in fp32, because transformers loads what is stored and the parts would come out mixed. `vae` is not changed.
    """
    tokenizer = create_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        text_encoder, unet = _create_text_encoder(tokenizer), _create_unet()
    own_vae = create_vae(seed)
    if vae is not None:
        own_vae.load_state_dict(vae.state_dict())
        own_vae.register_to_config(scaling_factor=vae.config.scaling_factor)
    pipeline = StableDiffusionPipeline(
        vae=own_vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=_create_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return save_compact(pipeline, path)


def save_compact(pipeline: Any, path: Path | str) -> Path:
    """Saves a pipeline of this shape as it ships, see `create_skeleton`; changes the dtype of its parts."""
    pipeline.vae.half()
    pipeline.unet.half()
    pipeline.text_encoder.float()
    pipeline.save_pretrained(path, safe_serialization=True)
    folder = Path(path)
    for weights in folder.rglob("*.safetensors"):
        weights.chmod(0o644)  # Saved readable by their owner alone; an installed package is read by others.
    for config_path in (folder / "model_index.json", *folder.glob("*/config.json")):
        config = json.loads(config_path.read_text(encoding="utf-8"))
        config.pop("_name_or_path", None)  # Where the parts were loaded from is of no use elsewhere.
        config_path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    return folder


def create_vae(seed: int) -> Any:
    """An AutoencoderKL of factor 8 with four latent channels, fp32.

    Few channels at full resolution, where they cost the most, and few groups: a group of two channels
    would normalise a flat colour away. No attention, so that it works alike at every size.
    """
    channels = (32, 64, 96, 128)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        vae = AutoencoderKL(
            in_channels=3,
            out_channels=3,
            down_block_types=("DownEncoderBlock2D",) * len(channels),
            up_block_types=("UpDecoderBlock2D",) * len(channels),
            block_out_channels=channels,
            layers_per_block=1,
            norm_num_groups=4,
            latent_channels=4,
            sample_size=RESOLUTION,
            mid_block_add_attention=False,
        )
        _let_pixels_through(vae)
    return vae


@torch.no_grad()
def _let_pixels_through(vae: Any) -> None:
    """Starts from a net that hardly changes what it sees: with torch's own initialisation biases drown the
    picture, and thousands of steps pass before the first colours come back.

    Convolutions begin near delta-orthogonal kernels (Xiao et al. 2018, arXiv:1806.05393), residual branches
    at zero, the latents' deviation small.
    """
    for name, module in vae.named_modules():
        if not isinstance(module, nn.Conv2d):
            continue
        fan_in = module.in_channels * module.kernel_size[0] ** 2
        module.weight.normal_(0, 0.3 * fan_in**-0.5)
        center = module.kernel_size[0] // 2
        module.weight[:, :, center, center] += nn.init.orthogonal_(torch.empty(module.out_channels, module.in_channels))
        nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        if name.endswith("conv2"):
            nn.init.zeros_(module.weight)
    vae.quant_conv.weight[vae.config.latent_channels :] = 0
    vae.quant_conv.bias[vae.config.latent_channels :] = -6


def _create_unet() -> Any:
    """Two levels, 16 × 16 and 8 × 8, each with cross-attention. (diffusers' `attention_head_dim` counts heads.)"""
    return UNet2DConditionModel(
        sample_size=RESOLUTION // 8,
        in_channels=4,
        out_channels=4,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(96, 160),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def _create_text_encoder(tokenizer: CLIPTokenizer) -> Any:
    """Two layers. Its ids are the tokenizer's own: CLIP's pooling looks for the first `eos_token_id`."""
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=TEXT_WIDTH,
            intermediate_size=4 * TEXT_WIDTH,
            projection_dim=TEXT_WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=MAX_TOKENS,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def _create_scheduler() -> Any:
    """Stable Diffusion's own noise levels; the UNet predicts v (Salimans and Ho 2022, arXiv:2202.00512).

    Sampling starts at the very last timestep ("trailing": Lin et al. 2023, arXiv:2305.08891), where the noise
    is strongest. The terminal signal-to-noise ratio stays above zero: min-SNR weights would leave the last
    timestep untrained.
    """
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
