"""`momalisa jobs submit|cancel|retry`, from flags to exit codes."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from momalisa import cli
from momalisa.cluster import command, submitting
from momalisa.cluster.client import Cluster
from momalisa.cluster.kinds import RAY_JOB
from momalisa.cluster.manifests import CONFIG_ANNOTATION, OUTPUT_ANNOTATION
from momalisa.cluster.preflight import Finding
from tests.unit.cluster.namespace_in_memory import InMemory

TRAIN = ["jobs", "submit", "train", "--recipe", "demo", "--data", "gs://museum/shards", "--image", "momalisa:1"]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> InMemory:
    found = InMemory()
    monkeypatch.setattr(Cluster, "connect", lambda **_: found)
    monkeypatch.setattr(submitting, "preflight", lambda *_: [Finding("quota", "ok", "it fits")])
    monkeypatch.setattr(submitting, "follow", lambda *_, **__: 3)
    return found


def train(tmp_path: Path, *more: str) -> int:
    return cli.main([*TRAIN, "--output", str(tmp_path / "mona"), *more])


def test_a_dry_run_is_a_manifest_and_needs_no_cluster(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    flags = ["--dry-run", "--num-workers", "2", "--gpus-per-worker", "1", "--set", "max_steps=9", "--env", "A=b=c"]
    assert train(tmp_path, *flags) == 0
    job = yaml.safe_load(capsys.readouterr().out)
    assert job["metadata"]["namespace"] == "momalisa"
    assert job["metadata"]["name"] == "mona"
    assert job["spec"]["entrypoint"].endswith("--num-workers 2 --resume auto --set max_steps=9")
    config = json.loads(job["metadata"]["annotations"][CONFIG_ANNOTATION])
    assert (config["worker"]["gpus"], config["max_steps"], config["env"]) == (1, 9, {"A": "b=c"})


def test_yes_submits_and_the_exit_code_is_the_jobs(
    cluster: InMemory, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert train(tmp_path, "--yes") == 3
    assert cluster.find(RAY_JOB, "mona")
    told = capsys.readouterr().out
    for words in ("context lab, namespace momalisa", "it fits", "submitted mona", "momalisa jobs follow mona"):
        assert words in told


def test_detached_is_done(cluster: InMemory, tmp_path: Path) -> None:
    assert train(tmp_path, "--yes", "--detach") == 0


def test_nobody_to_ask_is_an_error(
    cluster: InMemory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    assert train(tmp_path) == 2
    assert "--yes for scripts" in capsys.readouterr().err
    assert cluster.find(RAY_JOB, "mona") is None


@pytest.mark.parametrize(("answer", "submits"), [("y", True), ("", False), ("no", False)])
def test_a_person_is_asked_once(
    cluster: InMemory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: str, submits: bool
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: answer)
    assert train(tmp_path, "--detach") == 0
    assert (cluster.find(RAY_JOB, "mona") is not None) == submits


def test_no_answer_is_no_yes(
    cluster: InMemory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def hang_up(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", hang_up)
    assert train(tmp_path) == 2
    assert "nobody answered" in capsys.readouterr().err
    assert cluster.find(RAY_JOB, "mona") is None


def test_a_failed_check_creates_nothing(
    cluster: InMemory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failed = Finding("nodes", "failed", "no node could hold [one]", "add a node")
    monkeypatch.setattr(submitting, "preflight", lambda *_: [failed])
    assert train(tmp_path, "--yes") == 2
    assert "no node could hold [one] → add a node" in " ".join(capsys.readouterr().out.split())
    assert not cluster.objects
    assert train(tmp_path, "--yes", "--detach", "--ignore", "nodes") == 0
    assert train(tmp_path, "--yes", "--ignore", "node") == 2
    assert "there is no check 'node'" in capsys.readouterr().err


REFUSED: list[tuple[list[str], str]] = [
    (["--set", "max_step=1"], "did you mean max_steps"),
    (["--num-workers", "0"], "resources.num_workers"),
    (["--deadline", "0"], "--deadline"),
    (["--env", "A"], "--env NAME=VALUE"),
    (["--model", "tiny"], "--set model.uri"),
    (["--image", ""], "MOMALISA_IMAGE"),
    (["--name", "Mona"], "--name"),
    (["--head-cpus", "0"], "0 CPUs"),
    (["--prices", "/no/such/file"], "cannot be read"),
]


@pytest.mark.parametrize(("flags", "words"), REFUSED)
def test_wrong_flags_are_told_with_their_fix(
    cluster: InMemory, capsys: pytest.CaptureFixture[str], tmp_path: Path, flags: list[str], words: str
) -> None:
    assert train(tmp_path, "--yes", *flags) == 2
    assert words in capsys.readouterr().err
    assert not cluster.objects


def other(kind: str, *more: str) -> int:
    place = ["--data", "gs://museum/in", "--output", "gs://museum/out", "--image", "momalisa:1", "--dry-run"]
    return cli.main(["jobs", "submit", kind, *place, *more])


def test_walks_and_preparations(cluster: InMemory, capsys: pytest.CaptureFixture[str]) -> None:
    assert other("walk", "--model", "tiny", "--job-args", "--format mp4", "--num-workers", "3") == 0
    walk = yaml.safe_load(capsys.readouterr().out)["spec"]["entrypoint"]
    assert walk.endswith("--num-workers 3 --cpus-per-worker 4 --gpus-per-worker 1 --model tiny --format mp4")
    assert other("prepare", "--job-args", "--caption-template '{title}'") == 0
    prepare = yaml.safe_load(capsys.readouterr().out)["spec"]["entrypoint"]
    assert prepare.endswith("--input gs://museum/in --output gs://museum/out --caption-template '{title}'")
    assert other("walk") == 2
    assert other("walk", "--model", "") == 2
    assert other("prepare", "--set", "a=b") == 2
    assert other("train") == 2


def test_a_duration_that_is_none_is_refused_by_argparse(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        train(tmp_path, "--deadline", "soon")
    assert "30m" in capsys.readouterr().err


def test_cancel_and_retry(cluster: InMemory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, Any] = {}
    monkeypatch.setattr(command, "cancel", lambda _, name, **rest: asked.update(rest, name=name))
    assert cli.main(["jobs", "cancel", "mona", "--grace", "2m", "--yes"]) == 0
    assert (asked["name"], asked["grace_s"], asked["at_once"]) == ("mona", 120, False)
    assert train(tmp_path, "--yes", "--detach") == 0
    assert cli.main(["jobs", "retry", "mona", "--yes"]) == 2  # it has not ended
    cluster.objects["RayJob", "mona"]["status"] = {"jobDeploymentStatus": "Failed"}
    assert cli.main(["jobs", "retry", "mona", "--yes", "--set", "backoff_limit=0"]) == 3
    assert cluster.get(RAY_JOB, "mona")["spec"]["backoffLimit"] == 0


def test_ended_jobs_are_deleted(cluster: InMemory, tmp_path: Path) -> None:
    for name in ("mona", "lisa"):
        assert train(tmp_path, "--yes", "--detach", "--name", name) == 0
        cluster.objects["RayJob", name]["status"] = {"jobDeploymentStatus": "Complete"}
    assert cli.main(["jobs", "delete", "mona", "lisa", "--yes"]) == 0
    assert not cluster.list(RAY_JOB)
    assert cli.main(["jobs", "delete", "mona", "--yes"]) == 1


def test_what_was_submitted_here_needs_no_output_when_its_rayjob_is_gone(
    cluster: InMemory, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MOMALISA_CACHE", str(tmp_path / "cache"))
    assert train(tmp_path, "--yes", "--detach") == 0
    cluster.objects.clear()
    assert cli.main(["jobs", "retry", "mona", "--yes", "--detach"]) == 0
    assert cluster.get(RAY_JOB, "mona")["metadata"]["annotations"][OUTPUT_ANNOTATION] == str(tmp_path / "mona")
    cluster.objects.clear()
    monkeypatch.setattr(cluster, "context", "another")
    assert cli.main(["jobs", "retry", "mona", "--yes", "--detach"]) == 2


def test_a_job_that_is_not_there(cluster: InMemory, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["jobs", "cancel", "mona", "--yes"]) == 1
    assert "mona" in capsys.readouterr().err


def test_an_interrupt_is_no_disaster(
    cluster: InMemory, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command, "cancel", interrupted)
    assert cli.main(["jobs", "cancel", "mona", "--yes"]) == 130
    assert "goes on" in capsys.readouterr().err
