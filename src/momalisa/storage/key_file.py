"""The key file of Google's credentials, which may be exchanged at any time, as a mounted Secret is."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from momalisa.storage.file_state import FileState, file_state

_LOOK_EVERY_S = 10.0
_VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"


class KeyFile:
    """Tells once of each exchange."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._path, self._clock = path, clock
        self._state, self._looked_at = _state_of(path), clock()

    @classmethod
    def of(cls, environment: Mapping[str, str] = os.environ) -> "KeyFile | None":
        """The one that the environment names, if it does."""
        path = environment.get(_VARIABLE)
        return cls(Path(path)) if path else None

    def was_exchanged(self) -> bool:
        """Whether it is another one than when it was last asked about; looks every ten seconds at most."""
        if self._clock() - self._looked_at < _LOOK_EVERY_S:
            return False
        self._looked_at = self._clock()
        state = _state_of(self._path)
        if state is None or state == self._state:
            return False
        self._state = state
        return True


def _state_of(path: Path) -> FileState | None:
    """None while it is not there, as between two versions of a Secret."""
    try:
        return file_state(path)
    except OSError:
        return None
