"""A log's way to the run's folder, as it is written.

A bucket takes about one write a second per object and cannot append: the newest part is written anew every few seconds
until it is large enough, then the next one begins. What a kill can cost is what came since the last write. A bucket
that is away costs nothing but time: the text waits in memory, up to a bound.
"""

import threading
from collections.abc import Callable

from momalisa.errors import StorageError
from momalisa.job_folder import part_key, part_number
from momalisa.storage import RetryPolicy, Store

SHIP_EVERY_S = 4.0
_PART_BYTES = 256 * 1024
_MOST_WAITING_BYTES = 64 * 1024 * 1024
_LEFT_OUT = b"\n[momalisa: the bucket was away for long; %d bytes are left out here]\n"
QUICK = RetryPolicy(max_attempts=3, deadline_s=20.0, attempt_timeout_s=15.0)
"""A log is tried again at the next turn; no turn may block for long."""


class LogShipper:
    """Ships what is added, from a thread of its own. Never raises for a bucket; says once that it is away."""

    def __init__(
        self,
        store: Store,
        source: str,
        *,
        warn: Callable[[str], None],
        every_s: float = SHIP_EVERY_S,
        part_bytes: int = _PART_BYTES,
        most_waiting_bytes: int = _MOST_WAITING_BYTES,
    ) -> None:
        self._store = store
        self._source = source
        self._warn = warn
        self._every_s = every_s
        self._part_bytes = part_bytes
        self._most_waiting_bytes = most_waiting_bytes
        self._lock = threading.Lock()
        self._shipping = threading.Lock()
        self._waiting = bytearray()
        self._part = bytearray()
        self._is_written = False  # whether the current part is in the bucket as it is
        self._number: int | None = None
        self._num_left_out = 0
        self._warned = False
        self._due = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"ship-{source}", daemon=True)

    def start(self) -> None:
        """Begins to ship every few seconds."""
        self._thread.start()

    def add(self, data: bytes) -> None:
        """More of the log. Only copies: a writer never waits for a bucket."""
        with self._lock:
            self._waiting += data
            excess = len(self._waiting) - self._most_waiting_bytes
            if excess > 0:
                del self._waiting[:excess]
                self._num_left_out += excess

    def hurry(self, within_s: float) -> None:
        """Ships now what was added before, and waits for it so long at most: a kill may be near."""
        shipping = threading.Thread(target=self.ship, name=f"hurry-{self._source}", daemon=True)
        shipping.start()
        shipping.join(within_s)

    def close(self, timeout_s: float = 30.0) -> None:
        """Ships what is left, for at most so long."""
        self._closed = True
        self._due.set()
        if self._thread.is_alive():
            self._thread.join(timeout=timeout_s)

    def ship(self) -> bool:
        """Writes what came since the last time; whether nothing is left to write."""
        with self._shipping:
            while self._take():
                try:
                    self._write()
                except StorageError as e:
                    if not self._warned:
                        self._warned = True
                        self._warn(f"the log cannot be written to {self._store.uri} just now, it is tried again ({e})")
                    return False
                if self._part:
                    return True  # what came meanwhile goes to the same object: at the next turn
            return True

    def _take(self) -> bool:
        """Makes what waits a part of the part; whether there is something to write. A full part takes no more."""
        if not self._is_written and len(self._part) >= self._part_bytes:
            return True
        with self._lock:
            if self._waiting:
                if self._num_left_out:
                    self._part += _LEFT_OUT % self._num_left_out
                    self._num_left_out = 0
                self._part += self._waiting
                self._waiting.clear()
                self._is_written = False
        return bool(self._part) and not self._is_written

    def _write(self) -> None:
        if self._number is None:
            self._number = _next_number(self._store, self._source)
        self._store.write_bytes(part_key(self._source, self._number), bytes(self._part))
        self._is_written = True
        if len(self._part) >= self._part_bytes:
            self._number += 1
            self._part.clear()

    def _run(self) -> None:
        while not self._closed:
            self._due.wait(self._every_s)
            self._due.clear()
            self.ship()
        self.ship()


def _next_number(store: Store, source: str) -> int:
    """After the parts of earlier attempts."""
    numbers = [part_number(entry.key) for entry in store.list(f"logs/{source}")]
    return max((number for number in numbers if number is not None), default=-1) + 1
