"""Training on a real local Ray cluster: killed, resumed, reshaped, damaged, over a failing bucket."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from momalisa.export_manifest import MANIFEST_FILE, ExportManifest
from momalisa.storage import open_store
from momalisa.training.checkpoint import best_of, list_checkpoints
from tests.support import runs
from tests.support.gcs_emulator import GcsEmulator, emulator
from tests.support.shards import write_dataset
from tests.support.small_model import write_small_model

BASE = ("max_steps=12", "validation.every_steps=6", "checkpoint.every_steps=4", "checkpoint.keep_last=3")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model and a small dataset."""
    folder = tmp_path_factory.mktemp("runs")
    write_small_model(folder / "model")
    write_dataset(str(folder / "data"), num_train=24, num_validation=6)
    return folder


@pytest.fixture(scope="module")
def uninterrupted(place: Path) -> str:
    """Two workers, ZeRO-2, to the end."""
    output = str(place / "uninterrupted")
    runs.train(str(place / "data"), output, [*BASE, f"model.uri={place / 'model'}"])
    return output


def settings(place: Path, *more: str) -> list[str]:
    return [*BASE, f"model.uri={place / 'model'}", *more]


def test_a_run_leaves_everything_in_its_folder(place: Path, uninterrupted: str) -> None:
    folder = Path(uninterrupted)
    for name in ("run.json", "summary.json", "metrics.jsonl", "loss.png", "before_after.png", "export/README.md"):
        assert (folder / name).is_file(), name
    manifest = ExportManifest.model_validate_json((folder / "export" / MANIFEST_FILE).read_text())
    assert manifest == ExportManifest.of(folder / "export")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["ended"] == "completed"
    assert summary["step"] == 12
    assert summary["export_digest"] == manifest.digest
    assert summary["verdict"]["outcome"]
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(steps)
    assert not list(folder.rglob("*.bin"))
    assert not list(folder.rglob("*.pt"))


def test_the_export_loads_by_itself_in_one_dtype(uninterrupted: str) -> None:
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(f"{uninterrupted}/export")
    assert {pipeline.unet.dtype, pipeline.vae.dtype, pipeline.text_encoder.dtype} == {pipeline.unet.dtype}


def test_a_run_is_never_overwritten(place: Path, uninterrupted: str) -> None:
    process = runs.start_training(str(place / "data"), uninterrupted, settings(place))
    code, printed = runs.finish_training(process)
    assert code == 2
    assert "--resume" in printed


@pytest.mark.slow
def test_a_killed_worker_changes_nothing(place: Path, uninterrupted: str) -> None:
    output = str(place / "killed-worker")
    process = runs.start_training(str(place / "data"), output, settings(place))
    runs.wait_for(lambda: runs.newest_checkpoint(output) is not None, process)
    victims = runs.workers_of(process)
    assert victims, "no Ray Train worker was found to kill"
    victims[0].send_signal(signal.SIGKILL)
    code, printed = runs.finish_training(process)
    assert code == 0, printed
    assert "resumed at step" in printed
    assert runs.largest_difference(runs.weights(uninterrupted), runs.weights(output)) == 0.0


@pytest.mark.slow
def test_everything_killed_and_resumed_is_bitwise_the_same(place: Path, uninterrupted: str) -> None:
    output = str(place / "killed-all")
    process = runs.start_training(str(place / "data"), output, settings(place))
    runs.wait_for(lambda: runs.newest_checkpoint(output) is not None, process)
    runs.kill_all(process)
    printed = runs.train(str(place / "data"), output, settings(place), "--resume")
    assert "resumed at step" in printed
    assert runs.largest_difference(runs.weights(uninterrupted), runs.weights(output)) == 0.0
    steps = [json.loads(line)["step"] for line in (Path(output) / "metrics.jsonl").read_text().splitlines()]
    assert steps == [
        json.loads(line)["step"] for line in (Path(uninterrupted) / "metrics.jsonl").read_text().splitlines()
    ]


@pytest.mark.slow
def test_other_workers_and_stages_stay_within_tolerance(place: Path, uninterrupted: str) -> None:
    """Two workers at ZeRO-2, one at ZeRO-3, two at ZeRO-0. Sums in another order differ in the last bits."""
    output, reference, data = str(place / "reshaped"), str(place / "straight"), str(place / "data")
    # A schedule that falls knows the last step, and would give the shorter runs other rates.
    constant = "optimizer.schedule=constant"
    runs.train(data, output, settings(place, constant, "max_steps=4"))
    one = settings(place, constant, "max_steps=8", "resources.num_workers=1", "engine.zero_stage=3")
    printed = runs.train(data, output, one, "--resume")
    assert "resources.num_workers was 2, is 1" in printed
    runs.train(data, output, settings(place, constant, "engine.zero_stage=0"), "--resume")
    runs.train(data, reference, settings(place, constant))
    assert runs.largest_difference(runs.weights(reference), runs.weights(output)) < 1e-4
    attempts = json.loads((Path(output) / "run.json").read_text())["attempts"]
    assert [attempt["from_step"] for attempt in attempts] == [0, 4, 8]
    assert attempts[1]["changes"]["engine.zero_stage"] == [2, 3]


