"""The manifest of a dataset of captioned artworks, and that of its caches.

A dataset is a folder at a URI: `data/{split}-{shard:05d}-of-{count:05d}.parquet`, then
`manifest.json`, written last: without it the folder is no dataset. A cache stands below it, in
`caches/{vae}-{resolution}-{crop}/`, with one Parquet file for each shard, of the same name and with
the same row groups in the same order, and a `manifest.json` of its own.
"""

import hashlib
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Split = Literal["train", "validation"]

SCHEMA_VERSION: Literal[1] = 1
MANIFEST_NAME = "manifest.json"
MAX_ROW_GROUP_ROWS = 64


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ShardInfo(_Record):
    """One Parquet file: all its rows are of one split."""

    path: str
    split: Split
    num_rows: int
    row_groups: tuple[int, ...]
    """Rows in each row group, at most 64."""
    num_bytes: int
    sha256: str


class Distribution(_Record):
    """Five-number summary and mean of a count or size."""

    min: float
    p25: float
    median: float
    p75: float
    max: float
    mean: float


class Statistics(_Record):
    """What the pictures and captions are like, over all splits."""

    channel_mean: tuple[float, float, float]
    """RGB, of values in [0, 1], each pixel of the dataset weighing the same."""
    channel_std: tuple[float, float, float]
    width: Distribution
    height: Distribution
    aspect_ratio: Distribution
    caption_length: Distribution
    """In characters."""


class InputAccount(_Record):
    """What became of every input file and metadata row: nothing is dropped in silence."""

    num_files: int
    num_metadata_rows: int
    num_written: int
    num_quarantined: int
    quarantined_by_reason: dict[str, int]


class DatasetManifest(_Record):
    """`manifest.json` of a dataset."""

    schema_version: Literal[1] = SCHEMA_VERSION
    num_rows: int
    splits: dict[Split, int]
    columns: tuple[str, ...]
    shards: tuple[ShardInfo, ...]
    statistics: Statistics
    inputs: InputAccount
    config: dict[str, Any]
    git_commit: str | None
    momalisa_version: str

    @property
    def fingerprint(self) -> str:
        """The dataset's identity: SHA-256 over the shards' names and hashes, hexadecimal."""
        return fingerprint_shards(self.shards)

    def shards_of(self, split: Split) -> tuple[ShardInfo, ...]:
        """The shards of one split, in order."""
        return tuple(shard for shard in self.shards if shard.split == split)


class CacheManifest(_Record):
    """`manifest.json` of a cache of VAE moments and, perhaps, text embeddings.

    Each row of a cache's Parquet files holds `hash`, `file_name` and `text` (as in the dataset),
    `latent_mean` and `latent_std` (raw little-endian `dtype` bytes, C × H × W), `latent_height`,
    `latent_width`, and with text embeddings `text_embedding` (raw `dtype` bytes, `text_shape`).
    The empty caption's embedding stands beside them, in `empty_text.bin`.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    dataset_fingerprint: str
    model: str
    vae_sha256: str
    text_encoder_sha256: str | None
    """None where the cache holds no text embeddings."""
    resolution: int
    crop: Literal["center"]
    aspect_buckets: bool
    max_aspect_ratio: float | None = None
    """Of the buckets; None where there are none."""
    latent_channels: int
    scaling_factor: float
    text_shape: tuple[int, int] | None
    """Tokens × width."""
    empty_text_sha256: str | None = None
    dtype: Literal["float16", "float32"]
    shards: tuple[ShardInfo, ...]
    momalisa_version: str


def fingerprint_shards(shards: tuple[ShardInfo, ...]) -> str:
    """SHA-256 over names and hashes of shards, in their order, hexadecimal."""
    digest = hashlib.sha256()
    for shard in shards:
        digest.update(f"{shard.path}\0{shard.sha256}\n".encode())
    return digest.hexdigest()
