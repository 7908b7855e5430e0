"""What is gathered, and what is left unknown."""

import json
from pathlib import Path
from typing import Any

import pytest

from momalisa.cluster.events import is_about
from momalisa.cluster.facts import gather, read_run
from momalisa.cluster.kinds import EVENT, POD, RAY_CLUSTER
from momalisa.errors import ClusterForbiddenError, ClusterUnreachableError
from momalisa.storage import open_store
from tests.unit.cluster.fake_cluster import FakeCluster, Moment
from tests.unit.cluster.recorded import load


def moment(case: str, uri: str, **more: Any) -> Moment:
    facts = load(case)[0]
    assert facts.job is not None
    facts.job["metadata"]["annotations"] = {"momalisa.dev/output-uri": uri}
    return Moment(job=facts.job, cluster=facts.cluster, pods=list(facts.pods), events=list(facts.events), **more)


@pytest.fixture
def uri(tmp_path: Path) -> str:
    store = open_store(str(tmp_path))
    store.write_bytes("run.json", json.dumps({"name": "sketch-7", "config": {"max_steps": 9}}).encode())
    lines = [json.dumps({"step": s, "time": 0, "metrics": {"train/loss": 1 / s}}) for s in (1, 2, 3)]
    store.write_bytes("metrics.jsonl", ("\n".join(lines) + '\n{"step": 4, "ti').encode())
    store.write_bytes("control/stop", b"stop\n")
    return store.uri


def test_all_of_it(uri: str) -> None:
    tail = [f"line {number}" for number in range(5)]
    facts = gather(FakeCluster(moment("running_silent", uri, logs={"sketch-7-7vq6h": tail})), "sketch-7")
    assert facts.unknown == {}
    assert facts.cluster is not None
    assert len(facts.pods) == 4
    assert facts.log_tail == tail
    assert facts.run is not None
    assert facts.run.is_asked_to_stop
    assert [row["step"] for row in facts.run.metrics] == [1, 2, 3]
    assert facts.run.summary is None


def test_what_may_not_be_looked_at_is_unknown_and_the_rest_is_there(uri: str) -> None:
    refused = {kind: ClusterForbiddenError(f"{kind.plural} no") for kind in (POD, EVENT, RAY_CLUSTER)}
    facts = gather(FakeCluster(moment("running_silent", uri, refused=refused)), "sketch-7")
    assert facts.unknown.keys() == {"pods", "events", "RayCluster"}
    assert facts.job is not None
    assert facts.run is not None


def test_a_folder_that_cannot_be_read_is_unknown() -> None:
    facts = gather(FakeCluster(moment("running_silent", "no-such-scheme://art/run")), "sketch-7")
    assert "run's folder" in facts.unknown


def test_a_json_that_is_cut_short_is_unknown(uri: str) -> None:
    open_store(uri).write_bytes("job/exit.json", b'{"exit_code"')
    assert "run's folder" in gather(FakeCluster(moment("running_silent", uri)), "sketch-7").unknown


def test_an_api_server_that_is_away_leaves_nothing_to_say() -> None:
    with pytest.raises(ClusterUnreachableError):
        gather(FakeCluster(Moment(error=ClusterUnreachableError("away"))), "sketch-7")


def test_a_node_that_is_gone_takes_its_log_alone(uri: str) -> None:
    away = ClusterUnreachableError("no answer: 500 dial tcp 10.0.0.7:10250: no route to host")
    facts = gather(FakeCluster(moment("running_silent", uri, log_error=away)), "sketch-7")
    assert facts.unknown.keys() == {"driver's log"}
    assert "no route to host" in facts.unknown["driver's log"]
    assert (facts.log_tail, len(facts.pods)) == ([], 4)
    assert facts.run is not None


def test_a_job_that_waits_knows_the_others_of_its_queue(uri: str) -> None:
    queued = load("queued_in_queue")[0]
    for other in queued.others[1:]:
        other["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "gpus"}
    cluster = FakeCluster(Moment(job=queued.job, others=list(queued.others)))
    others = {job["metadata"]["name"] for job in gather(cluster, "sketch-7", with_run=False).others}
    assert others == {"sketch-6", "sketch-4", "sketch-8", "sketch-1"}


def test_an_empty_folder_is_a_run_that_wrote_nothing(tmp_path: Path) -> None:
    run = read_run(str(tmp_path))
    assert (run.record, run.summary, run.exit, run.submitted, list(run.metrics)) == (None, None, None, None, [])


@pytest.mark.parametrize(
    ("kind", "involved", "is_ours"),
    [
        ("RayJob", "demo", True),
        ("Job", "demo", True),
        ("RayCluster", "demo-k2x9p", True),
        ("Pod", "demo-k2x9p-head-8kq2z", True),
        ("Pod", "demo-k2x9p-workers-worker-4dzzt", True),
        ("Pod", "demo-7vq6h", True),
        ("RayJob", "demo-2", False),
        ("RayJob", "demo-bcd24", False),
        ("Job", "demo-bcd24", False),
        ("RayJob", "demo-train", False),
        ("RayCluster", "demo-train", False),
        ("Pod", "demo-train-k2x9p-workers-worker-4dzzt", False),
        ("RayCluster", "demo-two-k2x9p", False),
        ("Pod", "demo-2-k2x9p-head-8kq2z", False),
        ("RayJob", "another-demo", False),
        ("Pod", "demo-k2x9p-a-group-worker-4dzzt", True),
        ("RayCluster", "demo-bcd24-k2x9p", False),
        ("Pod", "demo-bcd24-k2x9p-head-8kq2z", False),
        ("Pod", "demo-bcd24-k2x9p-workers-worker-4dzzt", False),
    ],
)
def test_whose_event_it_is(kind: str, involved: str, *, is_ours: bool) -> None:
    assert is_about("demo", {"involvedObject": {"kind": kind, "name": involved}}) is is_ours


def test_events_of_an_earlier_job_of_that_name_are_left_out(uri: str) -> None:
    now = moment("running_silent", uri)
    # The API server's own clock and KubeRay's; the last one's is behind.
    now.events = [
        event_of("Before", created=None, seen="2026-11-22T08:59:59Z"),
        event_of("AtOnce", created=None, seen="2026-11-22T09:00:00Z"),
        event_of("Late", created="2026-11-22T09:00:01Z", seen="2026-11-22T08:59:58Z"),
    ]
    assert [event["reason"] for event in gather(FakeCluster(now), "sketch-7").events] == ["AtOnce", "Late"]
    now.job = None
    assert len(gather(FakeCluster(now), "sketch-7").events) == 3


def event_of(reason: str, *, created: str | None, seen: str) -> dict[str, Any]:
    about = {"kind": "RayJob", "name": "sketch-7"}
    return {
        "metadata": {"creationTimestamp": created},
        "involvedObject": about,
        "reason": reason,
        "lastTimestamp": seen,
    }
