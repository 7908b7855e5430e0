"""Who submits to a namespace as k8s/ makes it."""

from collections.abc import Iterator

import pytest

from tests.cluster.api import Api
from tests.cluster.handles import Namespace


@pytest.fixture
def submitter(guarded: Namespace) -> Iterator[Api]:
    """The API as who has only the submitter's Role sees it."""
    with Api(guarded.kubeconfig_of("momalisa-submitter")) as api:
        yield api
