"""What a training loses when pods go: a worker, the head, a whole node with notice."""

import re

import pytest

from tests.cluster.gcs import ClusterGcs
from tests.cluster.jobs.failing import ended, pods_of, status_of, submitted
from tests.cluster.jobs.small import train_flags
from tests.cluster.person import Person

pytestmark = pytest.mark.slow

_EVERY_STEPS = 50
_LOST_AFTER = 100
_BEGUN_S = 240
_MOST_S = "600s"
_COURSE = ("validation.every_steps=10000", "validation.num_samples=2", "checkpoint.keep_last=2")


def test_a_lost_worker_costs_at_most_an_interval(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    settings = (*_COURSE, "max_steps=600", f"checkpoint.every_steps={_EVERY_STEPS}")
    submitted(person, *train_flags(gcs, museum, "job", settings, bucket=bucket), "--num-workers", "2")
    lost_at = _at_step(person, _LOST_AFTER)
    _kill(person, "worker")
    recovering = lambda: person.status("job")["state"] == "recovering"  # noqa: E731
    person.namespace.wait_for("the verdict says recovering", recovering, deadline_s=60)
    _succeeds(person)
    assert lost_at - _EVERY_STEPS <= _resumed_at(person)[-1]


def test_a_lost_head_costs_at_most_an_interval(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    settings = (*_COURSE, "max_steps=500", f"checkpoint.every_steps={_EVERY_STEPS}")
    flags = train_flags(gcs, museum, "job", settings, bucket=bucket)
    submitted(person, *flags, "--num-workers", "1", "--retries", "2")
    lost_at = _at_step(person, _LOST_AFTER)
    _kill(person, "head")
    _succeeds(person)
    assert lost_at - _EVERY_STEPS <= _resumed_at(person)[-1]


def test_a_drained_node_costs_seconds(person: Person, gcs: ClusterGcs, bucket: str, museum: str) -> None:
    """No checkpoint is due: what the run goes on from, it saved when it heard of the end."""
    settings = (*_COURSE, "max_steps=600", "checkpoint.every_steps=10000")
    submitted(person, *train_flags(gcs, museum, "job", settings, bucket=bucket), "--num-workers", "1")
    lost_at = _at_step(person, _LOST_AFTER)
    (worker,) = pods_of(person, "worker")
    _evict(person, worker["metadata"]["name"])
    _succeeds(person)
    resumed_at = _resumed_at(person)[-1]
    assert resumed_at >= lost_at


def _at_step(person: Person, step: int) -> int:
    """Waits until a run is so far; gives the step that it was seen at."""
    seen = [0]

    def is_there() -> bool:
        given = person.status("job")
        assert not given["is_over"], given
        seen[0] = (given["progress"] or {}).get("step") or 0
        return seen[0] >= step

    person.namespace.wait_for(f"step {step}", is_there, deadline_s=_BEGUN_S)
    return seen[0]


def _kill(person: Person, role: str) -> None:
    """As a node does that loses its power: no grace."""
    pod = pods_of(person, role)[0]["metadata"]["name"]
    person.namespace.api.delete(person.namespace.path("pods", pod), grace_s=0)


def _evict(person: Person, pod: str) -> None:
    """As `kubectl drain` does, with the pod's own grace."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    person.namespace.api.post(person.namespace.path("pods", pod) + "/eviction", eviction)


def _succeeds(person: Person) -> None:
    said = ended(person, "job", timeout=_MOST_S, timeout_s=620)
    assert said.code == 0, f"{said.all}\n{person.namespace.story()}"
    assert status_of(person, "job")["jobStatus"] == "SUCCEEDED"


def _resumed_at(person: Person) -> list[int]:
    """The steps that the run went on from, as its driver said."""
    log = person.jobs("logs", "job")
    steps = [int(step) for step in re.findall(r"resumed at step (\d+)", log.out)]
    print(f"\nresumed at {steps}")
    assert steps, log.all
    return steps
