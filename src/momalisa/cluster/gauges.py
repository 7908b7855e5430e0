"""Single figures read off a job's facts."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta

from momalisa.cluster.facts import JobFacts
from momalisa.cluster.kinds import Manifest
from momalisa.cluster.pods import name_of, phase_of, time_at
from momalisa.cluster.readings import Progress, exit_code_in, progress_in
from momalisa.job_folder import ExitRecord
from momalisa.training.progress import format_duration
from momalisa.training.tracking.metrics import Metric

_CLOCKS_DIFFER = timedelta(seconds=5)  # a pod's and the API server's


def status_of(facts: JobFacts, key: str) -> str:
    """A text in the RayJob's status; "" where there is none."""
    return str((facts.job or {}).get("status", {}).get(key) or "")


def has_condition(facts: JobFacts, kind: str) -> bool:
    """Whether the RayCluster says so of itself."""
    conditions = (facts.cluster or {}).get("status", {}).get("conditions", ())
    return any(each["type"] == kind and each["status"] == "True" for each in conditions)


def num_workers(facts: JobFacts) -> int:
    """How many worker pods its cluster wants; with an autoscaler its own figure of now."""
    own = (facts.cluster or {}).get("status", {}).get("desiredWorkerReplicas")
    if own is not None:
        return int(own)
    groups = (facts.job or {}).get("spec", {}).get("rayClusterSpec", {}).get("workerGroupSpecs", ())
    return sum(int(group.get("replicas", 0)) * int(group.get("numOfHosts", 1)) for group in groups)


def age_s(facts: JobFacts) -> float:
    """Since it was created."""
    created = time_at(facts.job or {"metadata": {}}, "metadata", "creationTimestamp")
    return (facts.now - created).total_seconds() if created else 0.0


def num_failed(facts: JobFacts) -> int:
    """Attempts that failed."""
    return int((facts.job or {}).get("status", {}).get("failed") or 0)


def most_attempts(facts: JobFacts) -> int:
    """How many there may be."""
    return int((facts.job or {}).get("spec", {}).get("backoffLimit") or 0) + 1


def attempts(facts: JobFacts) -> tuple[str, ...]:
    """A line where it is not the first attempt."""
    failed, most = num_failed(facts), most_attempts(facts)
    if most == 1 or failed == 0:
        return ()
    over = status_of(facts, "jobDeploymentStatus") in {"Failed", "Complete"}
    return (f"{failed} of {most} attempts failed",) if over else (f"attempt {failed + 1} of {most}",)


def patience(facts: JobFacts) -> tuple[str, ...]:
    """How long KubeRay goes on waiting: for a cluster that does not come up, and for one that does not come back."""
    is_up = status_of(facts, "jobDeploymentStatus") == "Running"
    key = "activeDeadlineSeconds" if is_up else "preRunningDeadlineSeconds"
    limit = (facts.job or {}).get("spec", {}).get(key)
    if limit is None:
        return (f"nothing ends the wait: it has no {key}",)
    began = time_at(facts.job or {}, "status", "startTime")
    left = float(limit) - ((facts.now - began).total_seconds() if began else 0.0)
    if left <= 0:
        return ()
    left_attempts = 0 if is_up else most_attempts(facts) - num_failed(facts) - 1
    then = f"tries again ({left_attempts} left)" if left_attempts > 0 else "gives up"
    return (f"KubeRay {then} in {format_duration(left)}",)


def attempt_began(facts: JobFacts) -> datetime | None:
    """When KubeRay took up the newest attempt; of a job that it has not looked at yet, when that was created."""
    job = facts.job or {}
    return time_at(job, "status", "startTime") or time_at(job, "metadata", "creationTimestamp") or facts.last_began


def exit_of(facts: JobFacts) -> ExitRecord | None:
    """How the newest attempt's entrypoint ended, by the run's folder.

    The file there is only replaced when an entrypoint starts: it may be of an earlier attempt, or of an earlier job.
    """
    record = facts.run.exit if facts.run else None
    began = attempt_began(facts)
    return None if record and began and record.started_at < began - _CLOCKS_DIFFER else record


def own_exit_code(facts: JobFacts) -> int | None:
    """The entrypoint's, as Ray's message or the run's folder tells it."""
    code, record = exit_code_in(status_of(facts, "message")), exit_of(facts)
    return record.exit_code if code is None and record else code


def progress_of(facts: JobFacts) -> Progress | None:
    """By the driver's log, which is seconds old, else by the run's metrics, which are half a minute old."""
    return progress_in(facts.log_tail) or _measured(facts)


def pod_line(pod: Manifest) -> str:
    """For evidence: `pod demo-x-head-y: Running`."""
    return f"pod {name_of(pod)}: {phase_of(pod)}"


def holds_resources(job: Manifest) -> bool:
    """Whether a RayJob was let go and is not over."""
    return not job["spec"].get("suspend") and not _is_over(job)


def waits(job: Manifest) -> bool:
    """Whether a RayJob is in its queue."""
    return bool(job["spec"].get("suspend")) and not _is_over(job)


def listed(names: Sequence[str], most: int = 3) -> str:
    """`a, b, c and 4 more`."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _is_over(job: Manifest) -> bool:
    return job.get("status", {}).get("jobDeploymentStatus") in {"Complete", "Failed", "ValidationFailed"}


def _measured(facts: JobFacts) -> Progress | None:
    run = facts.run
    # Those of earlier attempts are in the same file.
    began = time_at(facts.job or {}, "status", "startTime")
    since = began.timestamp() if began else 0.0
    rows = [row for row in (run.metrics if run else ()) if Metric.LOSS in row["metrics"] and row["time"] >= since]
    if run is None or not rows:
        return None
    config = (run.record or {}).get("config", {})
    step, figures = int(rows[-1]["step"]), rows[-1]["metrics"]
    max_steps, batch = int(config.get("max_steps", 0)), int(config.get("global_batch_size", 0))
    rate = figures.get(Metric.IMAGES_PER_S)
    has_rate = rate is not None and math.isfinite(rate) and rate > 0
    return Progress(
        step=step,
        max_steps=max_steps,
        loss=figures[Metric.LOSS],
        images_per_s=rate,
        eta_s=(max_steps - step) * batch / rate if has_rate and max_steps else None,
    )
