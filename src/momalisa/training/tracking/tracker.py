"""What rank 0 logs with."""

import json
import logging
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from momalisa.training.config import TrackingConfig
from momalisa.training.tracking.backends import Backend, open_backend
from momalisa.training.tracking.metrics import METRICS_FILE, MetricsFile

_LOGGER = logging.getLogger(__name__)

TRACKING_FILE = "tracking.json"
"""The trackers' run ids. With `metrics.jsonl` it must be back in the folder before a run resumes elsewhere."""


class Tracker:
    """Writes `metrics.jsonl` in a local folder and feeds the trackers of the config.

    The same folder resumes the same runs of the trackers; with `resume_step`, lines of later steps are
    dropped. A tracker that fails while the run goes on is
    warned of once and left out: no run ends for a dashboard.
    """

    def __init__(
        self,
        run_dir: Path,
        config: TrackingConfig,
        run_config: Mapping[str, Any],
        run_name: str,
        *,
        resume_step: int | None = None,
        warn: Callable[[str], None] = _LOGGER.warning,
        clock: Callable[[], float] = time.time,
    ) -> None:
        run_dir.mkdir(parents=True, exist_ok=True)
        self._file = MetricsFile(run_dir / METRICS_FILE)
        self._warn = warn
        self._clock = clock
        if resume_step is not None:
            self.truncate_after(resume_step)
        ids = _run_ids(run_dir / TRACKING_FILE)
        self._backends: dict[str, Backend] = {}
        for name in config.backends:
            self._backends[name] = open_backend(
                name,
                run_dir,
                config,
                run_config=run_config,
                run_name=run_name,
                run_id=ids.get(name),
                resume_step=resume_step or 0,
            )
            ids[name] = self._backends[name].run_id
            _write_run_ids(run_dir / TRACKING_FILE, ids)

    def truncate_after(self, step: int) -> None:
        """Drops what `metrics.jsonl` says about later steps."""
        self._file.truncate_after(step)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of an optimizer step."""
        self._file.append(step, self._clock(), metrics)
        self._tell(lambda backend: backend.log(step, metrics))

    def log_images(self, step: int, name: str, path: Path) -> None:
        """A picture that lies on disk."""
        self._tell(lambda backend: backend.log_image(step, name, path))

    def log_summary(self, summary: Mapping[str, float | int | str]) -> None:
        """How the run ended, flat."""
        self._tell(lambda backend: backend.log_summary(summary))

    def log_model(self, export_dir: Path) -> None:
        """The exported model, where a tracker keeps models (Weights & Biases, MLflow)."""
        self._tell(lambda backend: backend.log_model(export_dir))

    def close(self) -> None:
        """Ends the trackers' runs and closes the file."""
        self._tell(lambda backend: backend.close())
        self._backends = {}
        self._file.close()

    def _tell(self, action: Callable[[Backend], None]) -> None:
        for name, backend in list(self._backends.items()):
            try:
                action(backend)
            except backend.errors as e:
                del self._backends[name]
                self._warn(f"{name} gets nothing more from this run: {e}")


def _run_ids(path: Path) -> dict[str, str]:
    ids: dict[str, str] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    # Chosen here, so that it is written down before the first upload; MLflow chooses its own.
    ids.setdefault("wandb", secrets.token_hex(6))
    return ids


def _write_run_ids(path: Path, ids: Mapping[str, str]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(ids, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    partial.replace(path)
