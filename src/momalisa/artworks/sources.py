"""The three forms of input: a folder with metadata, a CSV file, Hugging Face Parquet.

All become references: where a picture's bytes are, its `file_name`, and its metadata columns.
"""

import posixpath
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa

from momalisa.artworks.metadata import MetadataRows, read_rows
from momalisa.artworks.parquet_source import list_parquet
from momalisa.errors import DatasetError
from momalisa.storage import Store, open_store

_IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".jp2", ".ppm", ".avif", ".heic")
_METADATA_NAMES = ("metadata.jsonl", "metadata.csv")
_FILE_SUFFIXES = (".csv", ".jsonl", ".parquet")
_FOREIGN_ROOT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|[A-Za-z]:[\\/]")


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file or a metadata row that leads to no picture."""

    file_name: str
    reason: str
    kind: Literal["file", "row"]


@dataclass(frozen=True, slots=True)
class Listing:
    """What an input holds, and what of it leads nowhere.

    Every metadata row is a reference or a rejected row; every file is a reference, a rejected file or one of
    `num_containers`, the Parquet files that hold the pictures of the references.
    """

    store: Store
    references: pa.Table
    """`file_name`, `key` (of the file that holds the picture), `row` (within a Parquet file, else -1)."""
    metadata: pa.Table
    """The metadata columns of the references, row by row, as text."""
    rejected: tuple[Rejected, ...]
    num_files: int
    num_rows: int
    num_containers: int = 0
    task_sizes: tuple[int, ...] | None = None
    """How many consecutive references are best read together; None where that is no matter."""
    notes: tuple[str, ...] = ()
    """What the person should know of columns that are not carried over."""

    def __post_init__(self) -> None:
        num_references, num_rejected_rows = len(self.references), sum(r.kind == "row" for r in self.rejected)
        num_single_files = 0 if self.num_containers else num_references
        assert self.num_rows == num_references + num_rejected_rows
        assert self.num_files == num_single_files + self.num_containers + len(self.rejected) - num_rejected_rows

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the metadata columns."""
        return tuple(self.metadata.column_names)


def list_input(uri: str) -> Listing:
    """Finds out the form of an input, and lists it.

    Raises DatasetError where there is nothing that can be read, saying what was expected; StorageError.
    """
    store, name = _split_file(uri)
    entries = {entry.key: entry.num_bytes for entry in store.list()}
    if name is not None:
        if name not in entries:
            raise DatasetError(f"there is no file {uri}: check --input")
        if name.endswith(".parquet"):
            return _from_parquet(store, [name], [])
        return _from_metadata(store, name, set(entries))
    for metadata_name in _METADATA_NAMES:
        if metadata_name in entries:
            return _from_metadata(store, metadata_name, set(entries))
    parquet = sorted(key for key in entries if key.endswith(".parquet"))
    if parquet:
        return _from_parquet(store, parquet, sorted(entries.keys() - set(parquet)))
    raise DatasetError(_nothing_found(store, sorted(entries)))


def _split_file(uri: str) -> tuple[Store, str | None]:
    """A folder's store and None, or the store of a file's folder and the file's name."""
    store = open_store(uri)
    if not uri.endswith(_FILE_SUFFIXES):
        return store, None
    folder, _, name = store.uri.rpartition("/")
    return open_store(folder + "/" if folder.endswith(":/") else folder or "/"), name


def _nothing_found(store: Store, keys: Sequence[str]) -> str:
    deeper = [key for key in keys if posixpath.basename(key) in _METADATA_NAMES]
    if deeper:
        return (
            f"{store.uri} has its metadata in {deeper[0]}: give {store.uri_of(posixpath.dirname(deeper[0]))} as --input"
        )
    what = f"has {len(keys)} files, but" if keys else "is empty or does not exist:"
    return (
        f"{store.uri} {what} no metadata.jsonl, metadata.csv or *.parquet is in it: give a folder of images with a "
        'metadata.jsonl, whose lines have "file_name" and the columns of the caption'
    )


def _from_metadata(store: Store, name: str, keys: set[str]) -> Listing:
    rows = read_rows(store.read_bytes(name), store.uri_of(name))
    files = keys - {name}
    used: dict[str, int] = {}
    rejected: list[Rejected] = []
    for number, file_name in enumerate(rows.file_names):
        key = posixpath.normpath(file_name) if file_name else ""
        reason = _why_not(file_name, key, files, used)
        if reason is None:
            used[key] = number
        else:
            rejected.append(Rejected(file_name or f"{name}:{rows.lines[number]}", reason, "row"))
    rejected += [Rejected(key, _why_unused(key), "file") for key in sorted(files - used.keys())]
    references, metadata = _tables(rows, used)
    return Listing(
        store=store,
        references=references,
        metadata=metadata,
        rejected=tuple(rejected),
        num_files=len(files),
        num_rows=len(rows.file_names),
    )


def _why_not(file_name: str | None, key: str, files: set[str], used: dict[str, int]) -> str | None:
    """Why a metadata row leads to no picture; None where it does."""
    if not file_name:
        return "metadata row without file_name"
    if is_unsafe(file_name):
        return "unsafe file_name: absolute, or leading out of the folder"
    if key in used:
        return "second metadata row of the same file"
    return None if key in files else "metadata row without a file"


def _why_unused(key: str) -> str:
    return "no metadata row" if key.lower().endswith(_IMAGE_SUFFIXES) else "not an image"


def is_unsafe(file_name: str) -> bool:
    """Whether a name leads out of its folder: absolute, with `..`, a URI, a Windows drive."""
    return file_name.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", file_name) or _is_foreign(file_name)


def _is_foreign(file_name: str) -> bool:
    return _FOREIGN_ROOT.match(file_name) is not None


def _tables(rows: MetadataRows, used: dict[str, int]) -> tuple[pa.Table, pa.Table]:
    order = pa.array(used.values(), pa.int64())
    references = pa.table(
        {
            "file_name": pa.array(rows.file_names, pa.string()).take(order),
            "key": pa.array(used.keys(), pa.string()),
            "row": pa.array([-1] * len(used), pa.int64()),
        }
    )
    columns = {column: pa.array(values, pa.string()).take(order) for column, values in rows.columns.items()}
    return references, pa.table(columns)


def _from_parquet(store: Store, names: Sequence[str], others: Sequence[str]) -> Listing:
    found = list_parquet(store, names)
    return Listing(
        store=store,
        references=found.references,
        metadata=found.metadata,
        rejected=tuple(Rejected(key, "not a Parquet file", "file") for key in others),
        num_files=len(names) + len(others),
        num_rows=len(found.references),
        num_containers=len(names),
        task_sizes=found.row_groups,
        notes=found.notes,
    )
