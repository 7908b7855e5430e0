"""`momalisa jobs submit`: from flags to a JobConfig; plan, preflight, then the job."""

import argparse
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from momalisa.cluster.client import DEFAULT_NAMESPACE, Cluster
from momalisa.cluster.config import (
    KINDS,
    JobConfig,
    PodResources,
    installed_ray,
    name_from,
    parse_duration,
    this_owner,
    train_config,
    worker_of,
)
from momalisa.cluster.follow import follow
from momalisa.cluster.kept import remember
from momalisa.cluster.manifests import ray_job
from momalisa.cluster.plan import Plan, make_plan
from momalisa.cluster.preflight import Finding, has_failed, preflight
from momalisa.cluster.prices import Prices
from momalisa.cluster.rayjob import submit
from momalisa.errors import ConfigError
from momalisa.recipes import RECIPES

_PATIENCE_S = 10.0
"""For people who wait at a terminal; what follows a job is more patient."""
_MARKS = {"ok": "[green]ok[/]", "unknown": "[yellow]unknown[/]", "failed": "[red]failed[/]"}


def add_submit_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `submit`."""
    parser.add_argument("kind", choices=KINDS, help="what to do")
    parser.add_argument("--recipe", metavar="R", help=f"of a training: {', '.join(RECIPES)}")
    parser.add_argument(
        "--data", required=True, metavar="URI", help="dataset (train), artworks (prepare), requests (walk)"
    )
    parser.add_argument("--output", required=True, metavar="URI", help="the run's folder, in a bucket")
    parser.add_argument("--name", help="of the job; by default the output's last part")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="change a setting of the recipe")
    parser.add_argument("--model", metavar="M", help="of walks: hub id, URI, or tiny")
    parser.add_argument("--job-args", default="", metavar="'…'", help="more flags for the job's script, as in a shell")
    _add_resources(parser)
    _add_course(parser)
    _add_place(parser)
    parser.add_argument("--prices", type=Path, metavar="FILE", help="a price table of your own (see cluster/prices.py)")
    parser.add_argument("--ignore", action="append", default=[], metavar="CHECK", help="go on though this check failed")
    parser.add_argument("--dry-run", action="store_true", help="print the manifest and do nothing")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--detach", action="store_true", help="do not follow the job")


def _add_resources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("resources (GPUs, CPUs and memory are the recipe's unless said otherwise)")
    group.add_argument("--num-workers", type=int, metavar="N")
    group.add_argument("--gpus-per-worker", type=int, metavar="G")
    group.add_argument("--cpus-per-worker", type=float, metavar="C", help="of prepare and walk (4)")
    group.add_argument("--memory-gib", type=float, metavar="M", help="of a worker")
    group.add_argument("--gpu-type", metavar="T", help="as nodes are labelled on GKE: nvidia-l4, …")
    group.add_argument("--head-cpus", type=float, default=2.0, metavar="C")
    group.add_argument("--head-memory-gib", type=float, default=8.0, metavar="M")
    group.add_argument("--cpu-overcommit", type=float, default=1.0, metavar="X", help="for small machines")
    group.add_argument("--spot", action="store_true", help="workers on spot nodes")
    group.add_argument("--autoscale", action="store_true", help="Ray's autoscaler adds workers as they are needed")


def _add_course(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("course")
    group.add_argument("--queue", metavar="Q", help="wait in this queue until all of it fits")
    group.add_argument("--priority-class", metavar="P", help="momalisa-low, -normal or -urgent; none is below low")
    group.add_argument("--deadline", type=duration, default=24 * 3600, metavar="24h", help="of one attempt")
    group.add_argument("--start-deadline", type=duration, default=1800, metavar="30m", help="to be running")
    group.add_argument("--retries", type=int, default=2, metavar="N", help="with a new cluster, after failures")
    group.add_argument("--keep-cluster", type=duration, default=300, metavar="5m", help="the head, after the end")
    group.add_argument("--keep-job", type=duration, default=7 * 86400, metavar="7d", help="the RayJob")


def _add_place(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("place")
    group.add_argument("--image", default=os.environ.get("MOMALISA_IMAGE", ""), help="or MOMALISA_IMAGE")
    group.add_argument("--image-pull-policy", choices=("IfNotPresent", "Always", "Never"), default="IfNotPresent")
    group.add_argument("--service-account", default="momalisa-job", metavar="S")
    group.add_argument("--env", action="append", default=[], metavar="NAME=VALUE")
    group.add_argument("--secret-env", action="append", default=[], metavar="NAME=SECRET/KEY")
    group.add_argument("--owner", default=None, help="by default who you are here")
    group.add_argument("--ray-version", default=None, help="of the image; by default the one installed here")


def run_submit(flags: argparse.Namespace) -> int:
    """Plan, preflight, question, job; then follows it. The exit code is the job's, 0 if detached."""
    prices = Prices.load(flags.prices)
    if flags.dry_run:
        sys.stdout.write(yaml.safe_dump(ray_job(job_config(flags, _namespace(flags))), sort_keys=False, width=120))
        return 0
    cluster = Cluster.connect(context=flags.context, namespace=flags.namespace, patience_s=_PATIENCE_S)
    config = job_config(flags, cluster.namespace)
    console = Console(highlight=False)
    show_plan(console, make_plan(config, prices, context=cluster.context))
    findings = forgive(preflight(cluster, config), flags.ignore)
    show_findings(console, findings)
    if has_failed(findings):
        raise ConfigError("nothing was created: mend what failed above")
    if not confirmed(flags.yes, f"submit {config.name}?"):
        console.print("nothing was created")
        return 0
    submit(cluster, config, say=lambda line: console.print(line, markup=False))
    return begun(cluster, config.name, config.output_uri, console, detach=flags.detach)


