"""What the reading verbs do: list, status, logs, events, cost. Each gives text or says lines; none changes anything."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from momalisa.cluster.events import describe, in_order, time_of
from momalisa.cluster.facts import MANAGED, OUTPUT_URI, QUEUE_LABEL, ClusterReader, JobFacts, gather, read_run
from momalisa.cluster.follow import Pace, Say
from momalisa.cluster.gauges import age_s, num_workers
from momalisa.cluster.kept import recall, remember
from momalisa.cluster.kinds import POD, RAY_JOB, Manifest
from momalisa.cluster.pods import name_of
from momalisa.cluster.prices import Prices
from momalisa.cluster.usage import config_of, cost_of, earlier_attempts, usage_of
from momalisa.cluster.verdict import Verdict, verdict
from momalisa.errors import ClusterForbiddenError, ConfigError, StorageError
from momalisa.job_folder import DRIVER, JobFolder
from momalisa.training.progress import format_duration

_ROW = "{:<32} {:<8} {:<12} {:<12} {:>8} {:>8}  {}"


def is_folder(job: str) -> bool:
    """Whether a job was given by its run's folder instead of its name."""
    return "://" in job or "/" in job


def facts_of(cluster: ClusterReader, job: str, *, output_uri: str | None = None) -> JobFacts:
    """Of a job by its name. Where its run is, is remembered for when its RayJob is gone."""
    facts = gather(cluster, job, output_uri=output_uri or recall(cluster, job))
    told = (facts.job or {}).get("metadata", {}).get("annotations", {}).get(OUTPUT_URI)
    if told:
        remember(cluster, job, told)
    return facts


def facts_of_folder(uri: str) -> JobFacts:
    """Of a job by its run's folder alone. Raises StorageError, UriError."""
    run = read_run(uri)
    name = run.uri.rstrip("/").rsplit("/", 1)[-1]
    return JobFacts(name=name, namespace="", now=datetime.now(UTC), run=run)


def list_jobs(cluster: ClusterReader) -> list[tuple[JobFacts, Verdict]]:
    """The namespace's jobs, newest first, each by its RayJob and its pods."""
    jobs = cluster.list(RAY_JOB, labels=MANAGED)
    unknown = {}
    pods: list[Manifest] = []
    try:
        pods = cluster.list(POD)
    except ClusterForbiddenError as e:
        unknown = {"pods": str(e)}
    jobs.sort(key=lambda job: job["metadata"].get("creationTimestamp", ""), reverse=True)
    rows = []
    for job in jobs:
        facts = JobFacts(
            name=name_of(job),
            namespace=cluster.namespace,
            now=datetime.now(UTC),
            job=job,
            pods=[pod for pod in pods if _is_of(pod, job)],
            others=[other for other in jobs if other is not job and _queue_of(other) == _queue_of(job)],
            unknown=unknown,
        )
        rows.append((facts, verdict(facts)))
    return rows


def table(rows: Sequence[tuple[JobFacts, Verdict]]) -> str:
    """For a terminal."""
    lines = [_ROW.format("NAME", "KIND", "RECIPE", "OWNER", "WORKERS", "AGE", "STATE")]
    for facts, given in rows:
        labels = (facts.job or {})["metadata"].get("labels", {})
        kind, recipe, owner = (labels.get(f"momalisa.dev/{key}", "-") for key in ("kind", "recipe", "owner"))
        age = format_duration(age_s(facts))
        lines.append(_ROW.format(facts.name, kind, recipe, owner, num_workers(facts), age, _brief(given)))
    return "\n".join(lines)


def event_lines(facts: JobFacts) -> list[str]:
    """Oldest first."""
    lines = []
    for event in in_order(facts.events):
        count = int(event.get("count") or (event.get("series") or {}).get("count") or 1)
        times = f" (×{count})" if count > 1 else ""
        lines.append(f"{time_of(event):%H:%M:%S}  {event.get('type', ''):<7}  {describe(event)}{times}")
    return lines


def kept_log(uri: str, source: str = DRIVER) -> Iterator[str]:
    """What was shipped of a log to a run's folder. Raises ConfigError naming the logs that there are."""
    folder = JobFolder.of_run(uri)
    sources = folder.sources()
    if source not in sources:
        there = f"there are {', '.join(sources)}" if sources else "there are none: its entrypoint shipped nothing"
        raise ConfigError(f"no log of {source} in {folder.store.uri}; {there}")
    rest = b""
    for part in folder.read_log(source):
        *lines, rest = (rest + part).split(b"\n")
        yield from (line.decode(errors="replace") for line in lines)
    if rest:
        yield rest.decode(errors="replace")


def follow_kept_log(cluster: ClusterReader, name: str, uri: str, source: str, *, echo: Say, pace: Pace) -> None:
    """Echoes a log from the run's folder as it grows, until the job is over: ranks' logs are nowhere else."""
    folder, position, rest = JobFolder.of_run(uri), 0, b""
    while True:
        is_over = verdict(replace(gather(cluster, name, with_run=False), run=None)).is_over
        try:
            for part in folder.read_log(source, position):
                position += len(part)
                *lines, rest = (rest + part).split(b"\n")
                for line in lines:
                    echo(line.decode(errors="replace"))
        except StorageError:
            pass  # it is away for a moment; the next look goes on from the same byte
        if is_over:
            if rest:
                echo(rest.decode(errors="replace"))
            return
        pace.sleep(pace.every_s)


def cost_lines(facts: JobFacts, prices: Prices) -> list[str]:
    """What it has used, and what that costs."""
    usage, config = usage_of(facts), config_of(facts)
    lines = [usage.in_words()]
    if earlier := earlier_attempts(facts):
        lines.append(earlier)
    if config is None:
        return [*lines, "cost: not known, it was not submitted by momalisa"]
    cost = cost_of(usage, config, prices)
    if cost is None:
        which = f"there is no price of GPU {config.gpu_type}" if config.gpu_type else "its --gpu-type was not said"
        return [*lines, f"cost: not known, {which}; there are {', '.join(sorted(prices.gpu))} (--prices FILE)"]
    spot = ", spot" if config.spot else ""
    return [*lines, f"cost: some {cost:,.2f} {prices.currency} (list prices{spot}, without storage and network)"]


def _is_of(pod: Manifest, job: Manifest) -> bool:
    labels = pod["metadata"].get("labels", {})
    cluster = job.get("status", {}).get("rayClusterName")
    return labels.get("batch.kubernetes.io/job-name") == name_of(job) or (
        bool(cluster) and labels.get("ray.io/cluster") == cluster
    )


def _queue_of(job: Manifest) -> str | None:
    queue = job["metadata"].get("labels", {}).get(QUEUE_LABEL)
    return None if queue is None else str(queue)


def _brief(given: Verdict) -> str:
    headline = given.headline if len(given.headline) <= 60 else f"{given.headline[:59]}…"
    return f"{given.state}: {headline}"
