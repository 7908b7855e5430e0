"""The folder that a dataset is written to: what may be there already, and what is removed."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import ValidationError

from momalisa.artworks.manifest import MANIFEST_NAME, DatasetManifest
from momalisa.artworks.plan import Plan
from momalisa.artworks.quarantine import QUARANTINE_NAME, quarantine_lines
from momalisa.artworks.shards import shard_schema
from momalisa.errors import DatasetError, ObjectNotFoundError
from momalisa.storage import Store

_SHARD = re.compile(r"data/(train|validation)-\d{5}-of-\d{5}\.parquet")
_FIX = "give another --output, or --overwrite"
_PROBE = "momalisa-probe"


def check_output(output: Store, source: Store, config: Mapping[str, Any], *, overwrite: bool) -> DatasetManifest | None:
    """Whether a dataset may be written here; returns the manifest of one that may be the very same.

    Raises DatasetError, naming the fix, for one that is certainly another; AccessDeniedError where nothing can be
    written.
    """
    for store in (source, output):
        if store.uri.startswith("memory://"):
            raise DatasetError(f"{store.uri} is of this process alone, but several work: give a folder or a bucket")
    if f"{output.uri}/".startswith(f"{source.uri}/"):
        raise DatasetError(f"--output {output.uri} lies within --input {source.uri}: give a folder beside it")
    manifest = None if overwrite else _read_manifest(output)
    if manifest is not None and manifest.config != config:
        raise DatasetError(f"there is a dataset in {output.uri} already, made with other settings: {_FIX}")
    if manifest is None and not overwrite:
        _require_ours(output)
    output.write_bytes(_PROBE, b"")
    output.delete(_PROBE)
    return manifest


def require_same(manifest: DatasetManifest, plan: Plan, output: Store) -> None:
    """Raises DatasetError unless the dataset that is there is whole, and is what the plan would write."""
    differing = _first_difference(manifest, plan, output)
    if differing is not None:
        raise DatasetError(f"there is another dataset in {output.uri} already ({differing}): {_FIX}")


def clear(output: Store, plan: Plan) -> None:
    """Takes the manifest away first, then shards of an earlier dataset or attempt that will not be replaced.

    The quarantine list is written before any shard: it is what tells a later attempt that the shards are ours.
    """
    output.delete(MANIFEST_NAME)
    output.write_bytes(QUARANTINE_NAME, quarantine_lines(plan.quarantine))
    planned = {shard.path for shard in plan.shards}
    for entry in output.list("data"):
        if _SHARD.fullmatch(entry.key) and entry.key not in planned:
            output.delete(entry.key)


def _read_manifest(output: Store) -> DatasetManifest | None:
    try:
        return DatasetManifest.model_validate_json(output.read_bytes(MANIFEST_NAME))
    except ObjectNotFoundError:
        return None
    except ValidationError as e:
        raise DatasetError(f"{output.uri_of(MANIFEST_NAME)} is not a manifest of this version: {_FIX}") from e


def _require_ours(output: Store) -> None:
    if output.exists(QUARANTINE_NAME):
        return
    for entry in output.list("data"):
        if _SHARD.fullmatch(entry.key):
            raise DatasetError(f"{output.uri_of(entry.key)} was not written here by this program: {_FIX}")


def _first_difference(manifest: DatasetManifest, plan: Plan, output: Store) -> str | None:
    names = shard_schema(plan.metadata_columns).names
    checks: dict[str, Callable[[], bool]] = {
        "other columns": lambda: manifest.columns == tuple(names),
        "other pictures": lambda: manifest.statistics == plan.statistics,
        "other shards": lambda: [s.path for s in manifest.shards] == [s.path for s in plan.shards],
        "another quarantine": lambda: output.read_bytes(QUARANTINE_NAME) == quarantine_lines(plan.quarantine),
    }
    try:
        for difference, holds in checks.items():
            if not holds():
                return difference
        for stored, planned in zip(manifest.shards, plan.shards, strict=True):
            if output.stat(stored.path).num_bytes != stored.num_bytes:
                return f"{stored.path} is damaged"
            if _read_small_columns(output, stored.path, names[1:]) != planned.rows.select(names[1:]):
                return f"other rows in {stored.path}"
    except ObjectNotFoundError as e:
        return f"it is incomplete: {e}"
    return None


def _read_small_columns(output: Store, path: str, columns: list[str]) -> pa.Table:
    """All but the pictures themselves, whose hash is among them."""
    with output.open(path) as file:
        return pq.ParquetFile(file).read(columns=columns).replace_schema_metadata(None)
