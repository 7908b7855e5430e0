"""What the client asks, and what it makes of answers."""

import json
from pathlib import Path
from typing import Any

import pytest
import urllib3

from momalisa.cluster.client import Cluster
from momalisa.cluster.kinds import NODE, POD, RAY_JOB, RESOURCE_QUOTA
from momalisa.errors import (
    ClusterConflictError,
    ClusterForbiddenError,
    ClusterNotFoundError,
    ClusterRejectedError,
    ClusterUnreachableError,
    ConfigError,
)
from tests.unit.cluster.fake_api import Time, answer, cluster_of, lines, refused

NOBODY_THERE = urllib3.exceptions.NewConnectionError(None, "connection refused")  # type: ignore[arg-type]
CUT_OFF = urllib3.exceptions.ProtocolError("connection aborted")
JOB = {"kind": "RayJob", "metadata": {"name": "moma"}}


def pod(uid: str, version: str = "1") -> dict[str, Any]:
    return {"metadata": {"name": uid, "uid": uid, "resourceVersion": version}}


def pods(*items: dict[str, Any], version: str = "7", **metadata: str) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": version, **metadata}, "items": list(items)}


def test_an_object_is_asked_for_in_its_namespace() -> None:
    cluster, api = cluster_of(answer(JOB))
    assert cluster.get(RAY_JOB, "moma") == JOB
    assert (api.asked[0].method, api.asked[0].path) == ("GET", "/apis/ray.io/v1/namespaces/team/rayjobs/moma")


def test_what_is_not_there_is_not_found() -> None:
    cluster, _ = cluster_of(refused(404, 'rayjobs.ray.io "moma" not found'))
    assert cluster.find(RAY_JOB, "moma") is None
    with pytest.raises(ClusterNotFoundError, match="moma"):
        cluster.get(RAY_JOB, "moma")
    cluster.delete(RAY_JOB, "moma")


def test_a_kind_that_the_cluster_does_not_know_is_named() -> None:
    cluster, _ = cluster_of(answer(b"404 page not found\n", 404))
    with pytest.raises(ClusterNotFoundError, match=r"does not know RayJob.*operator"):
        cluster.get(RAY_JOB, "moma")


def test_lists_come_in_pages_with_their_kinds() -> None:
    cluster, api = cluster_of(answer(pods(pod("a"), **{"continue": "more"})), answer(pods(pod("b"))))
    listed = cluster.list(POD, labels={"a": "1", "b": "2"}, fields={"status.phase": "Running"})
    assert [(item["kind"], item["metadata"]["name"]) for item in listed] == [("Pod", "a"), ("Pod", "b")]
    assert api.asked[0].query["labelSelector"] == "a=1,b=2"
    assert api.asked[1].query["continue"] == "more"
    assert api.asked[1].query["fieldSelector"] == "status.phase=Running"


def test_a_dry_run_is_strict() -> None:
    cluster, api = cluster_of(answer(JOB))
    cluster.create(RAY_JOB, JOB, dry_run=True)
    assert api.asked[0].query == {"fieldValidation": "Strict", "dryRun": "All"}
    assert api.asked[0].body == JOB


def test_an_object_of_any_kind_is_tried_as_helm_would_apply_it() -> None:
    resources = [
        {"name": "gateways", "kind": "Gateway", "namespaced": True},
        {"name": "gatewayclasses", "kind": "GatewayClass", "namespaced": False},
        {"name": "gateways/status", "kind": "Gateway", "namespaced": True},
    ]
    cluster, api = cluster_of(answer({"resources": resources}), answer({}))
    kind = cluster.kind("gateway.networking.k8s.io/v1", "Gateway")
    assert (kind.plural, kind.is_namespaced) == ("gateways", True)
    cluster.would_apply(kind, {"metadata": {"name": "door"}, "spec": {}})
    assert [asked.path for asked in api.asked] == [
        "/apis/gateway.networking.k8s.io/v1",
        "/apis/gateway.networking.k8s.io/v1/namespaces/team/gateways/door",
    ]
    tried = api.asked[1]
    assert (tried.method, tried.headers["Content-Type"]) == ("PATCH", "application/apply-patch+yaml")
    assert tried.query == {"dryRun": "All", "fieldManager": "helm", "force": "true", "fieldValidation": "Strict"}
    assert tried.body["metadata"] == {"name": "door"}


