"""Rows to Parquet, always the same bytes for the same rows."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from momalisa.artworks.manifest import MAX_ROW_GROUP_ROWS, Split

BASE_COLUMNS = ("image", "text", "file_name", "width", "height", "hash", "split")
VALIDATION_SALT = b"momalisa/split/1/"


def split_of(content_hash: str, validation_share: float) -> Split:
    """Train or validation, by the content alone: adding artworks never moves one."""
    position = int.from_bytes(hashlib.sha256(VALIDATION_SALT + content_hash.encode()).digest()[:8], "big")
    return "validation" if position < validation_share * 2**64 else "train"


def shard_schema(metadata_columns: Sequence[str]) -> pa.Schema:
    """The columns of a shard, and the note by which Hugging Face datasets shows `image` as pictures."""
    fields = [
        pa.field("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
        pa.field("text", pa.string()),
        pa.field("file_name", pa.string()),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("hash", pa.string()),
        pa.field("split", pa.string()),
        *(pa.field(name, pa.string()) for name in metadata_columns),
    ]
    features: dict[str, Any] = {"image": {"_type": "Image"}}
    for field in fields[1:]:
        features[field.name] = {"dtype": str(field.type), "_type": "Value"}
    note = {"info": {"features": features}}
    return pa.schema(fields, metadata={"huggingface": json.dumps(note)})


class ShardWriter:
    """Writes rows to a Parquet file, a row group at a time."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        # Page checksums: changed bytes are noticed. Statistics of pictures would be pictures, in every footer.
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            use_dictionary=False,
            write_page_checksum=True,
            write_statistics=[name for name in schema.names if name != "image"],
        )
        self._rows: list[dict[str, Any]] = []
        self.row_groups: list[int] = []

    def add(self, row: dict[str, Any]) -> None:
        """Adds a row; pictures wait in memory until their row group is full."""
        self._rows.append(row)
        if len(self._rows) == MAX_ROW_GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        """Writes what is left and the footer."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self.row_groups.append(len(self._rows))
            self._rows = []
