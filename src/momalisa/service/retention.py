"""What nobody needs any more goes: walks after their time, then works without walks, then what no work refers to.

Mark and sweep with grace: an object that nothing refers to is noted with the time, and goes when it is still so after
the grace. What is wanted again in the very moment is made again.
"""

import json
import logging
import time
from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from momalisa.bounds import Bounds, check_bounds
from momalisa.errors import ObjectNotFoundError
from momalisa.service.records import Manifest, Records
from momalisa.storage import Store
from momalisa.storage.backend import run_parallel

LEASE = "retention"
"""In place of a work's name: one process sweeps."""
_NOTES = "retention/candidates.json"
_DAY_S = 86_400
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RetentionConfig:
    """How long things are kept."""

    keep_days: Annotated[float, Bounds(above=0)] | None = 90.0
    """Walks that staff have not featured; None: for ever."""
    grace_s: Annotated[float, Bounds(least=0)] = float(_DAY_S)
    """From when nothing refers to an object to its end; also how long an idempotency key stands."""
    every_s: Annotated[float, Bounds(above=0)] = 3600.0

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Swept:
    """What went."""

    num_walks: int
    num_works: int
    num_objects: int


class Retention:
    """Of one bucket; blocks while it works."""

    def __init__(self, store: Store, config: RetentionConfig, clock: Callable[[], float] = time.time) -> None:
        self._store, self._config, self._clock = store, config, clock
        self._records = Records(store)
        self._manifests: dict[str, Manifest] = {}

    def sweep(self, in_use: Callable[[], Set[str]]) -> Swept:
        """`in_use` gives the addresses of frames that works refer to which are not done."""
        num_walks = self._end_walks()
        works = {entry.key.split("/")[1] for entry in self._store.list("works")} - {LEASE}
        wanted = {work for work in works if self._records.wanted_by(work)}
        old = self._old(self._unneeded(works, wanted))
        num_works = sum(self._end_work(key.split("/")[1]) for key in old if key.startswith("works/"))
        doomed = [key for key in old if not key.startswith("works/") and _address_of(key) not in in_use()]
        run_parallel([partial(self._store.delete, key) for key in doomed])
        return Swept(num_walks=num_walks, num_works=num_works, num_objects=len(doomed))

    def _end_walks(self) -> int:
        """Walks whose time is over."""
        if self._config.keep_days is None:
            return 0
        ended = 0
        for walk_id in self._records.asked_before(self._clock() - self._config.keep_days * _DAY_S):
            try:
                record = self._records.walk_even_if_taken_down(walk_id)
            except ObjectNotFoundError:
                continue  # somebody deleted it
            if not record.is_featured:
                self._records.delete_walk(record)
                ended += 1
        return ended

    def _unneeded(self, works: Set[str], wanted: Set[str]) -> Iterator[str]:
        """Keys that nothing refers to; of a work one for all of its own."""
        yield from (f"works/{work}/" for work in works - wanted)
        frames, pictures = self._referred_to(wanted)
        for entry in self._store.list("frames"):
            if _address_of(entry.key) not in frames:
                yield entry.key
        for entry in self._store.list("pictures"):
            if _address_of(entry.key) not in pictures:
                yield entry.key
        yield from (entry.key for entry in self._store.list("idempotency"))

    def _referred_to(self, wanted: Set[str]) -> tuple[set[str], set[str]]:
        """Addresses of frames and of pictures."""
        frames: set[str] = set()
        pictures: set[str] = set()
        self._manifests = {work: manifest for work, manifest in self._manifests.items() if work in wanted}
        for work in wanted:
            if work not in self._manifests and isinstance(outcome := self._records.outcome(work), Manifest):
                self._manifests[work] = outcome
            if (manifest := self._manifests.get(work)) is not None:
                frames |= set(manifest.addresses)
                frames |= {address for address, _ in manifest.announced}
            pictures |= self._records.pictures_of(work)
        return frames, pictures

    def _old(self, unneeded: Iterator[str]) -> list[str]:
        """Those that were unneeded for as long as the grace; notes the others."""
        now = self._clock()
        try:
            before: dict[str, float] = json.loads(self._store.read_bytes(_NOTES))
        except ObjectNotFoundError:
            before = {}
        since = {key: before.get(key, now) for key in unneeded}
        old = [key for key, first_seen in since.items() if now - first_seen >= self._config.grace_s]
        notes = {key: first_seen for key, first_seen in since.items() if now - first_seen < self._config.grace_s}
        self._store.write_bytes(_NOTES, json.dumps(notes).encode())
        return old

    def _end_work(self, work: str) -> bool:
        if self._records.wanted_by(work):
            return False
        self._records.forget_outcome(work)
        if self._records.wanted_by(work):  # asked for in this very moment, as one that is done
            self._records.wait_again(work)
            return False
        self._store.delete_tree(f"works/{work}")
        return True


def _address_of(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]
