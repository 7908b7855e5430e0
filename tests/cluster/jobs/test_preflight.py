"""What preflight refuses, on a real API server: each rule by itself, with its fix, and nothing is created."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.api import ApiError
from tests.cluster.gcs import ClusterGcs
from tests.cluster.jobs.small import train_flags
from tests.cluster.person import Person

_KUEUE = "kueue.x-k8s.io"
_CRD = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {
        "name": f"localqueues.{_KUEUE}",
        "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
    },
    "spec": {
        "group": _KUEUE,
        "scope": "Namespaced",
        "names": {"kind": "LocalQueue", "plural": "localqueues", "singular": "localqueue"},
        "versions": [
            {
                "name": "v1beta1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}},
            }
        ],
    },
}
_REFUSED = 2


def test_each_rule_is_refused_before_anything_is_created(
    person: Person, gcs: ClusterGcs, museum: str, bucket: str
) -> None:
    base = train_flags(gcs, museum, "refused", bucket=bucket)
    cases: dict[str, tuple[list[str], str]] = {
        "quota": (["--gpus-per-worker", "3"], "requests.nvidia.com/gpu"),
        "limits": (["--head-memory-gib", "17"], "more than 16Gi memory"),
        "ServiceAccount": (["--service-account", "nobody"], "no ServiceAccount nobody"),
        "storage": (["--data", f"{museum}/nothing"], "there is no dataset"),
        "dry run": (["--image", "foreign/momalisa:1"], "not an image"),
    }
    for check, (flags, words) in cases.items():
        _is_refused(person, [*base, *flags], check, words)
    _is_refused(person, [*base, "--set", f"model.uri={museum}/data"], "storage", "no model_index.json")
    _created_nothing(person)
    assert gcs.names(f"{bucket}/refused") == []


def test_what_only_an_administrator_may_look_at(
    person: Person, gcs: ClusterGcs, museum: str, bucket: str, tmp_path: Path
) -> None:
    """Nodes, PriorityClasses and Secrets: unknown to others, whose jobs' pods tell it."""
    namespace = person.namespace
    admin = Person(namespace, gcs, tmp_path, namespace.cluster.kubeconfig)
    base = [*train_flags(gcs, museum, "refused", bucket=bucket), "--namespace", namespace.name]
    cases = {
        "Secrets": (["--secret-env", "HF_HOME=lost/key"], "there is no Secret lost"),
        "priority": (["--priority-class", "momalisa-first"], "no PriorityClass momalisa-first"),
        "nodes": (["--cpu-overcommit", "1", "--head-cpus", "99"], "no node could hold one"),
    }
    for check, (flags, words) in cases.items():
        _is_refused(admin, [*base, *flags], check, words)
    others = person.jobs("submit", *base, "--priority-class", "momalisa-first", "--data", f"{museum}/nothing")
    for check in ("nodes", "priority"):
        assert re.search(rf"unknown +{check}", others.out), others.all
    _created_nothing(person)


def test_what_cannot_be_is_one_line_with_the_fix(person: Person, gcs: ClusterGcs, museum: str) -> None:
    base = train_flags(gcs, museum, "refused", bucket=museum)
    for flags, fix in (
        (["--name", "x" * 48], "--name"),
        (["--env", "HF_TOKEN=abc"], "--secret-env"),
        (["--set", "max_stepz=3"], "max_steps"),
        (["--queue", "q", "--autoscale"], "drop"),
        (["--set", "resources.num_workers=0"], "num_workers"),
        (["--start-deadline", "soon"], "30m"),
    ):
        said = person.jobs("submit", *base, *flags)
        assert said.code == _REFUSED, said.all
        assert fix in said.err, said.all
        assert "Traceback" not in said.err, said.all
    _created_nothing(person)


def test_an_api_server_that_is_not_there(person: Person, gcs: ClusterGcs, museum: str) -> None:
    config = Path(person.env["KUBECONFIG"])
    config.write_text(config.read_text().replace(person.namespace.api.server, "https://127.0.0.1:9"))
    said = person.jobs("submit", *train_flags(gcs, museum, "refused", bucket=museum))
    assert said.code == _REFUSED, said.all
    assert "another --context" in said.out, said.all


def test_who_may_only_read_is_told_whom_to_ask(person: Person, gcs: ClusterGcs, museum: str, tmp_path: Path) -> None:
    namespace = person.namespace
    reader = Person(namespace, gcs, tmp_path, namespace.kubeconfig_of("momalisa-reader"))
    said = reader.jobs("submit", *train_flags(gcs, museum, "refused", bucket=museum))
    assert said.code == _REFUSED, said.all
    assert "you may not create rayjobs" in said.out, said.all
    assert "Role `submitter`" in said.out, said.all
    listed = reader.jobs("list")
    assert (listed.code, listed.out) == (0, "no jobs\n"), listed.all


@pytest.fixture
def _kueues_crd(person: Person) -> Iterator[None]:
    """Its API, without Kueue: enough to know that a queue is not there."""
    api = person.namespace.api
    path = f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/localqueues.{_KUEUE}"
    if api.find(path) is not None:
        yield
        return
    api.apply(_CRD)
    queues = f"/apis/{_KUEUE}/v1beta1/namespaces/{person.namespace.name}/localqueues"
    person.namespace.wait_for("LocalQueues are served", lambda: _is_served(person, queues), deadline_s=30)
    yield
    api.delete(path)


@pytest.mark.usefixtures("_kueues_crd")
def test_a_queue_that_is_not_there(person: Person, gcs: ClusterGcs, museum: str) -> None:
    said = person.jobs("submit", *train_flags(gcs, museum, "refused", bucket=museum), "--queue", "gallery")
    assert said.code == _REFUSED, said.all
    assert "no LocalQueue gallery" in said.out, said.all
    _created_nothing(person)


def _is_served(person: Person, path: str) -> bool:
    try:
        person.namespace.api.get(path)
    except ApiError:
        return False
    return True


def _is_refused(person: Person, flags: list[str], check: str, words: str) -> None:
    said = person.jobs("submit", *flags)
    assert said.code == _REFUSED, f"{check}: {said.all}"
    lines = [line for line in said.out.splitlines() if line.startswith("failed")]
    assert any(check in line for line in lines), f"{check}: {said.all}"
    assert words in said.out, f"{check}: {said.all}"
    assert "→" in said.out, f"{check}: no fix in {said.all}"


def _created_nothing(person: Person) -> None:
    namespace = person.namespace
    assert namespace.api.items(namespace.path("rayjobs", group="ray.io/v1")) == []
    assert namespace.api.items(namespace.path("pods")) == []
