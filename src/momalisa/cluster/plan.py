"""What a submission would do, for a person to look at before it does: pure."""

from momalisa.cluster.config import JobConfig, PodResources
from momalisa.cluster.manifests import QUEUED_TTL_S
from momalisa.cluster.prices import Prices
from momalisa.training.progress import format_duration

Plan = list[tuple[str, str]]
"""Labels and what they say, in order."""


def make_plan(config: JobConfig, prices: Prices, *, context: str) -> Plan:
    """The plan of a job."""
    recipe = f", recipe {config.recipe}" if config.recipe else ""
    return [
        ("job", f"{config.kind} {config.name}{recipe}, of {config.owner}"),
        ("cluster", f"context {context}, namespace {config.namespace}"),
        ("image", config.image),
        ("workers", _workers(config)),
        ("head", _resources(config.head, None)),
        ("starts", _start(config)),
        ("ends", _end(config)),
        ("costs", _cost(config, prices)),
        ("loss of a node", _loss(config)),
        ("reads", config.data_uri),
        ("writes", config.output_uri),
        ("creates", _created(config)),
        ("afterwards", _afterwards(config)),
    ]


def _workers(config: JobConfig) -> str:
    words = f"{config.num_workers} × {_resources(config.worker, config.gpu_type)}"
    if config.num_gpus:
        words += f" = {config.num_gpus} GPU{'s' if config.num_gpus > 1 else ''}"
    if config.is_elastic:
        words += f"; goes on with {config.least_workers}"
    if config.autoscale:
        words += "; autoscaled"
    return words + ("; on spot nodes" if config.spot else "")


def _resources(pod: PodResources, gpu_type: str | None) -> str:
    parts = [f"{pod.cpus:g} CPU{'s' if pod.cpus != 1 else ''}", f"{pod.memory_gib:g} GiB"]
    if pod.gpus:
        parts.insert(0, f"{pod.gpus} GPU{'s' if pod.gpus > 1 else ''}{f' {gpu_type}' if gpu_type else ''}")
    return f"({', '.join(parts)})"


def _start(config: JobConfig) -> str:
    within = f"must run within {format_duration(config.pre_running_deadline_s)}"
    if config.queue:
        return f"when queue {config.queue} admits all of it; then {within}"
    return f"at once, in no queue; {within}"


def _end(config: JobConfig) -> str:
    attempts = config.backoff_limit + 1
    words = f"after {format_duration(config.deadline_s)} at the latest"
    if attempts == 1:
        return f"{words}; is not tried again"
    return f"{words}, each of at most {attempts} attempts; later ones go on from the last checkpoint"


def _cost(config: JobConfig, prices: Prices) -> str:
    hourly = prices.per_hour(config)
    if hourly is None:
        known = ", ".join(prices.gpu)
        return f"not known: no price of GPU {config.gpu_type or '(say which: --gpu-type)'}; there are {known}"
    most = hourly * config.deadline_s / 3600
    return (
        f"some {hourly:.2f} {prices.currency} an hour, at most {most:,.0f} {prices.currency} in one attempt "
        "(list prices, without storage and network)"
    )


def _loss(config: JobConfig) -> str:
    where = "Spot nodes go with 15–30 s of warning: " if config.spot else ""
    if config.kind != "train":
        return f"{where}what is done already is kept; the rest is done again".strip()
    every, steps = config.checkpoint_every_steps, config.max_steps
    if not every:
        return f"{where}what was done since the last checkpoint"
    share = f" ({min(every / steps, 1):.1%} of the run)" if steps else ""
    return f"{where}at most {every:,} steps{share}, the interval of checkpoints, and the time to start again"


def _created(config: JobConfig) -> str:
    least = config.num_workers if not config.autoscale else config.least_workers if config.is_elastic else 0
    workers = f"{least}–{config.num_workers}" if least < config.num_workers else str(config.num_workers)
    plural = "" if workers == "1" else "s"
    return (
        f"RayJob {config.name} and its NetworkPolicy; by KubeRay of it a RayCluster "
        f"(1 head, {workers} worker{plural}), 2 Services and 1 submitter"
    )


def _afterwards(config: JobConfig) -> str:
    if config.queue:
        return f"the cluster goes after {format_duration(QUEUED_TTL_S)}; the RayJob stays until `momalisa jobs delete`"
    job = f"{config.keep_job_s // 86400}d" if config.keep_job_s >= 86400 else format_duration(config.keep_job_s)
    workers = "workers go when idle" if config.autoscale else "workers go at once"
    pods = f"{workers}, the head after {format_duration(config.head_stays_s)}"
    if config.head_stays_s == 0:
        pods = "the cluster goes at once"
    return f"{pods}, the RayJob after {job}; logs stay in the run's folder"
