"""The driver of a training run: check everything, start the workers, tell how it ended."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

from rich.console import Console

from momalisa.artworks.dataset import StoredDataset
from momalisa.config import differing_keys, to_dict
from momalisa.errors import TrainingError
from momalisa.storage import Store, open_store
from momalisa.training.checkpoint import newest_intact
from momalisa.training.config import TrainConfig
from momalisa.training.lease import PATIENCE_S, owning
from momalisa.training.preflight import (
    check_cache,
    check_data,
    check_machine,
    check_model,
    check_output,
    in_cluster,
)
from momalisa.training.run import RUN_FILE, STOP_KEY, Attempt, RunRecord, RunSpec
from momalisa.training.stopping import forget_stop
from momalisa.training.summary import SUMMARY_FILE, RunSummary, git_commit, versions

STOPPED_EXIT_CODE = 3


def run_training(config: TrainConfig, *, data_uri: str, output_uri: str, resume: bool | Literal["auto"]) -> int:
    """Runs a training to its end and prints its verdict; gives the exit code: 0, or 3 where it was stopped.

    `auto` goes on with the run where there is one and begins it otherwise: for whatever starts a job again by itself.
    It also waits until the driver before it is gone, and heeds a request to stop that came before it began, or a
    cancel would be undone. Raises InputError before anything is started, TrainingError for a run that cannot go on.
    """
    console = Console(highlight=False)
    output = open_store(output_uri)
    patience_s = PATIENCE_S if resume == "auto" else 0.0
    with owning(output, patience_s=patience_s, say=lambda line: _print(console, line)) as lost:
        if resume != "auto":
            forget_stop(output)
        elif output.exists(STOP_KEY):
            _print(console, f"it was asked to stop ({output.uri_of(STOP_KEY)}); --resume goes on all the same")
            return STOPPED_EXIT_CODE
        resume = output.exists(RUN_FILE) if resume == "auto" else resume
        spec = prepare_run(config, data_uri=data_uri, output_uri=output_uri, resume=resume, console=console)
        from momalisa.training.ray_trainer import train_on_ray

        train_on_ray(spec, lost=lost)
        return _tell_end(spec.output, console)


def prepare_run(config: TrainConfig, *, data_uri: str, output_uri: str, resume: bool, console: Console) -> RunSpec:
    """Every check, then `run.json` in the output folder. Raises InputError, StorageError."""
    import torch

    output = open_store(output_uri)
    check_machine(config, num_gpus=torch.cuda.device_count(), in_cluster=in_cluster())
    dataset = StoredDataset.open(data_uri)
    check_data(config, dataset)
    components = check_model(config)
    cache = check_cache(config, dataset, components.fingerprints, config.model.uri)
    record = RunRecord(
        name=_name_of(output),
        config=to_dict(config),
        data_uri=open_store(data_uri).uri,
        dataset_fingerprint=dataset.manifest.fingerprint,
        model_fingerprints=components.fingerprints,
        attempts=(),
    )

    def say(line: str) -> None:
        console.print(line, markup=False)

    earlier = check_output(output, record, resume=resume, say=say)
    record = _with_attempt(record, earlier, from_step=_find_start(output, say) if resume else 0)
    output.write_bytes(RUN_FILE, record.model_dump_json(indent=1).encode())
    say(
        f"{config.recipe}: {config.max_steps} steps of {config.global_batch_size} on "
        f"{dataset.num_rows('train')} pictures, {config.resources.num_workers} worker(s), "
        f"ZeRO-{config.engine.zero_stage}, {config.engine.precision}, {cache}"
    )
    return RunSpec(name=record.name, config=config, data_uri=record.data_uri, output_uri=output.uri)


def _print(console: Console, line: str) -> None:
    console.print(line, markup=False, soft_wrap=True)


def _with_attempt(record: RunRecord, earlier: RunRecord | None, from_step: int) -> RunRecord:
    attempt = Attempt(
        started_at=datetime.now(UTC),
        from_step=from_step,
        changes=differing_keys(earlier.config, record.config) if earlier else {},
        versions=versions(),
        git_commit=git_commit(),
    )
    return record.model_copy(update={"attempts": (*(earlier.attempts if earlier else ()), attempt)})


def _find_start(output: Store, say: Callable[[str], None]) -> int:
    manifest = newest_intact(output.child("checkpoints"), say)
    if manifest is None:
        say("there is no intact checkpoint: starting from step 0")
        return 0
    say(f"resuming at step {manifest.step}")
    return manifest.step


def _tell_end(output: Store, console: Console) -> int:
    if not output.exists(SUMMARY_FILE):
        raise TrainingError(f"the run ended without a summary in {output.uri}: look at the workers' logs")
    summary = RunSummary.model_validate_json(output.read_bytes(SUMMARY_FILE))
    if summary.ended == "stopped":
        console.print(f"stopped at step {summary.step}; --resume goes on from there", markup=False)
        return STOPPED_EXIT_CODE
    console.print()
    console.print(summary.in_words(), markup=False)
    for label, key in summary.paths.items():
        console.print(f"  {label:<22} {output.uri_of(key)}", markup=False)
    return 0


def _name_of(output: Store) -> str:
    return output.uri.rstrip("/").rsplit("/", 1)[-1] or "run"
