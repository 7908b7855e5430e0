"""A dataset of captioned artworks at a URI, opened for reading."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from momalisa.artworks.manifest import MANIFEST_NAME, SCHEMA_VERSION, DatasetManifest, ShardInfo, Split
from momalisa.artworks.reading import ShardReader
from momalisa.errors import DatasetError, ObjectNotFoundError
from momalisa.storage import Store, open_store

_NUM_THREADS = 16

Array = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class RowGroup:
    """Consecutive rows of a split: what is read at once."""

    shard: ShardInfo
    number: int
    """Within the shard."""
    start: int
    """The first row's position in the split."""
    num_rows: int


class StoredDataset:
    """A dataset whose manifest was read and whose shards are all there."""

    def __init__(self, store: Store, manifest: DatasetManifest) -> None:
        self.store = store
        self.manifest = manifest
        self._sizes: dict[tuple[Split, int | None], tuple[Array, Array]] = {}

    @classmethod
    def open(cls, uri: str) -> "StoredDataset":
        """Reads the manifest and looks for its shards.

        Raises DatasetError where there is no dataset, one of another schema version, or an incomplete one.
        """
        store = open_store(uri)
        dataset = cls(store, _read_manifest(store))
        dataset._require_shards()
        return dataset

    @property
    def uri(self) -> str:
        """Where the dataset is."""
        return self.store.uri

    def num_rows(self, split: Split) -> int:
        """Pictures in a split."""
        return sum(shard.num_rows for shard in self.manifest.shards_of(split))

    def row_groups(self, split: Split, max_rows: int | None = None) -> tuple[RowGroup, ...]:
        """All row groups of a split, in order; those of its first `max_rows` rows, the last one cut."""
        return list_row_groups(self.manifest.shards_of(split), max_rows)

    def sizes(self, split: Split, max_rows: int | None = None) -> tuple[Array, Array]:
        """Widths and heights in pixels of a split's pictures, each (N,); read once."""
        if (split, max_rows) not in self._sizes:
            self._sizes[split, max_rows] = self._read_sizes(self.row_groups(split, max_rows))
        return self._sizes[split, max_rows]

    def _read_sizes(self, groups: Sequence[RowGroup]) -> tuple[Array, Array]:
        reader = ShardReader(self.store)

        def read(group: RowGroup) -> Array:
            table = reader.read(group.shard, group.number, ("width", "height")).slice(0, group.num_rows)
            return np.stack([table.column(name).to_numpy().astype(np.int64) for name in ("width", "height")])

        with ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="momalisa-sizes") as pool:
            widths, heights = np.concatenate(list(pool.map(read, groups)), axis=1)
        return widths, heights

    def _require_shards(self) -> None:
        found = {entry.key: entry.num_bytes for entry in self.store.list("data")}
        for shard in self.manifest.shards:
            if shard.path not in found:
                raise DatasetError(
                    f"{self.store.uri_of(shard.path)} is missing: copy the dataset again, or {_prepare(self.uri)}"
                )
            if found[shard.path] != shard.num_bytes:
                raise DatasetError(
                    f"{self.store.uri_of(shard.path)} has {found[shard.path]} bytes where the manifest says "
                    f"{shard.num_bytes}: copy the dataset again, or {_prepare(self.uri)}"
                )


def list_row_groups(shards: Sequence[ShardInfo], max_rows: int | None = None) -> tuple[RowGroup, ...]:
    """The row groups of shards in order, down to `max_rows` rows."""
    groups: list[RowGroup] = []
    start = 0
    for shard in shards:
        for number, num_rows in enumerate(shard.row_groups):
            kept = num_rows if max_rows is None else min(num_rows, max_rows - start)
            if kept > 0:
                groups.append(RowGroup(shard, number, start, kept))
            start += num_rows
    return tuple(groups)


def _read_manifest(store: Store) -> DatasetManifest:
    try:
        content = store.read_bytes(MANIFEST_NAME)
    except ObjectNotFoundError as e:
        raise DatasetError(f"no dataset at {store.uri}: it has no {MANIFEST_NAME}; {_prepare(store.uri)}") from e
    try:
        manifest = DatasetManifest.model_validate_json(content)
    except ValidationError as e:
        first = e.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DatasetError(
            f"{store.uri_of(MANIFEST_NAME)} is no dataset manifest of schema version {SCHEMA_VERSION} "
            f"({where}: {first['msg']}): {_prepare(store.uri)} with this version of momalisa"
        ) from e
    repeated = [path for path, count in Counter(shard.path for shard in manifest.shards).items() if count > 1]
    if repeated or any(sum(shard.row_groups) != shard.num_rows for shard in manifest.shards):
        raise DatasetError(f"{store.uri_of(MANIFEST_NAME)} contradicts itself: {_prepare(store.uri)}")
    return manifest


def _prepare(uri: str) -> str:
    return f"make it with python jobs/prepare.py --input … --output {uri}"
