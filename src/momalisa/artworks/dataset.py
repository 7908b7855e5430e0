"""A stored dataset: its manifest, and where each row is."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pydantic

from momalisa.artworks.manifest import MANIFEST_NAME, DatasetManifest, ShardInfo, Split
from momalisa.errors import DatasetError, ObjectNotFoundError
from momalisa.storage import Store, open_store


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A run of rows of one shard. `first` is the position of its first row in the split."""

    shard: ShardInfo
    index: int
    first: int
    num_rows: int


class StoredDataset:
    """A dataset that `jobs/prepare.py` wrote. Picklable."""

    def __init__(self, store: Store, manifest: DatasetManifest) -> None:
        self.store = store
        self.manifest = manifest

    @classmethod
    def open(cls, uri: str) -> "StoredDataset":
        """Reads the manifest, and looks whether its shards are there, whole.

        Raises DatasetError naming what is missing and the fix.
        """
        store = open_store(uri)
        try:
            data = store.read_bytes(MANIFEST_NAME)
        except ObjectNotFoundError as e:
            raise DatasetError(
                f"there is no dataset at {uri} (no {MANIFEST_NAME}): check the URI, or make one with jobs/prepare.py"
            ) from e
        try:
            manifest = DatasetManifest.model_validate_json(data)
        except pydantic.ValidationError as e:
            raise DatasetError(f"{store.uri_of(MANIFEST_NAME)} is not the manifest of a dataset: make it anew") from e
        dataset = cls(store, manifest)
        dataset._check_shards()
        return dataset

    def num_rows(self, split: Split) -> int:
        """Rows of a split."""
        return self.manifest.splits.get(split, 0)

    def row_groups(self, split: Split) -> list[RowGroup]:
        """The split's row groups in order; positions run over all its shards."""
        groups, first = [], 0
        for shard in self.manifest.shards_of(split):
            for index, num_rows in enumerate(shard.row_groups):
                groups.append(RowGroup(shard, index, first, num_rows))
                first += num_rows
        return groups

    def sizes(self, split: Split) -> "np.ndarray[Any, np.dtype[np.int64]]":
        """Widths and heights, (rows, 2) pixels: two small columns, read from every shard."""
        tables = []
        for shard in self.manifest.shards_of(split):
            with self.store.open(shard.path) as file:
                table = pq.ParquetFile(file).read(columns=["width", "height"])
            tables.append(np.stack([table["width"].to_numpy(), table["height"].to_numpy()], axis=1))
        return np.concatenate(tables).astype(np.int64)

    def _check_shards(self) -> None:
        present = {entry.key: entry.num_bytes for entry in self.store.list("data")}
        for shard in self.manifest.shards:
            if shard.path not in present:
                raise DatasetError(f"{self.store.uri_of(shard.path)} is missing: make the dataset anew")
            if present[shard.path] != shard.num_bytes:
                raise DatasetError(
                    f"{self.store.uri_of(shard.path)} has {present[shard.path]} bytes, its manifest says "
                    f"{shard.num_bytes}: make the dataset anew"
                )

    @cached_property
    def uri(self) -> str:
        """Where it is."""
        return self.store.uri
