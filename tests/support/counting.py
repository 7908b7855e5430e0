"""A store that counts its reads, and may be slow or fail."""

import threading
import time
from collections.abc import Callable
from typing import Any

from momalisa.storage import Store


class CountingStore:
    """Passes everything on; ranged reads are counted, delayed and, if `fail` says so, fail."""

    def __init__(
        self, store: Store, *, latency_s: float = 0.0, fail: Callable[[str], BaseException | None] = lambda key: None
    ) -> None:
        self._store = store
        self._latency_s = latency_s
        self._fail = fail
        self._lock = threading.Lock()
        self.reads: list[tuple[str, int | None, int | None]] = []

    def read_bytes(self, key: str, start: int | None = None, stop: int | None = None) -> bytes:
        """Counts, waits, reads."""
        with self._lock:
            self.reads.append((key, start, stop))
        if self._latency_s:
            time.sleep(self._latency_s)
        if error := self._fail(key):
            raise error
        return self._store.read_bytes(key, start, stop)

    @property
    def local_path(self) -> None:
        """As if it were a bucket."""
        return

    def child(self, key: str) -> "CountingStore":
        """Counts in the same list."""
        child = CountingStore(self._store.child(key), latency_s=self._latency_s, fail=self._fail)
        child.reads, child._lock = self.reads, self._lock
        return child

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)
