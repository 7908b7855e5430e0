"""`jobs/demo.py`, shortened: from nothing to the exported model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.runs import ROOT


@pytest.mark.slow
def test_the_demo_ends_with_a_verdict_and_everything_that_it_names(tmp_path: Path) -> None:
    settings = [
        "max_steps=4",
        "validation.every_steps=2",
        "checkpoint.every_steps=2",
        "validation.num_inference_steps=3",
    ]
    settings += ["replay.num_images=4", "replay.num_inference_steps=3", "validation.num_style_images=4"]
    command = [sys.executable, "-W", "ignore", "jobs/demo.py", "--output", str(tmp_path / "demo")]
    for setting in settings:
        command += ["--set", setting]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}/src"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verdict:" in done.stdout
    for name in ("summary.json", "loss.png", "before_after.png", "export/model_index.json", "walk.gif"):
        assert (tmp_path / "demo" / name).is_file()
