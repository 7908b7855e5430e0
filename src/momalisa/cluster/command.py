"""`momalisa jobs`: the verbs that change something. Those that watch are in `watch_command.py`.

Exit codes: 0 done, or the job succeeded; 1 the cluster, the bucket or the job failed; 2 wrong input, or the preflight
refused it; 3 the run was stopped; 130 interrupted.
"""

import argparse
from collections.abc import Callable

from rich.console import Console

from momalisa.cluster.client import Cluster
from momalisa.cluster.kept import recall
from momalisa.cluster.manifests import OUTPUT_ANNOTATION
from momalisa.cluster.rayjob import cancel, delete, retry
from momalisa.cluster.submitting import add_submit_arguments, begun, confirmed, duration, run_submit
from momalisa.cluster.watch_command import add_verbs

_INTERRUPTED = "interrupted: what was submitted goes on; `momalisa jobs list` shows it"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The verbs of `momalisa jobs`."""
    verbs = parser.add_subparsers(dest="job_verb", required=True, metavar="VERB")
    _add_verb(verbs, "submit", "submit a training, a preparation or walks", run_submit, add_submit_arguments)
    _add_verb(verbs, "cancel", "checkpoint, end, free the GPUs", _cancel, _add_cancel_arguments)
    _add_verb(verbs, "retry", "submit an ended job again, from its last checkpoint", _retry, _add_retry_arguments)
    _add_verb(verbs, "delete", "remove RayJobs that have ended; their runs stay", _delete, _add_delete_arguments)
    add_verbs(verbs)


def _add_verb(
    verbs: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], int],
    add: Callable[[argparse.ArgumentParser], None],
) -> None:
    parser = verbs.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
    add(parser)
    parser.add_argument("--context", metavar="C", help="of the kubeconfig; by default its current one")
    parser.add_argument("--namespace", "-n", metavar="N", help="by default the context's, else momalisa")
    parser.set_defaults(run=run, interrupted=_INTERRUPTED)


def _add_cancel_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of the job")
    parser.add_argument("--grace", type=duration, default=300, metavar="5m", help="to save a checkpoint")
    parser.add_argument("--now", action="store_true", help="without a checkpoint")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_retry_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", help="of the job")
    parser.add_argument("--output", metavar="URI", help="the run's folder, where the RayJob is gone")
    parser.add_argument(
        "--set", action="append", default=[], metavar="key=value", help="of the job: deadline_s=7200, …"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--detach", action="store_true", help="do not follow the job")


def _add_delete_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="+", metavar="name", help="of a job that has ended")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _cancel(flags: argparse.Namespace) -> int:
    console = Console(highlight=False)
    cluster = Cluster.connect(context=flags.context, namespace=flags.namespace)
    how = "at once, without a checkpoint" if flags.now else "with a checkpoint, if it trains"
    if not confirmed(flags.yes, f"cancel {flags.name} in {cluster.context}/{cluster.namespace}, {how}?"):
        console.print("it goes on")
        return 0
    cancel(cluster, flags.name, grace_s=flags.grace, at_once=flags.now, say=_saying(console))
    return 0


def _retry(flags: argparse.Namespace) -> int:
    console = Console(highlight=False)
    cluster = Cluster.connect(context=flags.context, namespace=flags.namespace)
    if not confirmed(flags.yes, f"submit {flags.name} again in {cluster.context}/{cluster.namespace}?"):
        console.print("nothing was created")
        return 0
    uri = flags.output or recall(cluster, flags.name)
    job = retry(cluster, flags.name, output_uri=uri, assignments=flags.set, say=_saying(console))
    output_uri = job["metadata"]["annotations"][OUTPUT_ANNOTATION]
    return begun(cluster, flags.name, output_uri, console, detach=flags.detach)


def _delete(flags: argparse.Namespace) -> int:
    console = Console(highlight=False)
    cluster = Cluster.connect(context=flags.context, namespace=flags.namespace)
    if not confirmed(flags.yes, f"delete {', '.join(flags.names)} in {cluster.context}/{cluster.namespace}?"):
        console.print("nothing was deleted")
        return 0
    for name in flags.names:
        delete(cluster, name, say=_saying(console))
    return 0


def _saying(console: Console) -> Callable[[str], None]:
    return lambda line: console.print(line, markup=False, soft_wrap=True)
