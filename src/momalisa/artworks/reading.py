"""Row groups of Parquet files at a URI, by ranged reads of just the columns that are needed.

A file's footer is read once; then a row group costs one request, two where the columns lie far apart.
"""

import io
import threading
from collections.abc import Sequence
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from momalisa.artworks.manifest import ShardInfo
from momalisa.errors import IntegrityError, ObjectNotFoundError
from momalisa.storage import Store

_FOOTER_BYTES = 64 * 1024
_MAX_HOLE_BYTES = 512 * 1024
"""Bytes worth reading in vain to save a request."""
_MAGIC = b"PAR1"

Range = tuple[int, int]


class RangeCache(Protocol):
    """Keeps ranges of shards at hand."""

    def read(self, shard: ShardInfo, span: Range) -> bytes | None:
        """The bytes, or None."""

    def write(self, shard: ShardInfo, span: Range, data: bytes) -> None:
        """Keeps them, perhaps."""

    def discard(self, shard: ShardInfo, span: Range) -> None:
        """Forgets them: they are damaged."""


class ShardReader:
    """Reads row groups; safe in threads."""

    def __init__(self, store: Store, cache: RangeCache | None = None) -> None:
        self._store = store
        self._cache = cache
        self._footers: dict[str, pq.FileMetaData] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def read(self, shard: ShardInfo, row_group: int, columns: Sequence[str]) -> pa.Table:
        """Columns of a row group; a part of a struct is named by its path, as in `image.bytes`.

        Raises IntegrityError where the file is not what the manifest says, StorageError.
        """
        footer = self._footer(shard)
        spans = _spans(footer.row_group(row_group), columns, self._where(shard))
        cached = [None if self._cache is None else self._cache.read(shard, span) for span in spans]
        pieces = [self._fetch(shard, span) if data is None else data for span, data in zip(spans, cached, strict=True)]
        try:
            table = _decode(shard, footer, row_group, columns, spans, pieces)
        except IntegrityError as e:
            if self._cache is None or not any(data is not None for data in cached):
                raise IntegrityError(f"{self._where(shard)} is damaged: {e}; copy or prepare the dataset again") from e
            for span in spans:
                self._cache.discard(shard, span)
            return self.read(shard, row_group, columns)
        if self._cache is not None:
            for span, data, old in zip(spans, pieces, cached, strict=True):
                if old is None:
                    self._cache.write(shard, span, data)
        return table

    def _fetch(self, shard: ShardInfo, span: Range) -> bytes:
        try:
            data = self._store.read_bytes(shard.path, *span)
        except ObjectNotFoundError as e:
            raise IntegrityError(f"{self._where(shard)} is gone: copy or prepare the dataset again") from e
        if len(data) != span[1] - span[0]:
            raise IntegrityError(f"{self._where(shard)} is cut short: copy or prepare the dataset again")
        return data

    def _footer(self, shard: ShardInfo) -> pq.FileMetaData:
        with self._lock:
            lock = self._locks.setdefault(shard.path, threading.Lock())
        with lock:
            if shard.path not in self._footers:
                self._footers[shard.path] = self._read_footer(shard)
            return self._footers[shard.path]

    def _read_footer(self, shard: ShardInfo) -> pq.FileMetaData:
        where, size = self._where(shard), shard.num_bytes
        tail = self._fetch(shard, (max(0, size - _FOOTER_BYTES), size))
        if tail[-4:] != _MAGIC or size < 12:
            raise IntegrityError(f"{where} is no Parquet file: copy or prepare the dataset again")
        num_bytes = int.from_bytes(tail[-8:-4], "little") + 8
        if num_bytes > len(tail):
            tail = self._fetch(shard, (max(0, size - num_bytes), size))
        try:
            footer = pq.read_metadata(_SparseFile(size, [((size - len(tail), size), tail)]))
        except (pa.ArrowException, OSError) as e:
            raise IntegrityError(f"{where} has a damaged footer ({e}): copy or prepare the dataset again") from e
        rows = tuple(footer.row_group(i).num_rows for i in range(footer.num_row_groups))
        if rows != shard.row_groups:
            raise IntegrityError(f"{where} has other rows than the manifest says: copy or prepare the dataset again")
        return footer

    def _where(self, shard: ShardInfo) -> str:
        return self._store.uri_of(shard.path)


def _spans(row_group: Any, columns: Sequence[str], where: str) -> list[Range]:
    """The byte ranges that hold the columns' chunks, near ones joined."""
    chunks: list[Range] = []
    found: set[str] = set()
    for i in range(row_group.num_columns):
        chunk = row_group.column(i)
        wanted = [
            name for name in columns if chunk.path_in_schema == name or chunk.path_in_schema.startswith(f"{name}.")
        ]
        if wanted:
            found.update(wanted)
            first = chunk.data_page_offset
            if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
                first = min(first, chunk.dictionary_page_offset)
            chunks.append((first, first + chunk.total_compressed_size))
    if missing := sorted(set(columns) - found):
        raise IntegrityError(f"{where} has no column {', '.join(missing)}: copy or prepare the dataset again")
    spans: list[Range] = []
    for start, stop in sorted(chunks):
        if spans and start - spans[-1][1] <= _MAX_HOLE_BYTES:
            spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
        else:
            spans.append((start, stop))
    return spans


def _decode(
    shard: ShardInfo,
    footer: pq.FileMetaData,
    row_group: int,
    columns: Sequence[str],
    spans: Sequence[Range],
    pieces: Sequence[bytes],
) -> pa.Table:
    source = _SparseFile(shard.num_bytes, list(zip(spans, pieces, strict=True)))
    try:
        file = pq.ParquetFile(source, metadata=footer, page_checksum_verification=True)
        table = file.read_row_group(row_group, columns=list(columns), use_threads=False)
        table.validate(full=True)
    except (pa.ArrowException, OSError) as e:
        raise IntegrityError(f"row group {row_group}: {e}") from e
    return table


class _SparseFile(io.RawIOBase):
    """A file of which only some ranges are in memory."""

    def __init__(self, num_bytes: int, pieces: Sequence[tuple[Range, bytes]]) -> None:
        super().__init__()
        self._num_bytes = num_bytes
        self._pieces = pieces
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._num_bytes}[whence]
        return self._position

    def read(self, size: int = -1) -> bytes:
        stop = self._num_bytes if size < 0 else min(self._position + size, self._num_bytes)
        for (start, end), data in self._pieces:
            if start <= self._position and stop <= end:
                piece = data[self._position - start : stop - start]
                self._position = stop
                return piece
        raise OSError(f"bytes {self._position} to {stop} are outside the column chunks")
