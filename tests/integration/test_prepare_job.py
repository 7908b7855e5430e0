"""`jobs/prepare.py` as a process: exit codes, words, parallelism, and a kill in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.test_prepare import quarantine, tree, write_input, write_metadata
from tests.support.gcs_emulator import GcsEmulator

ROOT = Path(__file__).parents[2]
FLAGS = ["--caption-template", "{title} by {artist}", "--validation-share", "0.3", "--shard-rows", "10"]


def command(source: Path | str, output: Path | str, *flags: str) -> list[str]:
    job = [sys.executable, "jobs/prepare.py", "--input", str(source), "--output", str(output)]
    return [*job, *(flags or FLAGS)]


def run(source: Path | str, output: Path | str, *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(source, output, *flags), cwd=ROOT, capture_output=True, text=True, timeout=120)


def content_of(folder: Path) -> dict[str, bytes]:
    """All files; the commit is left out, since someone may commit while the tests run."""
    files = tree(folder)
    manifest = json.loads(files.pop("manifest.json"))
    assert "git_commit" in manifest
    return files | {"manifest.json": json.dumps(manifest | {"git_commit": None}).encode()}


def run_without_ray(ray_folder: Path, source: Path | str, output: Path | str, *flags: str) -> str:
    """The one line on stderr of a job that is refused; Ray would have left traces in its folder."""
    environment = os.environ | {"RAY_TMPDIR": str(ray_folder)}
    done = subprocess.run(
        command(source, output, *flags), cwd=ROOT, capture_output=True, text=True, timeout=120, env=environment
    )
    assert not ray_folder.exists()
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return f"{done.returncode} {done.stderr}"


def test_the_same_bytes_with_one_core_and_with_four(tmp_path: Path) -> None:
    rows = write_input(tmp_path / "in", 150)
    (tmp_path / "in/images/003.png").write_bytes(b"")
    write_metadata(tmp_path / "in", rows)
    for cores in ("1", "4"):
        done = run(tmp_path / "in", tmp_path / cores, *FLAGS, "--parallelism", cores)
        assert done.returncode == 0, done.stderr
        assert "150 files and 150 metadata rows: 149 pictures written, 1 entries in quarantine" in done.stdout
        assert f"file://{tmp_path / cores / 'contact_sheet.png'}" in done.stdout
        assert "looking at pictures: 150/150" in done.stderr
        assert "Traceback" not in done.stderr
    assert content_of(tmp_path / "1") == content_of(tmp_path / "4")
    assert quarantine(tmp_path / "1") == {"images/003.png": "empty file"}


@pytest.mark.slow
def test_a_killed_attempt_leaves_no_dataset_and_the_next_one_is_whole(tmp_path: Path) -> None:
    write_input(tmp_path / "in", 150)
    done = run(tmp_path / "in", tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    flags = [*FLAGS, "--parallelism", "1"]
    with subprocess.Popen(command(tmp_path / "in", tmp_path / "out", *flags), cwd=ROOT, start_new_session=True) as job:
        deadline = time.monotonic() + 90
        while not list((tmp_path / "out").glob("data/*.parquet")) and time.monotonic() < deadline:
            time.sleep(0.005)
        os.killpg(job.pid, signal.SIGKILL)
    assert list((tmp_path / "out").glob("data/*.parquet"))
    assert not (tmp_path / "out/manifest.json").exists()
    done = run(tmp_path / "in", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert content_of(tmp_path / "out") == content_of(tmp_path / "whole")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--caption-template", "{txt}"], "names txt, but the metadata has the columns artist, title, year"),
        (["--caption-template", "{title.x}"], "not a plain column name"),
        (["--validation-share", "2", *FLAGS[:2]], "validation_share must lie between 0 and 1"),
        (["--overwrite", "--output", "memory://x", *FLAGS[:2]], "give a folder or a bucket"),
        (["--input", "nowhere-at-all", *FLAGS[:2]], "is empty or does not exist"),
        (["--input", "gs:/bucket", *FLAGS[:2]], "did you mean gs://bucket"),
    ],
)
def test_wrong_input_is_told_in_one_line_before_ray_starts(tmp_path: Path, flags: list[str], words: str) -> None:
    write_input(tmp_path / "in", 3)
    told = run_without_ray(tmp_path / "ray", tmp_path / "in", tmp_path / "out", *flags)
    assert told.startswith("2 error: ")
    assert words in told
    assert not (tmp_path / "out").exists() or not tree(tmp_path / "out")


def test_a_bucket_without_permission_is_told_before_ray_starts(
    tmp_path: Path, gcs_bucket: str, gcs_emulator: GcsEmulator
) -> None:
    write_input(tmp_path / "in", 3)
    gcs_emulator.set_faults(deny=True)
    told = run_without_ray(tmp_path / "ray", tmp_path / "in", f"{gcs_bucket}/out", *FLAGS)
    assert told.startswith("1 error: ")
    assert gcs_bucket in told
