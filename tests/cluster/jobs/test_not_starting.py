"""Jobs that do not start, each for a reason of its own; the verdict names it within a minute."""

from tests.cluster.cluster import GPU
from tests.cluster.gcs import ClusterGcs
from tests.cluster.guarded import allow, is_counted, repository
from tests.cluster.jobs.failing import (
    cancelled,
    ended,
    is_noted,
    is_waiting,
    job_of,
    pods_of,
    status_of,
    submitted,
    told,
)
from tests.cluster.jobs.small import train_flags
from tests.cluster.person import Person

_DEADLINE = 4
_SECRET = ("--secret-env", "HF_HOME=lost/key")


def test_an_image_that_is_not_there(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    flags = train_flags(gcs, museum, "job", bucket=bucket)
    missing = f"{repository(person.namespace.cluster.image)}:never-pushed"
    submitted(person, *flags, "--image", missing)
    given = told(person, "job", is_waiting(person, "ErrImagePull", "ImagePullBackOff"), "image", missing, "--image")
    assert given["state"] in ("blocked", "retrying")
    assert job_of(person, "job")["spec"]["preRunningDeadlineSeconds"]  # or it would wait for ever
    cancelled(person, "job")


def test_more_gpus_than_any_node_has(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    _set_quota(person, "64")
    flags = train_flags(gcs, museum, "job", bucket=bucket)
    submitted(person, *flags, "--gpus-per-worker", "16", "--num-workers", "1", "--ignore", "nodes")
    unschedulable = is_noted(person, f"Insufficient {GPU}")
    given = told(person, "job", unschedulable, "unschedulable", GPU, "fewer GPUs")
    assert given["state"] == "blocked"
    cancelled(person, "job")


def test_a_quota_that_is_used_up(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    _set_quota(person, "0")
    flags = train_flags(gcs, museum, "job", bucket=bucket)
    submitted(person, *flags, "--num-workers", "1", "--ignore", "quota")
    given = told(person, "job", is_noted(person, "exceeded quota"), "quota", "requests.nvidia.com/gpu")
    assert given["state"] == "blocked"
    assert not pods_of(person, "worker")
    cancelled(person, "job")


def test_a_secret_that_is_not_there(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    allow(person.namespace.api, person.namespace.name, secrets="lost")
    flags = train_flags(gcs, museum, "job", bucket=bucket)
    person.namespace.wait_for(
        "lost may be read", lambda: person.jobs("submit", *flags, *_SECRET, "--detach").code == 0, deadline_s=60
    )
    waiting = is_waiting(person, "CreateContainerConfigError")
    given = told(person, "job", waiting, "configuration", "lost", "kubectl create secret")
    assert given["state"] == "blocked"
    cancelled(person, "job")


def test_time_to_start_runs_out_and_kuberay_tries_again(
    person: Person, gcs: ClusterGcs, bucket: str, museum: str
) -> None:
    flags = train_flags(gcs, museum, "job", bucket=bucket)
    missing = f"{repository(person.namespace.cluster.image)}:never-pushed"
    submitted(person, *flags, "--image", missing, "--start-deadline", "10s", "--retries", "1")
    tried_again = lambda: int(status_of(person, "job").get("failed") or 0) >= 1  # noqa: E731
    given = told(person, "job", tried_again, "image", missing)
    assert not given["is_over"]
    said = ended(person, "job")
    assert said.code == _DEADLINE, said.all
    assert "its cluster did not come up within 10s" in said.err, said.all
    assert "image" in said.err, said.all
    assert status_of(person, "job")["reason"] == "PreRunningDeadlineExceeded"


def _set_quota(person: Person, gpus: str) -> None:
    namespace = person.namespace
    path = namespace.path("resourcequotas", "jobs")
    namespace.api.patch(path, {"spec": {"hard": {f"requests.{GPU}": gpus}}})
    namespace.wait_for("the quota is counted", lambda: is_counted(namespace.api, namespace.name), deadline_s=60)
