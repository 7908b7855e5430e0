"""What is rendered needs a helm."""

from pathlib import Path

import pytest

from tests.support.chart import helm

_WITHOUT = "test_values.py"


@pytest.fixture(autouse=True)
def _helm(request: pytest.FixtureRequest) -> None:
    if Path(request.node.path).name != _WITHOUT and helm() is None:
        pytest.skip("there is no helm: install one, or build it by `python -m tests.cluster.binaries`")
