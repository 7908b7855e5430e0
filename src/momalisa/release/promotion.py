"""From a run's export to a model that may be served: read, verified, copied to where nothing changes, recorded.

BUCKET/
  models/{digest}/…, manifest.json         the export's files; the manifest comes last, once       created once
  promotions/{time}-{digest}.json          who promoted what, when and why, and what the checks found    created once
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pydantic

from momalisa import __version__
from momalisa.errors import AlreadyExistsError, ConfigError, IntegrityError, ModelError, ObjectNotFoundError
from momalisa.export_manifest import MANIFEST_FILE, ExportedFile, ExportManifest
from momalisa.release.gate import Check, CheckName
from momalisa.storage import Store, matches_checksum, sha256_file
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

    A copy that is there whole is left as it is, one that broke off is completed. Raises IntegrityError for a file that
    is not as the manifest says.
    """
    target = bucket.child(f"{MODELS}/{candidate.manifest.digest}")
    if target.exists(MANIFEST_FILE):
        say(f"{target.uri} is there already")
        return target.uri
    with tempfile.TemporaryDirectory() as folder:
        for number, (key, file) in enumerate(candidate.manifest.files.items(), start=1):
            say(f"{number} of {len(candidate.manifest.files)}: {key}, {file.num_bytes / 2**20:,.1f} MiB")
            local = Path(folder, "file")
            candidate.export.download(key, local)
            if sha256_file(local) != file.sha256:
                raise IntegrityError(
                    f"{candidate.export.uri_of(key)} is not as its manifest says: nothing is served of it"
                )
            _put(local, target, key)
            local.unlink()
    try:
        target.create(MANIFEST_FILE, candidate.manifest.model_dump_json(indent=1).encode())
    except AlreadyExistsError:
        say(f"{target.uri} was completed by somebody else at the same time")
    return target.uri


def record_promotion(
    candidate: Candidate,
    bucket: Store,
    found: Sequence[Check],
    *,
    who: str,
    why: str,
    accepted: Sequence[CheckName],
    now: datetime,
    **more: Any,
) -> str:
    """Notes who promoted what, when and why; gives the record's URI."""
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
        "git_commit": candidate.summary.git_commit,
        "dataset_fingerprint": candidate.summary.dataset_fingerprint,
        "momalisa": __version__,
        **more,
    }
    key = f"{PROMOTIONS}/{now:%Y%m%dT%H%M%S.%fZ}-{digest[:12]}.json"
    bucket.create(key, json.dumps(record, indent=1).encode())
    return bucket.uri_of(key)


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


def _put(local: Path, target: Store, key: str) -> None:
    """An upload that is there already, and whole, is not made again: it may be somebody else's, at this moment."""
    try:
        entry = target.stat(key)
        if entry.num_bytes == local.stat().st_size and entry.checksum and matches_checksum(local, entry.checksum):
            return
    except ObjectNotFoundError:
        pass
    target.upload(local, key)
