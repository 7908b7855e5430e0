"""What a backend offers to `Store`, and what backends have in common.

Paths are the backend's own (see `Location`). Every method retries by itself where that can help, and raises only the
errors of `momalisa.errors`.
"""

import io
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from momalisa.errors import UnsupportedOperationError

NUM_PARALLEL_REQUESTS = 8
_READER_BUFFER_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of a listing.

    checksum: what the bucket computed of its content, "md5:<hex>" or "crc32c:<hex>"; None where it computes none.
    generation: names this very content of the key, where the backend can; reads may ask for it.
    """

    key: str
    num_bytes: int
    checksum: str | None = None
    generation: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Version:
    """Names one content of a key, for compare-and-swap. Opaque.

    writes: marks of the latest conditional writes, by which a writer whose answer was lost knows its own again.
    """

    token: str
    writes: tuple[str, ...] = field(default=(), compare=False, repr=False)


class Backend(ABC):
    """One kind of storage. Picklable; safe in threads and after a fork."""

    @abstractmethod
    def uri(self, path: str) -> str: ...

    @abstractmethod
    def read(self, path: str, start: int = 0, stop: int | None = None, generation: str | None = None) -> bytes: ...

    @abstractmethod
    def write(self, path: str, data: bytes) -> None: ...

    @abstractmethod
    def upload(self, local: Path, path: str) -> None: ...

    @abstractmethod
    def download(self, path: str, local: Path) -> None: ...

    @abstractmethod
    def list(self, folder: str) -> Iterable[Entry]:
        """Every object below a folder, unordered, keys relative to the folder. No folder, no entries."""

    @abstractmethod
    def stat(self, path: str) -> Entry:
        """The entry of one object; its key is the path."""

    @abstractmethod
    def delete(self, path: str) -> None: ...

    def delete_tree(self, folder: str) -> None:
        entries = self.list(folder)
        run_parallel([lambda path=f"{folder}/{e.key}": self.delete(path) for e in entries])  # type: ignore[misc]

    def open(self, path: str) -> BinaryIO:
        entry = self.stat(path)
        reader = RangeReader(lambda start, stop: self.read(path, start, stop, entry.generation), entry.num_bytes)
        return io.BufferedReader(reader, _READER_BUFFER_BYTES)

    def create(self, path: str, data: bytes) -> Version:  # noqa: ARG002
        raise UnsupportedOperationError(self._cannot(path, "create-if-absent"))

    def read_versioned(self, path: str) -> tuple[bytes, Version]:
        raise UnsupportedOperationError(self._cannot(path, "versions"))

    def compare_and_swap(self, path: str, data: bytes, expected: Version) -> Version:  # noqa: ARG002
        raise UnsupportedOperationError(self._cannot(path, "compare-and-swap"))

    def _cannot(self, path: str, what: str) -> str:
        return f"{self.uri(path)}: {what} works on gs://, file and memory:// only; use one of them for this store"


class RangeReader(io.RawIOBase):
    """A seekable file whose every read is one ranged (and retried) read of an object.

    read_range: (start, stop) -> the object's bytes [start, stop).
    """

    def __init__(self, read_range: Callable[[int, int], bytes], num_bytes: int) -> None:
        super().__init__()
        self._read_range = read_range
        self._num_bytes = num_bytes
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._num_bytes}[whence]
        if position < 0:
            raise ValueError(f"seek to {position}, before the beginning")
        self._position = position
        return position

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        stop = min(self._position + len(view), self._num_bytes)
        if stop <= self._position:
            return 0
        data = self._read_range(self._position, stop)
        view[: len(data)] = data
        self._position += len(data)
        return len(data)

    def readall(self) -> bytes:
        if self._position >= self._num_bytes:
            return b""
        data = self._read_range(self._position, self._num_bytes)
        self._position += len(data)
        return data


def run_parallel(calls: Iterable[Callable[[], None]], num_threads: int = NUM_PARALLEL_REQUESTS) -> None:
    """Run the calls in a bounded pool. The first error stops those not yet begun and is raised."""
    with ThreadPoolExecutor(num_threads, thread_name_prefix="momalisa-storage") as pool:
        futures = [pool.submit(call) for call in calls]
        done, pending = wait(futures, return_when=FIRST_EXCEPTION)
        for future in pending:
            future.cancel()
    for future in done:
        future.result()