def begun(cluster: Cluster, name: str, output_uri: str, console: Console, *, detach: bool) -> int:
    """Says how to come back to a job that was submitted, and follows it unless told not to."""
    remember(cluster, name, output_uri)
    console.print(f"submitted {name}", markup=False)
    console.print(f"  come back: momalisa jobs follow {name} (or status, events, cancel)", markup=False)
    if detach:
        return 0
    return follow(cluster, name, output_uri=output_uri)


def job_config(flags: argparse.Namespace, namespace: str) -> JobConfig:
    """The JobConfig of the flags. Raises ConfigError for what cannot be."""
    wanted: dict[str, Any] = {
        "kind": flags.kind,
        "name": flags.name or name_from(flags.output),
        "data_uri": flags.data,
        "output_uri": flags.output.rstrip("/"),
        "image": flags.image,
        "namespace": namespace,
        "service_account": flags.service_account,
        "image_pull_policy": flags.image_pull_policy,
        "cpu_overcommit": flags.cpu_overcommit,
        "gpu_type": flags.gpu_type,
        "spot": flags.spot,
        "autoscale": flags.autoscale,
        "queue": flags.queue,
        "priority_class": flags.priority_class,
        "deadline_s": flags.deadline,
        "pre_running_deadline_s": min(flags.start_deadline, flags.deadline),
        "backoff_limit": flags.retries,
        "keep_cluster_s": flags.keep_cluster,
        "keep_job_s": flags.keep_job,
        "env": _pairs(flags.env, "--env NAME=VALUE"),
        "secret_env": _pairs(flags.secret_env, "--secret-env NAME=SECRET/KEY"),
        "owner": this_owner() if flags.owner is None else flags.owner,
        "ray_version": flags.ray_version or installed_ray(),
    }
    try:
        wanted["head"] = PodResources(cpus=flags.head_cpus, memory_gib=flags.head_memory_gib)
        return JobConfig(**wanted, **(_of_training(flags) if flags.kind == "train" else _of_others(flags)))
    except ConfigError:
        raise
    except ValueError as e:
        raise ConfigError(str(e)) from e


