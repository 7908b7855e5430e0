"""What a driver says of workers that failed, and when it ends without them."""

import threading
from concurrent.futures import Future
from typing import Any, NoReturn

import pytest

from momalisa.errors import TrainingError
from momalisa.training.ray_trainer import _fit, _innermost

MONITOR = """1 worker(s) were killed due to the node running low on memory. Memory on the node was 31.5GB used.
Refer to the documentation on how to address the out of memory issue: https://docs.ray.io/"""


class FailedError(Exception):
    """As Ray Train's."""

    def __init__(self, *failures: str) -> None:
        self.worker_failures = dict(enumerate(map(RuntimeError, failures)))


@pytest.mark.parametrize(
    ("failure", "cause"),
    [
        ("Traceback:\n  File x\nValueError: the picture is torn\n", "ValueError: the picture is torn"),
        (MONITOR, MONITOR.splitlines()[0]),
        ("", "FailedError"),
    ],
)
def test_the_cause_is_one_line(failure: str, cause: str) -> None:
    assert _innermost(FailedError(failure) if failure else FailedError()) == cause


def test_a_lost_lease_ends_a_run_that_would_go_on() -> None:
    lost: Future[NoReturn] = Future()
    over = threading.Event()

    class Endless:
        def fit(self) -> None:
            lost.set_exception(TrainingError("another took over"))
            over.wait(60)

    trainer: Any = Endless()
    with pytest.raises(TrainingError, match="another took over"):
        _fit(trainer, lost)
    over.set()
