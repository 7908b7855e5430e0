"""Prompts to embeddings, pictures to latents."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


def tokenize(tokenizer: Any, captions: Sequence[str]) -> Tensor:
    """Token ids, (B, model_max_length), padded and cut to the model's length."""
    batch = tokenizer(
        list(captions),
        padding="max_length",
        max_length=tokenizer.model_max_length,
        truncation=True,
        return_tensors="pt",
    )
    ids: Tensor = batch.input_ids
    return ids


def encode_prompts(components: Any, captions: Sequence[str]) -> Tensor:
    """Text embeddings (B, tokens, width): the text encoder's last hidden state, on its device.

    No attention mask, as Stable Diffusion was trained. Without gradients.
    """
    encoder = components.text_encoder
    with torch.no_grad():
        ids = tokenize(components.tokenizer, captions).to(encoder.device)
        embeddings: Tensor = encoder(ids)[0]
    return embeddings


def encode_images(vae: Any, pixel_values_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of the latents, each (B, C, h, w), before the scaling factor.

    `pixel_values_BCHW` are RGB in [-1, 1]. Without gradients.
    """
    with torch.no_grad():
        posterior = vae.encode(pixel_values_BCHW.to(device=vae.device, dtype=vae.dtype)).latent_dist
    return posterior.mean, posterior.std
