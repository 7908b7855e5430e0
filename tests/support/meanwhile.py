"""Something that goes on beside a test."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def meanwhile(work: Callable[[threading.Event], None]) -> Iterator[None]:
    """Runs `work` in a thread for as long as the block; it is to return soon after the event is set."""
    is_over = threading.Event()
    thread = threading.Thread(target=work, args=(is_over,), name="meanwhile")
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
