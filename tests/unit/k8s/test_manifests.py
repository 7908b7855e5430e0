"""The manifests as a whole: they build, belong to their namespace, and leave nothing unsaid that must be filled in."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from momalisa.cluster.capacity import job_pods
from momalisa.cluster.manifests import ray_job
from tests.support.kustomized import K8S, built, kubectl, named, of_kind
from tests.support.rbac import may
from tests.unit.cluster.examples import config

FOLDERS = ["base", "cluster", "overlays/gke", "overlays/one-machine"]
CLUSTER_WIDE = {
    "Namespace",
    "PriorityClass",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
}
PLACEHOLDER = re.compile(r"FILL-IN-[A-Z-]*[A-Z]")


def _build(folder: str) -> tuple[dict[str, Any], ...]:
    if folder.startswith("overlays") and kubectl() is None:
        pytest.skip("overlays are built by kubectl")
    return built(folder)


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_manifest_is_of_one_namespace_or_of_the_cluster(folder: str) -> None:
    for manifest in _build(folder):
        expected = None if manifest["kind"] in CLUSTER_WIDE else "momalisa"
        assert manifest["metadata"].get("namespace") == expected, manifest["metadata"]["name"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_manifest_is_there_twice(folder: str) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in _build(folder)]
    assert len(names) == len(set(names))


def test_every_file_is_in_a_kustomization() -> None:
    for kustomization in K8S.rglob("kustomization.yaml"):
        there = {path.name for path in kustomization.parent.glob("*.yaml")} - {"kustomization.yaml"}
        listed = {name for name in yaml.safe_load(kustomization.read_text())["resources"] if name.endswith(".yaml")}
        assert there == listed, kustomization


def test_what_must_be_filled_in_is_documented_and_nothing_else() -> None:
    in_overlay = set(PLACEHOLDER.findall(json.dumps(_build("overlays/gke"))))
    assert in_overlay == set(PLACEHOLDER.findall((K8S / "README.md").read_text()))
    for folder in ("base", "cluster", "overlays/one-machine"):
        assert not PLACEHOLDER.search(json.dumps(_build(folder)))


def test_a_job_that_names_no_priority_is_below_all_that_are_there() -> None:
    classes = {each["metadata"]["name"]: each for each in of_kind(built("cluster"), "PriorityClass")}
    assert not any("priorityClassName" in pod for _, pod, _ in job_pods(ray_job(config())))
    assert not any(each.get("globalDefault") for each in classes.values())
    assert min(each["value"] for each in classes.values()) > 0
    assert "names no class has 0, below all of these" in classes["momalisa-normal"]["description"]


def test_the_namespace_is_restricted_at_a_pinned_version() -> None:
    labels = named(built("base"), "Namespace", "momalisa")["metadata"]["labels"]
    for mode in ("enforce", "audit", "warn"):
        assert labels[f"pod-security.kubernetes.io/{mode}"] == "restricted"
        assert re.fullmatch(r"v1\.\d+", labels[f"pod-security.kubernetes.io/{mode}-version"])


def test_the_admission_policies_hold_in_the_namespace_and_deny() -> None:
    label = named(built("base"), "Namespace", "momalisa")["metadata"]["labels"]["momalisa.dev/jobs"]
    policies = {policy["metadata"]["name"]: policy for policy in of_kind(built("cluster"), "ValidatingAdmissionPolicy")}
    bindings = of_kind(built("cluster"), "ValidatingAdmissionPolicyBinding")
    assert {binding["spec"]["policyName"] for binding in bindings} == set(policies)
    for binding in bindings:
        spec = binding["spec"]
        assert spec["validationActions"] == ["Deny"]
        assert spec["matchResources"]["namespaceSelector"] == {"matchLabels": {"momalisa.dev/jobs": label}}
        policy = policies[spec["policyName"]]["spec"]
        assert policy["failurePolicy"] == "Fail"
        assert "paramKind" not in policy  # an API server loses parameters: see k8s/README.md


def test_the_two_admission_policies_read_lists_and_images_the_same_way() -> None:
    jobs, pods = (
        {variable["name"]: variable["expression"] for variable in policy["spec"]["variables"]}
        for policy in (
            named(built("cluster"), "ValidatingAdmissionPolicy", "momalisa-jobs"),
            named(built("cluster"), "ValidatingAdmissionPolicy", "momalisa-pods"),
        )
    )
    for name in ("images", "serviceAccounts", "secrets"):
        assert jobs[name] == pods[name]
    is_allowed = "p.endsWith('/') ? i.startsWith(p) : i == p || i.startsWith(p + ':') || i.startsWith(p + '@')"
    assert is_allowed in jobs["foreignImages"]
    assert is_allowed in pods["foreignImages"]


def test_the_policies_read_what_the_namespace_says() -> None:
    annotations = named(built("base"), "Namespace", "momalisa")["metadata"]["annotations"]
    for name in ("momalisa-jobs", "momalisa-pods"):
        policy = json.dumps(named(built("cluster"), "ValidatingAdmissionPolicy", name))
        assert set(re.findall(r"annotations\[\?'([^']*)'\]", policy)) == set(annotations)
    assert annotations["momalisa.dev/allowed-service-accounts"].split() == ["momalisa-job", "momalisa-autoscaled"]
    assert not annotations["momalisa.dev/allowed-images"].split()  # an overlay says which
    assert not annotations["momalisa.dev/allowed-secrets"].split()


def test_no_limit_range_hands_out_gpus() -> None:
    """A maximum without a default becomes the default of every container that says nothing."""
    for limit_range in of_kind(built("base"), "LimitRange"):
        for limits in limit_range["spec"]["limits"]:
            assert set(limits["max"]) <= set(limits["default"])


@pytest.mark.parametrize("folder", ["base", "overlays/gke", "overlays/one-machine"])
def test_a_quota_keeps_jobs_from_showing_themselves_to_the_world(folder: str) -> None:
    hard = named(_build(folder), "ResourceQuota", "jobs")["spec"]["hard"]
    for resource in ("services.loadbalancers", "services.nodeports", "count/ingresses.networking.k8s.io"):
        assert hard[resource] == "0"
    assert "requests.nvidia.com/gpu" in hard


def test_a_second_namespace_is_a_kustomization_of_two_lines(tmp_path: Path) -> None:
    if kubectl() is None:
        pytest.skip("kubectl builds it")
    assert "    namespace: team-b\n    resources: [../../base]\n" in (K8S / "README.md").read_text()
    base = os.path.relpath(K8S / "base", tmp_path)
    (tmp_path / "kustomization.yaml").write_text(f"namespace: team-b\nresources: [{base}]\n")
    manifests = built(str(tmp_path))
    assert len(manifests) == len(built("base"))
    assert named(manifests, "Namespace", "team-b")
    assert {manifest["metadata"]["namespace"] for manifest in manifests if manifest["kind"] != "Namespace"} == {
        "team-b"
    }
    assert may(manifests, "ServiceAccount:team-b/momalisa-submitter", "get", "pods", namespace="team-b")