def test_a_kind_that_nobody_brought_is_not_known() -> None:
    cluster, _ = cluster_of(answer({"resources": []}))
    with pytest.raises(ClusterNotFoundError, match=r"does not know PodMonitor \(monitoring.coreos.com/v1\)"):
        cluster.kind("monitoring.coreos.com/v1", "PodMonitor")
    cluster, _ = cluster_of(refused(404, "the server could not find the requested resource"))
    with pytest.raises(ClusterNotFoundError, match="does not know PodMonitor"):
        cluster.kind("monitoring.coreos.com/v1", "PodMonitor")


def test_rights_are_told_from_quotas_and_admission() -> None:
    rights = 'pods is forbidden: User "me" cannot list resource "pods" in API group "" in the namespace "team"'
    cluster, _ = cluster_of(refused(403, rights))
    with pytest.raises(ClusterForbiddenError, match="you may not list pods in namespace team"):
        cluster.list(POD)
    cluster, _ = cluster_of(refused(403, 'rayjobs "moma" is forbidden: exceeded quota: gpus'))
    with pytest.raises(ClusterRejectedError, match="exceeded quota"):
        cluster.create(RAY_JOB, JOB)
    cluster, _ = cluster_of(refused(401, "Unauthorized"))
    with pytest.raises(ClusterForbiddenError, match="log in"):
        cluster.get(NODE, "n")


@pytest.mark.parametrize(("status", "error"), [(409, ClusterConflictError), (422, ClusterRejectedError)])
def test_refusals_keep_the_servers_words(status: int, error: type[Exception]) -> None:
    cluster, _ = cluster_of(refused(status, "spec.x: unknown field"))
    with pytest.raises(error, match=r"spec.x: unknown field"):
        cluster.create(RAY_JOB, JOB)


def test_reads_are_asked_again() -> None:
    time = Time()
    cluster, api = cluster_of(
        NOBODY_THERE, CUT_OFF, refused(503, "starting"), refused(429, "slow", Retry_After="7"), answer(JOB), time=time
    )
    assert cluster.get(RAY_JOB, "moma") == JOB
    assert len(api.asked) == 5
    assert time.slept[-1] == 7


def test_patience_ends() -> None:
    time = Time()
    cluster, _ = cluster_of(NOBODY_THERE, time=time, patience_s=10)
    with pytest.raises(ClusterUnreachableError, match=r"cluster.example.*context lab"):
        cluster.version()
    assert 5 < time.now <= 10


def test_a_create_is_repeated_only_where_nothing_was_done() -> None:
    cluster, api = cluster_of(NOBODY_THERE, refused(429, "slow"), answer(JOB))
    cluster.create(RAY_JOB, JOB)
    assert len(api.asked) == 3
    for failure in (CUT_OFF, refused(500, "who knows")):
        cluster, api = cluster_of(failure, answer(JOB))
        with pytest.raises(ClusterUnreachableError):
            cluster.create(RAY_JOB, JOB)
        assert len(api.asked) == 1


def test_a_patch_is_a_merge_and_insists() -> None:
    cluster, api = cluster_of(refused(409, "changed"), answer(JOB))
    cluster.patch(RAY_JOB, "moma", {"spec": {"suspend": True}})
    assert len(api.asked) == 2
    assert api.asked[1].headers["Content-Type"] == "application/merge-patch+json"
    cluster, _ = cluster_of(refused(409, "changed"))
    with pytest.raises(ClusterConflictError):
        cluster.patch(RAY_JOB, "moma", {})
    cluster, api = cluster_of(answer(JOB))
    cluster.patch(RAY_JOB, "moma", {"status": {}}, subresource="status")
    assert api.asked[0].path.endswith("/rayjobs/moma/status")


def test_a_deletion_says_how_long_to_wait() -> None:
    cluster, api = cluster_of(answer({}))
    cluster.delete(POD, "p", grace_s=0)
    assert api.asked[0].query == {"propagationPolicy": "Background", "gracePeriodSeconds": "0"}


def test_rights_are_asked_for() -> None:
    cluster, api = cluster_of(answer({"status": {"allowed": True}}), answer({"status": {"allowed": False}}))
    assert cluster.may("get", POD, subresource="log")
    assert api.asked[0].body["spec"]["resourceAttributes"] == {
        "verb": "get",
        "resource": "pods",
        "subresource": "log",
        "namespace": "team",
    }
    assert not cluster.may("list", NODE)
    assert "namespace" not in api.asked[1].body["spec"]["resourceAttributes"]


