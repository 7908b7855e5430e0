"""Captioned artworks to a dataset of Parquet shards, with Ray Data: the only module that imports it.

Two passes, so that memory stays flat and the result does not depend on the parallelism: the first looks
at every picture and brings back a few numbers of each; the driver then decides what stays, in which
order and in which shard; the second writes the shards, each in one task.
"""

import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa
from PIL import Image

import momalisa
import momalisa.errors
from momalisa.artworks.captions import DEFAULT_TEMPLATE, check_template
from momalisa.artworks.contact_sheet import contact_sheet
from momalisa.artworks.images import MAX_PIXELS, MIN_SIDE, PILLOW_MAX_PIXELS, as_png
from momalisa.artworks.inspection import FACTS, inspect_pictures
from momalisa.artworks.manifest import MANIFEST_NAME, DatasetManifest, ShardInfo
from momalisa.artworks.outputs import check_output, clear, require_same
from momalisa.artworks.plan import Plan, plan_dataset
from momalisa.artworks.quarantine import QUARANTINE_NAME, account_for, in_words
from momalisa.artworks.shards import BASE_COLUMNS, shard_schema, write_shard
from momalisa.artworks.sources import Listing, list_input
from momalisa.errors import MomalisaError
from momalisa.ray_session import ray_session
from momalisa.storage import Store, open_store
from momalisa.terminal import counted
from momalisa.training.summary import git_commit

CONTACT_SHEET_NAME = "contact_sheet.png"
OBJECT_STORE_MIB = 256
_UNPACKED = "unpacked"
_ERROR = "momalisa error"
_MIN_TASK_ROWS, _MAX_TASKS = 64, 2048


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareConfig:
    """What decides the bytes of a dataset, besides its input."""

    caption_template: str = DEFAULT_TEMPLATE
    validation_share: float = 0.05
    min_side: int = MIN_SIDE
    """Pixels of a picture's shorter side, at least."""
    max_pixels: int = MAX_PIXELS
    """Pixels of a picture, at most."""
    shard_rows: int = 1024
    """Pictures in a shard, at most."""
    shard_mib: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise ValueError("validation_share must lie between 0 and 1, for example 0.05")
        if self.min_side < 1 or self.shard_rows < 1 or self.shard_mib < 1:
            raise ValueError("min_side, shard_rows and shard_mib must be at least 1")
        if not self.min_side**2 <= self.max_pixels <= PILLOW_MAX_PIXELS:
            raise ValueError(
                f"max_pixels must lie between min_side squared and {PILLOW_MAX_PIXELS}, Pillow's own limit"
            )


def prepare(
    config: PrepareConfig,
    input_uri: str,
    output_uri: str,
    *,
    overwrite: bool = False,
    parallelism: int | None = None,
    object_store_mib: int = OBJECT_STORE_MIB,
    say: Callable[[str], None] = print,
) -> DatasetManifest:
    """Writes `quarantine.jsonl`, shards, `contact_sheet.png` and, last, `manifest.json`.

    `parallelism` is the number of this machine's cores to use (all, by default), where no Ray cluster is given.
    A dataset that is there already and is the same is left as it is. Raises InputError or StorageError before Ray
    starts where input, template or output cannot be; DatasetError where no dataset can be made of what was found.
    """
    output = open_store(output_uri)
    listing = list_input(input_uri)
    check_template(config.caption_template, listing.columns)
    existing = check_output(output, listing.store, asdict(config), overwrite=overwrite)
    unpacked = output.child(_UNPACKED)
    with _ray(parallelism, object_store_mib), _emptied(output):
        facts = _inspect_all(listing, config, unpacked)
        plan = plan_dataset(listing, facts, config)
        if existing is not None:
            require_same(existing, plan, output)
            say(f"the very same dataset is in {output.uri} already: nothing to do")
            return existing
        clear(output, plan)
        shards, thumbnails = _write_all(plan, unpacked if listing.num_containers else listing.store, output)
    manifest = _manifest(listing, plan, shards, config)
    output.write_bytes(CONTACT_SHEET_NAME, _draw_sheet(plan, thumbnails, manifest.splits))
    output.write_bytes(MANIFEST_NAME, f"{manifest.model_dump_json(indent=1)}\n".encode())
    _summarize(manifest, listing, output, say)
    return manifest


def _inspect_all(listing: Listing, config: PrepareConfig, unpacked: Store) -> pa.Table:
    """The first pass: facts of each reference, in the references' order."""
    count = len(listing.references)
    if not count:
        return FACTS.empty_table()
    references = listing.references.select(["key", "row"])
    references = references.append_column("index", pa.array(range(count), pa.int64()))
    limits = {"min_side": config.min_side, "max_pixels": config.max_pixels}
    blocks = list(_sliced(references, listing.task_sizes))
    found: list[pa.Table] = []
    with counted("looking at pictures", count) as advance:
        for table in _run(inspect_pictures, blocks, source=listing.store, unpacked=unpacked, **limits):
            found.append(table.cast(FACTS))
            advance(len(table))
    facts = pa.concat_tables(found).sort_by("index")
    assert facts["index"].to_pylist() == list(range(count))
    return facts


