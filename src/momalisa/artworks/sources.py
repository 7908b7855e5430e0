"""The three forms of input: a folder with metadata, a CSV file, Hugging Face Parquet.

All become references: where the picture's bytes are, its `file_name`, and its metadata columns.
"""

import csv
import io
import json
import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from momalisa.errors import DatasetError, ObjectNotFoundError
from momalisa.storage import Store, open_store

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jp2", ".ppm", ".avif", ".heic")
_METADATA_NAMES = ("metadata.jsonl", "metadata.csv")


@dataclass(frozen=True, slots=True)
class Reference:
    """One picture of the input. `row` is its position in a Parquet file, else -1."""

    file_name: str
    key: str
    row: int
    metadata: dict[str, Any]


@dataclass(slots=True)
class Listing:
    """What an input holds, and what of it leads nowhere."""

    store: Store
    references: list[Reference] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    rejected: list[tuple[str, str]] = field(default_factory=list)
    """file_name and reason: rows without a file, files without a row."""
    num_files: int = 0
    num_rows: int = 0


def list_input(uri: str) -> Listing:
    """Finds out the form of an input, and lists it.

    Raises DatasetError where there is nothing that can be read, saying what was expected.
    """
    if uri.endswith((".csv", ".jsonl", ".parquet")):
        folder, _, name = uri.rpartition("/")
        store = open_store(folder or ".")
        entries = {e.key for e in store.list() if not name.endswith(".parquet") or e.key == name}
        if name not in entries:
            raise DatasetError(f"there is no {uri}: check --input")
        return _from_parquet(store, [name]) if name.endswith(".parquet") else _from_metadata(store, name, entries)
    store = open_store(uri)
    keys = {e.key for e in store.list()}
    for name in _METADATA_NAMES:
        if name in keys:
            return _from_metadata(store, name, keys)
    parquet = sorted(key for key in keys if key.endswith(".parquet"))
    if parquet:
        return _from_parquet(store, parquet)
    what = f"has {len(keys)} files, but" if keys else "is empty or does not exist:"
    raise DatasetError(
        f"{uri} {what} no metadata.jsonl, metadata.csv or *.parquet is in it: give a folder of images with a "
        'metadata.jsonl, whose lines have "file_name" and the columns of the caption'
    )


def read_reference(store: Store, reference: Reference) -> bytes:
    """The picture's bytes. Raises ObjectNotFoundError where it is gone."""
    if reference.row < 0:
        return store.read_bytes(reference.key)
    with store.open(reference.key) as file:
        return _read_parquet_image(pq.ParquetFile(file), reference.row)


def _read_parquet_image(parquet: pq.ParquetFile, row: int) -> bytes:
    for group in range(parquet.num_row_groups):
        size = parquet.metadata.row_group(group).num_rows
        if row < size:
            image = parquet.read_row_group(group, columns=["image"])["image"][row].as_py()
            return (image or {}).get("bytes") or b""
        row -= size
    raise ObjectNotFoundError(f"row {row} is beyond the file's end")


def _from_metadata(store: Store, name: str, keys: set[str]) -> Listing:
    rows = list(_rows_of(store.read_bytes(name), name))
    listing = Listing(store, num_rows=len(rows))
    listing.columns = tuple(sorted({column for row in rows for column in row if column != "file_name"}))
    seen: set[str] = set()
    for number, row in enumerate(rows, start=1):
        file_name = row.get("file_name")
        if not isinstance(file_name, str) or not file_name.strip():
            listing.rejected.append((f"{name}:{number}", "metadata row without file_name"))
        elif _is_unsafe(file_name):
            listing.rejected.append((file_name, "unsafe file_name: absolute, or leading out of the folder"))
        elif file_name in seen:
            listing.rejected.append((file_name, "second metadata row of the same file"))
        elif (key := posixpath.normpath(file_name)) not in keys:
            listing.rejected.append((file_name, "metadata row without a file"))
        else:
            seen.add(file_name)
            listing.references.append(Reference(file_name, key, -1, {c: row.get(c) for c in listing.columns}))
    used = {reference.key for reference in listing.references}
    files = {key for key in keys if key not in _METADATA_NAMES and key != name}
    for key in sorted(files - used):
        listing.rejected.append((key, "no metadata row" if key.lower().endswith(_IMAGE_SUFFIXES) else "not an image"))
    listing.num_files = len(files)
    if not rows:
        raise DatasetError(f"{store.uri_of(name)} has no rows: write one for each picture")
    return listing


def _rows_of(data: bytes, name: str) -> Iterator[dict[str, Any]]:
    text = data.decode("utf-8-sig")
    if name.endswith(".csv"):
        yield from csv.DictReader(io.StringIO(text))
        return
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as e:
            raise DatasetError(f"{name}, line {number} is not JSON ({e}): mend that line") from e
        if not isinstance(row, dict):
            raise DatasetError(f"{name}, line {number} is not a JSON object: mend that line")
        yield row


def _from_parquet(store: Store, names: list[str]) -> Listing:
    listing = Listing(store)
    columns: set[str] = set()
    for name in names:
        with store.open(name) as file:
            parquet = pq.ParquetFile(file)
            schema = parquet.schema_arrow
            if "image" not in schema.names or not pa.types.is_struct(schema.field("image").type):
                raise DatasetError(f"{store.uri_of(name)} has no column image: struct<bytes, path>: check --input")
            others = [field for field in schema.names if field != "image"]
            columns.update(others)
            table = parquet.read(columns=[*others, "image.path"])
        for row, values in enumerate(table.to_pylist()):
            path = (values.pop("image", None) or {}).get("path")
            listing.references.append(Reference(path or f"{name}#{row}", name, row, values))
    listing.columns = tuple(sorted(columns))
    listing.num_files = listing.num_rows = len(listing.references)
    return listing


def _is_unsafe(file_name: str) -> bool:
    normal = posixpath.normpath(file_name)
    return normal.startswith(("/", "../")) or normal == ".." or "\\" in file_name or ":" in file_name.split("/")[0]
