"""Jobs that start and fail, each for a reason of its own; the verdict names it within a minute of the fact."""

from collections.abc import Callable

import pytest

from tests.cluster.gcs import ClusterGcs
from tests.cluster.jobs.failing import ended, pods_of, status_of, submitted, told
from tests.cluster.jobs.small import LONG, SHORT, train_flags
from tests.cluster.person import Person

pytestmark = pytest.mark.slow

_FAILED, _DEADLINE = 1, 4
_ONE_WORKER = ("--num-workers", "1", "--set", "resources.max_failures=0")


def test_a_bucket_that_is_not_there(person: Person, gcs: ClusterGcs, museum: str) -> None:
    flags = train_flags(gcs, museum, "job", bucket="gs://no-such-bucket")
    submitted(person, *flags, *_ONE_WORKER)
    told(person, "job", _has_failed(person), "storage", "no-such-bucket", "--output")
    assert ended(person, "job").code == _FAILED


def test_an_exception_in_a_rank(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    shard = next(name for name in gcs.names(f"{museum}/data/data") if "train" in name)
    for name in gcs.names(f"{museum}/data"):
        data = gcs.read(f"{museum}/{name}")
        # Parquet's own footer stays whole: only who reads the rows finds out.
        spoilt = data[: len(data) // 3] + b"\x55" * (len(data) // 3) + data[len(data) // 3 * 2 :]
        gcs.write(f"{bucket}/{name}", spoilt if name == shard else data)
    submitted(person, *train_flags(gcs, museum, "job", bucket=bucket), "--data", f"{bucket}/data", *_ONE_WORKER)
    given = told(person, "job", _has_failed(person), "exception", "rank", "logs job --rank")
    assert "shard" in given["headline"] or "parquet" in given["headline"].lower(), given
    assert ended(person, "job").code == _FAILED


def test_a_deadline(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    flags = train_flags(gcs, museum, "job", LONG, bucket=bucket)
    submitted(person, *flags, "--num-workers", "1", "--deadline", "75s", "--start-deadline", "70s")
    over = lambda: status_of(person, "job").get("reason") == "DeadlineExceeded"  # noqa: E731
    told(person, "job", over, "deadline", "1m15s", "retry job")
    assert ended(person, "job").code == _DEADLINE
    assert any("checkpoints" in name for name in gcs.names(f"{bucket}/job"))


def test_memory_that_the_kernel_guards(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    flags = train_flags(gcs, museum, "job", SHORT, bucket=bucket)
    submitted(person, *flags, *_ONE_WORKER, "--memory-gib", "0.875", "--env", "RAY_memory_monitor_refresh_ms=0")
    told(person, "job", _has_failed(person), "memory", "896Mi", "more memory")
    assert ended(person, "job").code == _FAILED


def test_memory_that_ray_guards(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    flags = train_flags(gcs, museum, "job", SHORT, bucket=bucket)
    submitted(person, *flags, *_ONE_WORKER, "--memory-gib", "1.25", "--env", "RAY_memory_usage_threshold=0.5")
    told(person, "job", _has_failed(person), "ray-memory", "1280Mi", "more memory")
    assert ended(person, "job").code == _FAILED


def _has_failed(person: Person) -> Callable[[], bool]:
    """By Ray's word, or by that of a container."""

    def probe() -> bool:
        pods = [*pods_of(person, "head"), *pods_of(person, "worker")]
        statuses = (status for pod in pods for status in pod["status"].get("containerStatuses", ()))
        killed = any(status.get("state", {}).get("terminated", {}).get("reason") == "OOMKilled" for status in statuses)
        return killed or status_of(person, "job").get("jobStatus") == "FAILED"

    return probe
