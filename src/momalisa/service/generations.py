"""Which release serves, where two of them run on one bucket during an upgrade.

Each release enters itself once, when its first visitor comes, under the next number: `generations/{number}`. The living
one with the highest number serves. Another one takes up no works, and sends its clients on. A release that starts again
has its number already, so a crash of the old one takes nothing back.

Whoever has entered says every few seconds that it lives: `alive/{number}`. One whose word has stood still for a while,
by the stopwatch of whoever looks, or that said goodbye, serves no more: a new release that was visited and then called
off leaves the old one where it was.
"""

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from momalisa.errors import AlreadyExistsError, ObjectNotFoundError
from momalisa.storage import Store

_FOLDER, _ALIVE = "generations", "alive"
_DIGITS = 8


@dataclass(frozen=True, slots=True)
class Standing:
    """A release among those of its bucket."""

    is_entered: bool
    """Whether it has had a visitor."""
    is_newest: bool
    """Whether no living release was entered after it; of one that has not been entered, whether none lives."""

    @property
    def has_successor(self) -> bool:
        """Whether it served, and another one does now."""
        return self.is_entered and not self.is_newest


class Generations:
    """The releases of a bucket, as one of them sees them.

    patience_s: a word that stands still for so long is that of a release which is gone.
    """

    def __init__(
        self, store: Store, release: str, *, patience_s: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._release = store, release
        self._patience_s, self._clock = patience_s, clock
        self._word, self._num_words = secrets.token_hex(4), 0
        self._entered: dict[int, str] = {}
        self._heard: dict[int, tuple[bytes, float]] = {}

    def enter(self) -> None:
        """This release serves."""
        while (number := self._number()) is None:
            number = max(self._entered, default=0) + 1
            try:
                self._store.create(_key(_FOLDER, number), self._release.encode())
            except AlreadyExistsError:
                continue  # another release was as quick
        self.live()

    def live(self) -> None:
        """To be said every few seconds."""
        if (number := self._number()) is not None:
            self._num_words += 1
            self._store.write_bytes(_key(_ALIVE, number), f"{self._word} {self._num_words}".encode())

    def leave(self) -> None:
        """This release ends: whoever served before it need not wait for that to show."""
        if (number := self._number()) is not None:
            self._store.delete(_key(_ALIVE, number))

    def look(self) -> Standing:
        """How it stands now."""
        number = self._number()
        living = self.living()
        return Standing(is_entered=number is not None, is_newest=max(living, default=0) <= (number or 0))

    def living(self) -> set[int]:
        """The numbers of those that live, as far as can be told: one that is heard for the first time does."""
        spoken = {int(entry.key.rpartition("/")[2]) for entry in self._store.list(_ALIVE)}
        self._heard = {number: heard for number, heard in self._heard.items() if number in spoken}
        return {number for number in spoken if self._lives(number)}

    def _lives(self, number: int) -> bool:
        try:
            word = self._store.read_bytes(_key(_ALIVE, number))
        except ObjectNotFoundError:
            return False
        known, since = self._heard.get(number, (b"", 0.0))
        if word != known:
            self._heard[number] = (word, self._clock())
            return True
        return self._clock() - since < self._patience_s

    def _number(self) -> int | None:
        """This release's own; what others entered is read once, since none of it ever changes."""
        mine = next((number for number, release in self._entered.items() if release == self._release), None)
        if mine is None:
            for entry in self._store.list(_FOLDER):
                number = int(entry.key.rpartition("/")[2])
                if number not in self._entered:
                    self._entered[number] = self._store.read_bytes(entry.key).decode()
            mine = next((number for number, release in self._entered.items() if release == self._release), None)
        return mine


def _key(folder: str, number: int) -> str:
    return f"{folder}/{number:0{_DIGITS}}"
