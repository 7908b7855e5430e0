"""NetworkPolicies that submitters may make, and the admission policies themselves."""

from typing import Any

from momalisa.cluster.isolation import network_policy
from tests.cluster.api import Api, Manifest
from tests.cluster.guarded import rayjob, refusal_of
from tests.cluster.handles import Namespace
from tests.cluster.waiting import wait_for


def _opened(policy: Manifest, **spec: Any) -> Manifest:
    return policy | {"spec": policy["spec"] | spec}


def test_a_submitter_makes_no_network_but_its_jobs(submitter: Api, guarded: Namespace) -> None:
    job = {**rayjob(guarded.cluster.image)}
    job["metadata"] |= {"namespace": guarded.name, "uid": "00000000-1111-2222-3333-444444444444"}
    policy = network_policy(job)
    submitter.create(policy, namespace=guarded.name, dryRun="All")
    orphan = policy | {"metadata": {key: policy["metadata"][key] for key in ("name", "namespace", "labels")}}
    walking = {"podSelector": {"matchLabels": {"momalisa.dev/run": "walking"}}}
    for unfit, word in (
        (orphan, "its RayJob is its owner"),
        (_opened(policy, podSelector={}), "its RayJob is its owner"),
        (_opened(policy, podSelector=walking["podSelector"]), "its RayJob is its owner"),
        (_opened(policy, ingress=[{}]), "own pods only"),
        (_opened(policy, egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]), "own pods only"),
        (_opened(policy, ingress=[{"from": [walking]}]), "own pods only"),
        (_opened(policy, egress=[{"to": [{"namespaceSelector": {}}]}]), "own pods only"),
    ):
        assert not refusal_of(submitter, unfit, guarded.name, word)
    guarded.api.create(_opened(policy, ingress=[{}]), namespace=guarded.name, dryRun="All")  # an administrator may


def test_the_expressions_have_no_type_errors(guarded: Namespace) -> None:
    path = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
    policies = [found for found in guarded.api.items(path) if found["metadata"]["name"].startswith("momalisa-")]
    assert {found["metadata"]["name"] for found in policies} == {"momalisa-jobs", "momalisa-pods", "momalisa-networks"}
    for found in policies:
        checked = lambda name=found["metadata"]["name"]: guarded.api.get(f"{path}/{name}").get("status")  # noqa: E731
        status = wait_for("the policy's types are checked", checked, deadline_s=30)
        assert not status.get("typeChecking", {}).get("expressionWarnings")
