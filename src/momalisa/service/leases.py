"""Leases: one coordinator leads a work, and nobody's clock decides who.

A lease is an object that its holder replaces every few seconds, each time at the version that it knows. Whoever finds
one that has not changed for a while, by a stopwatch of its own, takes it over the same way; the holder of before then
fails at its next renewal, and stops. What it has written meanwhile does no harm: frames, rounds and results are named
by their content or created once.
"""

import json
import time
from collections.abc import Callable

from momalisa.errors import AlreadyExistsError, ConflictError, ObjectNotFoundError
from momalisa.storage import Store
from momalisa.storage.backend import Version


class Lease:
    """A work that is ours for now."""

    def __init__(self, store: Store, key: str, holder: str, version: Version) -> None:
        self._store, self._key, self._holder, self._version = store, key, holder, version
        self._beat = 0

    def renew(self) -> None:
        """To be called every few seconds. Raises ConflictError where somebody else has taken over."""
        self._beat += 1
        self._replace({"holder": self._holder, "beat": self._beat})

    def release(self) -> None:
        """Lets others take the work at once. Raises ConflictError where one has already."""
        self._replace({"holder": None})

    def _replace(self, content: dict[str, object]) -> None:
        self._version = self._store.compare_and_swap(self._key, json.dumps(content).encode(), self._version)


class Leases:
    """The leases of all works, as one coordinator sees them."""

    def __init__(
        self, store: Store, holder: str, *, patience_s: float = 15.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._holder, self._patience_s, self._clock = store, holder, patience_s, clock
        self._seen: dict[str, tuple[Version, float]] = {}

    def claim(self, work: str) -> Lease | None:
        """The lease of a work; None while somebody else holds it. Ask again from time to time."""
        key = f"works/{work}/lease.json"
        content = json.dumps({"holder": self._holder, "beat": 0}).encode()
        try:
            data, version = self._store.read_versioned(key)
        except ObjectNotFoundError:
            return self._take(work, key, lambda: self._store.create(key, content))
        if not self._is_free(work, data, version):
            return None
        return self._take(work, key, lambda: self._store.compare_and_swap(key, content, version))

    def forget(self, work: str) -> None:
        """A work that has ended."""
        self._seen.pop(work, None)

    def _is_free(self, work: str, data: bytes, version: Version) -> bool:
        if json.loads(data)["holder"] is None:
            return True
        known, since = self._seen.get(work, (None, 0.0))
        if known != version:
            self._seen[work] = (version, self._clock())
            return False
        return self._clock() - since >= self._patience_s

    def _take(self, work: str, key: str, write: Callable[[], Version]) -> Lease | None:
        try:
            version = write()
        except (AlreadyExistsError, ConflictError):
            return None
        self.forget(work)
        return Lease(self._store, key, self._holder, version)