def _sliced(references: pa.Table, sizes: Sequence[int] | None) -> Iterator[pa.Table]:
    """What each task of the first pass reads."""
    count = len(references)
    step = max(_MIN_TASK_ROWS, -(-count // _MAX_TASKS))
    start = 0
    for size in sizes or [step] * -(-count // step):
        yield references.slice(start, size).combine_chunks()
        start += size


def _write_all(plan: Plan, source: Store, output: Store) -> tuple[tuple[ShardInfo, ...], dict[str, bytes]]:
    """The second pass, a task for each shard; returns their entries, and thumbnails by file name."""
    blocks = [shard.rows.replace_schema_metadata({"path": shard.path}).combine_chunks() for shard in plan.shards]
    infos: dict[str, ShardInfo] = {}
    thumbnails: dict[str, bytes] = {}
    with counted("writing shards", plan.num_rows) as advance:
        for table in _run(_write_one, blocks, source=source, output=output):
            for row in table.to_pylist():
                info = ShardInfo.model_validate_json(row["info"])
                infos[info.path] = info
                thumbnails |= zip(row["names"], row["thumbnails"], strict=True)
                advance(info.num_rows)
    return tuple(infos[shard.path] for shard in plan.shards), thumbnails


def _write_one(rows: pa.Table, source: Store, output: Store) -> pa.Table:
    path = rows.schema.metadata[b"path"].decode()
    info, thumbnails = write_shard(rows, path, source, output)
    return pa.table(
        {
            "info": [info.model_dump_json()],
            "names": pa.array([[name for name, _ in thumbnails]], pa.list_(pa.string())),
            "thumbnails": pa.array([[data for _, data in thumbnails]], pa.list_(pa.binary())),
        }
    )


def _guarded(rows: pa.Table, work: Callable[..., pa.Table], **settings: Any) -> pa.Table:
    """A task. Our errors travel as data: of an exception, Ray Data brings back a text, with all its layers."""
    try:
        return work(rows, **settings)
    except MomalisaError as e:
        return pa.table({_ERROR: [type(e).__name__], "message": [str(e)]})


def _run(work: Callable[..., pa.Table], blocks: Sequence[pa.Table], **settings: Any) -> Iterator[pa.Table]:
    """The results of `work(block, **settings)`, a task each, as they are done. Raises its MomalisaError."""
    import ray.data

    dataset = ray.data.from_arrow(list(blocks)).map_batches(
        _guarded, batch_size=None, batch_format="pyarrow", fn_kwargs={"work": work, **settings}
    )
    for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=1):
        if _ERROR in table.column_names:
            error: type[MomalisaError] = getattr(momalisa.errors, table[_ERROR][0].as_py())
            raise error(table["message"][0].as_py())
        yield table


def _manifest(listing: Listing, plan: Plan, shards: tuple[ShardInfo, ...], config: PrepareConfig) -> DatasetManifest:
    return DatasetManifest(
        num_rows=plan.num_rows,
        splits=plan.splits,
        columns=tuple(shard_schema(plan.metadata_columns).names),
        shards=shards,
        statistics=plan.statistics,
        inputs=account_for(listing, plan),
        config=asdict(config),
        git_commit=git_commit(),
        momalisa_version=momalisa.__version__,
    )


def _draw_sheet(plan: Plan, thumbnails: Mapping[str, bytes], splits: Mapping[Any, int]) -> bytes:
    captions: dict[str, str] = {}
    for shard in plan.shards:
        for name, text in zip(shard.rows["file_name"].to_pylist(), shard.rows["text"].to_pylist(), strict=True):
            if name in thumbnails:
                captions[name] = text
    cells = [(Image.open(io.BytesIO(thumbnails[name])), captions[name]) for name in sorted(thumbnails)]
    counts = ", ".join(f"{count:,} for {split}" for split, count in splits.items())
    shown = f" (here {len(cells)})" if len(cells) < plan.num_rows else ""
    return as_png(contact_sheet(cells, f"{plan.num_rows:,} artworks{shown}: {counts}"))


def _summarize(manifest: DatasetManifest, listing: Listing, output: Store, say: Callable[[str], None]) -> None:
    for line in in_words(manifest.inputs):
        say(line)
    if manifest.inputs.num_quarantined:
        say(f"  each with its reason in {output.uri_of(QUARANTINE_NAME)}")
    replaced = [name for name in listing.columns if name in BASE_COLUMNS and name != "text"]
    for note in (*listing.notes, *([f"columns made anew: {', '.join(replaced)}"] if replaced else [])):
        say(f"note: {note}")
    splits = ", ".join(f"{count} for {split}" for split, count in manifest.splits.items())
    say(f"{splits}, in {len(manifest.shards)} shards; a look at them: {output.uri_of(CONTACT_SHEET_NAME)}")


@contextmanager
def _emptied(output: Store) -> Iterator[None]:
    """Without the copies of pictures from Parquet files, of this attempt or of one that was killed."""
    output.delete_tree(_UNPACKED)
    try:
        yield
    finally:
        output.delete_tree(_UNPACKED)


@contextmanager
def _ray(parallelism: int | None, object_store_mib: int) -> Iterator[None]:
    """A Ray, with a fixed object store where it is started for this, whose data tasks keep quiet."""
    with ray_session(num_cpus=parallelism, object_store_mib=object_store_mib), _quiet_data():
        yield


@contextmanager
def _quiet_data() -> Iterator[None]:
    import ray.data

    context, logger = ray.data.DataContext.get_current(), logging.getLogger("ray.data")
    before = context.enable_progress_bars, context.print_on_execution_start, logger.level
    context.enable_progress_bars = context.print_on_execution_start = False
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        context.enable_progress_bars, context.print_on_execution_start = before[:2]
        logger.setLevel(before[2])
