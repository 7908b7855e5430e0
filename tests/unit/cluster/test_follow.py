"""From submission to the end, by a script and a clock of its own."""

from datetime import UTC, datetime
from typing import Any

import pytest

from momalisa.cluster.facts import JobFacts, RunFacts
from momalisa.cluster.follow import Pace, follow, wait
from momalisa.cluster.kinds import EVENT, POD
from momalisa.errors import ClusterForbiddenError, ClusterUnreachableError
from momalisa.job_folder import ExitRecord
from tests.unit.cluster.fake_cluster import FakeCluster, Moment, ScriptedReader, collected
from tests.unit.cluster.recorded import load

NOW = datetime(2026, 11, 22, 9, 0, 20, tzinfo=UTC)
SUBMITTER = "sketch-7-7vq6h"


@pytest.fixture(autouse=True)
def _no_bucket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("momalisa.cluster.facts.read_run", lambda uri: None)


def moment(case: str, **more: Any) -> Moment:
    facts: JobFacts = load(case)[0]
    return Moment(
        job=facts.job, cluster=facts.cluster, pods=list(facts.pods), events=list(facts.events), **{"logs": {}, **more}
    )


def followed(*moments: Moment, patience_s: float = 60.0) -> tuple[int, list[str], str]:
    cluster = FakeCluster(*moments)
    echoed, echo = collected()
    said, say = collected()
    pace = Pace(clock=cluster.clock, sleep=cluster.sleep, now=lambda: NOW, patience_s=patience_s)
    reader = ScriptedReader(cluster)
    code = follow(cluster, "sketch-7", echo=echo, say=say, reader=reader, pace=pace)  # type: ignore[arg-type]
    assert reader.is_closed
    return code, echoed, "\n".join(said)


def test_a_job_from_its_beginning_to_its_end() -> None:
    code, echoed, said = followed(
        moment("new"),
        moment("pulling"),
        moment("pulling"),
        moment("starting_workers"),
        moment("running_silent", logs={SUBMITTER: ["one"]}),
        moment("running_silent", logs={SUBMITTER: ["one", "two"]}),
        moment("succeeded", logs={SUBMITTER: ["one", "two", "three"]}),
    )
    assert code == 0
    assert echoed == ["one", "two", "three"]
    assert said.splitlines()[:4] == [
        "starting: the cluster is being made",
        "pulling: pulling the image for 3 pods (0 of 2 workers ready)",
        "starting: 1 of 2 workers ready",
        "running: the driver runs",
    ]
    assert "sketch-7 succeeded: it succeeded" in said


def test_the_end_of_the_run_is_not_the_end_of_the_job() -> None:
    """`jobStatus: FAILED` comes before a retry: a new cluster, a new submitter."""
    again = moment("second_attempt", logs={"sketch-7-second": ["again"]})
    again.pods = [*again.pods[:3], {**again.pods[3], "metadata": {**again.pods[3]["metadata"]}}]
    again.pods[3]["metadata"] |= {"name": "sketch-7-second", "creationTimestamp": "2026-11-22T09:20:00Z"}
    code, echoed, said = followed(
        moment("running_silent", logs={SUBMITTER: ["first"]}),
        moment("failed_but_not_over", logs={SUBMITTER: ["first", "torn"]}),
        moment("retrying"),
        moment("starting_head"),
        again,
        moment("succeeded"),
    )
    assert code == 0
    assert echoed == ["first", "torn", "again"]
    assert "retrying: attempt 1 of 2 failed (ValueError: torn)" in said
    assert "attempt 2 of 3" in said


def test_a_blocked_job_is_told_with_its_fix_and_waited_for() -> None:
    code, _, said = followed(moment("image_missing"), moment("image_missing"), moment("pre_running_deadline_gpu"))
    assert code == 4
    assert said.count("cannot be pulled") == 1
    assert "what to do: there is no such tag" in said


