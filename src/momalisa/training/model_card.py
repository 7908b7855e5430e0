"""The README.md beside an exported model: what it is, what it was taught, whether it learned, how to use it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from momalisa.training.summary import RunSummary

_LICENCES = {
    "CompVis/stable-diffusion-v1-4": "creativeml-openrail-m",
    "stable-diffusion-v1-5/stable-diffusion-v1-5": "creativeml-openrail-m",
    "tiny": "apache-2.0",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """What a card says besides the run's summary."""

    summary: RunSummary
    config: Mapping[str, Any]
    """The run's whole TrainConfig, as JSON."""
    dataset_uri: str
    num_train: int
    num_validation: int
    sample_image: str | None = "samples.png"
    """A file beside the card."""

    @property
    def base_model(self) -> str:
        """As it was named to the run."""
        return str(self.config["model"]["uri"])

    @property
    def is_lora(self) -> bool:
        """Whether the folder holds adapters rather than a pipeline."""
        return self.config["model"]["lora"] is not None


def write_model_card(folder: Path, card: ModelCard) -> Path:
    """Writes README.md into an export's folder; gives its path."""
    sections = [
        _front_matter(card),
        f"# {card.summary.name}",
        _introduction(card),
        _samples(card),
        _verdict(card.summary),
        _usage(card),
        _data(card),
        _recipe(card),
        _limits(card),
    ]
    path = folder / "README.md"
    path.write_text("\n\n".join(section for section in sections if section) + "\n", encoding="utf-8")
    return path


def _front_matter(card: ModelCard) -> str:
    lines = ["---", f"license: {_licence(card)}", "library_name: diffusers", "pipeline_tag: text-to-image"]
    if _is_hub_id(card.base_model):
        lines.append(f"base_model: {card.base_model}")
        lines.append(f"base_model_relation: {'adapter' if card.is_lora else 'finetune'}")
    lines += ["tags:", "- stable-diffusion", "- text-to-image", "- momalisa"]
    if card.is_lora:
        lines.append("- lora")
    return "\n".join([*lines, "---"])


def _introduction(card: ModelCard) -> str:
    what = "LoRA weights for" if card.is_lora else "A fine-tune of"
    trained = "UNet and text encoder" if card.config["model"]["train_text_encoder"] else "UNet"
    return f"{what} `{_shareable(card.base_model)}`: its {trained} learnt a collection of captioned artworks."


def _samples(card: ModelCard) -> str:
    if card.sample_image is None:
        return ""
    return f"![The same prompts and seeds before and after]({card.sample_image})"


def _verdict(summary: RunSummary) -> str:
    if summary.verdict is None:
        return "## Did it learn anything?\n\nThe run was stopped before it could be judged."
    lines = [f"## Did it learn anything?\n\n**{summary.verdict.outcome}**: {summary.verdict.in_words()}"]
    lines += [f"- while it ran: {warning}" for warning in summary.warnings]
    return "\n".join(lines)


def _usage(card: ModelCard) -> str:
    prompt = next(iter(card.config["validation"]["prompts"]), "an artwork")
    if card.is_lora:
        base = card.base_model if _is_hub_id(card.base_model) else "PATH_OF_THE_BASE_MODEL"
        load = [
            f'pipeline = StableDiffusionPipeline.from_pretrained("{base}")',
            'pipeline.load_lora_weights("THIS_FOLDER")',
        ]
    else:
        load = ['pipeline = StableDiffusionPipeline.from_pretrained("THIS_FOLDER")']
    code = [
        "from diffusers import StableDiffusionPipeline",
        "",
        *load,
        f"pipeline({json.dumps(prompt, ensure_ascii=False)}).images[0].save('artwork.png')",
    ]
    return "## Use\n\n```python\n" + "\n".join(code) + "\n```"


def _data(card: ModelCard) -> str:
    return "\n".join(
        [
            "## Data",
            "",
            f"- dataset: `{_shareable(card.dataset_uri)}`",
            f"- {card.num_train} pictures to train on, {card.num_validation} held out",
            f"- fingerprint: `{card.summary.dataset_fingerprint}`",
        ]
    )


def _recipe(card: ModelCard) -> str:
    summary, config = card.summary, card.config
    shown = {key: value for key, value in config.items() if key not in ("tracking", "resources")}
    shown["model"] = {**config["model"], "uri": _shareable(card.base_model)}
    versions = ", ".join(f"{name} {number}" for name, number in summary.versions.items())
    weights = ", ".join(f"{part} `{digest[:12]}`" for part, digest in summary.model_fingerprints.items())
    steps = (
        f"`{config['recipe']}`, {summary.step} steps of {config['global_batch_size']}, "
        f"learning rate {config['optimizer']['learning_rate']:g}, {config['engine']['precision']}"
    )
    return "\n".join(
        [
            "## Recipe",
            "",
            f"- {steps}",
            f"- base model's weights: {weights}",
            f"- made with {versions}",
            f"- commit: {summary.git_commit or 'unknown'}",
            "",
            "<details><summary>Every setting</summary>\n",
            "```json",
            json.dumps(shown, indent=1, ensure_ascii=False),
            "```\n\n</details>",
        ]
    )


def _limits(card: ModelCard) -> str:
    return (
        "## Licence and limits\n\n"
        f"Weights derived from `{_shareable(card.base_model)}` stay under its licence ({_licence(card)}). "
        "Rights in the artworks stay with their holders: check them before you publish the weights or pictures made "
        "with them. There is no safety checker in this folder."
    )


def _licence(card: ModelCard) -> str:
    return _LICENCES.get(card.base_model, "other")


def _is_hub_id(uri: str) -> bool:
    return uri.count("/") == 1 and not uri.startswith((".", "/", "~")) and "://" not in uri


def _shareable(uri: str) -> str:
    """Without the folders of one machine: a card is read elsewhere."""
    local = uri.startswith(("/", ".", "~", "file:"))
    return uri.rstrip("/").rsplit("/", 1)[-1] if local else uri
