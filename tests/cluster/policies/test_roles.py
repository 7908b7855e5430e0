"""Who may do what, asked of a real API server."""

from collections.abc import Callable
from typing import Any

import pytest

from momalisa.cluster.isolation import network_policy
from tests.cluster.api import Api, ApiError
from tests.cluster.guarded import pod, rayjob, suspended_rayjob
from tests.cluster.handles import Namespace


def test_a_submitter_submits_watches_and_takes_back(submitter: Api, guarded: Namespace) -> None:
    job = submitter.create(suspended_rayjob(guarded.cluster.image), namespace=guarded.name)
    policy = submitter.create(network_policy(job), namespace=guarded.name)
    assert policy["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
    for path in (
        guarded.path("rayjobs", "painting", group="ray.io/v1"),
        guarded.path("rayclusters", group="ray.io/v1"),
        guarded.path("jobs", group="batch/v1"),
        *map(guarded.path, ("pods", "events", "resourcequotas", "limitranges", "serviceaccounts")),
        f"/api/v1/namespaces/{guarded.name}",
    ):
        submitter.get(path)
    path = guarded.path("rayjobs", "painting", group="ray.io/v1")
    submitter.patch(path, {"metadata": {"annotations": {"momalisa.dev/note": "seen"}}})
    submitter.delete(path)


def test_a_submitter_may_nothing_else(submitter: Api, guarded: Namespace) -> None:
    for path in (
        *map(guarded.path, ("secrets", "configmaps", "services", "persistentvolumeclaims")),
        guarded.path("roles", group="rbac.authorization.k8s.io/v1"),
        guarded.path("networkpolicies", group="networking.k8s.io/v1"),
        "/api/v1/nodes",
        "/api/v1/namespaces",
        "/api/v1/secrets",
        "/api/v1/namespaces/default/pods",
        "/api/v1/namespaces/kube-system/secrets",
        "/apis/ray.io/v1/rayjobs",
        "/apis/ray.io/v1/namespaces/default/rayjobs",
    ):
        _is_forbidden(lambda path=path: submitter.get(path))
    image = guarded.cluster.image
    for made in (
        pod("own", image),
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own"}},
        {"apiVersion": "ray.io/v1", "kind": "RayCluster", "metadata": {"name": "own"}, "spec": {}},
    ):
        _is_forbidden(lambda made=made: submitter.create(made, namespace=guarded.name))
    _is_forbidden(lambda: submitter.create(rayjob(image), namespace="default"))
    _is_forbidden(lambda: submitter.delete(guarded.path("networkpolicies", "deny-all", group="networking.k8s.io/v1")))
    allowed = {"metadata": {"annotations": {"momalisa.dev/allowed-images": "foreign/"}}}
    _is_forbidden(lambda: submitter.patch(f"/api/v1/namespaces/{guarded.name}", allowed))
    order = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    _is_forbidden(lambda: submitter.post(guarded.path("serviceaccounts", "momalisa-autoscaled") + "/token", order))


def test_the_roles_say_the_same_to_who_asks(guarded: Namespace) -> None:
    asked = {
        ("momalisa-submitter", "create", "rayjobs", "ray.io"): True,
        ("momalisa-submitter", "get", "pods/log", ""): True,
        ("momalisa-submitter", "create", "pods/portforward", ""): False,
        ("momalisa-submitter", "create", "pods/exec", ""): False,
        ("momalisa-submitter", "get", "secrets", ""): False,
        ("momalisa-reader", "list", "rayjobs", "ray.io"): True,
        ("momalisa-reader", "create", "rayjobs", "ray.io"): False,
        ("momalisa-reader", "get", "secrets", ""): False,
        ("momalisa-job", "get", "pods", ""): False,
        ("momalisa-autoscaled", "get", "pods", ""): False,
    }
    assert {question: _may(guarded, *question) for question in asked} == asked


def _is_forbidden(ask: Callable[[], Any]) -> None:
    with pytest.raises(ApiError) as caught:
        ask()
    assert caught.value.status == 403


def _may(guarded: Namespace, account: str, verb: str, resource: str, group: str) -> bool:
    name, _, subresource = resource.partition("/")
    attributes = {
        "namespace": guarded.name,
        "verb": verb,
        "group": group,
        "resource": name,
        "subresource": subresource,
    }
    user = f"system:serviceaccount:{guarded.name}:{account}"
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SubjectAccessReview",
        "spec": {"user": user, "resourceAttributes": attributes},
    }
    answer = guarded.api.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
    return bool(answer["status"]["allowed"])
