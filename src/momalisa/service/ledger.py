"""What was spent, in the bucket: one empty object for each thing, told by its name, so that a listing is the account.

A renderer that dies between its frames and their entry leaves those out: at most a chunk a death, and none is ever
counted twice. `ledger/{hour}/…` is never written twice, by whatever process, and counted by whichever asks: totals are
the same before and after a restart.
"""

import secrets
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from momalisa.errors import AlreadyExistsError
from momalisa.storage import Store

End = Literal["done", "failed", "cancelled"]
_FOLDER = "ledger"
_HOUR_S = 3600


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Of all that is in the ledger."""

    num_rendered: int = 0
    num_drawn_twice: int = 0
    """Of them, those that were in the bucket when they came to be kept."""
    unet_evaluations: int = 0
    renderer_seconds: float = 0.0
    ends: Counter[str] = field(default_factory=Counter)
    """Works that ended, by how."""

    def __add__(self, other: "Totals") -> "Totals":
        return Totals(
            num_rendered=self.num_rendered + other.num_rendered,
            num_drawn_twice=self.num_drawn_twice + other.num_drawn_twice,
            unet_evaluations=self.unet_evaluations + other.unet_evaluations,
            renderer_seconds=self.renderer_seconds + other.renderer_seconds,
            ends=self.ends + other.ends,
        )


class Ledger:
    """The account of a bucket."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store, self._clock = store, clock
        self._by_hour: dict[str, Totals] = {}
        self._looked_at: float | None = None

    def enter_chunk(
        self, work: str, *, num_rendered: int, num_drawn_twice: int, unet_evaluations: int, seconds: float
    ) -> None:
        """A drawing by which so many frames are in the bucket that were not, but for those that were drawn twice."""
        figures = (num_rendered, num_drawn_twice, unet_evaluations, round(seconds * 1000))
        name = ".".join([work, secrets.token_hex(6), *map(str, figures)])
        self._store.create(f"{_FOLDER}/{_hour(self._clock())}/{name}", b"")

    def enter_end(self, work: str, end: End) -> None:
        """How a work ended."""
        try:
            self._store.create(f"{_FOLDER}/{_hour(self._clock())}/{work}.{end}", b"")
        except AlreadyExistsError:
            return  # said already

    def totals(self) -> Totals:
        """Everything so far. After the first time only the hours that may have changed since are listed."""
        now = self._clock()
        by_hour: dict[str, Totals] = {}
        for folder in self._folders(now):
            for entry in self._store.list(folder):
                hour, _, name = entry.key.removeprefix(f"{_FOLDER}/").partition("/")
                by_hour[hour] = by_hour.get(hour, Totals()) + _parse(name)
        self._by_hour.update(by_hour)
        self._looked_at = now
        return sum(self._by_hour.values(), Totals())

    def _folders(self, now: float) -> list[str]:
        if self._looked_at is None:
            return [_FOLDER]
        first = int(self._looked_at // _HOUR_S) - 1  # another process's clock may be late
        return [f"{_FOLDER}/{_hour(n * _HOUR_S)}" for n in range(first, int(now // _HOUR_S) + 1)]


def _hour(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H")


def _parse(name: str) -> Totals:
    parts = name.split(".")
    if len(parts) == 2:
        return Totals(ends=Counter([parts[1]]))
    num_rendered, num_drawn_twice, evaluations, milliseconds = (int(part) for part in parts[2:])
    return Totals(
        num_rendered=num_rendered,
        num_drawn_twice=num_drawn_twice,
        unet_evaluations=evaluations,
        renderer_seconds=milliseconds / 1000,
    )
