"""What helm itself says of the chart."""

import subprocess

import pytest

from tests.support.chart import CHART, NAMESPACE, VALUE_SETS, helm, values_file


@pytest.mark.parametrize("value_set", VALUE_SETS)
def test_strictly(value_set: str) -> None:
    program = helm()
    assert program is not None
    command = [program, "lint", str(CHART), "--strict", "--namespace", NAMESPACE]
    command += ["--values", str(values_file(value_set))]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
