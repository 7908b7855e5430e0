"""A bounded folder on the local disk with ranges of shards that were fetched once."""

import contextlib
import hashlib
import os
import threading
import uuid
from pathlib import Path

from momalisa.artworks.manifest import ShardInfo
from momalisa.artworks.reading import Range

_SUFFIX = ".range"
_PARTIAL = ".partial"
_WRITES_PER_COUNT = 32


class LocalCache:
    """Shared by the ranks of a machine and by later runs: names hold the shard's hash, files appear whole.

    What earlier runs left makes room, the longest unused first; what this run has used stays. An epoch
    visits every row group once, in a new order each time: dropping the least recently used one of them
    would lose it shortly before it is needed again (with room for a half: 15% hits instead of 50%).
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
        self._begun_ns = _now_ns(self._folder)
        self._full = False
        self._known_bytes = 0
        self._writes_until_count = 0

    def read(self, shard: ShardInfo, span: Range) -> bytes | None:
        """The range's bytes, or None where it is not here, or not whole."""
        path = self._path(shard, span)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return data if len(data) == span[1] - span[0] else None

    def write(self, shard: ShardInfo, span: Range, data: bytes) -> None:
        """Keeps a range if there is room, or can be made. A disk that refuses is no cache, not an error."""
        if self._full or not self._make_room(len(data)):
            return
        partial = self._folder / f"{uuid.uuid4().hex}{_PARTIAL}"
        try:
            partial.write_bytes(data)
            partial.replace(self._path(shard, span))
        except OSError:
            self._full = True
            with contextlib.suppress(OSError):
                partial.unlink()

    def discard(self, shard: ShardInfo, span: Range) -> None:
        """Forgets a range."""
        with contextlib.suppress(OSError):
            self._path(shard, span).unlink()

    def _make_room(self, num_bytes: int) -> bool:
        with self._lock:
            self._known_bytes += num_bytes
            self._writes_until_count -= 1
            if self._writes_until_count >= 0 and self._known_bytes <= self._max_bytes:
                return True
            # Counted anew now and then: other ranks write here too.
            self._writes_until_count = _WRITES_PER_COUNT
            files = sorted(self._files())
            self._known_bytes = sum(size for _, size, _ in files) + num_bytes
            for used_ns, size, path in files:
                if self._known_bytes <= self._max_bytes or used_ns >= self._begun_ns:
                    break
                with contextlib.suppress(OSError):
                    Path(path).unlink()
                self._known_bytes -= size
            if self._known_bytes > self._max_bytes:
                self._known_bytes -= num_bytes
                self._full = num_bytes <= self._max_bytes
                return False
            return True

    def _files(self) -> list[tuple[int, int, str]]:
        """Time of last use, size and path of every file."""
        found = []
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    status = entry.stat()
                    found.append((status.st_mtime_ns, status.st_size, entry.path))
        return found

    def _path(self, shard: ShardInfo, span: Range) -> Path:
        name = hashlib.sha256(f"{shard.sha256}:{shard.num_bytes}:{span[0]}-{span[1]}".encode()).hexdigest()[:40]
        return self._folder / f"{name}{_SUFFIX}"


def _now_ns(folder: Path) -> int:
    """The time as the folder's file system tells it, which need not be this machine's."""
    probe = folder / f"{uuid.uuid4().hex}{_PARTIAL}"
    try:
        probe.write_bytes(b"")
        return probe.stat().st_mtime_ns
    except OSError:
        return 0
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()
