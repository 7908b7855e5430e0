"""Leases: one coordinator leads a work, and nobody's clock decides who.

A lease is an object that its holder replaces every few seconds, each time at the version that it knows. Whoever finds
one that has not changed for a while, by a stopwatch of its own, takes it over the same way; the holder of before then
fails at its next renewal, and stops. What it has written meanwhile does no harm: frames, rounds and results are named
by their content or created once.
"""

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager, suppress

from momalisa.errors import AlreadyExistsError, ConflictError, ObjectNotFoundError, StorageError
from momalisa.storage import Store
from momalisa.storage.backend import Version

_LOGGER = logging.getLogger(__name__)


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

    def forget_all_but(self, works: Collection[str]) -> None:
        """Works that are not among these have ended."""
        kept = set(works)
        self._seen = {work: seen for work, seen in self._seen.items() if work in kept}

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
        self._seen.pop(work, None)
        return Lease(self._store, key, self._holder, version)


@asynccontextmanager
async def held(leases: Leases, work: str, *, renew_s: float) -> AsyncIterator[bool]:
    """The lease of a work for as long as the block, renewed every so many seconds; False where somebody else has it.

    Where somebody takes it over meanwhile the block is cut off, and ConflictError raised.
    """
    lease = await asyncio.to_thread(leases.claim, work)
    if lease is None:
        yield False
        return
    block = asyncio.current_task()
    assert block is not None
    is_over = asyncio.Event()

    def cut_off(_: asyncio.Task[None]) -> None:
        if not is_over.is_set():
            block.cancel()

    renewing = asyncio.create_task(_renew(lease, work, renew_s, is_over))
    renewing.add_done_callback(cut_off)
    try:
        yield True
    except asyncio.CancelledError:
        if not renewing.done():
            raise
        block.uncancel()
        raise ConflictError(f"the work {work} was taken over by somebody else") from None
    finally:
        is_over.set()
        await renewing  # a renewal on its way would make the release fail
        with suppress(StorageError):
            await asyncio.to_thread(lease.release)


async def _renew(lease: Lease, work: str, renew_s: float, is_over: asyncio.Event) -> None:
    """Until it is over, or somebody else has taken over."""
    while not is_over.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(is_over.wait(), renew_s)
            return
        try:
            await asyncio.to_thread(lease.renew)
        except ConflictError:
            return
        except StorageError as e:
            _LOGGER.warning("the lease of work %s could not be renewed: %s", work, e)
