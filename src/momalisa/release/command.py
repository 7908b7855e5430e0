"""`momalisa release`: what an upgrade would do, how it goes, the way back. `promote` is in `promote_command.py`.

Exit codes: 0 it is well, or `status` has told how it is; 1 it failed, or the cluster did; 2 wrong input; 3 it cannot be
(`plan`), there is no way back (`back`), or it was rolled back (`wait`, and no other code says so); 4 heavier than
`--at-most`, or the time was over; 5 there is no such release, or somebody deletes it; 130 interrupted.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TypeAlias

from momalisa.cluster.client import Cluster
from momalisa.cluster.config import parse_duration
from momalisa.cluster.judgement import ExitCode
from momalisa.cluster.pods import is_leaving
from momalisa.cluster.wording import change_of, in_words, to_stderr, to_stdout
from momalisa.errors import ConfigError
from momalisa.release.causes import is_taken_back
from momalisa.release.changes import Weight
from momalisa.release.facts import gather
from momalisa.release.going_back import drop_pending, take_back, way_back, why_no_way
from momalisa.release.helm import Helm, history, manifests_of
from momalisa.release.plan import weight_of
from momalisa.release.planning import Wanted, find_service, plan_upgrade
from momalisa.release.promote_command import add_promote
from momalisa.release.states import State
from momalisa.release.verdict import verdict
from momalisa.release.waiting import wait
from momalisa.training.progress import format_duration

_SETTERS = ("--set", "--set-string", "--set-json", "--set-file")
_CHART = "helm/momalisa"
_CANNOT_BE, _TOO_HEAVY, _ROLLED_BACK = 3, 4, 3
_WATCH_EVERY_S = 3.0
_INTERRUPTED = "interrupted: the release goes on by itself; `momalisa release status` shows how"
_WAIT_S = 1800.0

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs of `momalisa release`; each sets `run`, a function from flags to the exit code."""
    verbs = parser.add_subparsers(dest="release_verb", required=True, metavar="VERB")
    plan = _add(verbs, "plan", "what an upgrade would do: which change restarts what, and whether there is room", _plan)
    plan.add_argument(
        "--chart", default=_CHART, metavar="FOLDER", help=f"or an archive, or oci://…; by default {_CHART}"
    )
    plan.add_argument("--values", "-f", action="append", default=[], metavar="FILE", help="as for helm upgrade")
    for flag in _SETTERS:
        plan.add_argument(flag, action="append", default=[], metavar="a.b=c", help="as for helm upgrade")
    plan.add_argument("--manifest", metavar="FILE", help="what helm template printed (-: stdin), instead of a chart")
    plan.add_argument("--json", action="store_true", help="for programs")
    plan.add_argument(
        "--at-most", choices=[weight.flag for weight in Weight], metavar="CLASS", help="exit code 4 for what is heavier"
    )
    status = _add(verbs, "status", "which cluster serves, what the other one waits for, and what to do", _status)
    status.add_argument("--json", action="store_true", help="the verdict, for programs")
    status.add_argument("--watch", action="store_true", help="again and again, until interrupted")
    waiting = _add(verbs, "wait", "until the release is as it is wanted (helm's --wait sees the old version)", _wait)
    _add_timeout(waiting)
    waiting.add_argument(
        "--rollback-on-failure",
        action="store_true",
        help="go back where it is not; exit code 3 where that was done, and is well",
    )
    back = _add(
        verbs, "back", "helm rollback to what serves still, without a third cluster where an upgrade is stuck", _back
    )
    back.add_argument("--revision", type=int, metavar="N", help="by default the newest that what serves now is of")
    _add_timeout(back)
    add_promote(verbs)


def _add(verbs: Verbs, name: str, summary: str, run: object) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=summary, description=f"{summary[0].upper()}{summary[1:]}."
    )
    parser.add_argument("name", metavar="NAME", help="of the helm release")
    parser.add_argument("--context", metavar="C", help="of the kubeconfig; by default its current one")
    parser.add_argument("--namespace", "-n", metavar="N", help="by default the context's, else momalisa")
    parser.add_argument("--helm", metavar="PATH", help="the helm command; by default the PATH's")
    parser.set_defaults(run=run, interrupted=_INTERRUPTED)
    return parser


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=parse_duration, default=_WAIT_S, metavar="T", help="90s, 30m (the default); exit code 4 then"
    )


def _connect(flags: argparse.Namespace) -> Cluster:
    return Cluster.connect(context=flags.context, namespace=flags.namespace)


