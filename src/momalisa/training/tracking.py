"""Where metrics go: always metrics.jsonl, and TensorBoard, Weights & Biases or MLflow by choice."""

import hashlib
import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from momalisa.errors import ConfigError
from momalisa.training.config import TrackingConfig

METRICS_FILE = "metrics.jsonl"
_PACKAGES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}


def check_backends(config: TrackingConfig) -> None:
    """Raises ConfigError for a tracker whose package is missing, naming what to install."""
    for backend in config.backends:
        if importlib.util.find_spec(_PACKAGES[backend]) is None:
            raise ConfigError(
                f"tracking.backends names {backend}, which is not installed: pip install 'momalisa[tracking]'"
            )


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The rows of a metrics.jsonl; a last line that was cut off is passed over."""
    rows = []
    for line in path.read_text().splitlines() if path.is_file() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


class Backend(Protocol):
    """One tracker."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None: ...

    def log_image(self, step: int, name: str, path: Path) -> None: ...

    def log_model(self, folder: Path) -> None: ...

    def close(self) -> None: ...


class Tracker:
    """Writes a run's metrics. `folder` is local; what is in it goes to the run's folder by others."""

    def __init__(self, folder: Path, config: TrackingConfig, run_config: Mapping[str, Any], run_name: str) -> None:
        self._path = folder / METRICS_FILE
        self._backends = [_make(backend, folder, config, run_config, run_name) for backend in config.backends]

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """One line, and one record in each tracker; figures that are not finite are written as null."""
        row = {"step": step, **{k: v if math.isfinite(v) else None for k, v in metrics.items()}}
        with self._path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        for backend in self._backends:
            backend.log(step, metrics)

    def log_image(self, step: int, name: str, path: Path) -> None:
        """A picture of a step."""
        for backend in self._backends:
            backend.log_image(step, name, path)

    def log_model(self, folder: Path) -> None:
        """The exported model, where a tracker keeps models."""
        for backend in self._backends:
            backend.log_model(folder)

    def truncate_after(self, step: int) -> None:
        """Drops lines of later steps, so that a run that resumes says each step once."""
        rows = [row for row in read_metrics(self._path) if row["step"] <= step]
        self._path.write_text("".join(json.dumps(row) + "\n" for row in rows))

    def close(self) -> None:
        """Ends the trackers' own runs."""
        for backend in self._backends:
            backend.close()


class _TensorBoard:
    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter  # type: ignore[attr-defined]

        self._writer = SummaryWriter(str(folder / "tensorboard"))  # type: ignore[no-untyped-call]

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)  # type: ignore[no-untyped-call]

    def log_image(self, step: int, name: str, path: Path) -> None:
        import numpy as np
        from PIL import Image

        self._writer.add_image(name, np.asarray(Image.open(path)), step, dataformats="HWC")  # type: ignore[no-untyped-call]

    def log_model(self, folder: Path) -> None:
        """TensorBoard keeps no models."""

    def close(self) -> None:
        self._writer.close()  # type: ignore[no-untyped-call]


class _Wandb:
    def __init__(self, folder: Path, config: TrackingConfig, run_config: Mapping[str, Any], run_name: str) -> None:
        import wandb

        self._wandb = wandb
        self._run = wandb.init(
            project=config.project,
            name=run_name,
            # The same id for the same run, so that a resumed one goes on in its place.
            id=hashlib.sha256(f"{config.project}/{run_name}".encode()).hexdigest()[:16],
            resume="allow",
            dir=str(folder),
            mode=config.wandb_mode,
            config=dict(run_config),
        )

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        self._run.log(dict(metrics), step=step)

    def log_image(self, step: int, name: str, path: Path) -> None:
        self._run.log({name: self._wandb.Image(str(path))}, step=step)

    def log_model(self, folder: Path) -> None:
        artifact = self._wandb.Artifact("model", type="model")
        artifact.add_dir(str(folder))
        self._run.log_artifact(artifact)

    def close(self) -> None:
        self._run.finish()


class _MLflow:
    def __init__(self, folder: Path, config: TrackingConfig, run_config: Mapping[str, Any], run_name: str) -> None:
        from mlflow import MlflowClient

        uri = config.mlflow_tracking_uri or f"sqlite:///{folder / 'mlflow.db'}"
        self._client = MlflowClient(tracking_uri=uri)
        found = self._client.get_experiment_by_name(config.project)
        experiment = found.experiment_id if found else self._client.create_experiment(config.project)
        runs = self._client.search_runs([experiment], filter_string=f"attributes.run_name = '{run_name}'")
        self._run_id = (runs[0] if runs else self._client.create_run(experiment, run_name=run_name)).info.run_id
        for key, value in _flat(run_config).items():
            self._client.set_tag(self._run_id, key, str(value)[:4900])

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        for name, value in metrics.items():
            self._client.log_metric(self._run_id, name, value, step=step)

    def log_image(self, step: int, name: str, path: Path) -> None:
        self._client.log_artifact(self._run_id, str(path), artifact_path=name)

    def log_model(self, folder: Path) -> None:
        self._client.log_artifacts(self._run_id, str(folder), artifact_path="model")

    def close(self) -> None:
        self._client.set_terminated(self._run_id)


def _make(backend: str, folder: Path, config: TrackingConfig, run_config: Mapping[str, Any], run_name: str) -> Backend:
    if backend == "tensorboard":
        return _TensorBoard(folder)
    if backend == "wandb":
        return _Wandb(folder, config, run_config, run_name)
    return _MLflow(folder, config, run_config, run_name)


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat
