"""A release of the chart, and who runs it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.gcs import ClusterGcs
from tests.cluster.handles import Namespace
from tests.cluster.release.ops import Ops


@pytest.fixture
def ops(namespace: Namespace, operator: None, gcs: ClusterGcs, bucket: str, tmp_path: Path) -> Iterator[Ops]:
    """With nothing installed yet."""
    ops = Ops(namespace, gcs, bucket, tmp_path)
    yield ops
    ops.leave()


@pytest.fixture
def serving(ops: Ops) -> Ops:
    """With the release on one machine, which serves."""
    ops.upgrade()
    ops.until_serving()
    return ops