@pytest.mark.slow
def test_a_damaged_checkpoint_is_passed_over(place: Path, uninterrupted: str) -> None:
    output = str(place / "damaged")
    process = runs.start_training(str(place / "data"), output, settings(place))
    runs.wait_for(lambda: (m := runs.newest_checkpoint(output)) is not None and m.step >= 8, process)
    runs.kill_all(process)
    newest = runs.newest_checkpoint(output)
    assert newest is not None
    file = Path(output) / "checkpoints" / newest.folder / newest.files[0].name
    data = bytearray(file.read_bytes())
    data[-1] ^= 0xFF  # the size is right, the content is not
    file.write_bytes(data)
    printed = runs.train(str(place / "data"), output, settings(place), "--resume")
    assert "damaged" in printed
    assert "falling back" in printed
    assert runs.largest_difference(runs.weights(uninterrupted), runs.weights(output)) == 0.0


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_stop_it_saves_and_says_where(place: Path, how: signal.Signals) -> None:
    output = str(place / f"stopped-{how.name}")
    process = runs.start_training(str(place / "data"), output, settings(place, "max_steps=400"))
    runs.wait_for(lambda: runs.newest_checkpoint(output) is not None, process)
    process.send_signal(how)
    code, printed = runs.finish_training(process)
    assert code == 3, printed
    stopped = runs.newest_checkpoint(output)
    assert stopped is not None
    assert f"stopped at step {stopped.step}" in printed


@pytest.mark.slow
def test_a_learning_rate_that_moves_nothing_gets_that_verdict(place: Path) -> None:
    output = str(place / "nothing")
    printed = runs.train(str(place / "data"), output, settings(place, "optimizer.learning_rate=1e-9"))
    assert json.loads((Path(output) / "summary.json").read_text())["verdict"]["outcome"] == "nothing_moved"
    assert "nothing moves" in printed


@pytest.mark.slow
def test_what_one_rank_finds_ends_all_of_them_at_once(place: Path) -> None:
    """The other rank waits in a collective, and would for half an hour."""
    data = place / "spoilt"
    manifest = write_dataset(str(data), num_train=24, num_validation=6)
    shard = data / manifest.shards[0].path
    shard.write_bytes(shard.read_bytes().replace(b"IDAT", b"IDOT"))
    process = runs.start_training(str(data), str(place / "ended"), settings(place))
    code, printed = runs.finish_training(process, timeout_s=150)
    assert code == 1, printed
    assert "is damaged" in printed
    assert "Traceback" not in printed


@pytest.mark.slow
def test_options_together_and_patience(place: Path) -> None:
    """Aspect buckets, offload, gradient checkpointing, bf16, every tracker; lost patience exports the best."""
    data, output = str(place / "shapes"), place / "options"
    write_dataset(data, num_train=24, num_validation=6, sizes=[(40, 40), (64, 32), (32, 64)])
    more = (
        "max_steps=40",
        "validation.every_steps=4",
        "validation.patience=1",
        "validation.min_improvement=0.9",
        "checkpoint.every_steps=100",
        "data.aspect_buckets=true",
        "engine.cpu_offload=true",
        "engine.gradient_checkpointing=true",
        "engine.precision=bf16",
        'tracking.backends=["tensorboard","mlflow","wandb"]',
        "tracking.wandb_mode=offline",
    )
    printed = runs.train(data, str(output), settings(place, *more))
    assert json.loads((output / "summary.json").read_text())["ended"] == "patience"
    best = best_of(list_checkpoints(open_store(output).child("checkpoints")))
    assert best is not None
    assert best.step == 4
    assert f"the best checkpoint, of step {best.step}" in printed
    for trace in ("tensorboard", "mlruns", "wandb"):
        assert list(output.rglob(f"*{trace}*")), trace


@pytest.fixture(scope="module")
def bucket(place: Path) -> Iterator[GcsEmulator]:
    """A tenth of its answers are faults."""
    with emulator(faults=0.1, seed=3) as running:
        running.create_bucket("museum")
        write_dataset("gs://museum/data", num_train=24, num_validation=6)
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_lora_over_a_failing_bucket(place: Path, bucket: GcsEmulator, stage: int) -> None:
    from diffusers import StableDiffusionPipeline

    output = f"gs://museum/lora-{stage}"
    more = ("model.lora.rank=2", "model.train_text_encoder=false", f"engine.zero_stage={stage}")
    before = bucket.num_faults()
    runs.train("gs://museum/data", output, settings(place, *more))
    assert bucket.num_faults() > before
    store = open_store(output)
    assert store.exists("summary.json")
    store.download("export/pytorch_lora_weights.safetensors", place / f"lora-{stage}.safetensors")
    pipeline = StableDiffusionPipeline.from_pretrained(place / "model")
    pipeline.load_lora_weights(str(place), weight_name=f"lora-{stage}.safetensors")
    assert pipeline.get_active_adapters()
