"""Row groups from shards in a bucket, fetched ahead of their need and dropped after it."""

import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from momalisa.artworks.dataset import RowGroup
from momalisa.errors import DatasetError
from momalisa.storage import Store

_FETCH_THREADS = 8


class RowGroupReader:
    """Reads columns of row groups, a footer once for each shard, through a local disk cache."""

    def __init__(self, store: Store, columns: Sequence[str], local_cache: "LocalCache | None" = None) -> None:
        self._store = store
        self._columns = list(columns)
        self._local_cache = local_cache
        self._metadata: dict[str, Any] = {}
        self._lock = threading.Lock()

    def read(self, group: RowGroup, path: str | None = None) -> pa.Table:
        """The columns of a row group; `path` where they stand in another file of the same rows (a cache's).

        Raises DatasetError for a file that is no Parquet, or has other row groups.
        """
        path = path or group.shard.path
        name = f"{group.shard.sha256[:24]}-{path.replace('/', '_')}-{group.index}-{'-'.join(self._columns)}.arrow"
        cached = self._local_cache.get(name) if self._local_cache else None
        if cached is not None:
            return cached
        table = self._fetch(path, group)
        if table.num_rows != group.num_rows:
            raise DatasetError(f"{self._store.uri_of(path)}: row group {group.index} has {table.num_rows} rows")
        if self._local_cache:
            self._local_cache.put(name, table)
        return table

    def _fetch(self, path: str, group: RowGroup) -> pa.Table:
        try:
            with self._lock:
                metadata = self._metadata.get(path)
            with self._store.open(path) as file:
                parquet = pq.ParquetFile(file, metadata=metadata, pre_buffer=True)
                with self._lock:
                    self._metadata[path] = parquet.metadata
                return parquet.read_row_group(group.index, columns=self._columns, use_threads=False)
        except (pa.ArrowException, IndexError) as e:
            raise DatasetError(f"{self._store.uri_of(path)} cannot be read ({e}): make it anew") from e


class RowGroupQueue:
    """Fetches row groups in the order in which they will be needed, and keeps them for their uses to come.

    A shuffle buffer comes back to a row group for a while, so the last few without an announced use stay.
    """

    def __init__(self, reader: RowGroupReader, paths: dict[str, str] | None, max_idle: int) -> None:
        """`paths`: where each shard's rows stand in another file; None for the shards themselves."""
        self._reader = reader
        self._paths = paths
        self._max_idle = max_idle
        self._executor = ThreadPoolExecutor(_FETCH_THREADS, thread_name_prefix="fetch")
        self._tables: OrderedDict[int, Future[pa.Table]] = OrderedDict()
        self._uses: dict[int, int] = {}
        self._lock = threading.Lock()
        self.num_fetched = 0

    def expect(self, groups: Iterable[RowGroup]) -> None:
        """Announces uses to come, one for each mention; fetches begin at once."""
        with self._lock:
            for group in groups:
                self._uses[group.first] = self._uses.get(group.first, 0) + 1
                if group.first not in self._tables:
                    path = self._paths[group.shard.path] if self._paths else None
                    self._tables[group.first] = self._executor.submit(self._reader.read, group, path)
                    self.num_fetched += 1
                self._tables.move_to_end(group.first)

    def take(self, group: RowGroup) -> pa.Table:
        """The table of one announced use."""
        table = self._tables[group.first].result()
        with self._lock:
            self._uses[group.first] -= 1
            if self._uses[group.first] == 0:
                del self._uses[group.first]
                self._drop_idle()
        return table

    def close(self) -> None:
        """Ends the threads; what is under way is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _drop_idle(self) -> None:
        idle = [first for first in self._tables if first not in self._uses]
        for first in idle[: max(0, len(idle) - self._max_idle)]:
            del self._tables[first]


class LocalCache:
    """Arrow files in a folder, bounded in bytes, the least recently used dropped first.

    Several ranks and runs may share it: files appear whole, and one that vanishes is fetched again.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        self._num_bytes = sum(path.stat().st_size for path in folder.glob("*.arrow"))

    def get(self, name: str) -> pa.Table | None:
        """The table of a name, or None."""
        path = self._folder / name
        try:
            with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as reader:
                table = reader.read_all()
            os.utime(path)
        except (OSError, pa.ArrowException):
            return None
        return table

    def put(self, name: str, table: pa.Table) -> None:
        """Keeps a table, making room; a full disk is no error: the cache is a help, not a need."""
        path = self._folder / name
        partial = path.with_suffix(f".{os.getpid()}.{threading.get_ident()}.partial")
        try:
            with pa.OSFile(str(partial), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table)
            size = partial.stat().st_size
            with self._lock:
                self._num_bytes += size
                if self._num_bytes > self._max_bytes:
                    self._make_room()
            partial.replace(path)
        except OSError:
            partial.unlink(missing_ok=True)

    def _make_room(self) -> None:
        files = []
        for path in self._folder.glob("*.arrow"):
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        # To nine tenths, so that not every table that is added looks at the whole folder.
        for _, size, path in sorted(files):
            if total <= 0.9 * self._max_bytes:
                break
            path.unlink(missing_ok=True)
            total -= size
        self._num_bytes = total
