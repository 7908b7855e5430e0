"""The verbs that look and do not touch."""

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from momalisa.cluster import watch_command
from momalisa.cluster.comparing import compare, in_words
from momalisa.cluster.config import JobConfig, PodResources
from momalisa.cluster.facts import MANAGED, JobFacts, RunFacts
from momalisa.cluster.follow import Pace
from momalisa.cluster.kept import remember
from momalisa.cluster.prices import Prices
from momalisa.cluster.usage import cost_of, earlier_attempts, usage_of
from momalisa.cluster.watching import follow_kept_log
from momalisa.config import to_dict
from momalisa.errors import ClusterUnreachableError, ConfigError
from momalisa.job_folder import part_key
from momalisa.storage import Store, open_store
from tests.unit.cluster.fake_cluster import FakeCluster, Moment, collected
from tests.unit.cluster.recorded import load

CONFIG = JobConfig(
    kind="train",
    name="sketch-7",
    output_uri="gs://art/runs/sketch-7",
    data_uri="gs://art/data",
    image="momalisa:1",
    recipe="demo",
    num_workers=2,
    worker=PodResources(cpus=4, memory_gib=16, gpus=1),
    gpu_type="nvidia-l4",
)


def moment(case: str, **more: Any) -> Moment:
    facts = load(case)[0]
    if facts.job is not None:
        annotations = {"momalisa.dev/config": json.dumps(to_dict(CONFIG))}
        facts.job["metadata"]["annotations"] = annotations | more.pop("annotations", {})
    return Moment(job=facts.job, cluster=facts.cluster, pods=list(facts.pods), events=list(facts.events), **more)


Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def verb(words: str, *moments: Moment) -> tuple[int, str]:
        cluster = FakeCluster(*moments)
        monkeypatch.setattr(watch_command, "_connect", lambda flags: cluster)
        parser = argparse.ArgumentParser()
        watch_command.add_verbs(parser.add_subparsers(required=True))
        flags = parser.parse_args(words.split())
        code = flags.run(flags)
        return code, capsys.readouterr().out

    return verb


@pytest.fixture
def folder(tmp_path: Path) -> Store:
    store = open_store(str(tmp_path / "runs" / "sketch-7"))
    job = store.child("job")
    job.write_bytes(part_key("driver", 0), b"one\ntw")
    job.write_bytes(part_key("driver", 1), b"o\nthree")
    job.write_bytes(part_key("rank-1", 0), b"of rank 1\n")
    exit_record = {
        "exit_code": 0,
        "started_at": "2026-11-22T09:00:00Z",
        "ended_at": "2026-11-22T09:10:00Z",
        "command": ["python"],
    }
    job.write_bytes("exit.json", json.dumps(exit_record).encode())
    job.write_bytes("job.json", json.dumps({"config": to_dict(CONFIG)}).encode())
    return store


def test_the_list(run: Run) -> None:
    code, out = run("list", moment("running_silent"))
    assert code == 0
    name, kind, recipe, owner, workers, _, *state = out.splitlines()[1].split()
    assert (name, kind, recipe, owner, workers) == ("sketch-7", "train", "demo", "ada", "2")
    assert " ".join(state) == "running: the driver runs"
    assert run("list", Moment())[1] == "no jobs\n"
    assert json.loads(run("list --json", moment("running_silent"))[1])[0]["state"] == "running"


def test_jobs_of_other_queues_are_in_nobodys_way(run: Run) -> None:
    def out(queue: str) -> str:
        queued = load("queued_in_queue")[0]
        for other in queued.others:
            other["metadata"]["labels"] = {**MANAGED, "kueue.x-k8s.io/queue-name": queue}
        return run("list", Moment(job=queued.job, others=list(queued.others)))[1]

    assert "it waits in queue gpus, behind sketch-5, sketch-6" in out("gpus")
    assert "it waits in queue gpus\n" in out("cpus")


def test_the_status(run: Run) -> None:
    code, out = run("status sketch-7", moment("image_missing"))
    assert code == 0
    assert out.startswith("sketch-7 blocked: the worker's image")
    assert "what to do:" in out
    assert json.loads(run("status sketch-7 --json", moment("image_missing"))[1])["cause"] == "image"
    assert run("status no-such-job", Moment())[0] == 5


