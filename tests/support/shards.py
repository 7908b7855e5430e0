"""Small datasets in the form that the manifest describes, for tests."""

import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from momalisa.artworks.manifest import (
    MANIFEST_NAME,
    DatasetManifest,
    Distribution,
    InputAccount,
    ShardInfo,
    Split,
    Statistics,
)
from momalisa.storage import open_store, sha256_bytes


def make_picture(number: int, width: int, height: int) -> Image.Image:
    """A smooth picture, another for every number."""
    random = np.random.default_rng(number)
    coarse = random.integers(0, 256, size=(4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def make_row(number: int, split: Split, width: int = 40, height: int = 40, image_format: str = "PNG") -> dict[str, Any]:
    """A row of a shard."""
    picture = make_picture(number, width, height)
    buffer = io.BytesIO()
    picture.save(buffer, image_format)
    name = f"{split}-{number:05d}.{image_format.lower()}"
    digest = hashlib.sha256(f"{width}x{height}".encode() + picture.tobytes()).hexdigest()
    return {
        "image": {"bytes": buffer.getvalue(), "path": name},
        "text": f"picture {number} of {split}",
        "file_name": name,
        "width": width,
        "height": height,
        "hash": digest,
        "split": split,
        "title": f"title {number}",
    }


def write_dataset(
    uri: str,
    *,
    num_train: int = 20,
    num_validation: int = 8,
    rows_per_group: int = 4,
    rows_per_shard: int = 12,
    sizes: Sequence[tuple[int, int]] = ((40, 40),),
    image_format: str = "PNG",
) -> DatasetManifest:
    """A dataset whose pictures have the given sizes in turn."""
    train = [make_row(n, "train", *sizes[n % len(sizes)], image_format) for n in range(num_train)]
    validation = [make_row(n, "validation", *sizes[n % len(sizes)], image_format) for n in range(num_validation)]
    return write_rows(uri, train, validation, rows_per_group=rows_per_group, rows_per_shard=rows_per_shard)


def write_rows(
    uri: str,
    train: list[dict[str, Any]],
    validation: list[dict[str, Any]],
    *,
    rows_per_group: int,
    rows_per_shard: int,
) -> DatasetManifest:
    """A dataset of given rows (see `make_row`)."""
    shards: list[ShardInfo] = []
    store = open_store(uri)
    splits: dict[Split, list[dict[str, Any]]] = {"train": train, "validation": validation}
    for split, of_split in splits.items():
        parts = [of_split[start : start + rows_per_shard] for start in range(0, len(of_split), rows_per_shard)]
        for number, rows in enumerate(parts):
            data, groups = _write_parquet(rows, rows_per_group)
            path = f"data/{split}-{number:05d}-of-{len(parts):05d}.parquet"
            store.write_bytes(path, data)
            shards.append(
                ShardInfo(
                    path=path,
                    split=split,
                    num_rows=len(rows),
                    row_groups=groups,
                    num_bytes=len(data),
                    sha256=sha256_bytes(data),
                )
            )
    manifest = _manifest(shards, len(train), len(validation))
    store.write_bytes(MANIFEST_NAME, manifest.model_dump_json().encode())
    return manifest


def rewrite_manifest(uri: str, **changes: Any) -> None:
    """Changes top-level keys of a dataset's manifest."""
    store = open_store(uri)
    content = json.loads(store.read_bytes(MANIFEST_NAME))
    store.write_bytes(MANIFEST_NAME, json.dumps({**content, **changes}).encode())


def _write_parquet(rows: list[dict[str, Any]], rows_per_group: int) -> tuple[bytes, tuple[int, ...]]:
    buffer = io.BytesIO()
    groups: list[int] = []
    schema = pa.Table.from_pylist(rows[:1]).schema
    options = {"compression": "none", "use_dictionary": False, "write_page_checksum": True, "write_statistics": False}
    with pq.ParquetWriter(buffer, schema, **options) as writer:
        for start in range(0, len(rows), rows_per_group):
            group = rows[start : start + rows_per_group]
            writer.write_table(pa.Table.from_pylist(group, schema=schema), row_group_size=len(group))
            groups.append(len(group))
    return buffer.getvalue(), tuple(groups)


def _manifest(shards: list[ShardInfo], num_train: int, num_validation: int) -> DatasetManifest:
    flat = Distribution(min=1, p25=1, median=1, p75=1, max=1, mean=1)
    total = num_train + num_validation
    return DatasetManifest(
        num_rows=total,
        splits={"train": num_train, "validation": num_validation},
        columns=("image", "text", "file_name", "width", "height", "hash", "split", "title"),
        shards=tuple(shards),
        statistics=Statistics(
            channel_mean=(0.5, 0.5, 0.5),
            channel_std=(0.2, 0.2, 0.2),
            width=flat,
            height=flat,
            aspect_ratio=flat,
            caption_length=flat,
        ),
        inputs=InputAccount(
            num_files=total, num_metadata_rows=total, num_written=total, num_quarantined=0, quarantined_by_reason={}
        ),
        config={},
        git_commit=None,
        momalisa_version="0",
    )
