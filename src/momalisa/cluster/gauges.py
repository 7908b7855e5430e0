"""Single figures read off a job's facts."""

import math
from collections.abc import Sequence

from momalisa.cluster.facts import JobFacts
from momalisa.cluster.kinds import Manifest
from momalisa.cluster.pods import name_of, phase_of, time_at
from momalisa.cluster.readings import Progress, exit_code_in, progress_in
from momalisa.training.progress import format_duration
from momalisa.training.tracking.metrics import Metric


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


def own_exit_code(facts: JobFacts) -> int | None:
    """The entrypoint's, as Ray's message or the run's folder tells it."""
    code = exit_code_in(status_of(facts, "message"))
    if code is None and facts.run is not None and facts.run.exit is not None:
        return facts.run.exit.exit_code
    return code


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
