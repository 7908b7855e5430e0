"""From nothing to `tiny`, stage by stage; a stage that is done is left alone.

work/drawings   captioned drawings
work/vae        the VAE's training
work/skeleton   a diffusers folder: the VAE, UNet and text encoder of random weights
work/dataset    the drawings as shards, with latents cached
work/run        UNet and text encoder's training, by the project's own loop; its export is the model
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from momalisa.artworks.procedural import write_folder
from momalisa.models import quality, skeleton
from momalisa.models.install import Making, install
from momalisa.models.training_state import hours_of
from momalisa.models.vae_training import STATE_FILE, VaeTrainConfig, train_vae
from momalisa.terminal import counted, step_reporter
from momalisa.training.config import TrainConfig
from momalisa.training.summary import SUMMARY_FILE, RunSummary

SHIPPED = Path(__file__).parent / "tiny"


@dataclass(frozen=True, kw_only=True)
class MakeConfig:
    """What is made; `training` is the recipe of UNet and text encoder."""

    training: TrainConfig
    num_drawings: int = 20_000
    vae_steps: int = 10_000
    seed: int = 0


def make_tiny(work: Path, config: MakeConfig) -> int:
    """Does every stage that is not done; gives the exit code of the training."""
    from momalisa.artworks.cache_writer import print_progress, write_cache
    from momalisa.artworks.prepare import PrepareConfig, prepare
    from momalisa.config import override
    from momalisa.training.submit import run_training

    drawings, model, dataset, run = (work / name for name in ("drawings", "skeleton", "dataset", "run"))
    if _is_finished(run):
        return 0
    if not (drawings / "metadata.jsonl").is_file():
        with counted("drawings", config.num_drawings) as advance:
            write_folder(drawings, config.num_drawings, config.seed, progress=advance)
    vae = _vae(work, config)
    if not (model / "model_index.json").is_file():
        skeleton.create_skeleton(model, config.seed, vae=vae)
    prepare(PrepareConfig(caption_template="{text}"), str(drawings), str(dataset))
    write_cache(str(dataset), str(model), resolution=skeleton.RESOLUTION, text=False, progress=print_progress)
    training = override(config.training, [f"model.uri={model}"])
    return run_training(training, data_uri=str(dataset), output_uri=str(run), resume=(run / "run.json").is_file())


def measure_vae(work: Path, config: MakeConfig, paintings: Path | None) -> dict[str, float]:
    """The VAE's figures for the card."""
    return quality.measure_vae(_vae(work, config), paintings)


def install_tiny(
    work: Path, config: MakeConfig, vae_figures: Mapping[str, float], learning: Path | None, samples: Path | None
) -> Path:
    """Puts the exported model and its card into the package; gives the folder."""
    summary = RunSummary.model_validate_json((work / "run" / SUMMARY_FILE).read_text())
    record: dict[str, Any] | None = json.loads(learning.read_text()) if learning else None
    making = Making(
        vae_steps=config.vae_steps,
        vae_hours=hours_of(work / "vae" / STATE_FILE),
        vae_figures=vae_figures,
        denoiser_steps=summary.step,
        denoiser_hours=summary.train_seconds / 3600,
        global_batch_size=config.training.global_batch_size,
        num_drawings=config.num_drawings,
        num_cores=config.training.resources.cpus_per_worker,
        learning=record,
    )
    install(work / "run" / "export", SHIPPED, making, samples=samples)
    return SHIPPED


def _vae(work: Path, config: MakeConfig) -> Any:
    settings = VaeTrainConfig(num_steps=config.vae_steps, seed=config.seed)
    return train_vae(work / "vae", settings, report=step_reporter("VAE"))


def _is_finished(run: Path) -> bool:
    file = run / SUMMARY_FILE
    return file.is_file() and RunSummary.model_validate_json(file.read_text()).ended != "stopped"
