"""Pictures in Hugging Face Parquet files: `image: struct<bytes, path>` and columns of metadata."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from momalisa.artworks.metadata import as_text
from momalisa.errors import DatasetError
from momalisa.storage import Store

_ROWS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class ParquetListing:
    """The rows of Parquet files; pictures are not read yet."""

    references: pa.Table
    metadata: pa.Table
    row_groups: tuple[int, ...]
    """The rows in each row group of each file, in the order of the references; empty groups are left out."""
    notes: tuple[str, ...]


def list_parquet(store: Store, names: Sequence[str]) -> ParquetListing:
    """All rows, with their metadata as text.

    Raises DatasetError for a file that is damaged, without pictures or without rows.
    """
    references: list[pa.Table] = []
    metadata: list[pa.Table] = []
    row_groups: list[int] = []
    left_out: dict[str, None] = {}
    for name in names:
        with _opened(store, name) as parquet:
            _check_schema(parquet.schema_arrow, store.uri_of(name))
            fields = [field for field in parquet.schema_arrow if field.name != "image"]
            left_out |= dict.fromkeys(field.name for field in fields if _holds_bytes(field.type))
            carried = [field.name for field in fields if not _holds_bytes(field.type) and field.name != "file_name"]
            table = parquet.read(columns=[*carried, "image.path"])
            references.append(_references(name, table))
            metadata.append(_as_text(table, carried))
            groups = (parquet.metadata.row_group(i).num_rows for i in range(parquet.num_row_groups))
            row_groups += [rows for rows in groups if rows]
    if not row_groups:
        raise DatasetError(f"the Parquet files at {store.uri} have no rows: check --input")
    return ParquetListing(
        _with_unique_names(pa.concat_tables(references)),
        pa.concat_tables(metadata, promote_options="default").combine_chunks(),
        tuple(row_groups),
        (f"not carried over, since they hold bytes: {', '.join(left_out)}",) if left_out else (),
    )


def read_pictures(store: Store, name: str, rows: Sequence[int]) -> Iterator[bytes | None]:
    """The bytes of pictures of one file in the order of ascending `rows`; None where a row has none."""
    wanted = iter(rows)
    row = next(wanted, None)
    start = 0
    with _opened(store, name) as parquet:
        for group in range(parquet.num_row_groups):
            stop = start + parquet.metadata.row_group(group).num_rows
            if row is not None and row < stop:
                for batch in parquet.iter_batches(_ROWS_AT_ONCE, row_groups=[group], columns=["image.bytes"]):
                    while row is not None and row < start + len(batch):
                        yield batch["image"][row - start].as_py().get("bytes")
                        row = next(wanted, None)
                    start += len(batch)
            start = stop


@contextmanager
def _opened(store: Store, name: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file in a store; damage becomes a DatasetError."""
    with store.open(name) as file:
        try:
            yield pq.ParquetFile(file)
        except pa.ArrowException as e:
            fix = "copy it again, or take it away"
            raise DatasetError(f"{store.uri_of(name)} is no intact Parquet file ({e}): {fix}") from e


def _check_schema(schema: pa.Schema, uri: str) -> None:
    image = schema.field("image").type if "image" in schema.names else None
    if image is None or not pa.types.is_struct(image) or {"bytes", "path"} - {field.name for field in image}:
        raise DatasetError(f"{uri} has no column image: struct<bytes, path>: check --input")


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return True
    return any(_holds_bytes(kind.field(i).type) for i in range(kind.num_fields))


def _references(name: str, table: pa.Table) -> pa.Table:
    paths = [(image or {}).get("path") for image in table["image"].to_pylist()]
    rows = range(len(paths))
    return pa.table(
        {
            "file_name": pa.array([path or f"{name}#{row}" for row, path in enumerate(paths)], pa.string()),
            "key": pa.array([name] * len(paths), pa.string()),
            "row": pa.array(rows, pa.int64()),
        }
    )


def _with_unique_names(references: pa.Table) -> pa.Table:
    """Paths in Parquet files bind no one: where two pictures have the same, they are named by file and row."""
    names = references["file_name"].to_pylist()
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    places = zip(names, references["key"].to_pylist(), references["row"].to_pylist(), strict=True)
    unique = [name if counts[name] == 1 else f"{key}#{row}" for name, key, row in places]
    return references.set_column(0, "file_name", pa.array(unique, pa.string()))


def _as_text(table: pa.Table, columns: Sequence[str]) -> pa.Table:
    if not columns:
        return table.select([])
    return pa.table({name: pa.array([as_text(v) for v in table[name].to_pylist()], pa.string()) for name in columns})
