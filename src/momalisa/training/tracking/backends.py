"""TensorBoard, Weights & Biases and MLflow, each imported only where it is asked for."""

import importlib.util
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from momalisa.errors import ConfigError
from momalisa.training.config import TrackingConfig

_MODULES = {"tensorboard": "tensorboard", "wandb": "wandb", "mlflow": "mlflow"}
_DATABASES = ("sqlite:", "postgresql", "mysql", "mssql")
_MLFLOW_MAX_PARAM = 500
"""Characters of a parameter's value that every MLflow store takes."""
_MLFLOW_MAX_PARAMS = 100
"""Parameters in one request."""

Values = Mapping[str, float | int | str]


class Backend(Protocol):
    """One tracker's run."""

    run_id: str
    errors: tuple[type[Exception], ...]
    """What it raises when its server or disk is away."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of a step."""

    def log_image(self, step: int, name: str, path: Path) -> None:
        """A picture on disk."""

    def log_summary(self, summary: Values) -> None:
        """How the run ended."""

    def log_model(self, export_dir: Path) -> None:
        """An exported model's folder."""

    def close(self) -> None:
        """Ends the run."""


def check_backends(config: TrackingConfig) -> None:
    """Refuses trackers that cannot work here, before anything expensive. Raises ConfigError naming the fix."""
    for name in config.backends:
        if importlib.util.find_spec(_MODULES[name]) is None:
            raise ConfigError(
                f"tracking.backends has {name}, which is not installed: pip install 'momalisa[tracking]', "
                "or leave it out"
            )
    if "wandb" in config.backends and config.wandb_mode == "online" and not _may_have_wandb_key():
        raise ConfigError(
            "wandb has no key on this machine: set WANDB_API_KEY or run `wandb login`, "
            "or --set tracking.wandb_mode=offline"
        )
    uri = config.mlflow_tracking_uri
    wants_database = "mlflow" in config.backends and uri is not None and uri.startswith(_DATABASES)
    if wants_database and importlib.util.find_spec("sqlalchemy") is None:
        raise ConfigError(
            f"tracking.mlflow_tracking_uri {uri!r} needs the whole of MLflow: pip install mlflow; "
            "or give a server's http(s) URI, a folder, or null for a folder in the run's"
        )


def open_backend(
    name: str,
    run_dir: Path,
    config: TrackingConfig,
    *,
    run_config: Mapping[str, Any],
    run_name: str,
    run_id: str | None,
    resume_step: int,
) -> Backend:
    """Begins or, with the same folder and id, resumes a tracker's run."""
    if name == "tensorboard":
        return TensorBoard(run_dir, run_config, resume_step)
    if name == "wandb":
        return WeightsAndBiases(run_dir, config, run_config, run_name, run_id)
    return MLflow(run_dir, config, run_config, run_name, run_id)


