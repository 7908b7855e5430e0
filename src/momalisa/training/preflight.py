"""Everything that can be known to be wrong before a worker starts, each with its fix."""

import importlib.util
import os
from collections.abc import Callable
from typing import Any

from momalisa.artworks.cache import explain_no_cache, find_cache, require_cache
from momalisa.artworks.dataset import StoredDataset
from momalisa.config import differing_keys
from momalisa.diffusion.loading import Components, load_components
from momalisa.errors import ConfigError, DatasetError, InputError
from momalisa.storage import Store
from momalisa.training.config import TrainConfig
from momalisa.training.run import RUN_FILE, RunRecord
from momalisa.training.tracking import check_backends

FIXED_KEYS = (
    "seed",
    "global_batch_size",
    "ema_decay",
    "model.",
    "data.resolution",
    "data.crop",
    "data.random_flip",
    "data.aspect_buckets",
    "data.max_aspect_ratio",
    "data.caption_dropout",
    "data.num_streams",
    "data.shuffle_buffer",
    "data.max_samples",
    "replay.prompts",
    "replay.num_images",
    "replay",
    "data.cache",
    "validation.num_samples",
    "validation.timesteps_per_sample",
    "validation.prompts",
    "validation.images_per_prompt",
    "validation.num_inference_steps",
    "validation.guidance_scale",
    "validation.negative_prompt",
    "validation.forgetting_prompts",
    "validation.num_style_images",
    "validation.recognition",
    "validation.recognition.",
    "validation.seed",
)
"""What a run may not change when it resumes: it would train on other samples or another model, or compare with step 0
what was measured otherwise. A dot at the end stands for a whole section."""


def check_machine(config: TrainConfig, *, num_gpus: int, in_cluster: bool) -> None:
    """Refuses what this machine cannot run; a cluster's GPUs are the cluster's to know.

    Raises ConfigError naming the fix.
    """
    if config.engine.precision == "fp16" and not config.resources.use_gpu:
        raise ConfigError("fp16 does not train on a CPU (DeepSpeed refuses it): --set engine.precision=bf16 or fp32")
    if config.resources.use_gpu and not in_cluster and num_gpus == 0:
        raise ConfigError(
            "this machine has no GPU: --set resources.use_gpu=false, or point RAY_ADDRESS at a cluster that has them"
        )
    if config.resources.use_gpu and not in_cluster and config.resources.num_workers > num_gpus:
        raise ConfigError(
            f"{config.resources.num_workers} workers need as many GPUs, this machine has {num_gpus}: "
            f"--num-workers {num_gpus}, or point RAY_ADDRESS at a cluster"
        )
    if config.optimizer.eight_bit:
        if not config.resources.use_gpu:
            raise ConfigError("8-bit AdamW needs a GPU: --set optimizer.eight_bit=false")
        if importlib.util.find_spec("bitsandbytes") is None:
            raise ConfigError("8-bit AdamW needs bitsandbytes: pip install 'momalisa[gpu]'")
    check_backends(config.tracking)


def check_data(config: TrainConfig, dataset: StoredDataset) -> None:
    """Refuses a dataset that is too small for the run or lacks a split. Raises DatasetError."""
    rows, held_out = dataset.num_rows("train"), dataset.num_rows("validation")
    if config.data.max_samples is not None:
        rows = min(rows, config.data.max_samples)
    if rows < config.resources.num_workers:
        raise DatasetError(
            f"{config.resources.num_workers} workers for {rows} training rows: "
            f"--num-workers {max(rows, 1)} or fewer, or a larger dataset"
        )
    if rows < config.global_batch_size:
        raise DatasetError(
            f"the global batch of {config.global_batch_size} is larger than the {rows} training rows: "
            f"--set global_batch_size={rows} or less (and micro_batch_size to divide it)"
        )
    if held_out < 2:
        raise DatasetError(
            f"the dataset holds out {held_out} validation rows, which is too few to tell whether anything was "
            "learnt: prepare it with a larger --validation-share"
        )


def check_model(config: TrainConfig) -> Components:
    """The model without its weights in memory; refuses sizes that it cannot be trained at. Raises InputError."""
    components = load_components(config.model.uri, revision=config.model.revision, parts=("vae", "unet", "scheduler"))
    _ = components.prediction_type
    multiple = components.vae_scale_factor * 2 ** (len(components.unet.config.block_out_channels) - 1)
    if config.data.resolution % multiple:
        lower = config.data.resolution // multiple * multiple
        raise ConfigError(
            f"data.resolution {config.data.resolution} is no multiple of {multiple}, which {config.model.uri} needs: "
            f"--set data.resolution={max(lower, multiple)}"
        )
    return components


def check_cache(config: TrainConfig, dataset: StoredDataset, fingerprints: dict[str, str], model: str) -> str:
    """Which cache the run will use, in words. Raises DatasetError where one is demanded and none matches."""
    wanted: dict[str, Any] = {
        "fingerprints": fingerprints,
        "data_config": config.data,
        "with_text": not config.model.train_text_encoder,
    }
    if config.data.cache == "require":
        return f"cache {require_cache(dataset, model_uri=model, **wanted).name}"
    cache = find_cache(dataset, **wanted)
    if cache is not None:
        return f"cache {cache.name}"
    if config.data.cache == "off" or config.data.crop == "random" or config.data.random_flip:
        return "no cache wanted: the VAE runs at every step"
    return f"the VAE runs at every step ({explain_no_cache(dataset, model_uri=model, **wanted)})"


def check_output(
    output: Store,
    record: RunRecord,
    *,
    resume: bool,
    say: Callable[[str], None],
) -> RunRecord | None:
    """Refuses to overwrite a run, and to resume one as another; gives the record of its attempts before.

    Raises InputError; says what changed.
    """
    exists = output.exists(RUN_FILE)
    if exists and not resume:
        raise ConfigError(
            f"there is a run in {output.uri} already: --resume goes on with it, or choose another --output"
        )
    if not exists:
        if resume:
            raise ConfigError(f"there is no run to resume in {output.uri}: drop --resume, or check --output")
        return None
    old = RunRecord.model_validate_json(output.read_bytes(RUN_FILE))
    if old.dataset_fingerprint != record.dataset_fingerprint:
        raise DatasetError(
            f"the run in {output.uri} was trained on another dataset than {record.data_uri}: give that one "
            f"({old.data_uri}), or begin a new run in another --output"
        )
    if old.model_fingerprints != record.model_fingerprints:
        raise InputError(
            f"the run in {output.uri} began from another model ({old.config['model']['uri']}, with other weights): "
            "give that one, or begin a new run in another --output"
        )
    changes = differing_keys(old.config, record.config)
    fixed = {key: values for key, values in changes.items() if _is_fixed(key)}
    if fixed:
        listed = ", ".join(f"{key} (was {before!r}, now {after!r})" for key, (before, after) in fixed.items())
        raise ConfigError(f"a run cannot resume with another {listed}: set it back, or begin a new run")
    for key, (before, after) in changes.items():
        say(f"changed since the run's last attempt: {key} was {before!r}, is {after!r}")
    return old


def _is_fixed(key: str) -> bool:
    return any(key == fixed or (fixed.endswith(".") and key.startswith(fixed)) for fixed in FIXED_KEYS)


def in_cluster() -> bool:
    """Whether Ray will be told to join a cluster rather than to start one here."""
    return bool(os.environ.get("RAY_ADDRESS"))
