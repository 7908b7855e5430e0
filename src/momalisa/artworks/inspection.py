"""The first pass: a few facts of each picture, small enough to keep of all of them at once."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import groupby, islice
from typing import Any, TypeVar

import pyarrow as pa

from momalisa.artworks.images import UnusableImageError, channel_sums, decode
from momalisa.artworks.parquet_source import read_pictures
from momalisa.errors import ObjectNotFoundError
from momalisa.storage import Store

T = TypeVar("T")
R = TypeVar("R")

SUMS = ("red_sum", "green_sum", "blue_sum")
SQUARES = ("red_squares", "green_squares", "blue_squares")
FACTS = pa.schema(
    [
        ("index", pa.int64()),
        ("key", pa.string()),  # where the second pass finds the file's bytes
        ("reason", pa.string()),  # why it cannot be used, or null
        ("hash", pa.string()),
        ("file_sha256", pa.string()),
        ("keeps_file", pa.bool_()),
        ("num_bytes", pa.int64()),  # about what it takes in a shard
        ("width", pa.int32()),
        ("height", pa.int32()),
        *((name, pa.int64()) for name in (*SUMS, *SQUARES)),
    ]
)
_NUM_AHEAD = 4


def inspect_pictures(
    references: pa.Table, source: Store, *, min_side: int, max_pixels: int, unpacked: Store | None = None
) -> pa.Table:
    """Reads and decodes the pictures of references (`index`, `key`, `row`); returns FACTS of them.

    Pictures that lie in Parquet files are copied to `unpacked`, where the second pass finds them one by one.
    """
    facts: list[dict[str, Any]] = []
    for reference, data in _read_all(references.to_pylist(), source):
        index, key = reference["index"], reference["key"]
        fact = inspect_picture(data, min_side=min_side, max_pixels=max_pixels)
        if reference["row"] >= 0 and "reason" not in fact:
            assert unpacked is not None
            assert data is not None
            key = f"{index:09d}"
            unpacked.write_bytes(key, data)
        facts.append({"index": index, "key": key, **fact})
    return pa.Table.from_pylist(facts, schema=FACTS)


def inspect_picture(data: bytes | None, *, min_side: int, max_pixels: int) -> dict[str, Any]:
    """The facts of one picture's bytes (None: there are none), or its `reason`."""
    if data is None:
        return {"reason": "missing file"}
    try:
        decoded = decode(data, min_side=min_side, max_pixels=max_pixels)
    except UnusableImageError as e:
        return {"reason": str(e)}
    num_pixels, sums, squares = channel_sums(decoded.image)
    return {
        "hash": decoded.hash,
        "file_sha256": hashlib.sha256(data).hexdigest(),
        "keeps_file": decoded.keeps_file,
        "num_bytes": len(data) if decoded.keeps_file else 3 * num_pixels,
        "width": decoded.image.width,
        "height": decoded.image.height,
        **dict(zip(SUMS, sums, strict=True)),
        **dict(zip(SQUARES, squares, strict=True)),
    }


def read_ahead(read: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """The results in order; a few are read while one is worked on, so that a distant bucket does not slow it."""
    remaining = iter(items)
    with ThreadPoolExecutor(_NUM_AHEAD, thread_name_prefix="momalisa-read") as pool:
        waiting: list[Future[R]] = [pool.submit(read, item) for item in islice(remaining, _NUM_AHEAD)]
        while waiting:
            result = waiting.pop(0).result()
            waiting += [pool.submit(read, item) for item in islice(remaining, 1)]
            yield result


def _read_all(references: list[dict[str, Any]], source: Store) -> Iterator[tuple[dict[str, Any], bytes | None]]:
    for (key, in_parquet), group in groupby(references, lambda r: (r["row"] >= 0 and r["key"], r["row"] >= 0)):
        same = list(group)
        if in_parquet:
            pictures: Iterable[bytes | None] = read_pictures(source, str(key), [r["row"] for r in same])
        else:
            pictures = read_ahead(lambda r: _read_file(source, r["key"]), same)
        yield from zip(same, pictures, strict=True)


def _read_file(source: Store, key: str) -> bytes | None:
    try:
        return source.read_bytes(key)
    except ObjectNotFoundError:
        return None
