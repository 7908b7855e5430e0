"""Wrong input ends in one line that names the fix, before Ray starts."""

import time
from pathlib import Path

import pytest

from momalisa.artworks.cache_writer import write_cache
from tests.support import runs
from tests.support.gcs_emulator import emulator
from tests.support.shards import write_dataset
from tests.support.small_model import write_small_model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("preflight")
    write_small_model(folder / "model")
    write_dataset(str(folder / "data"), num_train=6, num_validation=4)
    return folder


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["optimizer.learning_rat=1"], "did you mean optimizer.learning_rate"),
        (["micro_batch_size=3"], "global_batch_size"),
        (["resources.num_workers=8", "global_batch_size=8", "micro_batch_size=1"], "8 workers for 6 training rows"),
        (["global_batch_size=8", "micro_batch_size=4"], "larger than the 6 training rows"),
        (["engine.precision=fp16"], "engine.precision=bf16"),
        (["resources.use_gpu=true"], "resources.use_gpu=false"),
        (["data.cache=require"], "--cache"),
        (["model.uri=nobody-knows"], "no model at"),
        (["data.resolution=40", "model.uri={tiny}"], "data.resolution=32"),
    ],
)
def test_wrong_settings(place: Path, tmp_path: Path, settings: list[str], message: str) -> None:
    filled = [setting.replace("{tiny}", "tiny") for setting in settings]
    code, printed = _run(str(place / "data"), str(tmp_path / "run"), [f"model.uri={place / 'model'}", *filled])
    assert code == 2, printed
    assert message in " ".join(printed.split())


def test_wrong_places(place: Path, tmp_path: Path) -> None:
    model = f"model.uri={place / 'model'}"
    code, printed = _run(str(tmp_path / "nowhere"), str(tmp_path / "run"), [model])
    assert code == 2
    assert "jobs/prepare.py" in printed
    code, printed = _run(str(place / "data"), str(tmp_path / "run"), [model], "--resume")
    assert code == 2
    assert "drop --resume" in printed


def test_a_bucket_without_permission(place: Path) -> None:
    with emulator() as running:
        running.set_faults(deny=True)
        code, printed = _run("gs://museum/data", "gs://museum/run", [f"model.uri={place / 'model'}"])
    assert code == 1
    assert "denied" in printed


def _run(data: str, output: str, settings: list[str], *flags: str) -> tuple[int, str]:
    began = time.monotonic()
    code, printed = runs.finish_training(runs.start_training(data, output, settings, *flags), timeout_s=90)
    assert time.monotonic() - began < 60
    assert "Traceback" not in printed
    return code, printed


def test_a_cache_of_another_vae_is_refused_with_the_command_that_makes_one(place: Path, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    write_dataset(data, num_train=6, num_validation=4)
    write_cache(data, str(write_small_model(tmp_path / "other", seed=1)), resolution=32)
    settings = [f"model.uri={place / 'model'}", "data.cache=require"]
    code, printed = _run(data, str(tmp_path / "run"), settings)
    assert code == 2, printed
    message = " ".join(printed.split())
    assert "made by another VAE" in message
    assert f"jobs/prepare.py --output file://{data} --cache {place / 'model'} --resolution 32" in message
