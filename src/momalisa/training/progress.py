"""How far a run is, shown to a person: a bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.text import Text

_LINE_EVERY_S = 15.0


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressUpdate:
    """What rank 0 tells the driver. Fields that are None are not known at this moment."""

    stage: str
    """For example `starting`, `replay`, `training`, `validating`, `exporting`."""
    step: int = 0
    max_steps: int = 0
    loss: float | None = None
    images_per_s: float | None = None
    learning_rate: float | None = None
    eta_s: float | None = None
    num_workers: int | None = None
    message: str | None = None
    """Something to be said once, on a line of its own."""


class ProgressBar:
    """Shows updates as they come. Not thread-safe: one thread calls it."""

    def __init__(
        self,
        console: Console | None = None,
        *,
        line_every_s: float = _LINE_EVERY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._console = console or Console(highlight=False)
        self._line_every_s = line_every_s
        self._clock = clock
        self._last: ProgressUpdate | None = None
        self._shown_at = -float("inf")
        self._unshown = False
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        if self._console.is_terminal:
            self._start_bar()

    def update(self, update: ProgressUpdate) -> None:
        """Shows an update; one without a loss, rate or ETA keeps the last ones known."""
        if update.message is not None:
            self._console.print(Text(update.message))
        new_stage = self._last is None or update.stage != self._last.stage
        self._last = _carried_over(self._last, update)
        if self._bar is not None and self._task is not None:
            self._bar.update(
                self._task,
                total=max(update.max_steps, 1),
                completed=update.step,
                description=update.stage,
                details=_details(self._last),
            )
            return
        self._unshown = True
        if new_stage or self._clock() - self._shown_at >= self._line_every_s:
            self._print_line()

    def close(self) -> None:
        """Ends the bar, leaving its last state; elsewhere prints the last update if it was not yet."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        elif self._unshown:
            self._print_line()

    def _start_bar(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TextColumn("{task.completed:.0f}/{task.total:.0f}", markup=False),
            TextColumn("{task.fields[details]}", markup=False),
            console=self._console,
            expand=True,
        )
        self._task = self._bar.add_task("starting", total=1, details="")
        self._bar.start()

    def _print_line(self) -> None:
        assert self._last is not None
        head = (
            f"{self._last.stage} {self._last.step}/{self._last.max_steps}" if self._last.max_steps else self._last.stage
        )
        details = _details(self._last)
        self._console.print(Text(f"{head}  {details}" if details else head), soft_wrap=True)
        self._shown_at = self._clock()
        self._unshown = False


def format_duration(seconds: float) -> str:
    """`45s`, `3m05s`, `2h07m`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02d}m"


def _carried_over(last: ProgressUpdate | None, update: ProgressUpdate) -> ProgressUpdate:
    def either(name: str) -> float | None:
        new: float | None = getattr(update, name)
        return new if new is not None or last is None else getattr(last, name)

    return ProgressUpdate(
        stage=update.stage,
        step=update.step,
        max_steps=update.max_steps,
        loss=either("loss"),
        images_per_s=either("images_per_s"),
        learning_rate=either("learning_rate"),
        eta_s=either("eta_s"),
        num_workers=update.num_workers or (last.num_workers if last else None),
    )


def _details(update: ProgressUpdate) -> str:
    parts = []
    if update.loss is not None:
        parts.append(f"loss {update.loss:.4f}")
    if update.images_per_s is not None:
        parts.append(f"{update.images_per_s:.1f} images/s")
    if update.learning_rate is not None:
        parts.append(f"lr {update.learning_rate:.1e}")
    if update.num_workers is not None:
        parts.append(f"{update.num_workers} worker{'s' if update.num_workers != 1 else ''}")
    if update.eta_s is not None:
        parts.append(f"ETA {format_duration(update.eta_s)}")
    return "  ".join(parts)
