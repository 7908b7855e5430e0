"""What of an input becomes a dataset, in which order and in which shard: pure decisions on the driver."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from momalisa.artworks.captions import caption
from momalisa.artworks.manifest import Split, Statistics
from momalisa.artworks.shards import BASE_COLUMNS, split_of
from momalisa.artworks.sources import Listing
from momalisa.artworks.statistics import statistics
from momalisa.errors import DatasetError


class Limits(Protocol):
    """What of the config the plan needs."""

    validation_share: float
    shard_rows: int
    shard_mib: int


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A shard to be written: its rows are plain JSON, in their final order."""

    path: str
    split: Split
    rows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """The dataset to be, and what is left out of it."""

    shards: list[PlannedShard]
    quarantine: list[tuple[str, str]]
    metadata_columns: tuple[str, ...]
    statistics: Statistics

    @property
    def num_rows(self) -> int:
        """Over all splits."""
        return sum(len(shard.rows) for shard in self.shards)

    @property
    def splits(self) -> dict[Split, int]:
        """Rows by split."""
        counts: dict[Split, int] = {"train": 0, "validation": 0}
        for shard in self.shards:
            counts[shard.split] += len(shard.rows)
        return counts


def plan_dataset(listing: Listing, facts: Sequence[dict[str, Any]], template: str, limits: Any) -> Plan:
    """Sorts by content, drops duplicates and the unusable, splits and cuts into shards.

    Raises DatasetError where nothing is left, or a split would be empty.
    """
    metadata_columns = tuple(column for column in listing.columns if column not in BASE_COLUMNS)
    quarantine = list(listing.rejected)
    rows: list[dict[str, Any]] = []
    for reference, fact in zip(listing.references, facts, strict=True):
        text = caption(template, reference.metadata)
        if "reason" in fact:
            quarantine.append((reference.file_name, fact["reason"]))
        elif text is None:
            quarantine.append((reference.file_name, "empty caption"))
        else:
            metadata = {name: _plain(reference.metadata.get(name)) for name in metadata_columns}
            origin = {"file_name": reference.file_name, "key": reference.key, "row": reference.row}
            rows.append({**origin, "text": text, "metadata": metadata, **fact})
    rows = _without_duplicates(rows, quarantine)
    if not rows:
        reasons = sorted({reason.split(":")[0] for _, reason in quarantine})
        raise DatasetError(f"none of the {len(quarantine)} inputs can be used ({'; '.join(reasons)})")
    described = statistics(
        [row.pop("sums") for row in rows],
        [row["width"] for row in rows],
        [row["height"] for row in rows],
        [len(row["text"]) for row in rows],
    )
    shards = [*_cut("train", rows, limits), *_cut("validation", rows, limits)]
    for split in ("train", "validation"):
        if not any(shard.split == split for shard in shards):
            raise DatasetError(
                f"no artwork of {len(rows)} falls into the {split} split at --validation-share "
                f"{limits.validation_share}: choose a {'larger' if split == 'validation' else 'smaller'} one"
            )
    return Plan(shards, sorted(quarantine), metadata_columns, described)


def _without_duplicates(rows: list[dict[str, Any]], quarantine: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Rows sorted by content; of equal pictures the one of the smallest file name stays."""
    kept: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: (row["hash"], row["file_name"], row["key"], row["row"])):
        if kept and kept[-1]["hash"] == row["hash"]:
            quarantine.append((row["file_name"], f"duplicate: the same picture as {kept[-1]['file_name']}"))
        else:
            kept.append(row)
    return kept


def _cut(split: Split, rows: list[dict[str, Any]], limits: Any) -> list[PlannedShard]:
    """Shards of one split, none above the limits of rows and bytes."""
    parts: list[list[dict[str, Any]]] = []
    size = 0
    for row in rows:
        if split_of(row["hash"], limits.validation_share) != split:
            continue
        num_bytes = row["num_bytes"]
        if not parts or len(parts[-1]) >= limits.shard_rows or size + num_bytes > limits.shard_mib * 2**20:
            parts.append([])
            size = 0
        parts[-1].append(row)
        size += num_bytes
    return [
        PlannedShard(f"data/{split}-{i:05d}-of-{len(parts):05d}.parquet", split, part) for i, part in enumerate(parts)
    ]


def _plain(value: Any) -> str | None:
    """Metadata as text: columns of input files agree on nothing else."""
    return None if value is None else str(value)
