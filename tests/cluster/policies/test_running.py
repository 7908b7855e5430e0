"""Jobs that run to their end under all of k8s/, and who would reach whom among their real pods."""

import pytest

from momalisa.cluster.isolation import network_policy
from tests.cluster.api import Api, Manifest
from tests.cluster.guarded import make_autoscaled, rayjob
from tests.cluster.handles import Namespace
from tests.support.job_pods import PAINTING, ray_labels, submitter_labels
from tests.support.reachability import End, Way, end_of, matrix

pytestmark = pytest.mark.usefixtures("operator")

_SLEEPS = 'python -c "import ray, time; ray.init(); time.sleep(15)"'
_ASKS_FOR_A_WORKER = (
    'python -c "import ray, time; ray.init(); '
    'print(ray.get(ray.remote(lambda: time.sleep(10)).options(num_gpus=1, num_cpus=0).remote()))"'
)
_START_S = 180
_END_S = 240
_FOREIGN_LABELS = {"batch.kubernetes.io/controller-uid", "controller-uid"}


def test_a_job_runs_to_its_end_and_its_pods_reach_what_they_need(submitter: Api, guarded: Namespace) -> None:
    _submit(submitter, guarded, rayjob(guarded.cluster.image, entrypoint=_SLEEPS))
    pods = guarded.wait_for("head, worker and submitter run", lambda: _running(guarded, 3), deadline_s=_START_S)
    for name, pod in pods.items():
        assert pod["spec"]["serviceAccountName"] == "momalisa-job"
        assert not _token_mounts(pod)
        assert _labels(pod, name) == _expected_labels(name)
    ends = {name: end_of(pod, name=name) for name, pod in pods.items()}
    ways = [
        Way(end=ends["head"], port=8265),
        Way(end=ends["head"], port=6379),
        Way(end=ends["worker"], port=31000),
        Way(end=ends["submitter"], port=31000),
        Way(end=End(name="bucket", address="142.250.1.128"), port=443),
    ]
    policies = guarded.api.items(guarded.path("networkpolicies", group="networking.k8s.io/v1"))
    assert matrix(policies, ends.values(), ways) == {
        "head": {"worker:31000", "bucket:443"},
        "worker": {"head:8265", "head:6379", "bucket:443"},
        "submitter": {"head:8265"},
    }
    _succeeds(guarded)


def test_a_job_that_scales_itself_holds_the_apis_token_in_one_container(submitter: Api, guarded: Namespace) -> None:
    image = guarded.cluster.image
    job = rayjob(image, entrypoint=_ASKS_FOR_A_WORKER)
    make_autoscaled(job, image)
    worker = job["spec"]["rayClusterSpec"]["workerGroupSpecs"][0]["template"]["spec"]["containers"][0]
    worker["resources"]["limits"]["nvidia.com/gpu"] = "1"
    _submit(submitter, guarded, job)
    pods = guarded.wait_for("a worker was made", lambda: _running(guarded, 3), deadline_s=_START_S)
    assert _token_mounts(pods["head"]) == ["autoscaler"]
    assert not _token_mounts(pods["worker"])
    bindings = guarded.api.items(guarded.path("rolebindings", group="rbac.authorization.k8s.io/v1"))
    by_kuberay = [binding for binding in bindings if "ray.io/cluster" in binding["metadata"].get("labels", {})]
    assert [subject["name"] for binding in by_kuberay for subject in binding["subjects"]] == ["momalisa-autoscaled"]
    _succeeds(guarded)


def _submit(submitter: Api, guarded: Namespace, job: Manifest) -> None:
    made = submitter.create(job, namespace=guarded.name)
    submitter.create(network_policy(made), namespace=guarded.name)


def _running(guarded: Namespace, count: int) -> dict[str, Manifest]:
    """The job's pods by what they are, once so many run."""
    pods = {
        pod["metadata"]["labels"].get("ray.io/node-type", "submitter"): pod
        for pod in guarded.api.items(guarded.path("pods"))
        if pod["status"].get("phase") == "Running" and pod["status"].get("podIP")
    }
    return pods if len(pods) == count else {}


def _succeeds(guarded: Namespace) -> None:
    path = guarded.path("rayjobs", PAINTING, group="ray.io/v1")
    succeeded = lambda: guarded.api.get(path).get("status", {}).get("jobStatus") == "SUCCEEDED"  # noqa: E731
    guarded.wait_for("the job succeeds", succeeded, deadline_s=_END_S)


def _token_mounts(pod: Manifest) -> list[str]:
    """The containers that hold a token for the Kubernetes API."""
    tokens = {
        volume["name"]
        for volume in pod["spec"].get("volumes", ())
        if any("serviceAccountToken" in source for source in volume.get("projected", {}).get("sources", ()))
    }
    containers = pod["spec"]["containers"] + pod["spec"].get("initContainers", [])
    return [c["name"] for c in containers if tokens & {mount["name"] for mount in c.get("volumeMounts", ())}]


def _labels(pod: Manifest, name: str) -> dict[str, str]:
    """As KubeRay and Kubernetes set them; the cluster's random ending as the expectation has it."""
    labels: dict[str, str] = {k: v for k, v in pod["metadata"]["labels"].items() if k not in _FOREIGN_LABELS}
    if name == "submitter":
        return labels
    cluster = labels["ray.io/cluster"]
    return {key: value.replace(cluster, ray_labels(PAINTING, name)["ray.io/cluster"]) for key, value in labels.items()}


def _expected_labels(name: str) -> dict[str, str]:
    return submitter_labels(PAINTING) if name == "submitter" else ray_labels(PAINTING, name)
