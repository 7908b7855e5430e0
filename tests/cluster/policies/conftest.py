"""A namespace as k8s/ makes it, and who submits there."""

from collections.abc import Iterator

import pytest

from tests.cluster.api import Api
from tests.cluster.handles import ClusterUnderTest, Namespace
from tests.cluster.policies.guarded import apply_to_cluster, apply_to_namespace, repository
from tests.support.kustomized import has_kubectl


@pytest.fixture(scope="session")
def _cluster_policies(cluster: ClusterUnderTest) -> Iterator[None]:
    if not has_kubectl:
        pytest.skip("overlays are built by kubectl")
    made = apply_to_cluster(cluster.api)
    yield
    for path in made:
        cluster.api.delete(path)


@pytest.fixture
def guarded(_cluster_policies: None, namespace: Namespace) -> Namespace:
    """A namespace with all of k8s/, where the image of the tests may run."""
    apply_to_namespace(namespace.api, namespace.name, images=repository(namespace.cluster.image))
    return namespace


@pytest.fixture
def submitter(guarded: Namespace) -> Iterator[Api]:
    """The API as who has only the submitter's Role sees it."""
    with Api(guarded.kubeconfig_of("momalisa-submitter")) as api:
        yield api
