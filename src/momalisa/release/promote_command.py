"""`momalisa release promote`: exit codes 0 promoted, 3 a check stands in the way, else as for every command."""

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

from momalisa.cluster.wording import to_stderr, to_stdout
from momalisa.errors import ConfigError, InputError
from momalisa.release.gate import CheckName, checks, refused
from momalisa.release.promotion import Candidate, publish, read_candidate, record_promotion
from momalisa.release.trial_walks import Comparison, Subject, prompts_of, trial_walk
from momalisa.release.trial_walks_reported import reported_walks
from momalisa.release.values_change import Model, as_file, models_in, parsed_values, replaced, with_model
from momalisa.storage import open_store

_REFUSED = 3
_TINY: Model = {"id": "tiny", "uri": "tiny"}

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_promote(verbs: Verbs) -> None:
    """Adds the verb."""
    summary = "a training run's model to the bucket and the values, if its checks pass"
    parser = verbs.add_parser("promote", help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    parser.add_argument("run_uri", metavar="RUN", help="the run's folder")
    parser.add_argument("--bucket", required=True, metavar="URI", help="of the service; the model goes to its models/")
    parser.add_argument("--values", "-f", action="append", default=[], metavar="FILE", help="those that serve now")
    parser.add_argument("--alone", action="store_true", help="no other model serves: compare with the bundled tiny one")
    parser.add_argument("--out", type=Path, default=Path("models.yaml"), metavar="FILE", help="the value change")
    parser.add_argument("--id", metavar="ID", help="that requests name it by; by default the run's name")
    parser.add_argument("--title", help="for visitors; by default as it is, else the id")
    parser.add_argument("--default", action="store_true", help="the page begins with it")
    parser.add_argument("--by", required=True, metavar="WHO", help="who promotes it, for the record")
    parser.add_argument("--why", required=True, metavar="TEXT", help="for the record")
    parser.add_argument(
        "--accept", action="append", default=[], choices=list(CheckName), help="a check that you answer for; recorded"
    )
    walks = parser.add_argument_group("the test walk, against the model of --values of the same id, else the first")
    walks.add_argument("--against", metavar="MODEL", help="another model to compare with")
    walks.add_argument("--prompt", action="append", default=[], help="of the walk, at least two; else the run's own")
    walks.add_argument("--walk-report", metavar="FILE", help="of a walk made elsewhere (momalisa walk --report)")
    walks.add_argument("--serving-report", metavar="FILE", help="the same, by the model that serves")
    parser.add_argument("--dry-run", action="store_true", help="only the checks")
    parser.set_defaults(run=_promote, interrupted="interrupted: the same command goes on where it was")


def _promote(flags: argparse.Namespace) -> int:
    bucket, accepted = open_store(flags.bucket), [CheckName(name) for name in flags.accept]
    models = _models(flags)
    candidate = read_candidate(open_store(flags.run_uri))
    against = _against(flags, replaced(models, _model_id(flags, candidate)) or _TINY)
    walks = _walks(flags, candidate, against, is_needed=CheckName.SMOOTHNESS not in accepted)
    figures = (walks.walk.figures, walks.other.figures, walks.problems) if walks else (None, None)
    found = checks(candidate.summary, candidate.manifest.digest, candidate.problems, *figures)
    for check in found:
        how = "passed" if check.has_passed else "accepted" if check.name in accepted else "FAILED"
        to_stdout(f"{check.name}: {how}: {check.words}")
    if stops := refused(found, accepted):
        names = ", ".join(check.name for check in stops)
        to_stderr(f"not promoted: {names}. Train better; or answer for it: --accept {stops[0].name} --why …")
        return _REFUSED
    if flags.dry_run:
        return 0
    uri = publish(candidate, bucket, say=to_stderr)
    record = record_promotion(
        candidate,
        bucket,
        found,
        who=flags.by,
        why=flags.why,
        accepted=accepted,
        comparison=walks.to_dict() if walks else None,
        now=datetime.now(UTC),
    )
    _write_values(flags, candidate, uri, models, record)
    to_stdout(f"{uri}\nrecorded in {record}\nnext: momalisa release plan NAME -f … -f {flags.out}")
    return 0


def _models(flags: argparse.Namespace) -> list[Model]:
    """Those that serve now. Raises ConfigError where nobody says which."""
    models = models_in([parsed_values(_read(file), file) for file in flags.values])
    if flags.alone == bool(models):
        raise ConfigError(
            "--alone, and the values have models: give one of the two"
            if models
            else "which models serve? Give the values with `models` (-f; those of a release: helm get values NAME), "
            "or --alone where no other is to"
        )
    return models or []


def _model_id(flags: argparse.Namespace, candidate: Candidate) -> str:
    return flags.id or candidate.summary.name


def _against(flags: argparse.Namespace, serving: Model) -> Subject:
    if flags.against:
        return Subject(uri=flags.against)
    return Subject(uri=str(serving["uri"]), revision=serving.get("revision"))


def _walks(flags: argparse.Namespace, candidate: Candidate, against: Subject, *, is_needed: bool) -> Comparison | None:
    if flags.walk_report or flags.serving_report:
        if not (flags.walk_report and flags.serving_report):
            raise ConfigError("--walk-report and --serving-report are compared: give both, or none")
        return reported_walks((flags.walk_report, flags.serving_report), candidate, against, flags.prompt)
    if not is_needed or candidate.problems:
        return None
    prompts = prompts_of(candidate.record, flags.prompt)
    models = f"{candidate.export.uri} and {against.uri}"
    to_stderr(f"a test walk from {prompts[0]!r} to {prompts[-1]!r} by both models: {models}")
    walk = trial_walk(Subject(uri=_as_model(candidate.export.uri)), prompts)
    return Comparison(walk=walk, other=trial_walk(against, prompts), against=against)


def _as_model(uri: str) -> str:
    """Folders are models by their paths."""
    return uri.removeprefix("file://")


def _write_values(flags: argparse.Namespace, candidate: Candidate, uri: str, models: list[Model], record: str) -> None:
    model: Model = {"id": _model_id(flags, candidate), "uri": uri, **({"title": flags.title} if flags.title else {})}
    listed = with_model(models, model, as_default=flags.default)
    comments = (f"Promoted by {flags.by} from {candidate.uri}: {flags.why}", f"Recorded in {record}")
    try:
        flags.out.write_text(as_file(listed, *comments), "utf-8")
    except OSError as e:
        raise InputError(
            f"{flags.out} cannot be written ({e}): the model is promoted; run again with another --out"
        ) from e


def _read(file: str) -> str:
    try:
        return Path(file).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{file} cannot be read: {e}") from e
