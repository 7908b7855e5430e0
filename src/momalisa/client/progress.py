"""A walk's progress shown: to a function that was given, as a bar where errors go to a terminal, else not at all."""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from momalisa.client.views import Progress

OnProgress = Callable[[Progress], None]


@contextmanager
def reporting(on_progress: OnProgress | None) -> Iterator[OnProgress]:
    """Within it, the function that is given takes each progress there is."""
    if on_progress is not None:
        yield on_progress
    elif sys.stderr is not None and sys.stderr.isatty():
        with ExitStack() as shown:
            yield _Bar(shown).show
    else:
        yield _say_nothing


class _Bar:
    def __init__(self, shown: ExitStack) -> None:
        self._shown = shown
        self._advance: Callable[[int], None] | None = None
        self._total = self._done = 0

    def show(self, progress: Progress) -> None:
        if self._advance is None:
            if not progress.frames_total:
                return
            from momalisa.terminal import counted  # here, so that who sees no bar needs none

            self._total = progress.frames_total
            self._advance = self._shown.enter_context(counted("walk", self._total))
        # Frames that are added later have no room on the bar.
        done = min(progress.frames_done, self._total)
        self._advance(done - self._done)
        self._done = done


def _say_nothing(progress: Progress) -> None:
    del progress
