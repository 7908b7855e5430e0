"""A job that fails on purpose: what happened, and that the verdict says so within a minute of it."""

import time
from collections.abc import Callable
from typing import Any

from tests.cluster.api import Manifest
from tests.cluster.person import Person, Said
from tests.cluster.waiting import wait_for

_TOLD_WITHIN_S = 60
_HAPPENS_WITHIN_S = 300


def submitted(person: Person, *words: str) -> Said:
    """Without waiting for its end."""
    said = person.jobs("submit", *words, "--detach")
    assert said.code == 0, said.all
    return said


def job_of(person: Person, name: str) -> Manifest:
    """The RayJob, as the API server tells it to an administrator."""
    job: Manifest = person.namespace.api.get(person.namespace.path("rayjobs", name, group="ray.io/v1"))
    return job


def status_of(person: Person, name: str) -> dict[str, Any]:
    status: dict[str, Any] = job_of(person, name).get("status", {})
    return status


def pods_of(person: Person, role: str) -> list[Manifest]:
    """`head`, `worker` or `submitter`."""
    pods = person.namespace.api.items(person.namespace.path("pods"))
    return [pod for pod in pods if pod["metadata"]["labels"].get("ray.io/node-type", "submitter") == role]


def is_waiting(person: Person, *reasons: str) -> Callable[[], bool]:
    """Whether a container of any pod waits for one of these reasons."""

    def probe() -> bool:
        pods = person.namespace.api.items(person.namespace.path("pods"))
        statuses = (status for pod in pods for status in pod["status"].get("containerStatuses", ()))
        return any(status.get("state", {}).get("waiting", {}).get("reason") in reasons for status in statuses)

    return probe


def is_noted(person: Person, words: str) -> Callable[[], bool]:
    """Whether an event says so."""
    return lambda: any(
        words in event.get("message", "") for event in person.namespace.api.items(person.namespace.path("events"))
    )


def told(person: Person, name: str, fact: Callable[[], bool], cause: str, *words: str) -> dict[str, Any]:
    """The verdict that names the cause, at most a minute after the fact; with its words, a fix and evidence."""
    namespace = person.namespace
    succeeds = lambda: status_of(person, name).get("jobStatus") == "SUCCEEDED"  # noqa: E731
    namespace.wait_for(f"what is to be told as {cause}", lambda: fact() or succeeds(), deadline_s=_HAPPENS_WITHIN_S)
    began = time.monotonic()
    last: list[dict[str, Any]] = []

    def verdict() -> dict[str, Any] | None:
        last[:] = [person.status(name)]
        return last[0] if last[0]["cause"] == cause else None

    try:
        given = wait_for(f"verdict {cause}", verdict, deadline_s=_TOLD_WITHIN_S, interval_s=1)
    except AssertionError as e:
        raise AssertionError(f"{e}; the last verdict: {last}\n{namespace.story()}") from None
    seconds = time.monotonic() - began
    print(f"\n{name}: told {seconds:.0f} s after it happened: {given['state']}: {given['headline']}")
    print(f"  what to do: {given['fix']}")
    said = f"{given['headline']} {given['fix']} {given['evidence']}"
    for word in words:
        assert word in said, given
    assert given["fix"], given
    assert given["evidence"], given
    return given


def ended(person: Person, name: str, *, timeout: str = "300s", timeout_s: float = 330) -> Said:
    """`momalisa jobs wait`: nothing waits for ever."""
    return person.jobs("wait", name, "--timeout", timeout, timeout_s=timeout_s)


def cancelled(person: Person, name: str) -> None:
    """At once; and its GPUs are free."""
    said = person.jobs("cancel", name, "--now", "--yes", timeout_s=180)
    assert said.code == 0, said.all
    assert "GPUs are free" in said.out, said.all
