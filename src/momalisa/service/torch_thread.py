"""One thread for all that torch computes."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class TorchThread:
    """Does one thing after the other, always in the same thread, whoever asks.

    OpenMP keeps a team of threads for each thread that computes. Once all teams have more threads than there are
    cores, libgomp lets waiting ones sleep at once instead of spinning, and wakes them for every operation: on two cores
    chunks of one frame take twice as long as soon as a second thread has computed anything.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="momalisa-torch")

    def run(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """What it returns, or raises."""
        return self._thread.submit(copy_context().run, partial(act, *args, **kwargs)).result()
