"""A trained model as anyone can load it: a plain diffusers folder, or LoRA weights with rank and alpha."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers import StableDiffusionPipeline
from peft import get_peft_model_state_dict
from torch import Tensor, nn

from momalisa.diffusion.loading import Components
from momalisa.errors import ModelError
from momalisa.lora.adapters import LORA_FILE

_ADAPTER = "default"
_LORA_KEYS = ("r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "bias")
"""What of peft's config decides the loaded weights: not the paths and the runtime settings beside it."""


def export_pipeline(
    path: Path,
    components: Components,
    *,
    dtype: torch.dtype,
    unet_state: Mapping[str, Tensor] | None = None,
    text_encoder_state: Mapping[str, Tensor] | None = None,
) -> None:
    """Writes `StableDiffusionPipeline.from_pretrained`'s folder, safetensors, all weights of one dtype.

    The states, by the parts' own parameter names, stand in for the weights in `components`, which stay
    as they are. A safety checker of the base model is not part of the export.
    """
    pipeline = StableDiffusionPipeline(
        vae=_copy_as(components.vae, None, dtype),
        text_encoder=_copy_as(components.text_encoder, text_encoder_state, dtype),
        tokenizer=components.tokenizer,
        unet=_copy_as(components.unet, unet_state, dtype),
        scheduler=_scheduler(components),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(path, safe_serialization=True)
    _forget_where_it_was_loaded(path)


def export_lora(
    path: Path, *, unet: nn.Module, text_encoder: nn.Module | None = None, dtype: torch.dtype = torch.float32
) -> None:
    """Writes the modules' adapters for `load_lora_weights`, with rank and alpha in the file's metadata.

    Without that metadata a loader would take alpha to be the rank, and draw with another strength.
    """
    StableDiffusionPipeline.save_lora_weights(
        path,
        unet_lora_layers=_lora_state(unet, dtype),
        unet_lora_adapter_metadata=_lora_metadata(unet),
        text_encoder_lora_layers=None if text_encoder is None else _lora_state(text_encoder, dtype),
        text_encoder_lora_adapter_metadata=None if text_encoder is None else _lora_metadata(text_encoder),
        weight_name=LORA_FILE,
        safe_serialization=True,
    )


def _copy_as(module: Any, state: Mapping[str, Tensor] | None, dtype: torch.dtype) -> Any:
    """A copy on the CPU in a dtype; the module keeps its own weights."""
    fresh = copy.deepcopy(module)
    unknown = state.keys() - fresh.state_dict().keys() if state is not None else set()
    if unknown:
        raise ModelError(f"weights of another model: {type(module).__name__} has no parameter {min(unknown)}")
    if state is not None:
        fresh.load_state_dict(state, strict=False)
    # torch's own `to`: diffusers' warns that the list of modules to be kept in fp32 is empty.
    nn.Module.to(fresh, device="cpu", dtype=dtype)
    # safetensors refuses channels-last tensors.
    return nn.Module.to(fresh, memory_format=torch.contiguous_format)


def _forget_where_it_was_loaded(path: Path) -> None:
    """diffusers writes the folder that a part came from into its config: of no use elsewhere."""
    for config_path in (path / "model_index.json", *path.glob("*/config.json")):
        config = json.loads(config_path.read_text(encoding="utf-8"))
        if config.pop("_name_or_path", None) is not None:
            config_path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _scheduler(components: Components) -> Any:
    """The base model's own scheduler, by the class that its config names."""
    name = components.scheduler_config.get("_class_name", "DDPMScheduler")
    scheduler_class: Any = getattr(diffusers, name, None)
    if not (isinstance(scheduler_class, type) and issubclass(scheduler_class, diffusers.SchedulerMixin)):
        raise ModelError(f"{components.uri}: its scheduler {name!r} is not one of diffusers'")
    make: Any = scheduler_class.from_config  # type: ignore[attr-defined]
    return make(components.scheduler_config)


def _lora_state(module: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    state = get_peft_model_state_dict(module, adapter_name=_ADAPTER)
    return {name: tensor.detach().to(device="cpu", dtype=dtype).contiguous() for name, tensor in state.items()}


def _lora_metadata(module: Any) -> dict[str, Any]:
    config = module.peft_config[_ADAPTER].to_dict()
    kept = {key: config[key] for key in _LORA_KEYS if key in config}
    return {key: sorted(value) if isinstance(value, (set, list)) else value for key, value in kept.items()}