def test_status_and_logs_of_a_run_whose_rayjob_is_gone(run: Run, folder: Store) -> None:
    assert "succeeded" in run(f"status {folder.uri}")[1]
    assert run(f"logs {folder.uri}")[1] == "one\ntwo\nthree\n"
    assert run(f"logs {folder.uri} --rank 1")[1] == "of rank 1\n"
    assert run(f"status sketch-7 --output {folder.uri}", Moment())[1].startswith("sketch-7 succeeded")


def test_where_a_run_is_is_remembered(run: Run, folder: Store) -> None:
    run("status sketch-7", moment("running_silent", annotations={"momalisa.dev/output-uri": folder.uri}))
    assert run("logs sketch-7", Moment())[1] == "one\ntwo\nthree\n"


@pytest.mark.parametrize("verb", ["follow", "wait"])
def test_what_is_remembered_is_what_a_job_is_followed_by(run: Run, folder: Store, verb: str) -> None:
    remember(FakeCluster(Moment()), "sketch-9", folder.uri)
    assert run(f"{verb} sketch-9", Moment())[0] == 0


def test_a_live_log_comes_from_the_pod(run: Run) -> None:
    assert (
        run("logs sketch-7", moment("running_silent", logs={"sketch-7-7vq6h": ["from the pod"]}))[1] == "from the pod\n"
    )


def test_a_log_whose_node_is_gone_is_that_of_the_folder(
    run: Run, folder: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOMALISA_CACHE", str(tmp_path / "cache"))
    away = ClusterUnreachableError("no route to host")
    with pytest.raises(ClusterUnreachableError):
        run("logs sketch-7", moment("running_silent", log_error=away))
    there = {"momalisa.dev/output-uri": folder.uri}
    assert run("logs sketch-7", moment("running_silent", annotations=there, log_error=away))[1] == "one\ntwo\nthree\n"


def test_a_rank_that_has_no_log(run: Run, folder: Store) -> None:
    with pytest.raises(ConfigError, match="there are driver, rank-1"):
        run(f"logs {folder.uri} --rank 7")


def test_a_ranks_log_is_followed_in_the_folder(folder: Store) -> None:
    running, over = moment("running_silent"), moment("succeeded")
    cluster = FakeCluster(running, running, over)
    lines, echo = collected()

    def sleep(seconds: float) -> None:
        cluster.sleep(seconds)
        folder.write_bytes("job/" + part_key("rank-1", 0), b"of rank 1\nmore\nand")

    follow_kept_log(cluster, "sketch-7", folder.uri, "rank-1", echo=echo, pace=Pace(sleep=sleep))
    assert lines == ["of rank 1", "more", "and"]


def test_what_was_read_of_a_ranks_log_is_not_read_again(folder: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write_bytes("job/" + part_key("rank-1", 1), b"a\n")
    running = moment("running_silent")
    cluster = FakeCluster(running, running, running, moment("succeeded"))
    lines, echo = collected()
    read: list[tuple[str, bytes]] = []
    read_bytes = Store.read_bytes

    def reading(store: Store, key: str, *span: Any) -> bytes:
        content = read_bytes(store, key, *span)
        read.append((key, content))
        return content

    def sleep(seconds: float) -> None:
        cluster.sleep(seconds)
        if cluster.time > 3:
            folder.write_bytes("job/" + part_key("rank-1", 1), b"a\nb\n")

    monkeypatch.setattr(Store, "read_bytes", reading)
    follow_kept_log(cluster, "sketch-7", folder.uri, "rank-1", echo=echo, pace=Pace(sleep=sleep))
    assert lines == ["of rank 1", "a", "b"]
    first, second = (part_key("rank-1", number) for number in (0, 1))
    assert read == [(first, b"of rank 1\n"), (second, b"a\n"), (second, b"b\n")]


def test_events_are_told_in_order(run: Run) -> None:
    out = run("events sketch-7", moment("scaling_up"))[1].splitlines()
    assert [line.split()[0] for line in out] == ["09:00:30", "09:00:50"]
    assert "TriggeredScaleUp" in out[1]


def test_usage_by_pods_and_its_cost() -> None:
    facts = load("running_silent")[0]
    for pod in facts.pods:
        pod["status"]["startTime"] = "2026-11-22T09:05:00Z"
    used = usage_of(facts)
    assert (used.gpu_s, used.worker_s, used.head_s) == (600, 600, 300)
    worker = 4 * 0.025 + 16 * 0.0034 + 0.56
    head = 2 * 0.025 + 8 * 0.0034
    assert cost_of(used, CONFIG, Prices()) == pytest.approx((600 * worker + 300 * head) / 3600)
    assert cost_of(used, replace(CONFIG, gpu_type="unheard-of"), Prices()) is None


@pytest.mark.parametrize("case", ["queued_in_queue", "quota", "pre_running_deadline"])
def test_a_job_that_waits_has_used_nothing(case: str) -> None:
    """KubeRay sets startTime before it suspends, and keeps it."""
    facts = moment_of(case, hours_later=10)
    assert facts.job is not None
    assert facts.job["status"]["startTime"]
    assert usage_of(replace(facts, pods=())).gpu_s == 0


def test_a_job_whose_workers_were_there_is_reckoned_by_its_times() -> None:
    """Also for those who may not see pods."""
    facts = moment_of("running_silent", hours_later=1)
    assert usage_of(replace(facts, pods=(), unknown={"pods": "no"})).gpu_s > 2 * 3600


def moment_of(case: str, *, hours_later: int) -> JobFacts:
    facts = load(case)[0]
    assert facts.job is not None
    facts.job["metadata"]["annotations"] = {"momalisa.dev/config": json.dumps(to_dict(CONFIG))}
    return replace(facts, now=facts.now + timedelta(hours=hours_later))


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"jobDeploymentStatus": "Complete", "failed": 1, "succeeded": 1}, "without 1 earlier attempt"),
        ({"jobDeploymentStatus": "Complete", "failed": 0, "succeeded": 1}, None),
        ({"jobDeploymentStatus": "Failed", "failed": 3, "succeeded": 0}, "without 2 earlier attempts"),
        ({"jobDeploymentStatus": "Failed", "failed": 1, "succeeded": 0}, None),
        ({"jobDeploymentStatus": "Running", "failed": 1, "succeeded": 0}, "without 1 earlier attempt"),
    ],
)
def test_attempts_that_are_not_counted_are_named(status: dict[str, Any], words: str | None) -> None:
    facts = load("succeeded")[0]
    assert facts.job is not None
    facts.job["status"] |= status
    assert earlier_attempts(facts) == words


