"""From a run's export to a model that may be served: read, verified, copied to where nothing changes, recorded.

BUCKET/
  models/{digest}/…, manifest.json         the export's files; the manifest comes last, once       created once
  promotions/{time}-{digest}.json          who promoted what, when and why, and what the checks found    created once
"""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pydantic

from momalisa import __version__
from momalisa.errors import AlreadyExistsError, ConfigError, IntegrityError, ModelError, ObjectNotFoundError
from momalisa.export_manifest import MANIFEST_FILE, ExportedFile, ExportManifest
from momalisa.release.gate import Check, CheckName
from momalisa.storage import Entry, Store, matches_checksum, sha256_file
from momalisa.training.run import RUN_FILE, RunRecord
from momalisa.training.summary import SUMMARY_FILE, RunSummary

EXPORT, MODELS, PROMOTIONS = "export", "models", "promotions"
_PIPELINE = "model_index.json"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A run that ended, and what it exported."""

    uri: str
    summary: RunSummary
    record: RunRecord
    export: Store
    manifest: ExportManifest
    problems: tuple[str, ...]
    """What of the export is not as the run wrote it."""


def read_candidate(run: Store) -> Candidate:
    """Raises ConfigError for a folder without a run that ended, ModelError for an export that cannot be served."""
    try:
        summary = RunSummary.model_validate_json(run.read_bytes(SUMMARY_FILE))
        record = RunRecord.model_validate_json(run.read_bytes(RUN_FILE))
    except ObjectNotFoundError as e:
        raise ConfigError(f"{run.uri} is no run that ended ({e}): wait for its end, or name its folder") from e
    except pydantic.ValidationError as e:
        raise ConfigError(f"{run.uri} was written by another version of momalisa: {e.errors()[0]['msg']}") from e
    export = run.child(EXPORT)
    keys = {entry.key for entry in export.list()}
    if _PIPELINE not in keys:
        what = "adapters alone, and the service draws with whole models" if keys else "nothing"
        raise ModelError(f"{export.uri} holds {what}: train with a full recipe (sd14_full, sd15_full, demo)")
    manifest, problems = _manifest(export, keys)
    return Candidate(
        uri=run.uri, summary=summary, record=record, export=export, manifest=manifest, problems=tuple(problems)
    )


def publish(candidate: Candidate, bucket: Store, *, say: Say) -> str:
    """Copies the export to `models/{digest}`, each file verified on its way; gives the copy's URI.

    Of a copy that is there, what is whole stays as it is; what is lost or damaged, or was not copied yet, is copied.
    Raises IntegrityError for a file that is not as the manifest says, and for one in the copy that is in no manifest.
    """
    target = bucket.child(f"{MODELS}/{candidate.manifest.digest}")
    there = {entry.key: entry for entry in target.list()}
    if others := sorted(there.keys() - candidate.manifest.files.keys() - {MANIFEST_FILE}):
        raise IntegrityError(f"{target.uri_of(others[0])} is in no manifest, and might be loaded: delete it")
    missing = _missing(candidate, target, there)
    if MANIFEST_FILE in there:
        how = f", and copied again is what is lost or damaged: {', '.join(missing)}" if missing else ""
        say(f"{target.uri} is there already{how}")
    _copy(candidate, target, missing, say=say)
    _put_manifest(candidate.manifest, target, say=say)
    return target.uri


def record_promotion(
    candidate: Candidate,
    bucket: Store,
    found: Sequence[Check],
    *,
    who: str,
    why: str,
    accepted: Sequence[CheckName],
    comparison: Mapping[str, Any] | None,
    now: datetime,
) -> str:
    """Notes who promoted what, when and why; gives the record's URI.

    comparison: the test walks, and the model that it was compared with; None where there were none.
    """
    digest = candidate.manifest.digest
    record = {
        "schema_version": 1,
        "who": who,
        "when": now.isoformat(),
        "why": why,
        "run": candidate.uri,
        "run_name": candidate.summary.name,
        "model": bucket.child(f"{MODELS}/{digest}").uri,
        "digest": digest,
        "checks": [asdict(check) for check in found],
        "accepted": list(accepted),
        "comparison": comparison,
        "git_commit": candidate.summary.git_commit,
        "dataset_fingerprint": candidate.summary.dataset_fingerprint,
        "momalisa": __version__,
    }
    key = f"{PROMOTIONS}/{now:%Y%m%dT%H%M%S.%fZ}-{digest[:12]}.json"
    bucket.create(key, json.dumps(record, indent=1).encode())
    return bucket.uri_of(key)


def read_manifest(model: Store) -> ExportManifest | None:
    """That of a model's folder; None where there is none, or one that says something else."""
    try:
        return ExportManifest.model_validate_json(model.read_bytes(MANIFEST_FILE))
    except (ObjectNotFoundError, pydantic.ValidationError):
        return None


