"""Submit, cancel and retry, on a namespace in memory and runs on disk."""

import json
from pathlib import Path
from typing import Any

import pytest

from momalisa.cluster.kinds import BATCH_JOB, POD, RAY_JOB
from momalisa.cluster.rayjob import CANCELLED_ANNOTATION, JOB_KEY, Waiting, cancel, retry, stored_config, submit
from momalisa.config import to_dict
from momalisa.errors import (
    AccessDeniedError,
    ClusterConflictError,
    ClusterError,
    ClusterNotFoundError,
    ClusterRejectedError,
    ConfigError,
    StorageError,
    UnavailableError,
)
from momalisa.storage import Store, open_store
from momalisa.training.run import STOP_KEY
from tests.unit.cluster.examples import config
from tests.unit.cluster.fake_api import Time
from tests.unit.cluster.namespace_in_memory import InMemory

NAME = "watercolours"


class Said(list[str]):
    def __call__(self, line: str) -> None:
        self.append(line)

    def __contains__(self, words: object) -> bool:
        return any(str(words) in line for line in self)


def job(tmp_path: Path, **changes: Any) -> Any:
    return config(output_uri=str(tmp_path / "run"), **changes)


def submitted(tmp_path: Path, **changes: Any) -> InMemory:
    cluster = InMemory()
    submit(cluster, job(tmp_path, **changes), say=Said())
    return cluster


def state(cluster: InMemory, deployment: str, job_status: str = "") -> None:
    cluster.objects["RayJob", NAME]["status"] = {"jobDeploymentStatus": deployment, "jobStatus": job_status}


def waiting(time: Time) -> Waiting:
    return Waiting(time.clock, time.sleep)


def test_a_job_comes_with_its_network_and_leaves_word(tmp_path: Path) -> None:
    cluster = submitted(tmp_path)
    (policy,) = [each for (kind, _), each in cluster.objects.items() if kind == "NetworkPolicy"]
    assert policy["metadata"]["ownerReferences"][0]["name"] == NAME
    stored = json.loads((tmp_path / "run" / JOB_KEY).read_text())
    assert stored["config"] == to_dict(job(tmp_path))
    assert stored["manifest"]["kind"] == "RayJob"


def test_an_earlier_wish_to_stop_is_forgotten(tmp_path: Path) -> None:
    open_store(tmp_path / "run").write_bytes(STOP_KEY, b"")
    submitted(tmp_path)
    assert not (tmp_path / "run" / STOP_KEY).exists()


def test_a_name_is_taken_once(tmp_path: Path) -> None:
    cluster = submitted(tmp_path)
    with pytest.raises(ClusterConflictError):
        submit(cluster, job(tmp_path), say=Said())


def test_a_network_that_is_refused_takes_the_job_along(tmp_path: Path) -> None:
    cluster, said = InMemory(), Said()
    cluster.failing["create", "NetworkPolicy"] = ClusterRejectedError("no")
    with pytest.raises(ClusterRejectedError):
        submit(cluster, job(tmp_path), say=said)
    assert cluster.find(RAY_JOB, NAME) is None
    cluster.failing.clear()
    cluster.denied.add(("create", "NetworkPolicy"))
    submit(cluster, job(tmp_path), say=said)
    assert "no NetworkPolicy of its own" in said


def test_a_bucket_that_is_closed_here_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AccessDeniedError("403")

    monkeypatch.setattr(Store, "delete", refuse)
    monkeypatch.setattr(Store, "write_bytes", refuse)
    cluster, said = InMemory(), Said()
    submit(cluster, job(tmp_path), say=said)
    assert "a retry needs the RayJob" in said
    assert "control/stop" in said


def test_a_training_ends_with_a_checkpoint(tmp_path: Path) -> None:
    cluster, said, time = submitted(tmp_path), Said(), Time()
    state(cluster, "Running", "RUNNING")
    cluster.put(POD, "w", metadata={"labels": {"momalisa.dev/run": NAME, "ray.io/node-type": "worker"}})

    def happens(verb: str, kind: str, _: str) -> None:
        if time.now > 20:
            state(cluster, "Failed", "FAILED")
        if time.now > 40:
            cluster.objects.pop(("Pod", "w"), None)

    cluster.on_call = happens
    cancel(cluster, NAME, grace_s=60, say=said, waiting=waiting(time))
    assert (tmp_path / "run" / STOP_KEY).exists()
    there = cluster.objects["RayJob", NAME]
    assert there["spec"]["backoffLimit"] == 0
    assert "ttlSecondsAfterFinished" not in there["spec"]
    assert CANCELLED_ANNOTATION in there["metadata"]["annotations"]
    assert "has ended" in said
    assert "their GPUs are free" in said
    assert 40 < time.now < 45


def test_a_queued_training_leaves_no_cluster(tmp_path: Path) -> None:
    cluster, time = submitted(tmp_path, queue="gpus"), Time()
    state(cluster, "Running", "RUNNING")
    cluster.on_call = lambda *_: state(cluster, "Failed") if time.now > 5 else None
    cancel(cluster, NAME, grace_s=60, say=Said(), waiting=waiting(time))
    assert cluster.objects["RayJob", NAME]["spec"]["ttlSecondsAfterFinished"] == 0


