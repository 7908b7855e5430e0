"""Somebody who may submit jobs to a namespace as k8s/ makes it, and something to train on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.gcs import ClusterGcs
from tests.cluster.handles import Namespace
from tests.cluster.jobs.small import put_things_to_read
from tests.cluster.person import Person


@pytest.fixture
def person(guarded: Namespace, operator: None, gcs: ClusterGcs, tmp_path: Path) -> Iterator[Person]:
    """At a shell, with the submitter's Role alone."""
    person = Person(guarded, gcs, tmp_path, guarded.kubeconfig_of("momalisa-submitter"))
    yield person
    person.leave()


@pytest.fixture(scope="session")
def museum(gcs: ClusterGcs, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The URI of a bucket with a small dataset (`data`) and a small model (`model`)."""
    bucket = gcs.create_bucket()
    put_things_to_read(gcs, bucket, tmp_path_factory.mktemp("museum"))
    return bucket
