"""Walks as people make them: by the command, and by the job on a Ray cluster."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from tests.support.runs import ROOT

SHORT = ["--frames", "12", "--steps", "6"]
PROMPTS = ["blue dots on a yellow ground", "red stripes on white"]


def environment(cache: Path) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT}/src", "MOMALISA_CACHE": str(cache)}


def walk(folder: Path, *arguments: str, cache: Path | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "ignore", "-m", "momalisa.cli", "walk", *arguments]
    used = environment(cache or folder / "cache")
    return subprocess.run(command, cwd=folder, env=used, capture_output=True, text=True, timeout=200, check=False)


def gif_frames(path: Path) -> list["np.ndarray"]:
    with Image.open(path) as picture:
        return [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(picture)]


def test_an_animation_says_how_it_is_made_again(tmp_path: Path) -> None:
    done = walk(tmp_path, *PROMPTS, *SHORT, "--boomerang", "--report", "report.png", "--pngs", "frames")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("walk.gif: 12 frames of 128 × 128, 0.6 s long")
    assert len(gif_frames(tmp_path / "walk.gif")) == len(list((tmp_path / "frames").iterdir())) == 12
    with Image.open(tmp_path / "report.png") as report:
        assert report.width > 1000
    again = walk(tmp_path, "--from", "walk.gif", "--out", "again.mp4", "--no-cache")
    assert again.returncode == 0, again.stderr
    assert "12 of 12 frames are the same to the bit" in again.stdout
    third = walk(tmp_path, "--from", "again.mp4", "--out", "third.gif")
    assert "7 frames were there from earlier walks" in third.stdout
    assert (tmp_path / "third.gif").read_bytes() == (tmp_path / "walk.gif").read_bytes()


def test_a_picture_is_a_waypoint_and_is_asked_for_again(tmp_path: Path) -> None:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 300, 3), dtype=np.uint8))
    picture.save(tmp_path / "photo.png")
    done = walk(tmp_path, PROMPTS[0], f"photo.png::{PROMPTS[1]}", *SHORT, "--strength", "0.5", "--hold", "0.3")
    assert done.returncode == 0, done.stderr
    refused = walk(tmp_path, "--from", "walk.gif", "--out", "again.gif")
    assert refused.returncode == 2
    assert "give the same ones with --picture" in refused.stderr
    again = walk(tmp_path, "--from", "walk.gif", "--out", "again.gif", "--picture", "photo.png")
    assert "12 of 12 frames are the same to the bit" in again.stdout, again.stderr


def test_a_budget_changes_the_walk_and_says_so(tmp_path: Path) -> None:
    refused = walk(tmp_path, *PROMPTS, "--frames", "40", "--budget", "0.01", "--no-cache")
    assert refused.returncode == 2
    least = re.search(r"take ([\d.]+) s or more", refused.stderr)
    assert least, refused.stderr
    budget = f"{1.5 * float(least[1]):.1f}"  # this machine is as fast as it is
    done = walk(tmp_path, *PROMPTS, "--frames", "40", "--budget", budget, "--no-cache")
    assert done.returncode == 0, done.stderr
    assert "for the budget" in done.stdout


def start(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-W", "ignore", "-m", "momalisa.cli", "walk", *PROMPTS, "--frames", "16", "--out", name]
    return subprocess.Popen(command, cwd=folder, env=environment(folder / "cache"), stderr=subprocess.DEVNULL)


def test_killed_in_the_middle_it_goes_on_and_two_at_once_do_no_harm(tmp_path: Path) -> None:
    killed, kept = start(tmp_path, "killed.gif"), tmp_path / "cache" / "frames"
    deadline = time.monotonic() + 120
    while not (kept.is_dir() and list(kept.glob("*.png"))):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed.gif").exists()
    before = {path: path.stat().st_mtime_ns for path in kept.glob("*.png")}
    both = [start(tmp_path, name) for name in ("one.gif", "two.gif")]
    assert [process.wait(timeout=200) for process in both] == [0, 0]
    assert (tmp_path / "one.gif").read_bytes() == (tmp_path / "two.gif").read_bytes()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def run_job(folder: Path, requests: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "ignore", str(ROOT / "jobs" / "walk.py"), "--requests", str(requests)]
    command += ["--model", "tiny", "--output", "walks", "--num-workers", "2", "--cpus-per-worker", "0.5", *arguments]
    used = environment(folder / "cache")
    return subprocess.run(command, cwd=folder, env=used, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.timeout(400)
def test_a_batch_accounts_for_every_request_and_goes_on_where_it_was(tmp_path: Path) -> None:
    settings = {"num_frames": 6, "num_inference_steps": 4}
    rows = [{"id": f"w{i}", "prompts": [PROMPTS[i % 2], f"{color} waves"], **settings} for i, color in enumerate("abc")]
    # Refused by the model alone, which nobody knows before it is loaded.
    rows.append({"id": "odd", "prompts": PROMPTS, "height": 123, **settings})
    requests = tmp_path / "requests.jsonl"
    requests.write_text("\n".join(json.dumps(row) for row in rows))
    first = run_job(tmp_path, requests)
    assert first.returncode == 1, first.stderr
    assert "3 made, 0 there already, 1 failed" in first.stdout
    assert "odd: " in first.stderr
    assert "multiples of" in first.stderr
    for i in range(3):
        names = {path.name for path in (tmp_path / "walks" / f"w{i}").iterdir()}
        assert names == {"animation.gif", "report.json", "report.png", "placements", "done.json"}
        num_frames = len(gif_frames(tmp_path / "walks" / f"w{i}" / "animation.gif"))
        report = json.loads((tmp_path / "walks" / f"w{i}" / "report.json").read_text())
        assert num_frames == 6 + report["num_repairs"] <= 7
    listed = [json.loads(line) for line in (tmp_path / "walks" / "results.jsonl").read_text().splitlines()]
    assert [(row["id"], row["ended"]) for row in listed] == [*((f"w{i}", "done") for i in range(3)), ("odd", "failed")]
    (tmp_path / "walks" / "w1" / "done.json").unlink()
    requests.write_text("\n".join(json.dumps(row) for row in rows[:3]))
    again = run_job(tmp_path, requests)
    assert again.returncode == 0, again.stderr
    assert "1 made, 2 there already, 0 failed" in again.stdout
