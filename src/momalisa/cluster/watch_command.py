"""The verbs of `momalisa jobs` that look and do not touch: list, status, logs, events, wait, diff, open, cost.

Each function takes the flags, and gives the exit code.
"""

import argparse
import json
import threading
import time
from pathlib import Path
from typing import TypeAlias

from momalisa.cluster.client import Cluster
from momalisa.cluster.comparing import compare, in_words
from momalisa.cluster.config import parse_duration
from momalisa.cluster.dashboard import open_dashboard
from momalisa.cluster.facts import JobFacts, RunFacts, has_started, read_run, submitter_pods
from momalisa.cluster.follow import Pace, follow, wait
from momalisa.cluster.kept import recall
from momalisa.cluster.pods import name_of
from momalisa.cluster.prices import Prices
from momalisa.cluster.verdict import ExitCode, verdict
from momalisa.cluster.watching import (
    cost_lines,
    event_lines,
    facts_of,
    facts_of_folder,
    follow_kept_log,
    is_folder,
    kept_log,
    list_jobs,
    table,
)
from momalisa.cluster.wording import change_of, to_stderr, to_stdout
from momalisa.cluster.wording import in_words as verdict_in_words
from momalisa.errors import ClusterNotFoundError, ClusterUnreachableError, ConfigError
from momalisa.job_folder import DRIVER

_WATCH_EVERY_S = 3.0
_FOLDER = "run's folder"

Verbs: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_verbs(verbs: Verbs) -> None:
    """Adds them to the verbs of `momalisa jobs`; each sets `run`, a function from flags to the exit code."""
    parser = _add(verbs, "list", "the namespace's jobs, newest first", _list, with_job=False)
    parser.add_argument("--json", action="store_true")
    parser = _add(verbs, "status", "what a job is doing, or why it failed and what to do", _status)
    parser.add_argument("--json", action="store_true", help="the verdict, for programs")
    parser.add_argument("--watch", action="store_true", help="again and again, until the job is over")
    parser = _add(verbs, "logs", "what a job said; also when its cluster is gone", _logs)
    parser.add_argument("--rank", type=int, metavar="R", help="of a training worker instead of the driver")
    parser.add_argument("--follow", "-f", action="store_true", help="as it comes, until the job is over")
    _add(verbs, "follow", "a job's log and what becomes of it, until it is over; the exit code is the job's", _follow)
    _add(verbs, "events", "what Kubernetes and KubeRay noted about a job", _events)
    parser = _add(verbs, "wait", "until a job is over; the exit code is the job's", _wait)
    parser.add_argument(
        "--timeout", type=parse_duration, metavar="T", help="90s, 30m, 24h; exit code 4 when it is over"
    )
    parser = _add(verbs, "diff", "what differs between two runs", _diff, with_job=False)
    parser.add_argument("jobs", nargs=2, metavar="RUN", help="a job's name, or its run's folder")
    _add(verbs, "open", "Ray's dashboard of a job, through the API server", _open)
    parser = _add(verbs, "cost", "GPU-seconds of a job, and their price", _cost)
    parser.add_argument("--prices", type=Path, metavar="FILE", help="a price table of your own")


def _add(verbs: Verbs, name: str, summary: str, run: object, *, with_job: bool = True) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = verbs.add_parser(
        name, help=summary, description=summary[0].upper() + summary[1:] + "."
    )
    if with_job:
        parser.add_argument("job", metavar="NAME", help="a job's name, or its run's folder when its RayJob is gone")
        parser.add_argument("--output", metavar="URI", help="its run's folder, where this machine does not know it")
    parser.add_argument("--context", help="of the kubeconfig")
    parser.add_argument("--namespace", "-n")
    parser.set_defaults(run=run)
    return parser


def _connect(flags: argparse.Namespace) -> Cluster:
    return Cluster.connect(context=flags.context, namespace=flags.namespace)


def _facts(flags: argparse.Namespace) -> JobFacts:
    if is_folder(flags.job):
        return facts_of_folder(flags.job)
    return facts_of(_connect(flags), flags.job, output_uri=flags.output)


