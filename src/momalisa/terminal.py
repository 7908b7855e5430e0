"""Progress of long work, with the time that is left: a bar on a terminal, now and then a line elsewhere."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

_LINE_EVERY_S = 15.0


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
