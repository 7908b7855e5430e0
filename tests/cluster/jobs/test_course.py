"""Following, leaving, cancelling, going on: what a person does with a training that runs."""

import base64
import json
import re
import time
from pathlib import Path

import httpx
import pytest

from tests.cluster.gcs import ClusterGcs
from tests.cluster.images import image_versions
from tests.cluster.jobs.failing import pods_of, submitted
from tests.cluster.jobs.small import LONG, train_flags
from tests.cluster.person import Person, Running
from tests.cluster.waiting import wait_for

pytestmark = pytest.mark.slow

_EVERY_STEPS = 10
_AWAY_S = 20
_STOPPED, _DETACHED, _REFUSED = 3, 130, 2
_GRACE_S = 120


def test_a_training_is_followed_left_cancelled_and_goes_on(
    person: Person, gcs: ClusterGcs, bucket: str, museum: str, tmp_path: Path
) -> None:
    flags = train_flags(gcs, museum, "job", LONG, bucket=bucket)
    submitted(person, *flags, "--num-workers", "2")
    follower, leaver = person.start("follow", "job"), person.start("follow", "job")
    trains = lambda: re.search(r"training [1-9]\d*/", follower.said())  # noqa: E731
    person.namespace.wait_for("it trains", trains, deadline_s=240)
    _leave(person, leaver)
    in_use = person.jobs("submit", *flags, "--name", "another", "--num-workers", "1")
    assert in_use.code == _REFUSED, in_use.all
    assert "a run is at work in the output" in in_use.out, in_use.all
    _lose_the_api_server(person, follower)
    admin = Person(person.namespace, gcs, tmp_path, person.namespace.cluster.kubeconfig)
    try:
        _open_the_dashboard(admin)
    finally:
        admin.leave()

    said = person.jobs("cancel", "job", "--yes", "--grace", f"{_GRACE_S}s", timeout_s=_GRACE_S + 60)
    assert said.code == 0, said.all
    assert "GPUs are free" in said.out, said.all
    assert not pods_of(person, "worker")
    assert follower.ended(60) == _STOPPED, follower.said()
    assert "it was stopped on request" in follower.said()
    step = json.loads(gcs.read(f"{bucket}/job/summary.json"))["step"]
    assert step >= _EVERY_STEPS

    person.namespace.wait_for("the head is gone", lambda: not pods_of(person, "head"), deadline_s=120)
    again = person.start("retry", "job", "--yes")
    resumed = lambda: f"resumed at step {step}" in again.said() or None  # noqa: E731
    person.namespace.wait_for(f"it goes on at step {step}", resumed, deadline_s=240)
    said = person.jobs("cancel", "job", "--now", "--yes", timeout_s=180)
    assert "GPUs are free" in said.out, said.all
    assert again.ended(120) == _STOPPED, again.said()
    cost = person.jobs("cost", f"{bucket}/job")
    assert "GPU" in cost.out, cost.all


def _leave(person: Person, leaver: Running) -> None:
    leaver.interrupt()
    assert leaver.ended(20) == _DETACHED, leaver.said()
    assert "momalisa jobs follow job" in leaver.said()
    assert person.status("job")["state"] == "running"


def _open_the_dashboard(admin: Person) -> None:
    """Who may forward ports reaches it; Ray's own token still guards it."""
    namespace = admin.namespace
    opened = admin.start("open", "job", "--namespace", namespace.name)
    url = wait_for("it is open", lambda: re.search(r"http://127\.0\.0\.1:\d+", opened.said()), deadline_s=30)[0]
    secret = re.search(r"get secret (\S+)", opened.said())
    assert secret, opened.said()
    token = base64.b64decode(namespace.api.get(namespace.path("secrets", secret[1]))["data"]["auth_token"]).decode()
    version = f"{url}/api/version"
    assert httpx.get(version, trust_env=False, timeout=20).status_code == httpx.codes.UNAUTHORIZED
    known = httpx.get(version, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=20)
    assert known.json()["ray_version"] == image_versions()["RAY_VERSION"]
    opened.interrupt()
    assert opened.ended(20) in (0, _DETACHED), opened.said()


def _lose_the_api_server(person: Person, follower: Running) -> None:
    local = person.namespace.cluster.local
    if local is None:
        return  # not ours to stop
    local.stop("kube-apiserver")
    time.sleep(_AWAY_S)
    local.start_again("kube-apiserver")
    assert "does not answer" in follower.said(), follower.said()
    wait_for("the follower comes back", lambda: "answers again" in follower.said(), deadline_s=120)
    lines = follower.said().count("training ")
    wait_for("and reads on", lambda: follower.said().count("training ") > lines, deadline_s=120)