def test_grace_ends(tmp_path: Path) -> None:
    cluster, said, time = submitted(tmp_path), Said(), Time()
    state(cluster, "Running", "RUNNING")
    cancel(cluster, NAME, grace_s=60, say=said, waiting=waiting(time))
    assert cluster.find(RAY_JOB, NAME) is None
    assert "is lost" in said
    assert time.now == 60


@pytest.mark.parametrize(
    ("changes", "deployment", "job_status", "at_once"),
    [
        ({}, "Initializing", "", False),
        ({}, "Running", "PENDING", False),
        ({"queue": "q"}, "Suspended", "", False),
        ({"kind": "prepare", "recipe": None}, "Running", "RUNNING", False),
        ({}, "Running", "RUNNING", True),
        ({}, "Complete", "STOPPED", False),  # through Ray's dashboard: its cluster would stay
    ],
)
def test_what_has_nothing_to_save_goes_at_once(
    tmp_path: Path, changes: dict[str, Any], deployment: str, job_status: str, at_once: bool
) -> None:
    cluster, time = submitted(tmp_path, **changes), Time()
    state(cluster, deployment, job_status)
    cancel(cluster, NAME, grace_s=60, at_once=at_once, say=Said(), waiting=waiting(time))
    assert cluster.find(RAY_JOB, NAME) is None
    assert time.now == 0
    assert not (tmp_path / "run" / STOP_KEY).exists()


def test_what_has_ended_is_left_alone(tmp_path: Path) -> None:
    cluster, said = submitted(tmp_path), Said()
    state(cluster, "Complete", "SUCCEEDED")
    cancel(cluster, NAME, grace_s=60, say=said, waiting=waiting(Time()))
    assert "has ended already: Complete SUCCEEDED" in said
    assert cluster.find(RAY_JOB, NAME)


def test_nothing_is_lost_where_the_marker_cannot_be_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(_: Any) -> None:
        raise UnavailableError("the bucket is away")

    cluster = submitted(tmp_path)
    state(cluster, "Running", "RUNNING")
    monkeypatch.setattr("momalisa.cluster.rayjob.ask_to_stop", away)
    with pytest.raises(StorageError, match="--now"):
        cancel(cluster, NAME, grace_s=60, say=Said(), waiting=waiting(Time()))
    assert cluster.objects["RayJob", NAME]["spec"]["backoffLimit"] == 2


def test_workers_that_stay_are_told(tmp_path: Path) -> None:
    cluster, said = submitted(tmp_path), Said()
    cluster.put(POD, "w", metadata={"labels": {"momalisa.dev/run": NAME, "ray.io/node-type": "worker"}})
    cancel(cluster, NAME, grace_s=60, say=said, waiting=waiting(Time()))
    assert "warning: 1 of its workers" in said
    with pytest.raises(ClusterNotFoundError):
        cancel(cluster, NAME, grace_s=60, say=said, waiting=waiting(Time()))


def test_a_retry_is_the_same_job_again(tmp_path: Path) -> None:
    cluster, time = submitted(tmp_path), Time()
    state(cluster, "Failed", "FAILED")
    open_store(tmp_path / "run").write_bytes(STOP_KEY, b"")
    cluster.put(BATCH_JOB, NAME)
    cluster.on_call = lambda *_: cluster.objects.pop(("Job", NAME), None) if time.now > 5 else None
    retry(cluster, NAME, output_uri=None, assignments=["deadline_s=7200"], say=Said(), waiting=waiting(time))
    assert time.now > 5
    there = cluster.objects["RayJob", NAME]
    assert "status" not in there
    assert there["spec"]["activeDeadlineSeconds"] == 7200
    assert not (tmp_path / "run" / STOP_KEY).exists()


def test_a_retry_outlives_the_rayjob(tmp_path: Path) -> None:
    submitted(tmp_path)
    with pytest.raises(ConfigError, match="--output"):
        stored_config(InMemory(), NAME, None)
    assert stored_config(InMemory(), NAME, str(tmp_path / "run")) == job(tmp_path)
    with pytest.raises(ConfigError, match=r"there is no job/job.json"):
        stored_config(InMemory(), NAME, str(tmp_path / "other"))


def test_what_runs_is_not_tried_again(tmp_path: Path) -> None:
    cluster = submitted(tmp_path)
    state(cluster, "Running", "RUNNING")
    with pytest.raises(ConfigError, match="cancel watercolours first"):
        retry(cluster, NAME, output_uri=None, assignments=[], say=Said())
    with pytest.raises(ConfigError, match="keeps its name"):
        retry(cluster, NAME, output_uri=None, assignments=["name=other"], say=Said())


def test_a_foreign_rayjob_cannot_be_tried_again() -> None:
    cluster = InMemory()
    cluster.put(RAY_JOB, NAME)
    with pytest.raises(ConfigError, match="not submitted by momalisa"):
        stored_config(cluster, NAME, None)


def test_a_deletion_that_hangs_is_told(tmp_path: Path) -> None:
    cluster = submitted(tmp_path)
    state(cluster, "Failed")
    cluster.put(BATCH_JOB, NAME)
    with pytest.raises(ClusterError, match="still being deleted"):
        retry(cluster, NAME, output_uri=None, assignments=[], say=Said(), waiting=waiting(Time()))
