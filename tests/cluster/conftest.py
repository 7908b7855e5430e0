"""A real Kubernetes for the tests: `make test-cluster`.

With KUBECONFIG in the environment that cluster is used (it has KubeRay, and can pull MOMALISA_TEST_IMAGE and
MOMALISA_TEST_GCS_IMAGE); without one this machine's own is raised, and ended again unless it ran before.
"""

import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.api import Api, ApiError
from tests.cluster.cluster import LocalCluster
from tests.cluster.gcs import ClusterGcs, start_gcs
from tests.cluster.guarded import apply_to_cluster, apply_to_namespace, repository
from tests.cluster.handles import ClusterUnderTest, Namespace
from tests.cluster.waiting import wait_for
from tests.support.kustomized import kubectl

_RESTRICTED = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}
_GONE_S = 120
_TEST_S = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Jobs on a cluster take minutes; raising the cluster (a fixture) may take half an hour."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(_TEST_S, func_only=True))


@pytest.fixture(scope="session")
def cluster() -> Iterator[ClusterUnderTest]:
    """The person's own, or this machine's, with momalisa's image on it."""
    given = os.environ.get("KUBECONFIG")
    local = LocalCluster()
    if given and Path(given) != local.kubeconfig:
        with Api(given) as api:
            yield ClusterUnderTest(api, None)
        return
    was_up = local.is_whole()
    local.up()
    if not os.environ.get("MOMALISA_TEST_KEEP_IMAGE"):
        local.load()
    with Api(local.kubeconfig) as api:
        yield ClusterUnderTest(api, local)
    if not was_up:
        local.down()


@pytest.fixture
def namespace(cluster: ClusterUnderTest, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Namespace]:
    """A new one with Pod Security "restricted"; deleted after the test."""
    slug = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower().removeprefix("test_")).strip("-")[:30].strip("-")
    name = f"t-{slug}-{uuid.uuid4().hex[:6]}"
    make_namespace(cluster.api, name)
    yield Namespace(cluster, name, tmp_path)
    delete_namespace(cluster.api, name)


@pytest.fixture(scope="session")
def operator(cluster: ClusterUnderTest) -> None:
    """KubeRay is there: its CRDs are served, and its operator answers for them."""
    names = {resource["name"] for resource in cluster.api.get("/apis/ray.io/v1")["resources"]}
    assert {"rayclusters", "rayjobs", "rayservices"} <= names
    if cluster.local:
        assert cluster.local.processes.is_running("ray-operator"), cluster.local.processes.last_lines("ray-operator")


@pytest.fixture(scope="session")
def gcs(cluster: ClusterUnderTest) -> Iterator[ClusterGcs]:
    """A Cloud Storage in the cluster, for pods and for this machine alike; in memory, one for all tests."""
    name = f"t-gcs-{uuid.uuid4().hex[:6]}"
    make_namespace(cluster.api, name)
    yield start_gcs(cluster.api, name, cluster.gcs_image)
    delete_namespace(cluster.api, name, is_awaited=False)


@pytest.fixture
def bucket(gcs: ClusterGcs) -> str:
    """The URI of a new, empty bucket."""
    return gcs.create_bucket()


@pytest.fixture(scope="session")
def _cluster_policies(cluster: ClusterUnderTest) -> Iterator[None]:
    assert kubectl(), "no kubectl, which builds the overlays of k8s/: install one"
    made = apply_to_cluster(cluster.api)
    yield
    for path in made:
        cluster.api.delete(path)


@pytest.fixture
def guarded(_cluster_policies: None, namespace: Namespace) -> Namespace:
    """A namespace with all of k8s/, where the image of the tests may run."""
    apply_to_namespace(namespace.api, namespace.name, images=repository(namespace.cluster.image))
    return namespace


def make_namespace(api: Api, name: str) -> None:
    """With Pod Security "restricted", and with the account that pods get by default."""
    metadata = {"name": name, "labels": {**_RESTRICTED, "momalisa.dev/test": "true"}}
    api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    account = f"/api/v1/namespaces/{name}/serviceaccounts/default"
    wait_for("the default ServiceAccount", lambda: api.find(account), deadline_s=30)


def delete_namespace(api: Api, name: str, *, is_awaited: bool = True) -> None:
    """With all that is in it, at once: nothing of it is to end well."""
    for resource in ("rayjobs", "rayservices", "rayclusters"):
        try:
            api.delete(f"/apis/ray.io/v1/namespaces/{name}/{resource}")
        except ApiError as e:
            if e.status != 404:
                raise
    api.delete(f"/api/v1/namespaces/{name}/pods", grace_s=0)
    api.delete(f"/api/v1/namespaces/{name}")
    if is_awaited:
        gone = lambda: api.find(f"/api/v1/namespaces/{name}") is None  # noqa: E731
        wait_for(f"namespace {name} is gone", gone, deadline_s=_GONE_S, api=api, namespace=name)
