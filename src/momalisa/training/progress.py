"""A run's progress for a person: a bar on a terminal, a line now and then elsewhere."""

import time
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

_LINE_EVERY_S = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressUpdate:
    """Where a run is. Figures that are not known yet are None."""

    stage: str
    step: int
    max_steps: int
    loss: float | None = None
    images_per_s: float | None = None
    eta_s: float | None = None
    num_workers: int = 1
    message: str | None = None
    """Something to keep on the screen: a warning, a checkpoint, a validation."""


class ProgressBar:
    """Shows updates as they come. Close it at the end."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(stderr=True, highlight=False)
        self._bar: Progress | None = None
        self._stage = ""
        self._said = 0.0
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[figures]}"),
                console=self._console,
            )
            self._bar.start()
            self._task = self._bar.add_task("starting", total=None, figures="")

    def update(self, update: ProgressUpdate) -> None:
        """Shows one."""
        if update.message:
            self._console.print(update.message, markup=False)
        if self._bar is not None:
            self._bar.update(
                self._task,
                description=update.stage,
                total=update.max_steps,
                completed=update.step,
                figures=_figures(update),
            )
            return
        now = time.monotonic()
        if update.stage != self._stage or now - self._said >= _LINE_EVERY_S:
            self._stage, self._said = update.stage, now
            self._console.print(
                f"{update.stage}  {update.step}/{update.max_steps}  {_figures(update)}".rstrip(), markup=False
            )

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            self._bar.stop()


def format_seconds(seconds: float) -> str:
    """`42 s`, `3 min 20 s` or `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def _figures(update: ProgressUpdate) -> str:
    figures = []
    if update.loss is not None:
        figures.append(f"loss {update.loss:.4f}")
    if update.images_per_s is not None:
        figures.append(f"{update.images_per_s:.1f} images/s")
    if update.eta_s is not None:
        figures.append(f"ETA {format_seconds(update.eta_s)}")
    return "  ".join(figures)
