"""Training runs as a user starts them, small enough for tests."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil
import torch
from safetensors.torch import load_file

from momalisa.storage import open_store
from momalisa.training.checkpoint import CheckpointManifest, list_checkpoints

ROOT = Path(__file__).parents[2]

SMALL = (
    "data.resolution=32",
    "global_batch_size=4",
    "micro_batch_size=2",
    "validation.num_samples=4",
    "validation.timesteps_per_sample=1",
    "validation.num_inference_steps=2",
    "validation.num_style_images=4",
    "validation.images_per_prompt=1",
    'validation.prompts=["one"]',
    'validation.forgetting_prompts=["two"]',
    "replay.num_images=2",
    "replay.num_inference_steps=2",
    'replay.prompts=["three"]',
    "optimizer.num_warmup_steps=2",
    "ema_decay=0.9",
)


def start_training(data: str, output: str, settings: Sequence[str], *flags: str) -> subprocess.Popen[str]:
    """`python jobs/train.py` with the demo recipe, shrunk."""
    command = [sys.executable, "-W", "ignore", "jobs/train.py", "--recipe", "demo", "--data", data, "--output", output]
    for setting in (*SMALL, *settings):
        command += ["--set", setting]
    return subprocess.Popen(
        [*command, *flags],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}/src"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finish_training(process: subprocess.Popen[str], timeout_s: float = 240) -> tuple[int, str]:
    """Its exit code and what it printed."""
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        kill_all(process)
        raise AssertionError(f"the run did not end within {timeout_s} s") from None
    return process.returncode, output


def train(data: str, output: str, settings: Sequence[str], *flags: str) -> str:
    """A run to its end; fails with its output where it does not end well."""
    code, printed = finish_training(start_training(data, output, settings, *flags))
    assert code == 0, printed
    return printed


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str], timeout_s: float = 180) -> None:
    """Until it holds; fails where the process ends before."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, f"the run ended early:\n{process.communicate()[0]}"
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The Ray Train workers among a driver's descendants: another run on this machine is none of ours."""
    family = psutil.Process(process.pid).children(recursive=True)
    return [member for member in family if "RayTrainWorker" in " ".join(_command(member))]


def _command(process: psutil.Process) -> list[str]:
    try:
        line: list[str] = process.cmdline()
    except psutil.NoSuchProcess:
        return []
    return line


def kill_all(process: subprocess.Popen[str]) -> None:
    """SIGKILL to the driver and everything that it started."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(family, timeout=20)
    process.wait(20)
    if process.stdout is not None:
        process.stdout.close()


def newest_checkpoint(output: str) -> CheckpointManifest | None:
    """Of a run's folder; None where there is none yet."""
    found = list_checkpoints(open_store(output).child("checkpoints"))
    return found[0] if found else None


def weights(output: str) -> dict[str, torch.Tensor]:
    """All tensors of the newest checkpoint of a local run."""
    manifest = newest_checkpoint(output)
    assert manifest is not None
    tensors: dict[str, torch.Tensor] = {}
    for file in manifest.files:
        tensors |= load_file(Path(output) / "checkpoints" / manifest.folder / file.name)
    return tensors


def largest_difference(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> float:
    """Over all tensors."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)