class TensorBoard:
    """Event files in `tensorboard/`."""

    run_id = "tensorboard"
    errors: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, run_dir: Path, run_config: Mapping[str, Any], resume_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        # The events of steps that a resumed run goes through again are purged.
        purge = resume_step + 1 if resume_step else None
        self._writer: Any = SummaryWriter(str(run_dir / "tensorboard"), purge_step=purge)
        self._writer.add_text("config", f"```json\n{json.dumps(run_config, indent=1)}\n```", resume_step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Scalars."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def log_image(self, step: int, name: str, path: Path) -> None:
        """An image tab's picture."""
        import numpy as np
        from PIL import Image

        with Image.open(path) as picture:
            self._writer.add_image(name, np.asarray(picture.convert("RGB")), step, dataformats="HWC")

    def log_summary(self, summary: Values) -> None:
        """A text."""
        self._writer.add_text("summary", "\n".join(f"- {k}: {v}" for k, v in summary.items()), 0)

    def log_model(self, export_dir: Path) -> None:
        """TensorBoard keeps no models."""

    def close(self) -> None:
        """Flushes."""
        self._writer.close()


class WeightsAndBiases:
    """A run of Weights & Biases, online or offline (`wandb sync` sends it later)."""

    def __init__(
        self, run_dir: Path, config: TrackingConfig, run_config: Mapping[str, Any], run_name: str, run_id: str | None
    ) -> None:
        import wandb

        assert run_id is not None
        self.run_id = run_id
        self.errors: tuple[type[Exception], ...] = (wandb.Error, OSError)
        folder = run_dir / "wandb"
        folder.mkdir(parents=True, exist_ok=True)
        # Offline, an artifact waits in this folder until it is synced: it belongs to the run, not to a home.
        os.environ.setdefault("WANDB_DATA_DIR", str(folder))
        self._wandb = wandb
        try:
            self._run = wandb.init(
                dir=str(folder),
                project=config.project,
                name=run_name,
                id=run_id,
                resume="allow",
                mode=config.wandb_mode,
                config=dict(run_config),
                settings=wandb.Settings(silent=True, console="off", disable_git=True),
            )
        except wandb.Error as e:
            raise ConfigError(
                f"wandb does not begin a run ({e}): check the key and the network, or --set tracking.wandb_mode=offline"
            ) from e
        # By a step metric: the tracker's own counter would refuse steps that a resumed run repeats.
        self._run.define_metric("step", hidden=True)
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Scalars over `step`."""
        self._run.log({**metrics, "step": step})

    def log_image(self, step: int, name: str, path: Path) -> None:
        """A media panel's picture."""
        self._run.log({name: self._wandb.Image(str(path)), "step": step})

    def log_summary(self, summary: Values) -> None:
        """The run's summary."""
        self._run.summary.update(dict(summary))

    def log_model(self, export_dir: Path) -> None:
        """A `model` artifact, named after the run's id."""
        artifact = self._wandb.Artifact(f"model-{self.run_id}", type="model")
        artifact.add_dir(str(export_dir))
        self._run.log_artifact(artifact)

    def close(self) -> None:
        """Waits for uploads and ends the run."""
        self._run.finish()


class MLflow:
    """A run of MLflow, on a server or in a folder `mlruns`."""

    def __init__(
        self, run_dir: Path, config: TrackingConfig, run_config: Mapping[str, Any], run_name: str, run_id: str | None
    ) -> None:
        uri = config.mlflow_tracking_uri or (run_dir / "mlruns").absolute().as_uri()
        if "://" not in uri or uri.startswith("file:"):
            # MLflow wants a database instead, which the small distribution of it cannot open.
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        import mlflow.entities
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient

        self.errors: tuple[type[Exception], ...] = (MlflowException, OSError)
        self._entities = mlflow.entities
        try:
            self._client = MlflowClient(tracking_uri=uri)
            self.run_id = run_id or self._create(config.project, run_name, run_config)
            self._client.update_run(self.run_id, status="RUNNING")
        except MlflowException as e:
            raise ConfigError(f"MLflow does not begin a run at {uri} ({e}): check tracking.mlflow_tracking_uri") from e

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Finite scalars; repeated steps stand beside the old ones, in order of time."""
        now_ms = time.time_ns() // 1_000_000
        finite = [
            self._entities.Metric(name, float(value), now_ms, step)
            for name, value in metrics.items()
            if math.isfinite(value)
        ]
        self._client.log_batch(self.run_id, metrics=finite)

    def log_image(self, step: int, name: str, path: Path) -> None:
        """An artifact."""
        self._client.log_artifact(self.run_id, str(path), f"images/{name}/step-{step:08d}")

    def log_summary(self, summary: Values) -> None:
        """Numbers as metrics, the rest as tags."""
        for name, value in summary.items():
            if isinstance(value, str) or not math.isfinite(value):
                self._client.set_tag(self.run_id, name, str(value))
            else:
                self._client.log_metric(self.run_id, f"summary/{name}", float(value))

    def log_model(self, export_dir: Path) -> None:
        """Artifacts below `model`."""
        self._client.log_artifacts(self.run_id, str(export_dir), "model")

    def close(self) -> None:
        """Marks the run as finished."""
        self._client.set_terminated(self.run_id)

    def _create(self, project: str, run_name: str, run_config: Mapping[str, Any]) -> str:
        experiment = self._client.get_experiment_by_name(project)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(project)
        run = self._client.create_run(experiment_id, run_name=run_name)
        run_id: str = run.info.run_id
        params = [self._entities.Param(name, value[:_MLFLOW_MAX_PARAM]) for name, value in _flat(run_config)]
        self._client.log_batch(run_id, params=params[:_MLFLOW_MAX_PARAMS])
        return run_id


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in config.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value if isinstance(value, str) else json.dumps(value)


def _may_have_wandb_key() -> bool:
    """Whether there is a place that a key could come from; wandb itself reads and checks it."""
    named = any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"))
    return named or Path(os.environ.get("NETRC") or "~/.netrc").expanduser().is_file()