def _list(flags: argparse.Namespace) -> int:
    rows = list_jobs(_connect(flags))
    if flags.json:
        to_stdout(json.dumps([{"name": facts.name, **given.as_json()} for facts, given in rows], indent=1))
    else:
        to_stdout(table(rows) if rows else "no jobs")
    return 0


def _status(flags: argparse.Namespace) -> int:
    last = None
    while True:
        facts = _facts(flags)
        given = verdict(facts)
        if flags.json:
            to_stdout(json.dumps({"name": facts.name, **given.as_json()}, indent=None if flags.watch else 1))
        elif not flags.watch or given.is_over:
            to_stdout(verdict_in_words(facts.name, given))
        elif change := change_of(last, given):
            to_stdout(change)
        if given.is_over or not flags.watch:
            return ExitCode.UNKNOWN if given.exit_code == ExitCode.UNKNOWN else 0
        last = given
        time.sleep(_WATCH_EVERY_S)


def _logs(flags: argparse.Namespace) -> int:
    source = DRIVER if flags.rank is None else f"rank-{flags.rank}"
    if is_folder(flags.job):
        return _echo_kept(flags.job, source)
    cluster = _connect(flags)
    facts = facts_of(cluster, flags.job, output_uri=flags.output)
    is_over = verdict(facts).is_over
    if flags.follow and not is_over and source == DRIVER:
        return follow(
            cluster, flags.job, echo=to_stdout, say=to_stderr, output_uri=facts.run.uri if facts.run else flags.output
        )
    if flags.follow and not is_over and facts.run is not None:
        follow_kept_log(cluster, flags.job, facts.run.uri, source, echo=to_stdout, pace=Pace())
        return 0
    pods = [pod for pod in submitter_pods(facts.pods) if has_started(pod)]
    if source == DRIVER and pods:
        try:
            # Whole, so that nothing is told twice where the folder has to go on.
            for line in list(cluster.logs(name_of(pods[-1]))):
                to_stdout(line)
            return 0
        except ClusterNotFoundError:
            pass  # it went at this moment
        except ClusterUnreachableError:
            if facts.run is None:
                raise
            to_stderr("the log's node does not answer; this is what the run's folder has of it")
    if facts.run is None:
        raise ConfigError(
            f"no pod of {flags.job} has a log, and its run's folder is not known here "
            f"({facts.unknown.get(_FOLDER, 'give it: --output URI')})"
        )
    return _echo_kept(facts.run.uri, source)


def _echo_kept(uri: str, source: str) -> int:
    for line in kept_log(uri, source):
        to_stdout(line)
    return 0


def _follow(flags: argparse.Namespace) -> int:
    cluster = _connect(flags)
    return follow(cluster, flags.job, output_uri=flags.output or recall(cluster, flags.job))


def _events(flags: argparse.Namespace) -> int:
    lines = event_lines(_facts(flags))
    to_stdout("\n".join(lines) if lines else "no events: Kubernetes forgets them after an hour")
    return 0


def _wait(flags: argparse.Namespace) -> int:
    cluster = _connect(flags)
    uri = flags.output or recall(cluster, flags.job)
    return wait(cluster, flags.job, say=to_stderr, timeout_s=flags.timeout, output_uri=uri)


def _diff(flags: argparse.Namespace) -> int:
    first, second = (_run_of(flags, job) for job in flags.jobs)
    to_stdout(in_words(first, second, compare(first, second)))
    return 0


def _run_of(flags: argparse.Namespace, job: str) -> RunFacts:
    if is_folder(job):
        return read_run(job)
    facts = facts_of(_connect(flags), job)
    if facts.run is None:
        why = facts.unknown.get(_FOLDER, "its RayJob is gone")
        raise ConfigError(
            f"the run's folder of {job} cannot be read ({why}): give the folder's URI instead of the name"
        )
    return facts.run


def _open(flags: argparse.Namespace) -> int:
    try:
        open_dashboard(_connect(flags), flags.job, say=to_stderr, hold=_until_interrupted)
    except KeyboardInterrupt:
        to_stderr("closed")
    return 0


def _until_interrupted() -> None:
    threading.Event().wait()


def _cost(flags: argparse.Namespace) -> int:
    to_stdout("\n".join(cost_lines(_facts(flags), Prices.load(flags.prices))))
    return 0
