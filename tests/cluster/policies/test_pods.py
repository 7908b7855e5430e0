"""What a pod may hold, whoever made it."""

import pytest

from tests.cluster.api import ApiError, Manifest
from tests.cluster.guarded import API_TOKEN, allow, pod, refusal_of, wait_until_refused, with_volume
from tests.cluster.handles import Namespace


def _ray_pod(image: str, cluster: str, secret: str, **labels: str) -> Manifest:
    made = pod("ray", image)
    made["metadata"]["labels"] = {"ray.io/cluster": cluster} | {k.replace("__", "/"): v for k, v in labels.items()}
    reference = {"secretKeyRef": {"name": secret, "key": "auth_token"}}
    made["spec"]["containers"][0]["env"].append({"name": "RAY_AUTH_TOKEN", "valueFrom": reference})
    return made


def test_rays_own_token_is_for_its_own_pods(guarded: Namespace) -> None:
    image, long = guarded.cluster.image, "a" + "b" * 46 + "-x7k2p"
    submitter = _ray_pod(image, "", "painting-x7k2p")
    submitter["metadata"]["labels"] = {"batch.kubernetes.io/job-name": "painting"}
    long_submitter = _ray_pod(image, "", long[-50:])
    long_submitter["metadata"]["labels"] = {"batch.kubernetes.io/job-name": long.removesuffix("-x7k2p")}
    for fit in (
        _ray_pod(image, "painting-x7k2p", "painting-x7k2p"),
        _ray_pod(image, long, long[-50:]),  # KubeRay shortens the Secret's name
        _ray_pod(image, "1" + long[-49:], "r" + long[-49:]),  # which never begins with a digit
        submitter,
        long_submitter,
    ):
        guarded.api.create(fit, namespace=guarded.name, dryRun="All")
    foreign_job = _ray_pod(image, "", "walking-x7k2p")
    foreign_job["metadata"]["labels"] = {"batch.kubernetes.io/job-name": "painting"}
    for unfit in (
        _ray_pod(image, "painting-x7k2p", "walking-x7k2p"),
        _ray_pod(image, "painting-x7k2p", "7k2p"),
        _ray_pod(image, "", "painting-x7k2p"),
        foreign_job,
    ):
        secret = unfit["spec"]["containers"][0]["env"][-1]["valueFrom"]["secretKeyRef"]["name"]
        assert not refusal_of(guarded.api, unfit, guarded.name, f"not a Secret for jobs: {secret}")
    other_key = _ray_pod(image, "painting-x7k2p", "painting-x7k2p")
    other_key["spec"]["containers"][0]["env"][-1]["name"] = "OTHER"
    assert not refusal_of(guarded.api, other_key, guarded.name, "not a Secret for jobs")


def test_a_pod_is_held_to_the_same_by_whomever_it_was_made(guarded: Namespace) -> None:
    api, image = guarded.api, guarded.cluster.image
    secret = pod("pod", image)
    with_volume(secret["spec"], {"secret": {"secretName": "foreign"}})
    token = pod("pod", image)
    with_volume(token["spec"], API_TOKEN)
    for unfit, word in (
        (pod("pod", "foreign/image"), "foreign/image"),
        (pod("pod", image, serviceAccountName="default"), "not a ServiceAccount for jobs: default"),
        (pod("pod", image, imagePullSecrets=[{"name": "foreign"}]), "not a Secret for jobs: foreign"),
        (pod("pod", image, automountServiceAccountToken=True), "only the autoscaler"),
        (secret, "not a Secret for jobs: foreign"),
        (token, "only the autoscaler"),
    ):
        assert not refusal_of(api, unfit, guarded.name, word)
    host = pod("pod", image, hostNetwork=True)
    with pytest.raises(ApiError, match="violates PodSecurity"):
        api.create(host, namespace=guarded.name, dryRun="All")


def test_a_pod_that_was_taken_ends_as_any_other_whatever_is_allowed_since(guarded: Namespace) -> None:
    image = guarded.cluster.image
    guarded.api.create(pod("old", image, nodeSelector={"no": "such-node"}), namespace=guarded.name)
    allow(guarded.api, guarded.name, images="another/image")
    wait_until_refused(guarded.api, pod("new", image), guarded.name, image)
    guarded.api.patch(guarded.path("pods", "old"), {"metadata": {"labels": {"seen": "true"}}})
    security = pod("old", image)["spec"]["containers"][0]["securityContext"]
    added = {"ephemeralContainers": [{"name": "added", "image": image, "securityContext": security}]}
    with pytest.raises(ApiError, match="not an image that may run here"):
        guarded.api.patch(guarded.path("pods", "old") + "/ephemeralcontainers", {"spec": added})
    guarded.api.delete(guarded.path("pods", "old"), grace_s=0)


def test_a_quota_keeps_a_job_from_showing_itself_to_the_world(guarded: Namespace) -> None:
    spec = {"type": "LoadBalancer", "ports": [{"port": 8265}], "selector": {"ray.io/node-type": "head"}}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shown"}, "spec": spec}
    with pytest.raises(ApiError, match="exceeded quota"):
        guarded.api.create(service, namespace=guarded.name)
