"""Which release serves, where two of them run on one bucket during an upgrade.

Each release that is ready enters itself once under the next number: `generations/{number}`. The one with the highest
number serves. Another one takes up no more works, and sends its clients on. A release that starts again has its number
already, so a crash of the old one takes nothing back.
"""

from momalisa.errors import AlreadyExistsError
from momalisa.storage import Store

_FOLDER = "generations"
_DIGITS = 8


class Generations:
    """The releases of a bucket, as one of them sees them."""

    def __init__(self, store: Store, release: str) -> None:
        self._store, self._release = store, release

    def enter(self) -> None:
        """This release is ready to serve."""
        while self._release not in (entered := self._entered()).values():
            number = max(entered, default=0) + 1
            try:
                self._store.create(f"{_FOLDER}/{number:0{_DIGITS}}", self._release.encode())
            except AlreadyExistsError:
                continue  # another release was as quick

    def has_successor(self) -> bool:
        """Whether a release that was entered after this one serves."""
        entered = self._entered()
        mine = [number for number, release in entered.items() if release == self._release]
        return bool(mine) and max(entered) > mine[0]

    def _entered(self) -> dict[int, str]:
        entries = self._store.list(_FOLDER)
        return {int(entry.key.rpartition("/")[2]): self._store.read_bytes(entry.key).decode() for entry in entries}