def test_cost_of_a_job_whose_pods_are_gone(run: Run, folder: Store) -> None:
    out = run(f"cost {folder.uri}")[1]
    assert "1,200 GPU-seconds" in out
    assert "USD" in out


def test_what_differs_between_two_runs(run: Run, tmp_path: Path) -> None:
    uris = []
    for name, rate, loss in (("a", 1e-5, 0.5), ("b", 2e-5, 0.4)):
        store = open_store(str(tmp_path / name))
        record = {
            "config": {"optimizer": {"learning_rate": rate}, "max_steps": 10},
            "data_uri": "gs://art/data",
            "dataset_fingerprint": "5f",
            "model_fingerprints": {"unet": "aa"},
            "attempts": [{"versions": {"torch": "2.11"}, "git_commit": "abc"}],
        }
        store.write_bytes("run.json", json.dumps(record).encode())
        store.write_bytes("metrics.jsonl", json.dumps({"step": 10, "metrics": {"train/loss": loss}}).encode() + b"\n")
        uris.append(store.uri)
    out = run(f"diff {uris[0]} {uris[1]}")[1]
    assert "optimizer.learning_rate: 1e-05 → 2e-05" in out
    assert "train/loss: 0.5 → 0.4 (-20.0%)" in out
    assert "data: the same" in out


def test_a_folder_without_a_run_has_no_differences() -> None:
    with pytest.raises(ConfigError, match=r"run\.json"):
        compare(RunFacts(uri="a"), RunFacts(uri="b"))
    assert "config: the same" in in_words(RunFacts(uri="a"), RunFacts(uri="b"), [])
