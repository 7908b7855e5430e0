"""Whether someone asked a run to end: a marker in its folder, watched from a thread of rank 0."""

import threading

from momalisa.errors import StorageError
from momalisa.storage import Store
from momalisa.training.run import STOP_KEY

_POLL_S = 3.0


class StopWatch:
    """Looks for the stop marker every few seconds."""

    def __init__(self, output: Store, *, active: bool) -> None:
        self._output = output
        self._asked = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="stop-watch", daemon=True)
        if active:
            self._thread.start()

    @property
    def asked(self) -> bool:
        """Whether the marker was seen."""
        return self._asked.is_set()

    def close(self) -> None:
        """Ends the thread."""
        self._closed.set()

    def _watch(self) -> None:
        while not self._closed.wait(_POLL_S):
            try:
                if self._output.exists(STOP_KEY):
                    self._asked.set()
                    return
            except StorageError:
                continue  # the bucket is away for a moment; the next look will tell


def ask_to_stop(output: Store) -> None:
    """Asks the run in this folder to save a checkpoint and end."""
    output.write_bytes(STOP_KEY, b"stop\n")


def forget_stop(output: Store) -> None:
    """Takes the request back, before a run begins or resumes."""
    output.delete(STOP_KEY)
