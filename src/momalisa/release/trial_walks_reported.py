"""Walks that were made elsewhere: their reports, if they are of the two models, and of the same walk."""

import hashlib
import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from momalisa.config import differing_keys, from_dict, to_dict
from momalisa.errors import ConfigError, ObjectNotFoundError
from momalisa.export_manifest import ExportManifest
from momalisa.release.gate import Figures
from momalisa.release.promotion import Candidate, read_manifest
from momalisa.release.trial_walks import NUM_FRAMES, Comparison, Subject, Trial
from momalisa.storage import open_store
from momalisa.walk.request import WalkRequest

_SHIPPED = "tiny"
_MAY_DIFFER = {"model", "revision", "frames_per_second"}
"""Between walks that are compared: the models, and what no picture depends on."""


def reported_walks(
    reports: tuple[str, str], candidate: Candidate, against: Subject, prompts: Sequence[str]
) -> Comparison:
    """Of two reports, by the candidate and by the other model; whoever does not say is not asked.

    prompts: of both, where some are wanted. Raises ConfigError for a report of something else, naming the fix.
    """
    walk, other = (read_report(report) for report in reports)
    _require_by(walk, Subject(uri=candidate.export.uri), candidate.manifest)
    _require_by(other, against, _manifest_at(against.uri))
    for trial in (walk, other):
        if trial.request is not None:
            _require_long(trial.source, trial.request)
            _require_prompts(trial.source, trial.request, prompts)
    if walk.request is not None and other.request is not None:
        _require_prompts(other.source, other.request, _prompts(walk.request))
        _require_alike(walk, other)
    return Comparison(walk=walk, other=other, against=against)


def read_report(uri: str) -> Trial:
    """As `momalisa walk … --report FILE.json` wrote it. Raises ConfigError."""
    folder, _, name = uri.rpartition("/")
    store = open_store(folder or ".")
    try:
        report = json.loads(store.read_bytes(name))
        said = report.get("walk")
        return Trial(
            figures=Figures.of(report),
            source=store.uri_of(name),
            request=None if said is None else from_dict(WalkRequest, said["request"]),
            fingerprints={} if said is None else dict(said["fingerprints"]),
            ruler=None if said is None else str(said["ruler"]),
        )
    except ObjectNotFoundError as e:
        raise ConfigError(f"there is no report {uri}: momalisa walk … --report FILE.json writes one") from e
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise ConfigError(f"{uri} is no report of a walk ({e!r}): momalisa walk … --report FILE.json writes one") from e


def weights_of(manifest: ExportManifest) -> dict[str, str]:
    """The parts' fingerprints, as `fingerprint_model` has them of the files themselves."""
    hashes: dict[str, list[str]] = {}
    for key in sorted(manifest.files):
        if key.endswith(".safetensors"):
            hashes.setdefault(key.partition("/")[0], []).append(manifest.files[key].sha256)
    return {
        part: found[0] if len(found) == 1 else hashlib.sha256("\n".join(found).encode()).hexdigest()
        for part, found in hashes.items()
    }


def _manifest_at(uri: str) -> ExportManifest | None:
    """A model that was promoted has one; one of a hub has none."""
    is_here = uri != _SHIPPED and Path(uri).is_dir()
    return read_manifest(open_store(uri)) if is_here or "://" in uri else None


def _require_by(trial: Trial, model: Subject, manifest: ExportManifest | None) -> None:
    """By the weights where they are known: one model may lie in two places, and two in one, one after the other."""
    if trial.request is None:
        return
    weights = {} if manifest is None else weights_of(manifest)
    wanted, found = _named(model.uri, model.revision), _named(trial.request.model, trial.request.revision)
    if known := sorted(weights.keys() & trial.fingerprints.keys()):
        others = [part for part in known if weights[part] != trial.fingerprints[part]]
        why = f"with another {', '.join(others)}" if others else ""
    else:
        why = "" if found == wanted else "another model"
    if why:
        revision = f" --revision {model.revision}" if model.revision else ""
        raise ConfigError(
            f"{trial.source} is of a walk by {found}, {why} than {wanted}: make it again, "
            f"momalisa walk … --model {model.uri}{revision} --report FILE.json"
        )


def _named(uri: str, revision: str | None) -> str:
    name = uri.removeprefix("file://").rstrip("/")
    return f"{name} at {revision}" if revision else name


def _require_long(source: str, request: WalkRequest) -> None:
    if request.num_frames < NUM_FRAMES:
        raise ConfigError(
            f"{source} is of a walk of {request.num_frames} frames, too few to be uneven: make both with "
            f"--frames {NUM_FRAMES} or more"
        )


def _require_prompts(source: str, request: WalkRequest, wanted: Sequence[str]) -> None:
    found = _prompts(request)
    if wanted and found != list(wanted):
        raise ConfigError(
            f"{source} is of a walk from {' to '.join(map(repr, found))}: make it of the prompts that are compared, "
            f"momalisa walk {shlex.join(wanted)} … --report FILE.json"
        )


def _require_alike(walk: Trial, other: Trial) -> None:
    ours, theirs = to_dict(walk.request), to_dict(other.request)
    if others := sorted(differing_keys(ours, theirs).keys() - _MAY_DIFFER):
        raise ConfigError(
            f"{walk.source} and {other.source} are of walks that differ in {', '.join(others)}: "
            "make both by the same flags, but for --model"
        )
    if walk.ruler != other.ruler:
        raise ConfigError(
            f"{walk.source} and {other.source} have distances of two kinds, {walk.ruler} and {other.ruler}: make both "
            "with the same --lpips FILE"
        )


def _prompts(request: WalkRequest) -> list[str]:
    return [waypoint.prompt for waypoint in request.waypoints]
