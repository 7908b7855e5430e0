"""`momalisa release`, from flags to exit codes."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from momalisa import cli
from momalisa.cluster.client import Cluster
from momalisa.cluster.kinds import POD, RAY_CLUSTER, RAY_SERVICE
from momalisa.release import command, waiting
from momalisa.release.states import State, Verdict
from momalisa.release.waiting import Outcome
from tests.unit.cluster.namespace_in_memory import InMemory
from tests.unit.release import fake_helm
from tests.unit.release.examples import NAME, cluster_spec, pod, ray_cluster, ray_service, running
from tests.unit.release.test_comparing import with_image
from tests.unit.release.test_planning import keep
from tests.unit.release.test_verdict import NEW, OLD


def hold(cluster: InMemory, service: dict[str, Any], clusters: dict[str, Any]) -> None:
    """The RayService, and RayClusters of these specs with a head and a worker each."""
    cluster.put(RAY_SERVICE, NAME, **{key: service[key] for key in ("metadata", "spec", "status")})
    for name, spec in clusters.items():
        ours = ray_cluster(name, spec)
        cluster.put(RAY_CLUSTER, name, **{key: ours[key] for key in ("metadata", "spec", "status")})
        for each in (pod(name, "head"), pod(name, "worker")):
            cluster.put(POD, each["metadata"]["name"], **{key: each[key] for key in ("metadata", "spec", "status")})


def upgrade(cluster: InMemory, image: str = "momalisa:2", revision: int = 2) -> None:
    """Helm has upgraded, and the second cluster is on its way."""
    wanted = ray_service(cluster=with_image(image))
    hold(cluster, running(wanted, pending=NEW), {OLD: cluster_spec(), NEW: with_image(image)})
    keep(cluster, {}, [wanted], revision=revision)


def calls(folder: Path) -> list[str]:
    """Helm's."""
    return (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> InMemory:
    found = InMemory()
    live = running()
    hold(found, live, {OLD: cluster_spec()})
    keep(found, {}, [ray_service()])
    monkeypatch.setattr(Cluster, "connect", lambda **_: found)
    return found


@pytest.fixture
def helm(tmp_path: Path) -> list[str]:
    """Flags."""
    return ["--helm", fake_helm.install(tmp_path)[0]]


def manifest(folder: Path, **service: Any) -> str:
    file = folder / "rendered.yaml"
    file.write_text(json.dumps(ray_service(**service)))
    return str(file)


def test_a_plan_of_a_manifest(cluster: InMemory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same, other = manifest(tmp_path), ["release", "plan", NAME, "--manifest"]
    assert cli.main([*other, same, "--at-most", "nothing"]) == 0
    assert capsys.readouterr().out.startswith(f"{NAME}: nothing changes")
    changed = manifest(tmp_path, cluster=with_image("momalisa:2"))
    assert cli.main([*other, changed]) == 3  # there is no node
    assert "no node could hold headGroupSpec" in capsys.readouterr().out
    cluster.denied.add(("list", "Node"))
    assert cli.main([*other, changed, "--at-most", "group-added"]) == 4
    assert cli.main([*other, changed, "--at-most", "second-cluster", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.partition("\n{")[2].join(["{", ""]))["weight"] == "second-cluster"


def test_a_plan_of_a_chart(
    cluster: InMemory, tmp_path: Path, helm: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--chart", str(tmp_path / "chart"), "--set", "workers.maxReplicas=20", *helm]
    assert cli.main(["release", "plan", NAME, *flags]) == 0
    assert "workerGroupSpecs[renderers].maxReplicas: 8 → 20" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--manifest", "absent.yaml"], "absent.yaml cannot be read"),
        (["--manifest", "x", "--set", "a=b"], "is rendered already"),
        (["--helm", "no-such-helm"], "install Helm 4"),
    ],
)
def test_wrong_input(cluster: InMemory, flags: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["release", "plan", NAME, *flags]) == 2
    assert words in capsys.readouterr().err


def test_status(cluster: InMemory, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["release", "status", NAME]) == 0
    assert capsys.readouterr().out.startswith(f"{NAME} serving: {OLD} serves as it is wanted, at 1 endpoint")
    assert cli.main(["release", "status", NAME, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["state"], told["serving"]) == (NAME, "serving", OLD)
    assert cli.main(["release", "status", "another"]) == 5
    assert "there is no RayService another" in capsys.readouterr().out


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The exit codes of waits to come."""
    codes: list[int] = []

    def wait(*_: Any, **__: Any) -> Outcome:
        code = codes.pop(0)
        return Outcome(code, Verdict(state=State.SERVING, headline="", exit_code=code))

    monkeypatch.setattr(command, "wait", wait)
    return codes


@pytest.mark.parametrize(
    ("codes", "flags", "exit_code", "rolls_back"),
    [
        ([0], [], 0, False),
        ([4], [], 4, False),
        ([0], ["--rollback-on-failure"], 0, False),
        ([4, 0], ["--rollback-on-failure"], 3, True),
        ([1, 4], ["--rollback-on-failure"], 4, True),
    ],
)
def test_wait(
    cluster: InMemory,
    waits: list[int],
    tmp_path: Path,
    helm: list[str],
    codes: list[int],
    flags: list[str],
    exit_code: int,
    rolls_back: bool,
) -> None:
    upgrade(cluster)
    waits += codes
    assert cli.main(["release", "wait", NAME, "--timeout", "5m", *flags, *helm]) == exit_code
    assert [call.split()[:3] for call in calls(tmp_path)] == [["rollback", NAME, "1"]] * rolls_back


@pytest.mark.parametrize("is_leaving", [False, True])
def test_what_is_not_there_is_not_rolled_back(
    cluster: InMemory, tmp_path: Path, helm: list[str], is_leaving: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "wait", partial(waiting.wait, settled_s=0.0))
    if is_leaving:
        cluster.objects["RayService", NAME]["metadata"]["deletionTimestamp"] = "2026-11-22T10:09:00Z"
    else:
        cluster.objects.pop(("RayService", NAME))
    assert cli.main(["release", "wait", NAME, "--rollback-on-failure", *helm]) == 5
    assert cli.main(["release", "back", NAME, *helm]) == 5
    assert not calls(tmp_path)


def test_back_twice_does_not_come_back_to_what_is_broken(
    cluster: InMemory, waits: list[int], tmp_path: Path, helm: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    upgrade(cluster)
    waits += [0, 0]
    assert cli.main(["release", "back", NAME, *helm]) == 0
    keep(cluster, {}, [ray_service()], revision=3, info={"status": "deployed", "description": "Rollback to 1"})
    hold(cluster, running(), {OLD: cluster_spec()})
    assert cli.main(["release", "back", NAME, *helm]) == 0
    assert [call.split()[:3] for call in calls(tmp_path)] == [["rollback", NAME, "1"]]
    assert "serves as it is wanted, at 1 endpoint: choose yourself" in capsys.readouterr().err


def test_without_a_way_back_nothing_is_done(
    cluster: InMemory, waits: list[int], tmp_path: Path, helm: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    upgrade(cluster)
    cluster.objects.pop(("RayCluster", OLD))
    assert cli.main(["release", "back", NAME, *helm]) == 3
    assert f"the RayCluster {OLD} is gone: wait for the next one" in capsys.readouterr().err
    waits.append(4)
    assert cli.main(["release", "wait", NAME, "--rollback-on-failure", *helm]) == 4
    assert not calls(tmp_path)


def test_back_from_a_rollback_that_was_made_already(
    cluster: InMemory, waits: list[int], tmp_path: Path, helm: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    waits += [0, 0]
    dropped: list[str] = []
    monkeypatch.setattr(command, "drop_pending", lambda _, name, **__: dropped.append(name))
    hold(cluster, running(pending=NEW), {OLD: cluster_spec()})
    assert cli.main(["release", "back", NAME, *helm]) == 0
    assert dropped == [NAME]
    assert not calls(tmp_path)
    assert cli.main(["release", "back", NAME, "--revision", "2", *helm]) == 0
    assert len(calls(tmp_path)) == 1


def test_back_to_a_revision(cluster: InMemory, waits: list[int], tmp_path: Path, helm: list[str]) -> None:
    waits.append(0)
    assert cli.main(["release", "back", NAME, "--revision", "4", *helm]) == 0
    assert calls(tmp_path) == [f"rollback {NAME} 4 --namespace momalisa --kube-context lab"]
