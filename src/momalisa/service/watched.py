"""Files that are mounted and may change at any time."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

from momalisa.errors import ConfigError
from momalisa.storage.file_state import FileState, file_state

_LOOK_EVERY_S = 1.0
_LOGGER = logging.getLogger(__name__)
T = TypeVar("T")


class Watched(Generic[T]):
    """What a file says, read anew when it changes. A broken one is logged once and changes nothing."""

    def __init__(
        self, path: Path, read: Callable[[Path], T], *, what: str, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`what` it has, such as "the API keys". Raises ConfigError for a file that cannot be read, and what `read`
        raises: a service without it does not start."""
        self._path, self._read, self._what, self._clock = path, read, what, clock
        self._looked_at = clock()
        self._state = self._state_now()
        self._value = read(path)

    @property
    def value(self) -> T:
        """As of a second ago, at the earliest."""
        if self._clock() - self._looked_at >= _LOOK_EVERY_S:
            self._looked_at = self._clock()
            self._look()
        return self._value

    def _look(self) -> None:
        try:
            state = self._state_now()
            if state != self._state:
                self._state = state
                self._value = self._read(self._path)
        except ConfigError as e:
            _LOGGER.error("%s stay as they were: %s", self._what, e)

    def _state_now(self) -> FileState:
        try:
            return file_state(self._path)
        except OSError as e:
            raise ConfigError(f"{self._what} {self._path} cannot be read: {e.strerror}") from e


def lines_of(path: Path, *, what: str) -> list[str]:
    """Raises ConfigError for what is no text."""
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{what} {path} cannot be read: {e}") from e