def test_logs_are_lines() -> None:
    cluster, api = cluster_of(answer("1 %\r2 %\rdone\nübrig".encode()))
    assert list(cluster.logs("p", container="head", follow=True, tail_lines=0)) == ["1 %\r2 %\rdone", "übrig"]
    assert api.asked[0].path == "/api/v1/namespaces/team/pods/p/log"
    assert api.asked[0].query == {"container": "head", "follow": "true", "tailLines": "0"}


def test_a_log_that_need_not_be_waited_for() -> None:
    """A node that is gone is answered for with 500, after the API server has tried to reach it."""
    time = Time()
    cluster, _ = cluster_of(refused(500, "dial tcp 10.0.0.7:10250: connect: no route to host"), time=time)
    with pytest.raises(ClusterUnreachableError, match="no route to host"):
        list(cluster.logs("p", tail_lines=200, patience_s=5))
    assert time.now <= 5


def test_a_watch_begins_with_what_is_there_and_lists_again_when_it_must() -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}
    time = Time()

    def end(_: Any) -> Any:
        time.now = 60.0
        return lines()(_)

    cluster, api = cluster_of(
        answer(pods(pod("a"), pod("b"))),
        lines({"type": "MODIFIED", "object": pod("a", "2")}, gone),
        answer(pods(pod("a", "2"), pod("c"), version="9")),
        end,
        time=time,
    )
    seen = [(happened, item["metadata"]["name"]) for happened, item in cluster.watch(POD, timeout_s=60)]
    assert seen == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b"), ("ADDED", "c")]
    assert [asked.query.get("resourceVersion") for asked in api.asked] == [None, "7", None, "9"]


def test_pages_that_expire_are_a_refusal() -> None:
    cluster, _ = cluster_of(refused(410, "expired"))
    with pytest.raises(ClusterRejectedError, match="expired"):
        cluster.list(RESOURCE_QUOTA)


def test_the_context_gives_server_and_namespace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config"
    context = {"name": "lab", "context": {"cluster": "c", "user": "u", "namespace": "art"}}
    plain = {"name": "plain", "context": {"cluster": "c", "user": "u"}}
    config = {
        "current-context": "lab",
        "contexts": [context, plain],
        "clusters": [{"name": "c", "cluster": {"server": "https://cluster.example"}}],
        "users": [{"name": "u", "user": {"token": "t"}}],
    }
    file.write_text(json.dumps(config))
    monkeypatch.setenv("KUBECONFIG", str(file))
    cluster = Cluster.connect()
    assert (cluster.context, cluster.namespace, cluster.server) == ("lab", "art", "https://cluster.example")
    assert Cluster.connect(namespace="other").namespace == "other"
    assert Cluster.connect(context="plain").namespace == "momalisa"
    with pytest.raises(ConfigError, match=r"no context 'nope'.*lab, plain"):
        Cluster.connect(context="nope")


def test_no_kubeconfig_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="KUBECONFIG"):
        Cluster.connect()


CONTEXT = {"name": "lab", "context": {"cluster": "c", "user": "u"}}
WITHOUT_CURRENT = {
    "contexts": [CONTEXT],
    "clusters": [{"name": "c", "cluster": {"server": "https://cluster.example"}}],
    "users": [{"name": "u", "user": {"token": "t"}}],
}


def test_a_context_that_is_given_needs_no_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config"
    file.write_text(json.dumps(WITHOUT_CURRENT))
    monkeypatch.setenv("KUBECONFIG", str(file))
    assert Cluster.connect(context="lab").server == "https://cluster.example"
    with pytest.raises(ConfigError, match="--context lab"):
        Cluster.connect()


@pytest.mark.parametrize(
    "text", ["{", "- 1", "contexts: 7", "contexts: [7]", "just words", "", "\x00", "contexts: [{}]"]
)
def test_a_broken_kubeconfig_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    monkeypatch.setenv("KUBECONFIG", str(file))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for context in (None, "lab"):
        with pytest.raises(ConfigError):
            Cluster.connect(context=context)


def test_a_pod_without_a_token_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(ConfigError, match="mount a token"):
        Cluster.connect()
