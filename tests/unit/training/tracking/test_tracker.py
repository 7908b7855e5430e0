import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from momalisa.errors import ConfigError
from momalisa.training.config import TrackingConfig
from momalisa.training.tracking import METRICS_FILE, Metric, Tracker, check_backends, read_metrics

CONFIG = {"recipe": "demo", "optimizer": {"learning_rate": 1e-4}}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "grid.png"
    Image.fromarray(np.full((8, 8, 3), 200, np.uint8)).save(path)
    return path


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    (folder / "unet").mkdir(parents=True)
    (folder / "unet" / "weights.bin").write_bytes(b"weights")
    return folder


def test_without_trackers_there_is_still_the_file(tmp_path: Path, picture: Path, export: Path) -> None:
    tracker = Tracker(tmp_path / "run", TrackingConfig(), CONFIG, "demo", clock=lambda: 7.0)
    tracker.log(1, {Metric.LOSS: 0.5})
    tracker.log_images(1, "validation", picture)
    tracker.log_summary({"outcome": "learned"})
    tracker.log_model(export)
    tracker.close()
    assert read_metrics(tmp_path / "run" / METRICS_FILE) == [{"step": 1, "time": 7.0, "metrics": {"train/loss": 0.5}}]


def test_a_resumed_run_has_each_step_once(tmp_path: Path) -> None:
    first = Tracker(tmp_path, TrackingConfig(), CONFIG, "demo")
    for step in range(1, 5):
        first.log(step, {"a": 1.0})
    first.close()
    second = Tracker(tmp_path, TrackingConfig(), CONFIG, "demo", resume_step=2)
    second.log(3, {"a": 2.0})
    second.close()
    assert [row["metrics"]["a"] for row in read_metrics(tmp_path / METRICS_FILE)] == [1.0, 1.0, 2.0]


def test_tensorboard_events_can_be_read_back(tmp_path: Path, picture: Path) -> None:
    config = TrackingConfig(backends=("tensorboard",))
    tracker = Tracker(tmp_path / "run", config, CONFIG, "demo")
    for step in (1, 2, 3):
        tracker.log(step, {"train/loss": 1 / step})
    tracker.log_images(3, "validation", picture)
    tracker.close()
    resumed = Tracker(tmp_path / "run", config, CONFIG, "demo", resume_step=2)
    resumed.log(3, {"train/loss": 9.0})
    resumed.log_summary({"outcome": "learned"})
    resumed.close()

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events: Any = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert [(e.step, e.value) for e in events.Scalars("train/loss")] == [(1, 1.0), (2, 0.5), (3, 9.0)]
    assert "summary/text_summary" in events.Tags()["tensors"]


def test_mlflow_in_a_folder_keeps_metrics_pictures_and_the_model(tmp_path: Path, picture: Path, export: Path) -> None:
    # In a process of its own: MLflow's import has side effects on warnings and logging.
    _run_python(
        f"""
        from pathlib import Path
        from momalisa.training.config import TrackingConfig
        from momalisa.training.tracking import Tracker
        config = TrackingConfig(backends=("mlflow",))
        run = Path({str(tmp_path / "run")!r})
        first = Tracker(run, config, {CONFIG!r}, "demo")
        first.log(1, {{"train/loss": 0.5, "broken": float("nan")}})
        first.close()
        second = Tracker(run, config, {CONFIG!r}, "demo", resume_step=1)
        second.log(2, {{"train/loss": 0.25}})
        second.log_images(2, "validation", Path({str(picture)!r}))
        second.log_summary({{"outcome": "learned", "seconds": 3.0}})
        second.log_model(Path({str(export)!r}))
        second.close()

        from mlflow.tracking import MlflowClient
        client = MlflowClient(tracking_uri=(run / "mlruns").as_uri())
        experiment = client.get_experiment_by_name("momalisa")
        runs = client.search_runs([experiment.experiment_id])
        assert len(runs) == 1, "the resumed run is the same run"
        data, info = runs[0].data, runs[0].info
        assert [m.value for m in client.get_metric_history(info.run_id, "train/loss")] == [0.5, 0.25]
        assert data.params["optimizer.learning_rate"] == "0.0001"
        assert data.tags["outcome"] == "learned" and info.status == "FINISHED"
        assert [a.path for a in client.list_artifacts(info.run_id, "model/unet")] == ["model/unet/weights.bin"]
        assert client.list_artifacts(info.run_id, "images/validation/step-00000002")
        """
    )


def test_wandb_offline_keeps_the_run_and_the_model_in_the_runs_folder(
    tmp_path: Path, picture: Path, export: Path
) -> None:
    # In a process of its own: wandb starts a service beside it.
    _run_python(
        f"""
        from pathlib import Path
        from momalisa.training.config import TrackingConfig
        from momalisa.training.tracking import Tracker
        config = TrackingConfig(backends=("wandb",), wandb_mode="offline")
        run = Path({str(tmp_path / "run")!r})
        for step in (1, 2):
            tracker = Tracker(run, config, {CONFIG!r}, "demo", resume_step=step - 1)
            tracker.log(step, {{"train/loss": 0.5 / step}})
            tracker.log_images(step, "validation", Path({str(picture)!r}))
            tracker.log_summary({{"outcome": "learned"}})
            if step == 2:
                tracker.log_model(Path({str(export)!r}))
            tracker.close()
        """,
        HOME=str(tmp_path),
    )
    folder = tmp_path / "run" / "wandb"
    run_id = json.loads((tmp_path / "run" / "tracking.json").read_text())["wandb"]
    stored = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    assert [path.name for path in stored] == [f"run-{run_id}.wandb"] * 2
    content = b"".join(path.read_bytes() for path in stored)
    assert b"train/loss" in content
    assert f"model-{run_id}".encode() in content
    assert any(path.read_bytes() == b"weights" for path in folder.glob("artifacts/staging/*"))


def test_a_tracker_that_fails_is_left_out_and_the_run_goes_on(tmp_path: Path) -> None:
    warnings: list[str] = []
    tracker = Tracker(tmp_path, TrackingConfig(backends=("tensorboard",)), CONFIG, "demo", warn=warnings.append)
    tracker.log_images(1, "validation", tmp_path / "none.png")
    tracker.log(2, {"a": 1.0})
    tracker.close()
    assert len(warnings) == 1
    assert warnings[0].startswith("tensorboard gets nothing more from this run")
    assert len(read_metrics(tmp_path / METRICS_FILE)) == 1


def test_a_tracker_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'momalisa\[tracking\]'"):
        check_backends(TrackingConfig(backends=("mlflow",)))


def test_wandb_online_without_a_key_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(ConfigError, match="wandb_mode=offline"):
        check_backends(TrackingConfig(backends=("wandb",)))
    check_backends(TrackingConfig(backends=("wandb",), wandb_mode="offline"))


def test_a_database_needs_the_whole_of_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sqlalchemy" else found(name))
    with pytest.raises(ConfigError, match="pip install mlflow"):
        check_backends(TrackingConfig(backends=("mlflow",), mlflow_tracking_uri="sqlite:///runs.db"))
    check_backends(TrackingConfig(backends=("mlflow",), mlflow_tracking_uri="http://localhost:5000"))


def test_tracking_asks_for_no_tracker_that_it_was_not_told_of() -> None:
    _run_python(
        """
        import sys
        import momalisa.training.tracking
        assert not {"wandb", "mlflow", "tensorboard", "torch"} & sys.modules.keys()
        """
    )


def _run_python(code: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
