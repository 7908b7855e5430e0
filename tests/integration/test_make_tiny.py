"""`jobs/make_tiny.py`, with a handful of steps: one command, again and again, until all is there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline

from tests.support.runs import ROOT

SETTINGS = [
    "max_steps=2",
    "global_batch_size=8",
    "micro_batch_size=8",
    "validation.num_samples=2",
    "validation.num_inference_steps=2",
    "validation.num_style_images=2",
    "resources.cpus_per_worker=1",
]


def make(work: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "ignore", "jobs/make_tiny.py", "--work", str(work)]
    command += ["--num-drawings", "160", "--vae-steps", "2", *flags]
    for setting in SETTINGS:
        command += ["--set", setting]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}/src"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_one_command_makes_the_model_and_a_second_one_has_nothing_to_do(tmp_path: Path) -> None:
    first = make(tmp_path)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "drawings_psnr_bicubic" in first.stdout
    pipeline = StableDiffusionPipeline.from_pretrained(tmp_path / "run" / "export")
    assert pipeline.scheduler.config.prediction_type == "v_prediction"
    written = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")}
    second = make(tmp_path)
    assert second.returncode == 0, second.stdout + second.stderr
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.safetensors")} == written