def _manifest(export: Store, keys: set[str]) -> tuple[ExportManifest, list[str]]:
    """The export's own manifest and what is wrong; where it has none, one of what is there."""
    try:
        manifest = ExportManifest.model_validate_json(export.read_bytes(MANIFEST_FILE))
    except ObjectNotFoundError:
        return _manifest_of(export, keys), ["the run wrote no manifest.json: it is of an older momalisa"]
    except pydantic.ValidationError as e:
        raise ModelError(f"{export.uri_of(MANIFEST_FILE)} cannot be read: {e.errors()[0]['msg']}") from e
    sizes = {entry.key: entry.num_bytes for entry in export.list()}
    wrong = [key for key, file in manifest.files.items() if sizes.get(key) != file.num_bytes]
    problems = [f"{key} is missing, or of another size" for key in wrong]
    problems += [f"{key} is in no manifest" for key in sorted(keys - manifest.files.keys() - {MANIFEST_FILE})]
    return manifest, problems or _hash_problems(export, manifest)


def _hash_problems(export: Store, manifest: ExportManifest) -> list[str]:
    """Every byte is read: a size alone tells nothing of a weight that was changed."""
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "file")
        problems = []
        for key, file in manifest.files.items():
            export.download(key, local)
            if sha256_file(local) != file.sha256:
                problems.append(f"{key} has another content")
        return problems


def _manifest_of(export: Store, keys: set[str]) -> ExportManifest:
    files = {}
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "file")
        for key in sorted(keys):
            export.download(key, local)
            files[key] = ExportedFile(num_bytes=local.stat().st_size, sha256=sha256_file(local))
    return ExportManifest(files=files)


def _missing(candidate: Candidate, target: Store, there: Mapping[str, Entry]) -> list[str]:
    """Files that the copy has not, or not with the manifest's content: read where the bucket computes no checksum."""
    sources = {} if candidate.problems else {entry.key: entry.checksum for entry in candidate.export.list()}
    with tempfile.TemporaryDirectory() as folder:
        local = Path(folder, "file")

        def is_whole(key: str, file: ExportedFile) -> bool:
            entry = there.get(key)
            if entry is None or entry.num_bytes != file.num_bytes:
                return False
            if entry.checksum and entry.checksum == sources.get(key):  # of bytes that were read with the candidate
                return True
            target.download(key, local)
            return sha256_file(local) == file.sha256

        return [key for key, file in candidate.manifest.files.items() if not is_whole(key, file)]


def _copy(candidate: Candidate, target: Store, keys: Sequence[str], *, say: Say) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, key in enumerate(keys, start=1):
            file = candidate.manifest.files[key]
            say(f"{number} of {len(keys)}: {key}, {file.num_bytes / 2**20:,.1f} MiB")
            local = Path(folder, "file")
            candidate.export.download(key, local)
            if sha256_file(local) != file.sha256:
                raise IntegrityError(
                    f"{candidate.export.uri_of(key)} is not as its manifest says: nothing is served of it"
                )
            _put(local, target, key)
            local.unlink()


def _put(local: Path, target: Store, key: str) -> None:
    """An upload that is there already, and whole, is not made again: it may be somebody else's, at this moment."""
    try:
        entry = target.stat(key)
        if entry.num_bytes == local.stat().st_size and entry.checksum and matches_checksum(local, entry.checksum):
            return
    except ObjectNotFoundError:
        pass
    target.upload(local, key)


def _put_manifest(manifest: ExportManifest, target: Store, *, say: Say) -> None:
    """The last of a copy; one that is there stays, unless it is of other files."""
    content = manifest.model_dump_json(indent=1).encode()
    try:
        target.create(MANIFEST_FILE, content)
    except AlreadyExistsError:
        if read_manifest(target) != manifest:
            say(f"{target.uri_of(MANIFEST_FILE)} was of other files: written anew")
            target.write_bytes(MANIFEST_FILE, content)
