"""Captioned artworks to a dataset of Parquet shards, with Ray Data: the only module that imports it.

Two passes, so that memory stays flat and the result does not depend on the parallelism: the first looks
at every picture and brings back a few numbers of each; the driver then decides what stays, in which
order and in which shard; the second writes the shards, each in one task.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import momalisa
from momalisa.artworks.captions import DEFAULT_TEMPLATE, check_template
from momalisa.artworks.contact_sheet import contact_sheet, thumbnail
from momalisa.artworks.images import MAX_PIXELS, MIN_SIDE, UnusableImageError, channel_sums, decode, encode
from momalisa.artworks.manifest import MANIFEST_NAME, DatasetManifest, InputAccount, ShardInfo
from momalisa.artworks.plan import Plan, PlannedShard, plan_dataset
from momalisa.artworks.shards import BASE_COLUMNS, ShardWriter, shard_schema
from momalisa.artworks.sources import Listing, Reference, list_input, read_reference
from momalisa.errors import DatasetError, ObjectNotFoundError
from momalisa.storage import Store, open_store, sha256_file
from momalisa.terminal import counted
from momalisa.training.summary import git_commit

_INSPECT_BATCH = 16
_SHEET_CELLS = 48
_OBJECT_STORE_MIB = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class PrepareConfig:
    """What decides the bytes of a dataset, besides its input."""

    caption_template: str = DEFAULT_TEMPLATE
    validation_share: float = 0.05
    min_side: int = MIN_SIDE
    max_pixels: int = MAX_PIXELS
    shard_rows: int = 1024
    """Pictures in a shard, at most."""
    shard_mib: int = 256

    def __post_init__(self) -> None:
        if not 0 < self.validation_share < 1:
            raise ValueError("validation_share must be between 0 and 1")
        if self.shard_rows < 1 or self.shard_mib < 1:
            raise ValueError("shard_rows and shard_mib must be at least 1")


def prepare(
    config: PrepareConfig,
    input_uri: str,
    output_uri: str,
    *,
    overwrite: bool = False,
    parallelism: int | None = None,
    say: Callable[[str], None] = print,
) -> DatasetManifest:
    """Writes shards, `quarantine.jsonl`, `contact_sheet.png` and, last, `manifest.json`.

    Raises InputError before Ray starts where input, template or output cannot be; DatasetError where
    nothing usable is found.
    """
    output = open_store(output_uri)
    if output.exists(MANIFEST_NAME) and not overwrite:
        raise DatasetError(f"there is a dataset in {output.uri} already: give --overwrite, or another --output")
    listing = list_input(input_uri)
    check_template(config.caption_template, listing.columns)
    with _ray(parallelism):
        facts = _inspect_all(listing, config)
        plan = plan_dataset(listing, facts, config.caption_template, config)
        output.delete(MANIFEST_NAME)
        shards = _write_all(listing, plan, output)
    manifest = DatasetManifest(
        num_rows=plan.num_rows,
        splits=plan.splits,
        columns=tuple(shard_schema(plan.metadata_columns).names),
        shards=shards,
        statistics=plan.statistics,
        inputs=_account(listing, plan),
        config=asdict(config),
        git_commit=git_commit(),
        momalisa_version=momalisa.__version__,
    )
    _write_rest(listing, plan, output, manifest)
    _summarize(manifest, output, say)
    return manifest


def _inspect_all(listing: Listing, config: PrepareConfig) -> list[dict[str, Any]]:
    """The first pass: facts of each reference, in the references' order."""
    import ray

    items = [
        {"index": i, "key": r.key, "row": r.row, "file_name": r.file_name} for i, r in enumerate(listing.references)
    ]
    facts: list[dict[str, Any]] = [{} for _ in items]
    if not items:
        return facts
    dataset = ray.data.from_items(items, override_num_blocks=max(1, min(len(items) // (4 * _INSPECT_BATCH), 512)))
    dataset = dataset.map_batches(
        _inspect,
        batch_size=_INSPECT_BATCH,
        fn_kwargs={"store": listing.store, "config": config},
        zero_copy_batch=True,
    )
    with counted("looking at pictures", len(items)) as advance:
        for row in dataset.iter_rows():
            found = json.loads(row["fact"])
            facts[found.pop("index")] = found
            advance(1)
    return facts


def _inspect(batch: dict[str, Any], store: Store, config: PrepareConfig) -> dict[str, list[str]]:
    facts = []
    for index, key, row, file_name in zip(batch["index"], batch["key"], batch["row"], batch["file_name"], strict=True):
        fact: dict[str, Any] = {"index": int(index)}
        try:
            data = read_reference(store, Reference(str(file_name), str(key), int(row), {}))
            decoded = decode(data, min_side=config.min_side, max_pixels=config.max_pixels)
            pixels, totals, squares = channel_sums(decoded.image)
            fact |= {"hash": decoded.hash, "width": decoded.image.width, "height": decoded.image.height}
            fact |= {"sums": [pixels, totals, squares], "num_bytes": len(data) if decoded.keeps_file else 3 * pixels}
        except UnusableImageError as e:
            fact["reason"] = str(e)
        except ObjectNotFoundError:
            fact["reason"] = "missing file"
        facts.append(json.dumps(fact))
    return {"fact": facts}


def _write_all(listing: Listing, plan: Plan, output: Store) -> tuple[ShardInfo, ...]:
    """The second pass: a task for each shard."""
    import ray

    items = [{"number": i, "shard": json.dumps(asdict(shard))} for i, shard in enumerate(plan.shards)]
    dataset = ray.data.from_items(items, override_num_blocks=len(items)).map(
        _write_shard,
        fn_kwargs={"source": listing.store, "output": output, "metadata_columns": plan.metadata_columns},
    )
    written: dict[int, ShardInfo] = {}
    with counted("writing shards", len(items)) as advance:
        for row in dataset.iter_rows():
            written[row["number"]] = ShardInfo.model_validate_json(row["info"])
            advance(1)
    shards = tuple(written[i] for i in range(len(items)))
    current = {shard.path for shard in shards}
    for entry in output.list("data"):
        if entry.key not in current:
            output.delete(entry.key)
    return shards


def _write_shard(item: dict[str, Any], source: Store, output: Store, metadata_columns: Sequence[str]) -> dict[str, Any]:
    shard = PlannedShard(**json.loads(item["shard"]))
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "shard.parquet"
        writer = ShardWriter(path, shard_schema(metadata_columns))
        for row in shard.rows:
            reference = Reference(row["file_name"], row["key"], row["row"], {})
            data = read_reference(source, reference)
            decoded = decode(data, min_side=1, max_pixels=2**40)
            if decoded.hash != row["hash"]:
                raise DatasetError(f"{row['file_name']} changed while the dataset was written: run it again")
            image = {"bytes": encode(decoded, data), "path": row["file_name"]}
            columns = {name: row[name] for name in BASE_COLUMNS if name not in ("image", "split")}
            writer.add({"image": image, "split": shard.split, **columns, **row["metadata"]})
        writer.close()
        output.upload(path, shard.path)
        info = ShardInfo(
            path=shard.path,
            split=shard.split,
            num_rows=len(shard.rows),
            row_groups=tuple(writer.row_groups),
            num_bytes=path.stat().st_size,
            sha256=sha256_file(path),
        )
    return {"number": item["number"], "info": info.model_dump_json()}


def _write_rest(listing: Listing, plan: Plan, output: Store, manifest: DatasetManifest) -> None:
    """The quarantine list, the contact sheet, and then the manifest."""
    lines = [json.dumps({"file_name": name, "reason": reason}, ensure_ascii=False) for name, reason in plan.quarantine]
    output.write_bytes("quarantine.jsonl", "".join(f"{line}\n" for line in lines).encode())
    rows = [row for shard in plan.shards for row in shard.rows]
    chosen = [rows[i * len(rows) // min(_SHEET_CELLS, len(rows))] for i in range(min(_SHEET_CELLS, len(rows)))]
    cells = []
    for row in chosen:
        data = read_reference(listing.store, Reference(row["file_name"], row["key"], row["row"], {}))
        cells.append((thumbnail(decode(data, min_side=1, max_pixels=2**40).image), row["text"]))
    title = f"{manifest.num_rows} artworks: " + ", ".join(
        f"{count} {split}" for split, count in manifest.splits.items()
    )
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "contact_sheet.png"
        contact_sheet(cells, title).save(path)
        output.upload(path, "contact_sheet.png")
    output.write_bytes(MANIFEST_NAME, manifest.model_dump_json(indent=1).encode())


def _account(listing: Listing, plan: Plan) -> InputAccount:
    reasons: dict[str, int] = {}
    for _, reason in plan.quarantine:
        kind = reason.split(":")[0]
        reasons[kind] = reasons.get(kind, 0) + 1
    without_file = sum(1 for _, reason in listing.rejected if "metadata row" in reason and reason != "no metadata row")
    without_file += sum(1 for _, reason in listing.rejected if reason.startswith("unsafe"))
    account = InputAccount(
        num_files=listing.num_files,
        num_metadata_rows=listing.num_rows,
        num_written=plan.num_rows,
        num_quarantined=len(plan.quarantine),
        quarantined_by_reason=dict(sorted(reasons.items())),
    )
    # Every file is a reference or was rejected as a file; every row is a reference or was rejected as a row.
    assert account.num_written + account.num_quarantined == len(listing.references) + len(listing.rejected)
    assert account.num_metadata_rows == len(listing.references) + without_file
    assert account.num_files == len(listing.references) + len(listing.rejected) - without_file
    return account


def _summarize(manifest: DatasetManifest, output: Store, say: Callable[[str], None]) -> None:
    inputs = manifest.inputs
    say(
        f"{inputs.num_files} files and {inputs.num_metadata_rows} metadata rows: {inputs.num_written} written",
    )
    for reason, count in inputs.quarantined_by_reason.items():
        say(f"  {count} in quarantine: {reason}")
    splits = ", ".join(f"{count} {split}" for split, count in manifest.splits.items())
    say(f"{splits}, in {len(manifest.shards)} shards; contact sheet: {output.uri_of('contact_sheet.png')}")


@contextmanager
def _ray(parallelism: int | None) -> Iterator[None]:
    """The Ray that is there, else one of this machine, with a fixed object store."""
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    local: dict[str, Any] = {}
    if not os.environ.get("RAY_ADDRESS"):
        local = {"num_cpus": parallelism or os.cpu_count(), "object_store_memory": _OBJECT_STORE_MIB * 2**20}
        local["include_dashboard"] = False
    ray.init(log_to_driver=False, logging_level="ERROR", **local)
    try:
        yield
    finally:
        ray.shutdown()
