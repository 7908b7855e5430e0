"""What rank 0 tells while a run goes on: progress, metrics, grids, warnings. Other ranks' calls do nothing."""

import contextlib
import shutil
import threading
import time
from pathlib import Path
from statistics import fmean
from tempfile import mkdtemp
from typing import Any

from momalisa.config import to_dict
from momalisa.errors import ObjectNotFoundError, StorageError
from momalisa.training.baseline import Baseline
from momalisa.training.estimates import Difference, WeightChange, estimate_loss, paired_difference
from momalisa.training.evaluation import Measurement
from momalisa.training.grids import labelled_grid
from momalisa.training.plots import plot_loss
from momalisa.training.progress import ProgressUpdate
from momalisa.training.run import Host, RunSpec
from momalisa.training.tracking import METRICS_FILE, TRACKING_FILE, Metric, Tracker, read_metrics
from momalisa.training.verdict import Checkup, early_warnings
from momalisa.training.world import World

_UPLOAD_EVERY_S = 30.0
_RATE_WINDOW = 20


class Reporter:
    """A run's voice."""

    def __init__(self, spec: RunSpec, host: Host, world: World) -> None:
        self._spec = spec
        self._host = host
        self._world = world
        self._active = world.is_main
        self._tracker: Tracker | None = None
        self._recent: list[tuple[int, float, float]] = []
        self._stage = "starting"
        self._step = 0
        self._loss: float | None = None
        self._losses: list[float] = []
        self._uploaded = time.monotonic()
        self._uploading: threading.Thread | None = None
        self._history: list[Checkup] = []
        self._baseline: Baseline | None = None
        self._num_images = 0
        self._seconds = 0.0
        self.warnings: list[str] = []
        self.folder = Path(mkdtemp(prefix="momalisa-run-")) if self._active else Path()

    def begin(self, step: int, baseline: Baseline) -> None:
        """Opens the metrics at a step, those of an earlier attempt before it kept."""
        if not self._active:
            return
        self._baseline = baseline
        for name in (METRICS_FILE, TRACKING_FILE):
            with contextlib.suppress(ObjectNotFoundError):
                self._spec.output.download(name, self.folder / name)
        self._step = step
        self._tracker = Tracker(
            self.folder,
            self._spec.config.tracking,
            to_dict(self._spec.config),
            self._spec.name,
            resume_step=step,
            warn=self.say,
        )
        if step == 0:
            self._log_measured(0, baseline.measured)
            self.save_grid("grids/step-00000000.png", baseline.by_prompt, "step 0: the base model")
        self.stage("training", step)

    def stage(self, name: str, step: int) -> None:
        """What the run is doing now."""
        self._stage, self._step = name, step
        self._show()

    def say(self, message: str) -> None:
        """A line to keep on the screen."""
        if self._active:
            self._show(message)

    def log_step(
        self,
        step: int,
        *,
        loss: float,
        learning_rate: float,
        gradient_norm: float,
        num_images: int,
        seconds: float,
        waited: float,
    ) -> None:
        """After an optimizer step of so many seconds, of which rank 0 waited some for its data."""
        if not self._active:
            return
        self._step, self._loss = step, loss
        self._losses.append(loss)
        self._recent = [*self._recent[-_RATE_WINDOW:], (num_images, seconds, waited)]
        self._num_images += num_images
        self._seconds += seconds
        if step % self._spec.config.tracking.log_every_steps == 0:
            self.tracker.log(
                step,
                {
                    Metric.LOSS: fmean(self._losses),
                    Metric.LEARNING_RATE: learning_rate,
                    Metric.GRADIENT_NORM: gradient_norm,
                    Metric.IMAGES_PER_S: self.images_per_s or 0.0,
                    Metric.DATA_WAIT: self._data_wait,
                },
            )
            self._losses.clear()
        self._show()
        if time.monotonic() - self._uploaded > _UPLOAD_EVERY_S:
            self._upload_in_background()

    def log_validation(
        self, step: int, measured: Measurement, pictures: dict[str, list[Any]], weight_change: WeightChange
    ) -> None:
        """After a validation: figures, a grid, and warnings where something is wrong."""
        if not self._active:
            return
        validation, forgetting = self._log_measured(step, measured, weight_change.overall)
        self.save_grid(f"grids/step-{step:08d}.png", pictures, f"step {step}")
        self.say(
            f"step {step}: validation loss {measured.validation_loss:.4f}, {validation.in_percent()} since step 0; "
            f"{'' if forgetting is None else f'forgetting {forgetting.relative:+.1%}; '}"
            f"weights moved {weight_change.overall:.2g}"
        )
        self._history.append(
            Checkup(step=step, validation=validation, weight_change=weight_change, forgetting=forgetting)
        )
        config = self._spec.config
        for warning in early_warnings(self._history, config.optimizer, config.max_steps):
            self.warnings.append(f"step {step}: {warning}")
            self.say(f"warning: {warning}")
        self._upload_in_background()

    def save_grid(self, key: str, by_prompt: dict[str, list[Any]], title: str) -> None:
        """A labelled grid beside the run, and in the trackers."""
        if not self._active or self._tracker is None:
            return
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        labelled_grid(by_prompt, f"{self._spec.name}, {title}").save(path)
        self._spec.output.upload(path, key)
        self._tracker.log_images(self._step, "validation_prompts", path)

    @property
    def images_per_s(self) -> float | None:
        """Of the last steps; None before the first."""
        seconds = sum(s for _, s, _ in self._recent)
        return sum(n for n, _, _ in self._recent) / seconds if seconds else None

    @property
    def _data_wait(self) -> float:
        seconds = sum(s for _, s, _ in self._recent)
        return sum(w for _, _, w in self._recent) / seconds if seconds else 0.0

    @property
    def mean_images_per_s(self) -> float:
        """Over all training steps of this attempt, without validations."""
        return self._num_images / self._seconds if self._seconds else 0.0

    @property
    def tracker(self) -> Tracker:
        """Rank 0's, after `begin`."""
        assert self._tracker is not None
        return self._tracker

    def upload(self) -> None:
        """Metrics, their plot and the trackers' files, to the run's folder. Raises StorageError."""
        rows = read_metrics(self.folder / METRICS_FILE)
        plot_loss(rows, self.folder / "loss.png", title=f"{self._spec.name} ({self._spec.config.recipe})")
        for path in sorted(self.folder.rglob("*")):
            key = path.relative_to(self.folder).as_posix()
            if path.is_file() and not key.startswith(("grids/", "export/")):
                self._spec.output.upload(path, key)

    def keep_metrics(self) -> None:
        """Puts the metrics of the steps so far into the run's folder: a resumed run goes on from there."""
        if self._active:
            for name in (METRICS_FILE, TRACKING_FILE):
                if (self.folder / name).is_file():
                    self._spec.output.upload(self.folder / name, name)

    def close(self) -> None:
        """Ends the trackers, waits for what is being uploaded, and removes the copies that it was made of."""
        if self._uploading is not None:
            self._uploading.join()
        if self._tracker is not None:
            self._tracker.close()
        if self._active:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _log_measured(
        self, step: int, measured: Measurement, weight_change: float = 0.0
    ) -> tuple[Difference, Difference | None]:
        assert self._baseline is not None
        own = estimate_loss(measured.validation)
        validation = paired_difference(self._baseline.measured.validation, measured.validation)
        figures: dict[str, float] = {
            Metric.VALIDATION_LOSS: own.mean,
            Metric.VALIDATION_LOSS_LOW: own.low,
            Metric.VALIDATION_LOSS_HIGH: own.high,
            Metric.VALIDATION_CHANGE: validation.relative,
            Metric.WEIGHT_CHANGE: weight_change,
        }
        forgetting = self._baseline.forgetting_since(measured, self._spec.config)
        if forgetting is not None:
            figures[Metric.FORGETTING] = forgetting.relative
        self.tracker.log(step, figures)
        return validation, forgetting

    def _show(self, message: str | None = None) -> None:
        if not self._active:
            return
        config = self._spec.config
        rate = self.images_per_s
        eta = (config.max_steps - self._step) * config.global_batch_size / rate if rate else None
        self._host.show(
            ProgressUpdate(
                stage=self._stage,
                step=self._step,
                max_steps=config.max_steps,
                loss=self._loss,
                images_per_s=rate,
                eta_s=eta,
                num_workers=self._world.size,
                message=message,
            )
        )

    def _upload_in_background(self) -> None:
        if self._uploading is not None and self._uploading.is_alive():
            return
        self._uploaded = time.monotonic()
        self._uploading = threading.Thread(target=self._try_upload, name="reporter", daemon=True)
        self._uploading.start()

    def _try_upload(self) -> None:
        try:
            self.upload()
        except StorageError as e:
            self.say(f"warning: metrics could not be uploaded just now ({e})")