@pytest.mark.parametrize(
    ("case", "code"),
    [("rank_exception", 1), ("wrong_input", 2), ("stopped_on_request", 3), ("ray_stopped", 3), ("deadline", 4)],
)
def test_the_exit_code_is_the_jobs(case: str, code: int) -> None:
    assert followed(moment(case))[0] == code


def test_an_api_server_that_is_away_for_a_minute() -> None:
    away = Moment(error=ClusterUnreachableError("no answer"))
    code, echoed, said = followed(
        moment("running_silent", logs={SUBMITTER: ["one"]}),
        *[away] * 20,
        moment("running_silent", logs={SUBMITTER: ["one", "two"]}),
        moment("succeeded", logs={SUBMITTER: ["one", "two"]}),
    )
    assert code == 0
    assert echoed == ["one", "two"]
    assert said.count("does not answer") == 1
    assert "answers again, after 40s" in said


def test_one_that_stays_away_is_not_waited_for_for_ever() -> None:
    with pytest.raises(ClusterUnreachableError):
        followed(Moment(error=ClusterUnreachableError("no answer")), patience_s=30)


def test_ctrl_c_detaches_and_says_how_to_come_back() -> None:
    cluster = FakeCluster(moment("running_silent"))
    said, say = collected()

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    pace = Pace(clock=cluster.clock, sleep=interrupt)
    reader: Any = ScriptedReader(cluster)
    assert follow(cluster, "sketch-7", echo=say, say=say, reader=reader, pace=pace) == 130
    assert any("momalisa jobs follow sketch-7" in line for line in said)


def test_a_job_that_somebody_deletes() -> None:
    code, _, said = followed(moment("running_silent"), Moment())
    assert code == 3
    assert "cancelled: it was deleted" in said


@pytest.mark.parametrize("last", ["new", "pulling", "running_silent"])
def test_the_end_of_an_earlier_job_of_that_name_is_not_this_ones(monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    """It succeeded in the same folder; the new one is deleted before its entrypoint starts."""
    monkeypatch.setattr("momalisa.cluster.facts.read_run", lambda uri: run_that_ended("2026-11-22T08:59:00Z"))
    code, _, said = followed(told_where(moment(last)), Moment())
    assert code == 3
    assert "cancelled: it was deleted" in said


def test_the_end_that_this_job_wrote_is_believed_when_its_rayjob_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("momalisa.cluster.facts.read_run", lambda uri: run_that_ended("2026-11-22T09:00:30Z"))
    code, _, said = followed(told_where(moment("running_silent")), Moment())
    assert code == 0
    assert "it succeeded" in said


def told_where(at: Moment) -> Moment:
    assert at.job is not None
    at.job["metadata"]["annotations"] = {"momalisa.dev/output-uri": "gs://art/runs/sketch-7"}
    return at


def run_that_ended(started_at: str) -> RunFacts:
    times = {"started_at": started_at, "ended_at": "2026-11-22T09:00:40Z"}
    record = ExitRecord.model_validate({"exit_code": 0, "command": ["python"], **times})
    return RunFacts(uri="gs://art/runs/sketch-7", exit=record)


def test_a_job_that_never_was() -> None:
    code, _, said = followed(Moment())
    assert code == 5
    assert "there is no RayJob sketch-7 in namespace momalisa" in said


def test_what_may_not_be_looked_at_is_named() -> None:
    refused = {POD: ClusterForbiddenError("pods"), EVENT: ClusterForbiddenError("events")}
    code, _, said = followed(moment("running_silent", refused=refused), moment("rank_exception", refused=refused))
    assert code == 1
    assert "not known: pods: you may not look at it" in said


def test_waiting_ends_with_the_job_or_with_the_time() -> None:
    cluster = FakeCluster(*[moment("running_silent")] * 50, moment("succeeded"))
    said, say = collected()
    pace = Pace(clock=cluster.clock, sleep=cluster.sleep)
    assert wait(cluster, "sketch-7", say=say, timeout_s=30, pace=pace) == 4
    assert "not over after 30s" in said[-1]
    assert wait(cluster, "sketch-7", say=say, pace=pace) == 0
