"""What commands say: progress of long work with the time that is left (a bar on a terminal, now and then a line
elsewhere), and why they failed."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from momalisa.errors import InputError, MomalisaError

_LINE_EVERY_S = 15.0


def failed(error: MomalisaError) -> int:
    """Says why a command failed; its exit code: 2 for wrong input, else 1."""
    sys.stderr.write(f"error: {error}\n")
    return 2 if isinstance(error, InputError) else 1


@contextmanager
def counted(label: str, total: int, console: Console | None = None) -> Iterator[Callable[[int], None]]:
    """Within it, the function that is given advances the work by so many of `total`."""
    console = console or Console(stderr=True, highlight=False)
    if console.is_terminal:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(label, total=total)
            yield lambda number: progress.advance(task, number)
        return
    began = said = time.monotonic()
    done = 0

    def advance(number: int) -> None:
        nonlocal done, said
        done += number
        now = time.monotonic()
        if done == total or now - said >= _LINE_EVERY_S:
            said = now
            left = (now - began) / max(done, 1) * (total - done)
            console.print(f"{label}: {done}/{total}, ETA {left:.0f} s", markup=False)

    yield advance


def step_reporter(label: str) -> Callable[[int, Mapping[str, float]], None]:
    """A function that prints a line for a step's figures, among them `eta_s` where it is known."""
    console = Console(highlight=False, soft_wrap=True)

    def report(step: int, figures: Mapping[str, float]) -> None:
        listed = "  ".join(f"{name} {value:.4g}" for name, value in figures.items())
        console.print(f"{label} step {step}  {listed}", markup=False)

    return report
