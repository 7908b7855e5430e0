"""What a checkpoint is, and which ones a run has.

    checkpoints/step-00000500-5f0c2a/
      rank-00000.safetensors   whole fp32 tensors, named `{kind}/{parameter}`, a share of them on each rank
      rank-00000.json          what the rank wrote: size, hash, the bucket's checksum
      manifest.json            written last, by rank 0, once every rank's record is there

Kinds are `master`, `exp_avg`, `exp_avg_sq` and perhaps `ema`. There is no pickle, and nothing depends
on the number of workers or the ZeRO stage that wrote it. The suffix is new for each attempt, so that
two attempts never mix their files. A folder without a manifest is no checkpoint.
"""

from collections.abc import Callable
from typing import Any, Literal

import pydantic
from pydantic import BaseModel, ConfigDict

from momalisa.errors import IntegrityError, MomalisaError, ObjectNotFoundError
from momalisa.storage import Store

MANIFEST_NAME = "manifest.json"


class RankFile(BaseModel):
    """One rank's share of a checkpoint."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    num_bytes: int
    sha256: str
    checksum: str | None
    """The bucket's own, where it has one: `md5:…` or `crc32c:…`."""


class CheckpointManifest(BaseModel):
    """`manifest.json`: a run's state but for the tensors."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    folder: str
    step: int
    """Optimizer steps done; the data position is step × global batch size."""
    num_samples_seen: int
    config: dict[str, Any]
    dataset_fingerprint: str
    model_fingerprints: dict[str, str]
    kinds: tuple[str, ...]
    world_size: int
    zero_stage: int
    loss_scale: float | None
    validation_loss: float | None
    progress: dict[str, Any]
    """What the loop carries on: the best loss, patience, the first validation."""
    files: tuple[RankFile, ...]


def list_checkpoints(store: Store) -> list[CheckpointManifest]:
    """The complete checkpoints in a run's `checkpoints` folder, newest first.

    A manifest that cannot be read is passed over here; `newest_intact` is what says so.
    """
    found = [manifest for manifest, _ in _read_manifests(store) if manifest is not None]
    return sorted(found, key=lambda manifest: manifest.step, reverse=True)


def newest_intact(store: Store, warn: Callable[[str], None]) -> CheckpointManifest | None:
    """The newest checkpoint whose manifest, sizes and bucket checksums agree; None where there is none.

    `warn` is told of each damaged one that is passed over.
    """
    readable = []
    for manifest, problem in _read_manifests(store):
        if manifest is None:
            warn(f"{problem}; falling back to an older checkpoint")
        else:
            readable.append(manifest)
    for manifest in sorted(readable, key=lambda manifest: manifest.step, reverse=True):
        try:
            check_sizes(store, manifest)
        except IntegrityError as e:
            warn(f"{e}; falling back to an older checkpoint")
        else:
            return manifest
    return None


def check_sizes(store: Store, manifest: CheckpointManifest) -> None:
    """Compares sizes and the bucket's checksums with the manifest, without reading the files.

    Raises IntegrityError naming the first file that differs.
    """
    for file in manifest.files:
        key = f"{manifest.folder}/{file.name}"
        try:
            entry = store.stat(key)
        except ObjectNotFoundError as e:
            raise IntegrityError(f"checkpoint {manifest.folder} is damaged: {file.name} is gone") from e
        if entry.num_bytes != file.num_bytes:
            raise IntegrityError(
                f"checkpoint {manifest.folder} is damaged: {file.name} has {entry.num_bytes} bytes, "
                f"its manifest says {file.num_bytes}"
            )
        if file.checksum and entry.checksum and entry.checksum != file.checksum:
            raise IntegrityError(f"checkpoint {manifest.folder} is damaged: {file.name} has another checksum")


def best_of(manifests: list[CheckpointManifest]) -> CheckpointManifest | None:
    """The one of the lowest validation loss, the earliest of equals; None where none was measured."""
    measured = [m for m in manifests if m.validation_loss is not None]
    return min(measured, key=lambda m: (m.validation_loss, m.step), default=None)


def prune(store: Store, *, keep_last: int, keep_best: bool, attempt: str) -> None:
    """Deletes all but the newest so many and the best, and what other attempts left unfinished."""
    manifests = [manifest for manifest in list_checkpoints(store) if _is_whole(store, manifest)]
    kept = {m.folder for m in manifests[:keep_last]}
    best = best_of(manifests) if keep_best else None
    if best is not None:
        kept.add(best.folder)
    entries = store.list()
    complete = {entry.key.split("/")[0] for entry in entries if entry.key.endswith(f"/{MANIFEST_NAME}")}
    folders = {entry.key.split("/")[0] for entry in entries if "/" in entry.key}
    for folder in sorted(folders - kept):
        if folder in complete:
            # Without its manifest it is no checkpoint any more, whatever happens to the rest.
            store.delete(f"{folder}/{MANIFEST_NAME}")
        elif folder.endswith(f"-{attempt}"):
            continue
        store.delete_tree(folder)


def _is_whole(store: Store, manifest: CheckpointManifest) -> bool:
    try:
        check_sizes(store, manifest)
    except IntegrityError:
        return False
    return True


def folder_name(step: int, attempt: str) -> str:
    """The folder of this attempt's checkpoint at a step."""
    return f"step-{step:08d}-{attempt}"


def _read_manifests(store: Store) -> list[tuple[CheckpointManifest | None, str]]:
    results: list[tuple[CheckpointManifest | None, str]] = []
    for entry in store.list():
        if not entry.key.endswith(f"/{MANIFEST_NAME}"):
            continue
        try:
            results.append((CheckpointManifest.model_validate_json(store.read_bytes(entry.key)), ""))
        except ObjectNotFoundError:
            continue  # pruned between listing and reading
        except (pydantic.ValidationError, MomalisaError) as e:
            results.append((None, f"checkpoint manifest {entry.key} cannot be read ({type(e).__name__})"))
    return results
