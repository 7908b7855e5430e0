"""What of an input becomes a dataset, in which order and in which shard: pure decisions on the driver."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from momalisa.artworks.captions import caption
from momalisa.artworks.inspection import SQUARES, SUMS
from momalisa.artworks.manifest import Split, Statistics
from momalisa.artworks.shards import BASE_COLUMNS, SOURCE, split_of, split_position
from momalisa.artworks.sources import Listing
from momalisa.artworks.statistics import statistics
from momalisa.errors import DatasetError

_SHEET_CELLS = 48
_MIB = 2**20


class Limits(Protocol):
    """What of the config the plan needs."""

    @property
    def caption_template(self) -> str: ...
    @property
    def validation_share(self) -> float: ...
    @property
    def shard_rows(self) -> int: ...
    @property
    def shard_mib(self) -> int: ...


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """A shard to be written, its rows in their final order."""

    path: str
    split: Split
    rows: pa.Table
    """The columns of the shard; in the place of `image` is its SOURCE."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The dataset to be, and what is left out of it."""

    shards: tuple[PlannedShard, ...]
    quarantine: tuple[tuple[str, str], ...]
    """`file_name` and reason, sorted."""
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


def plan_dataset(listing: Listing, facts: pa.Table, limits: Limits) -> Plan:
    """Sorts by content, drops duplicates and the unusable, splits and cuts into shards.

    `facts` are those of the listing's references, in their order. Raises DatasetError where nothing is left, or a
    split would be empty.
    """
    texts = _captions(listing, limits.caption_template)
    names = listing.references["file_name"].to_pylist()
    left_out = [(rejected.file_name, rejected.reason) for rejected in listing.rejected]
    kept = _select(names, texts, facts, left_out)
    if not kept:
        reasons = sorted({reason.split(":")[0] for _, reason in left_out})
        raise DatasetError(f"none of the {len(left_out)} inputs can be used ({'; '.join(reasons)}): check --input")
    metadata_columns = tuple(column for column in listing.columns if column not in BASE_COLUMNS)
    facts = facts.take(kept)
    rows = _rows(listing, facts, texts, kept, limits.validation_share).select([*BASE_COLUMNS, *metadata_columns])
    shards = (*_cut("train", rows, facts["num_bytes"], limits), *_cut("validation", rows, facts["num_bytes"], limits))
    _require_splits(shards, rows, limits.validation_share)
    return Plan(shards, tuple(sorted(left_out)), metadata_columns, _describe(facts, rows["text"]))


def _captions(listing: Listing, template: str) -> list[str | None]:
    columns = [listing.metadata[name].to_pylist() for name in listing.columns]
    if not columns:
        return [caption(template, {})] * len(listing.references)
    return [caption(template, dict(zip(listing.columns, row, strict=True))) for row in zip(*columns, strict=True)]


def _select(
    names: Sequence[str], texts: Sequence[str | None], facts: pa.Table, left_out: list[tuple[str, str]]
) -> list[int]:
    """The references that stay, sorted by content; of equal pictures the one of the smallest file name."""
    reasons, hashes = facts["reason"].to_pylist(), facts["hash"].to_pylist()
    usable: list[int] = []
    for index, (name, reason, text) in enumerate(zip(names, reasons, texts, strict=True)):
        if reason is None and text is not None:
            usable.append(index)
        else:
            left_out.append((name, reason or "empty caption"))
    kept: list[int] = []
    for index in sorted(usable, key=lambda index: (hashes[index], names[index])):
        if kept and hashes[kept[-1]] == hashes[index]:
            left_out.append((names[index], f"duplicate: the same picture as {names[kept[-1]]}"))
        else:
            kept.append(index)
    return kept


def _rows(listing: Listing, facts: pa.Table, texts: Sequence[str | None], kept: list[int], share: float) -> pa.Table:
    """All columns of the references that stay, in the order of `kept` and of `facts`."""
    order = pa.array(kept, pa.int64())
    columns: dict[str, Any] = {name: listing.metadata[name].take(order) for name in listing.columns}
    columns["file_name"] = names = listing.references["file_name"].take(order)
    columns["text"] = pa.array([texts[index] for index in kept], pa.string())
    columns |= {name: facts[name] for name in ("width", "height", "hash")}
    columns["split"] = pa.array([split_of(h, share) for h in facts["hash"].to_pylist()], pa.string())
    parts = (facts["key"], facts["file_sha256"], facts["keeps_file"])
    on_sheet = _spread(names.to_pylist())
    columns["image"] = pa.StructArray.from_arrays([*(_joined(part) for part in parts), on_sheet], fields=list(SOURCE))
    return pa.table(columns)


def _joined(column: pa.ChunkedArray) -> pa.Array:
    return pa.concat_arrays(column.chunks)


def _spread(names: Sequence[str]) -> pa.Array:
    """Marks pictures for the contact sheet, evenly over the sorted file names."""
    by_name = sorted(range(len(names)), key=names.__getitem__)
    count = min(_SHEET_CELLS, len(names))
    marks = np.zeros(len(names), dtype=bool)
    marks[[by_name[cell * len(names) // count] for cell in range(count)]] = True
    return pa.array(marks)


def _cut(split: Split, rows: pa.Table, num_bytes: pa.ChunkedArray, limits: Limits) -> Iterator[PlannedShard]:
    """Shards of one split, none above the limits of rows and bytes unless by a single picture."""
    of_split = pa.array([value == split for value in rows["split"].to_pylist()], pa.bool_())
    chosen = rows.filter(of_split).combine_chunks()
    starts: list[int] = []
    size = 0
    for number, added in enumerate(num_bytes.filter(of_split).to_pylist()):
        size += added
        if not starts or number - starts[-1] >= limits.shard_rows or size > limits.shard_mib * _MIB:
            starts.append(number)
            size = added
    for i, (start, stop) in enumerate(zip(starts, [*starts[1:], len(chosen)], strict=bool(starts))):
        path = f"data/{split}-{i:05d}-of-{len(starts):05d}.parquet"
        yield PlannedShard(path, split, chosen.slice(start, stop - start))


def _require_splits(shards: Sequence[PlannedShard], rows: pa.Table, share: float) -> None:
    present = {shard.split for shard in shards}
    if present == {"train", "validation"}:
        return
    positions = sorted(split_position(content_hash) for content_hash in rows["hash"].to_pylist())
    if len(positions) < 2:
        raise DatasetError("only one artwork can be used, but training and validation need one each: add artworks")
    missing, wanted = ("train", positions[-1]) if "train" not in present else ("validation", positions[0])
    # Three digits, rounded so that the artwork nearest to the border changes sides.
    enough = np.floor(wanted * 1000) / 1000 if missing == "train" else np.floor(wanted * 1000 + 1) / 1000
    hint = f"--validation-share {enough:g} would do" if 0 < enough < 1 else "add artworks"
    raise DatasetError(f"at --validation-share {share:g} none of {len(rows)} artworks is for {missing}: {hint}")


def _describe(facts: pa.Table, texts: pa.ChunkedArray) -> Statistics:
    return statistics(
        np.multiply(facts["width"].to_numpy(), facts["height"].to_numpy(), dtype=np.int64).tolist(),
        [facts[name].to_pylist() for name in SUMS],
        [facts[name].to_pylist() for name in SQUARES],
        widths=facts["width"].to_numpy(),
        heights=facts["height"].to_numpy(),
        caption_lengths=[len(text) for text in texts.to_pylist()],
    )