def _of_training(flags: argparse.Namespace) -> dict[str, Any]:
    if flags.recipe is None:
        raise ConfigError(f"a training needs a recipe: --recipe {', '.join(RECIPES)}")
    for flag in ("model", "cpus_per_worker"):
        if getattr(flags, flag) is not None:
            raise ConfigError(f"--{flag.replace('_', '-')} is the recipe's to say: --set model.uri=…, resources.…=…")
    training = train_config(flags.recipe, flags.set, flags.num_workers)
    resources = training.resources
    settings = [part for assignment in flags.set for part in ("--set", assignment)]
    return {
        "recipe": flags.recipe,
        "arguments": (*settings, *shlex.split(flags.job_args)),
        "num_workers": resources.num_workers,
        "min_workers": resources.min_workers,
        "worker": worker_of(resources, gpus=flags.gpus_per_worker, memory_gib=flags.memory_gib),
        "checkpoint_every_steps": training.checkpoint.every_steps,
        "max_steps": training.max_steps,
    }


def _of_others(flags: argparse.Namespace) -> dict[str, Any]:
    if flags.recipe is not None or flags.set:
        raise ConfigError(f"--recipe and --set are a training's, not of {flags.kind}")
    arguments = shlex.split(flags.job_args)
    if flags.kind == "walk":
        if not flags.model:
            raise ConfigError("walks need a model: --model, a hub id, a URI or tiny")
        arguments = ["--model", flags.model, *arguments]
    is_walk = flags.kind == "walk"
    gpus = int(is_walk) if flags.gpus_per_worker is None else flags.gpus_per_worker
    return {
        "arguments": tuple(arguments),
        "num_workers": 1 if flags.num_workers is None else flags.num_workers,
        "worker": PodResources(
            cpus=flags.cpus_per_worker or 4.0,
            memory_gib=16.0 if flags.memory_gib is None else flags.memory_gib,
            gpus=gpus,
        ),
    }


def _pairs(texts: list[str], form: str) -> dict[str, str]:
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise ConfigError(f"{text!r} is not of the form {form}")
        pairs[name] = value
    return pairs


def _namespace(flags: argparse.Namespace) -> str:
    """For a manifest alone no cluster is needed."""
    if flags.namespace is not None:
        return str(flags.namespace)
    try:
        return Cluster.connect(context=flags.context).namespace
    except ConfigError:
        if flags.context is not None:
            raise
        return DEFAULT_NAMESPACE


def duration(text: str) -> int:
    """A flag's seconds, with argparse's own kind of complaint."""
    try:
        return parse_duration(text)
    except ConfigError as e:
        raise argparse.ArgumentTypeError(str(e)) from e


def show_plan(console: Console, plan: Plan) -> None:
    """The plan, as a table."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for label, words in plan:
        table.add_row(label, escape(words))
    console.print(table)


def show_findings(console: Console, findings: list[Finding]) -> None:
    """The preflight's findings: failures with their fixes."""
    table = Table(show_header=False, box=None, pad_edge=False)
    for _ in range(2):
        table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        fix = f" → {finding.fix}" if finding.fix and finding.outcome != "ok" else ""
        table.add_row(_MARKS[finding.outcome], finding.check, escape(f"{finding.words}{fix}"))
    console.print()
    console.print(table)
    console.print()


def forgive(findings: list[Finding], ignored: list[str]) -> list[Finding]:
    """The findings, in which failures of checks that are to be ignored are unknown. Raises ConfigError for a typo."""
    known = {finding.check for finding in findings}
    for name in ignored:
        if name not in known:
            raise ConfigError(f"there is no check {name!r} to ignore; there are {', '.join(sorted(known))}")

    def forgiven(finding: Finding) -> Finding:
        if finding.outcome != "failed" or finding.check not in ignored:
            return finding
        return Finding(finding.check, "unknown", f"{finding.words} (ignored)")

    return [forgiven(finding) for finding in findings]


def confirmed(yes: bool, question: str) -> bool:
    """Asks once, at a terminal. Raises ConfigError where there is none, or no answer."""
    if yes:
        return True
    if not sys.stdin.isatty():
        raise ConfigError("nobody is here to be asked: --yes for scripts")
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError as e:  # Ctrl-D
        raise ConfigError("nobody answered: --yes for scripts") from e
