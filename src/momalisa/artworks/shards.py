"""Rows to Parquet, always the same bytes for the same rows."""

import hashlib
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from momalisa.artworks.contact_sheet import thumbnail
from momalisa.artworks.images import PILLOW_MAX_PIXELS, as_png, decode, encode
from momalisa.artworks.inspection import read_ahead
from momalisa.artworks.manifest import MAX_ROW_GROUP_ROWS, ShardInfo, Split
from momalisa.errors import DatasetError, ObjectNotFoundError
from momalisa.storage import Store, sha256_bytes, sha256_file

BASE_COLUMNS = ("image", "text", "file_name", "width", "height", "hash", "split")
SOURCE = pa.struct(
    [("key", pa.string()), ("sha256", pa.string()), ("keeps_file", pa.bool_()), ("on_sheet", pa.bool_())]
)
"""What stands in the place of `image` before a shard is written: where its bytes are, and what is done with them."""
_SPLIT_SALT = b"momalisa/split/1/"
_MAX_ROW_GROUP_BYTES = 64 * 2**20


def split_position(content_hash: str) -> float:
    """Where in [0, 1) a content falls, by a salted hash of its hash."""
    return int.from_bytes(hashlib.sha256(_SPLIT_SALT + content_hash.encode()).digest()[:6], "big") / 2**48


def split_of(content_hash: str, validation_share: float) -> Split:
    """Train or validation, by the content alone: adding artworks never moves one."""
    return "validation" if split_position(content_hash) < validation_share else "train"


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
    return pa.schema(fields, metadata={"huggingface": json.dumps({"info": {"features": features}})})


def write_shard(rows: pa.Table, path: str, source: Store, output: Store) -> tuple[ShardInfo, list[tuple[str, bytes]]]:
    """Writes one shard and uploads it whole; returns its entry, and file names and PNGs for the contact sheet.

    `rows` are those of a PlannedShard (see SOURCE). Raises DatasetError where a picture is no longer the one that was
    inspected.
    """
    schema = shard_schema([name for name in rows.column_names if name not in BASE_COLUMNS])
    thumbnails: list[tuple[str, bytes]] = []
    with tempfile.TemporaryDirectory(prefix="momalisa-") as scratch:
        local = Path(scratch) / "shard.parquet"
        with ShardWriter(local, schema) as writer:
            for row, data in _stored_pictures(rows, source, thumbnails):
                writer.add(row | {"image": {"bytes": data, "path": row["file_name"]}})
        output.upload(local, path)
        info = ShardInfo(
            path=path,
            split=rows["split"][0].as_py(),
            num_rows=len(rows),
            row_groups=tuple(writer.row_groups),
            num_bytes=local.stat().st_size,
            sha256=sha256_file(local),
        )
    return info, thumbnails


class ShardWriter:
    """Writes rows to a Parquet file, a row group at a time; a row group is what is held in memory."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._schema = schema
        small = [name for name in schema.names if name != "image"]
        # Pictures are compressed already, and their statistics would be pictures, in every footer.
        compression = {"image.bytes": "NONE", "image.path": "ZSTD"} | dict.fromkeys(small, "ZSTD")
        self._writer = pq.ParquetWriter(
            path,
            schema,
            version="2.6",
            compression=compression,
            use_dictionary=False,
            write_page_checksum=True,
            write_statistics=["width", "height", "hash"],
        )
        self._rows: list[dict[str, Any]] = []
        self._num_bytes = 0
        self.row_groups: list[int] = []

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self._flush()
        self._writer.close()

    def add(self, row: dict[str, Any]) -> None:
        """Adds a row; it waits in memory until its row group is full, by number or by bytes."""
        num_bytes = len(row["image"]["bytes"])
        if len(self._rows) == MAX_ROW_GROUP_ROWS or self._num_bytes + num_bytes > _MAX_ROW_GROUP_BYTES:
            self._flush()
        self._rows.append(row)
        self._num_bytes += num_bytes

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=self._schema))
            self.row_groups.append(len(self._rows))
            self._rows, self._num_bytes = [], 0


def _stored_pictures(
    rows: pa.Table, source: Store, thumbnails: list[tuple[str, bytes]]
) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Each row with the bytes that its picture is stored as."""
    all_rows = rows.to_pylist()
    for row, data in zip(all_rows, read_ahead(lambda row: _read_again(source, row), all_rows), strict=True):
        origin = row["image"]
        if origin["keeps_file"] and not origin["on_sheet"]:
            yield row, data
            continue
        decoded = decode(data, min_side=1, max_pixels=PILLOW_MAX_PIXELS)
        if origin["on_sheet"]:
            thumbnails.append((row["file_name"], as_png(thumbnail(decoded.image))))
        yield row, encode(decoded, data)


def _read_again(source: Store, row: dict[str, Any]) -> bytes:
    fix = "leave the input alone while it is prepared, and start again"
    try:
        data = source.read_bytes(row["image"]["key"])
    except ObjectNotFoundError as e:
        raise DatasetError(f"{row['file_name']} vanished while the dataset was written: {fix}") from e
    if sha256_bytes(data) != row["image"]["sha256"]:
        raise DatasetError(f"{row['file_name']} changed while the dataset was written: {fix}")
    return data
