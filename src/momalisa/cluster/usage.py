"""What a job has used: seconds of GPUs and pods, so far and at its end, and what that costs by a price table."""

from dataclasses import dataclass, replace
from datetime import datetime

from momalisa.cluster.config import JobConfig
from momalisa.cluster.facts import JobFacts
from momalisa.cluster.gauges import exit_of, has_condition, num_failed, status_of, waits
from momalisa.cluster.kinds import Manifest
from momalisa.cluster.manifests import CONFIG_ANNOTATION
from momalisa.cluster.pods import num_gpus, parse_time, role_of, time_at
from momalisa.cluster.prices import Prices
from momalisa.config import from_dict
from momalisa.errors import ConfigError
from momalisa.training.progress import format_duration


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of one attempt."""

    gpu_s: float = 0.0
    worker_s: float = 0.0
    """Of all worker pods together."""
    head_s: float = 0.0
    basis: str = "nothing ran"
    """What it was reckoned from."""

    def in_words(self) -> str:
        """`2.5 GPU-hours (9,000 GPU-seconds), …`."""
        return (
            f"{self.gpu_s / 3600:.2f} GPU-hours ({self.gpu_s:,.0f} GPU-seconds), "
            f"workers {format_duration(self.worker_s)}, head {format_duration(self.head_s)}; by {self.basis}"
        )


def usage_of(facts: JobFacts) -> Usage:
    """By the pods that are there; where they are gone, by how long the attempt took with all of its workers.

    Of the newest attempt alone: nothing tells how long the pods of earlier ones were there.
    """
    pods = [pod for pod in facts.pods if role_of(pod) in {"head", "worker"}]
    if any(role_of(pod) == "worker" for pod in pods):
        return _by_pods(pods, facts.now)
    return _by_times(facts)


def earlier_attempts(facts: JobFacts) -> str | None:
    """A word on what is not counted."""
    # The last attempt of a job that failed is counted, and is one of those that failed.
    uncounted = num_failed(facts) - (1 if status_of(facts, "jobDeploymentStatus") == "Failed" else 0)
    return f"without {uncounted} earlier attempt{'s' if uncounted > 1 else ''}" if uncounted > 0 else None


def cost_of(usage: Usage, config: JobConfig, prices: Prices) -> float | None:
    """In the prices' currency; None where the price of its GPU is not known."""
    one, two = (prices.per_hour(replace(config, num_workers=n, min_workers=None)) for n in (1, 2))
    if one is None or two is None:
        return None
    worker = two - one
    return (usage.worker_s * worker + usage.head_s * (one - worker)) / 3600


def config_of(facts: JobFacts) -> JobConfig | None:
    """What it was submitted with, by the RayJob or by the run's folder; None for what others submitted."""
    annotations = (facts.job or {}).get("metadata", {}).get("annotations", {})
    stored = (facts.run.submitted or {}).get("config") if facts.run else None
    try:
        if CONFIG_ANNOTATION in annotations:
            return config_from_text(annotations[CONFIG_ANNOTATION])
        return from_dict(JobConfig, stored) if stored else None
    except ConfigError:
        return None  # of another version of momalisa


def config_from_text(text: str) -> JobConfig:
    """What an annotation holds. Raises ConfigError."""
    import json

    return from_dict(JobConfig, json.loads(text))


def _by_pods(pods: list[Manifest], now: datetime) -> Usage:
    seconds = [(pod, _lifetime_s(pod, now)) for pod in pods]
    return Usage(
        gpu_s=sum(num_gpus(pod) * s for pod, s in seconds),
        worker_s=sum(s for pod, s in seconds if role_of(pod) == "worker"),
        head_s=sum(s for pod, s in seconds if role_of(pod) == "head"),
        basis="its pods' times",
    )


def _lifetime_s(pod: Manifest, now: datetime) -> float:
    """From when a node held it until its containers ended."""
    began = time_at(pod, "status", "startTime")
    if began is None:
        return 0.0
    ends = []
    for status in pod.get("status", {}).get("containerStatuses", ()):
        finished = status.get("state", {}).get("terminated", {}).get("finishedAt")
        ends.append(parse_time(finished) if finished else now)
    return max(0.0, (max(ends, default=now) - began).total_seconds())


def _by_times(facts: JobFacts) -> Usage:
    if facts.job is not None and not _had_workers(facts.job, facts):
        return Usage(basis="its state: no worker was seen")
    began = time_at(facts.job or {}, "status", "startTime")
    ended = time_at(facts.job or {}, "status", "endTime") or facts.now
    basis = "the RayJob's times (its pods are gone: at most this)"
    record = exit_of(facts)
    if began is None and record is not None:
        began, ended, basis = record.started_at, record.ended_at, "its driver's times (its RayJob is gone)"
    config = config_of(facts)
    if began is None or config is None:
        return Usage()
    seconds = (ended - began).total_seconds()
    return Usage(gpu_s=seconds * config.num_gpus, worker_s=seconds * config.num_workers, head_s=seconds, basis=basis)


def _had_workers(job: Manifest, facts: JobFacts) -> bool:
    """A RayJob's startTime is no proof: it has one while it waits in a queue, and while no pod can be made."""
    if waits(job):
        return False
    driver_ran = status_of(facts, "jobStatus") not in {"", "PENDING"} or exit_of(facts) is not None
    return driver_ran or has_condition(facts, "RayClusterProvisioned")