def _helm(flags: argparse.Namespace, cluster: Cluster) -> Helm:
    context = None if cluster.context == "in-cluster" else cluster.context
    return Helm(flags.helm, context=context, namespace=cluster.namespace)


def _plan(flags: argparse.Namespace) -> int:
    cluster = _connect(flags)
    if flags.manifest is not None and (flags.values or _set_flags(flags)):
        raise ConfigError("--manifest is rendered already: give --values and --set to helm template")
    rendered = None if flags.manifest is None else tuple(manifests_of(_read(flags.manifest)))
    wanted = Wanted(chart=flags.chart, files=tuple(flags.values), set_flags=_set_flags(flags), rendered=rendered)
    plan = plan_upgrade(cluster, flags.name, wanted, _helm(flags, cluster) if rendered is None else None)
    to_stdout(json.dumps(plan.as_json(), indent=1, default=str) if flags.json else plan.in_words())
    if plan.refusals:
        return _CANNOT_BE
    return _TOO_HEAVY if flags.at_most is not None and plan.weight > weight_of(flags.at_most) else 0


def _set_flags(flags: argparse.Namespace) -> tuple[str, ...]:
    given = {flag: getattr(flags, flag.lstrip("-").replace("-", "_")) for flag in _SETTERS}
    return tuple(word for flag, values in given.items() for value in values for word in (flag, value))


def _read(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as e:
        raise ConfigError(f"{path} cannot be read: {e}") from e


def _status(flags: argparse.Namespace) -> int:
    cluster, last = _connect(flags), None
    service = find_service(cluster, flags.name)
    while True:
        given = verdict(gather(cluster, service))
        if flags.json:
            to_stdout(json.dumps({"name": service, **given.as_json()}, indent=None if flags.watch else 1))
        elif not flags.watch:
            to_stdout(in_words(service, given))
        elif (change := change_of(last, given)) is not None:
            to_stdout(change)
        if not flags.watch:
            return ExitCode.UNKNOWN if given.exit_code == ExitCode.UNKNOWN else 0
        last = given
        time.sleep(_WATCH_EVERY_S)


def _wait(flags: argparse.Namespace) -> int:
    cluster = _connect(flags)
    helm = _helm(flags, cluster) if flags.rollback_on_failure else None  # said before the wait, where there is none
    outcome = wait(cluster, find_service(cluster, flags.name), say=to_stderr, timeout_s=flags.timeout)
    if outcome.is_well or helm is None:
        return outcome.exit_code
    if not _go_back(cluster, helm, flags.name):
        return outcome.exit_code
    code = _wait_after(cluster, flags.name, flags.timeout)
    return _ROLLED_BACK if code == 0 else code


def _back(flags: argparse.Namespace) -> int:
    cluster = _connect(flags)
    given = verdict(gather(cluster, find_service(cluster, flags.name)))
    if flags.revision is None and given.state is State.SERVING:
        to_stderr(f"{flags.name} {given.headline}: choose yourself what to go back to: helm history, --revision N")
        return 0
    if not _go_back(cluster, _helm(flags, cluster), flags.name, flags.revision):
        return given.exit_code if given.exit_code == ExitCode.UNKNOWN else _CANNOT_BE
    return _wait_after(cluster, flags.name, flags.timeout)


def _go_back(cluster: Cluster, helm: Helm, name: str, revision: int | None = None) -> bool:
    """False where there is nothing to go back to, which it says."""
    service = find_service(cluster, name)
    facts = gather(cluster, service)
    if facts.service is None or is_leaving(facts.service):
        to_stderr(f"there is no {name} to bring back, or somebody deletes it")
        return False
    if revision is None and is_taken_back(facts):
        to_stderr(f"what is wanted of {name} is what serves already")
    else:
        if revision is None:
            kept = way_back(facts, history(cluster, name))
            if kept is None:
                to_stderr(f"{name} is not rolled back: {why_no_way(facts)}")
                return False
            revision = kept.revision
            take_back(cluster, facts, kept, say=to_stderr)
        to_stderr(f"{name} goes back to revision {revision}")
        helm.rollback(name, revision)
    drop_pending(cluster, service, given_up=facts.pending, say=to_stderr)
    return True


def _wait_after(cluster: Cluster, name: str, timeout_s: float) -> int:
    outcome = wait(cluster, find_service(cluster, name), say=to_stderr, timeout_s=timeout_s)
    if not outcome.is_well:
        to_stderr(f"{name} is not well after {format_duration(timeout_s)}: momalisa release status {name}")
    return outcome.exit_code
