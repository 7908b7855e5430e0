"""Everything is looked at, everything is told, and what may not be looked at is never said to be well."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from momalisa.cluster.config import PodResources
from momalisa.cluster.kinds import (
    LIMIT_RANGE,
    LOCAL_QUEUE,
    NAMESPACE,
    NODE,
    PRIORITY_CLASS,
    RAY_JOB,
    RESOURCE_QUOTA,
    SECRET,
    SERVICE_ACCOUNT,
)
from momalisa.cluster.preflight import Finding, has_failed, preflight
from momalisa.errors import AccessDeniedError, ClusterRejectedError, ClusterUnreachableError, ObjectNotFoundError
from momalisa.storage import Store
from tests.unit.cluster.examples import config
from tests.unit.cluster.namespace_in_memory import InMemory

DATA, OUTPUT = "gs://museum/shards", "gs://museum/runs/watercolours"


@pytest.fixture(autouse=True)
def bucket(monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """Objects by their URIs."""
    objects: dict[str, bytes] = {f"{DATA}/manifest.json": b"{"}

    def read(store: Store, key: str, *_: Any) -> bytes:
        if store.uri_of(key) not in objects:
            raise ObjectNotFoundError(key)
        return objects[store.uri_of(key)]

    monkeypatch.setattr(Store, "read_bytes", read)
    monkeypatch.setattr(Store, "exists", lambda store, key: store.uri_of(key) in objects)
    monkeypatch.setattr("momalisa.cluster.storage_checks.DatasetManifest", FakeManifest)
    return objects


class FakeManifest:
    @classmethod
    def model_validate_json(cls, _: bytes) -> "FakeManifest":
        return cls()

    def shards_of(self, _: str) -> list[Any]:
        return []


def healthy() -> InMemory:
    cluster = InMemory()
    for name in ("momalisa-job", "momalisa-autoscaled"):
        cluster.put(SERVICE_ACCOUNT, name)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.put(NAMESPACE, "momalisa", metadata={"labels": labels})
    there = {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "2"}
    node_labels = {"cloud.google.com/gke-accelerator": "nvidia-l4"}
    cluster.put(NODE, "n1", metadata={"labels": node_labels}, spec={}, status={"allocatable": there})
    return cluster


def found(cluster: InMemory, **changes: Any) -> dict[str, list[Finding]]:
    by_check: dict[str, list[Finding]] = {}
    for finding in preflight(cluster, config(**changes)):
        by_check.setdefault(finding.check, []).append(finding)
    return by_check


def test_a_healthy_cluster_takes_it() -> None:
    findings = preflight(healthy(), config())
    assert not has_failed(findings)
    assert [f.check for f in findings if f.outcome == "unknown"] == ["storage", "image"]  # the hub's model, the pull


def put_quota(cluster: InMemory) -> None:
    cluster.put(RESOURCE_QUOTA, "q", spec={}, status={"hard": {"requests.nvidia.com/gpu": "3"}})


def put_full_of_jobs(cluster: InMemory) -> None:
    full = {"count/rayjobs.ray.io": "100"}
    cluster.put(RESOURCE_QUOTA, "q", spec={}, status={"hard": full, "used": full})


def put_limits(cluster: InMemory) -> None:
    cluster.put(LIMIT_RANGE, "l", spec={"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]})


FAILURES: dict[str, tuple[Callable[[InMemory], Any], dict[str, Any], str, str]] = {
    "rights": (lambda c: c.denied.add(("create", "RayJob")), {}, "rights", "you may not create rayjobs.ray.io"),
    "no KubeRay": (lambda c: c.paths.clear(), {}, "KubeRay", "does not know ray.io/v1"),
    "no RayJob": (lambda c: c.paths["/apis/ray.io/v1"]["resources"].clear(), {}, "KubeRay", "knows no RayJobs"),
    "exists": (lambda c: c.put(RAY_JOB, "watercolours"), {}, "dry run", "there is a RayJob watercolours already"),
    "refused": (
        lambda c: c.failing.update({("dry-run", "RayJob"): ClusterRejectedError("not an image that may run here")}),
        {},
        "dry run",
        "not an image that may run here",
    ),
    "quota": (put_quota, {}, "quota", "requests.nvidia.com/gpu: 4"),
    "limits": (put_limits, {}, "limits", "may use more than 1Gi memory"),
    "account": (lambda c: c.objects.pop(("ServiceAccount", "momalisa-job")), {}, "ServiceAccount", "momalisa-job"),
    "autoscaler": (
        lambda c: c.objects.pop(("ServiceAccount", "momalisa-autoscaled")),
        {"autoscale": True},
        "ServiceAccount",
        "momalisa-autoscaled",
    ),
    "secret": (lambda c: None, {"secret_env": {"T": "hub/token"}}, "Secrets", "no Secret hub"),
    "queue": (
        lambda c: c.paths.update({f"/apis/{LOCAL_QUEUE.api_version}": {"resources": [1]}}),
        {"queue": "gpus"},
        "queue",
        "no LocalQueue gpus",
    ),
    "priority": (lambda c: None, {"priority_class": "high"}, "priority", "no PriorityClass high"),
    "nodes": (
        lambda c: None,
        {"worker": PodResources(cpus=1, memory_gib=1, gpus=4)},
        "nodes",
        "n1: it has 2 nvidia.com/gpu of 4",
    ),
    "disk": (lambda c: None, {"data_uri": "/data"}, "storage", "which no pod sees"),
    "memory": (lambda c: None, {"output_uri": "memory://out"}, "storage", "which no pod sees"),
    "scheme": (lambda c: None, {"output_uri": "gss://out"}, "storage", "unknown scheme"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_each_failure_is_found_and_has_a_fix(name: str) -> None:
    spoil, changes, check, words = FAILURES[name]
    cluster = healthy()
    spoil(cluster)
    findings = found(cluster, **changes)
    failed = [f for f in findings[check] if f.outcome == "failed"]
    assert any(words in f.words for f in failed), findings[check]
    assert all(f.fix for f in failed)
    assert not any(verb == "create" for verb, _, _ in cluster.calls)


def test_a_namespace_full_of_ended_jobs_is_told_from_one_without_gpus() -> None:
    cluster = healthy()
    put_full_of_jobs(cluster)
    (finding,) = found(cluster)["quota"]
    assert "momalisa jobs delete" in finding.fix
    put_quota(cluster)
    assert "--num-workers fewer" in found(cluster)["quota"][0].fix


UNREADABLE = {
    "quota": ("list", "ResourceQuota"),
    "limits": ("list", "LimitRange"),
    "Pod Security": ("get", "Namespace"),
    "ServiceAccount": ("get", "ServiceAccount"),
    "Secrets": ("get", "Secret"),
    "priority": ("get", "PriorityClass"),
    "nodes": ("list", "Node"),
}


@pytest.mark.parametrize("check", UNREADABLE)
def test_what_may_not_be_looked_at_is_unknown(check: str) -> None:
    cluster = healthy()
    cluster.put(SECRET, "hub")
    cluster.put(PRIORITY_CLASS, "high")
    cluster.denied.add(UNREADABLE[check])
    findings = found(cluster, secret_env={"T": "hub/token"}, priority_class="high")
    assert [f.outcome for f in findings[check]] == ["unknown"]


def test_rights_that_are_only_useful_do_not_stop_anyone() -> None:
    cluster = healthy()
    cluster.denied.add(("get", "log"))
    (finding,) = found(cluster)["rights"]
    assert finding.outcome == "unknown"
    assert "get pods/log" in finding.words


def test_without_a_cluster_nothing_else_is_asked() -> None:
    cluster = healthy()
    cluster.failing["version", ""] = ClusterUnreachableError("no answer")
    findings = found(cluster)
    assert findings["API server"][0].outcome == "failed"
    assert findings["nodes"] == [Finding("nodes", "unknown", "the API server was not reached")]
    assert not cluster.calls


def test_an_old_kuberay_is_told_by_its_fields() -> None:
    cluster = healthy()
    schemas = cluster.paths["/openapi/v3/apis/ray.io/v1"]["components"]["schemas"]
    schemas["io.ray.v1.RayJob"] = {"properties": {"spec": {"properties": {"entrypoint": {}}}}}
    assert "preRunningDeadlineSeconds" in found(cluster)["KubeRay"][0].words


def test_a_stand_in_for_kueue_cannot_be_told() -> None:
    assert found(healthy(), queue="gpus")["queue"][0].outcome == "unknown"


def test_a_pool_may_bring_a_node() -> None:
    cluster = healthy()
    cluster.objects["Node", "n1"]["metadata"]["labels"]["cloud.google.com/gke-nodepool"] = "gpus"
    findings = found(cluster, worker=PodResources(cpus=1, memory_gib=1, gpus=4))["nodes"]
    assert [f.outcome for f in findings] == ["unknown"]


def test_a_bucket_may_be_closed_to_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> Any:
        raise AccessDeniedError("403")

    monkeypatch.setattr(Store, "read_bytes", refuse)
    monkeypatch.setattr(Store, "exists", refuse)
    assert {f.outcome for f in found(healthy())["storage"]} == {"unknown"}


def test_a_run_that_is_there_is_told(bucket: dict[str, bytes]) -> None:
    bucket[f"{OUTPUT}/run.json"] = json.dumps({}).encode()
    assert any("it will go on" in f.words for f in found(healthy())["storage"])


@pytest.mark.parametrize(("silent_s", "outcome"), [(5, "failed"), (500, "ok")])
def test_a_run_that_is_at_work_is_not_disturbed(bucket: dict[str, bytes], silent_s: float, outcome: str) -> None:
    owner = {"token": "t", "node": "head-7", "pid": 1, "renewed": time.time() - silent_s}
    bucket |= {f"{OUTPUT}/run.json": b"{}", f"{OUTPUT}/control/owner.json": json.dumps(owner).encode()}
    (finding,) = [f for f in found(healthy())["storage"] if "output" in f.words]
    assert finding.outcome == outcome
    assert ("at work" in finding.words, "--output" in finding.fix) == (outcome == "failed",) * 2


def test_a_model_in_a_bucket_is_looked_for(bucket: dict[str, bytes]) -> None:
    arguments = ("--set", "model.uri=gs://museum/model")
    assert any("no model in" in f.words for f in found(healthy(), arguments=arguments)["storage"])
    bucket["gs://museum/model/model_index.json"] = b"{}"
    assert any("there is a model" in f.words for f in found(healthy(), arguments=arguments)["storage"])


def test_a_quota_that_is_not_yet_counted_wants_patience() -> None:
    cluster = healthy()
    refusal = "forbidden: status unknown for quota: jobs, resources: count/rayjobs.ray.io"
    cluster.failing["dry-run", "RayJob"] = ClusterRejectedError(refusal)
    (finding,) = found(cluster)["dry run"]
    assert "wait until Kubernetes has counted that quota" in finding.fix
