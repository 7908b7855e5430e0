"""Ten jobs of two workers in a queue of two GPUs: none holds one GPU and waits for another for ever."""

import pytest

from tests.cluster.gcs import ClusterGcs
from tests.cluster.jobs.admitter import Admitter
from tests.cluster.jobs.failing import job_of, status_of
from tests.cluster.jobs.small import place_flags, put_artworks
from tests.cluster.person import Person
from tests.support.meanwhile import meanwhile

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500, func_only=True)]

_NUM_JOBS = 10
_NUM_GPUS = 2
_ALL_S = 1200


def test_ten_jobs_at_once_in_a_queue_of_two_gpus(person: Person, gcs: ClusterGcs, bucket: str) -> None:
    admitter = Admitter(person.namespace)
    put_artworks(gcs, f"{bucket}/artworks", 4)
    names = [f"job-{number}" for number in range(_NUM_JOBS)]
    submitting = [person.start("submit", *_flags(gcs, bucket, name), "--detach") for name in names]
    for each in submitting:
        assert each.ended(180) == 0, each.said()
    assert all(job_of(person, name)["spec"]["suspend"] for name in names)
    queued = person.status(names[-1])
    assert (queued["state"], queued["is_over"]) == ("queued", False), queued
    with meanwhile(admitter.work):
        first = lambda: any(status_of(person, name).get("jobStatus") == "RUNNING" for name in names)  # noqa: E731
        person.namespace.wait_for("one runs", first, deadline_s=120)
        assert "behind job-" in person.status(_still_queued(person, names))["headline"]
        done = lambda: all(status_of(person, name).get("jobDeploymentStatus") == "Complete" for name in names)  # noqa: E731
        person.namespace.wait_for("all ten are done", done, deadline_s=_ALL_S)
    assert {status_of(person, name)["jobStatus"] for name in names} == {"SUCCEEDED"}
    assert admitter.most_in_use == _NUM_GPUS
    pods = lambda: not person.namespace.api.items(person.namespace.path("rayclusters", group="ray.io/v1"))  # noqa: E731
    person.namespace.wait_for("no cluster is left", pods, deadline_s=90)


def _still_queued(person: Person, names: list[str]) -> str:
    return next(name for name in names if job_of(person, name)["spec"].get("suspend"))


def _flags(gcs: ClusterGcs, bucket: str, name: str) -> list[str]:
    return [
        *("prepare", "--data", f"{bucket}/artworks", "--output", f"{bucket}/{name}", "--name", name),
        *("--queue", "gallery", "--num-workers", "2", "--cpus-per-worker", "1"),
        *("--job-args", "--caption-template '{title}' --validation-share 0.5"),
        *place_flags(gcs),
    ]
