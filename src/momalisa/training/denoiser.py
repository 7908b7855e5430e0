"""The part of the model that learns: the UNet, perhaps with the text encoder, perhaps with LoRA."""

from typing import Any

import torch
from peft import LoraConfig as PeftLoraConfig
from torch import Tensor, nn

from momalisa.diffusion.loading import Components
from momalisa.training.config import ModelConfig, TrainConfig

_TEXT_LORA_TARGETS = ("q_proj", "k_proj", "v_proj", "out_proj")


class Denoiser(nn.Module):
    """Noisy latents, timesteps and a text (ids or embeddings) in, the model's prediction out."""

    def __init__(self, unet: nn.Module, text_encoder: nn.Module | None) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder

    def forward(
        self,
        latents_BCHW: Tensor,
        timesteps_B: Tensor,
        *,
        token_ids_BT: Tensor | None = None,
        text_embeddings_BTD: Tensor | None = None,
    ) -> Tensor:
        """The prediction, (B, C, h, w). Token ids are encoded here where the text encoder learns."""
        if text_embeddings_BTD is None:
            assert self.text_encoder is not None
            text_embeddings_BTD = self.text_encoder(token_ids_BT)[0]
        prediction: Tensor = self.unet(latents_BCHW, timesteps_B, encoder_hidden_states=text_embeddings_BTD)[0]
        return prediction


def build_denoiser(components: Components, config: TrainConfig) -> Denoiser:
    """Marks what learns (and only that) as requiring gradients; takes the parts out of `components`' hands.

    With LoRA the adapters alone learn; they are initialised from the run's seed.
    """
    torch.manual_seed(config.seed)
    text_encoder = components.text_encoder if config.model.train_text_encoder else None
    denoiser = Denoiser(components.unet, text_encoder)
    if config.model.lora is not None:
        _add_lora(denoiser, config.model)
    else:
        denoiser.requires_grad_(True)
    if config.model.random_init:
        _randomize(denoiser)
    if config.engine.gradient_checkpointing:
        _checkpoint_gradients(denoiser)
    denoiser.train()
    return denoiser


def _add_lora(denoiser: Denoiser, config: ModelConfig) -> None:
    assert config.lora is not None
    settings: dict[str, Any] = {
        "r": config.lora.rank,
        "lora_alpha": config.lora.alpha,
        "lora_dropout": config.lora.dropout,
    }
    denoiser.requires_grad_(False)
    denoiser.unet.add_adapter(  # type: ignore[operator]
        PeftLoraConfig(**settings, target_modules=list(config.lora.target_modules))
    )
    if denoiser.text_encoder is not None:
        denoiser.text_encoder.add_adapter(  # type: ignore[operator]
            PeftLoraConfig(**settings, target_modules=list(_TEXT_LORA_TARGETS))
        )


def _randomize(denoiser: Denoiser) -> None:
    """Fresh weights, as the classes themselves initialise them."""
    fresh_unet = type(denoiser.unet).from_config(denoiser.unet.config)  # type: ignore[attr-defined]
    denoiser.unet.load_state_dict(fresh_unet.state_dict())
    if denoiser.text_encoder is not None:
        fresh_text = type(denoiser.text_encoder)(denoiser.text_encoder.config)
        denoiser.text_encoder.load_state_dict(fresh_text.state_dict())


def _checkpoint_gradients(denoiser: Denoiser) -> None:
    denoiser.unet.enable_gradient_checkpointing()  # type: ignore[operator]
    if denoiser.text_encoder is not None:
        denoiser.text_encoder.gradient_checkpointing_enable()  # type: ignore[operator]
