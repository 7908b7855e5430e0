"""The trained model as others load it: a diffusers folder, or LoRA weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from peft.utils import get_peft_model_state_dict

from momalisa.diffusion.loading import Components
from momalisa.storage import Store

EXPORT = "export"


def export_pipeline(folder: Path, components: Components) -> None:
    """A plain diffusers folder, safetensors, for `StableDiffusionPipeline.from_pretrained`.

    All parts in fp32: of half-precision files diffusers would make fp32 parts and transformers half ones.
    """
    from diffusers import DDIMScheduler

    pipeline = StableDiffusionPipeline(
        vae=components.vae,
        text_encoder=components.text_encoder,
        tokenizer=components.tokenizer,
        unet=components.unet,
        scheduler=DDIMScheduler.from_pretrained(components.path, subfolder="scheduler"),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(dtype=torch.float32)
    pipeline.save_pretrained(folder, safe_serialization=True)


def export_lora(folder: Path, components: Components) -> None:
    """LoRA weights with rank and alpha, for `load_lora_weights` on the base model."""
    from diffusers.training_utils import _collate_lora_metadata

    modules: dict[str, Any] = {"unet": components.unet}
    states: dict[str, Any] = {"unet_lora_layers": get_peft_model_state_dict(components.unet)}
    if getattr(components.text_encoder, "peft_config", None):
        modules["text_encoder"] = components.text_encoder
        states["text_encoder_lora_layers"] = get_peft_model_state_dict(components.text_encoder)
    StableDiffusionPipeline.save_lora_weights(
        folder, **states, safe_serialization=True, **_collate_lora_metadata(modules)
    )


def write_model_card(folder: Path, facts: Mapping[str, Any], *, is_lora: bool) -> None:
    """README.md of the export: data, recipe, verdict, samples, and how to load it."""
    load = (
        f'pipeline = StableDiffusionPipeline.from_pretrained("{facts["base"]}")\npipeline.load_lora_weights("export")'
        if is_lora
        else 'pipeline = StableDiffusionPipeline.from_pretrained("export")'
    )
    prompt = facts["prompt"].replace('"', "'")
    lines = [
        "---",
        "library_name: diffusers",
        "pipeline_tag: text-to-image",
        f"tags: [stable-diffusion, text-to-image, momalisa{', lora' if is_lora else ''}]",
        "---",
        "",
        f"# {facts['name']}",
        "",
        f"{'LoRA adapters for' if is_lora else 'A fine-tune of'} `{facts['base']}`, made by momalisa with the recipe "
        f"`{facts['recipe']}` in {facts['step']} steps of {facts['global_batch_size']} pictures.",
        "",
        f"**Verdict.** {facts['sentence']}",
        "",
        "![samples](samples.png)",
        "",
        "## Data",
        "",
        f"{facts['num_rows']} captioned pictures, dataset `{facts['dataset_fingerprint'][:16]}`. "
        "The pictures' own rights hold for what is made from them.",
        "",
        "## Use",
        "",
        "```python",
        "from diffusers import StableDiffusionPipeline",
        "",
        load,
        f'pipeline("{prompt}").images[0].save("picture.png")',
        "```",
        "",
        "## Made with",
        "",
        *(f"- {name} {version}" for name, version in facts["versions"].items()),
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines))


def upload_folder(folder: Path, store: Store) -> None:
    """Puts a folder's files into a store, `model_index.json` (or whatever is last by name) not first."""
    files = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if path.is_file()}
    marker = "model_index.json" if "model_index.json" in files else "README.md"
    last = files.pop(marker)
    store.commit(files, marker, last.read_bytes())
