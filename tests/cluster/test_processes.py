"""Ends only what it started: needs no cluster."""

import json
import subprocess
from pathlib import Path

from tests.cluster.processes import Processes

SLEEP = ["sleep", "100"]


def test_starts_once_and_ends(tmp_path: Path) -> None:
    processes = Processes(folder=tmp_path)
    processes.start("a", SLEEP)
    first = processes.pid("a")
    processes.start("a", SLEEP)
    assert processes.pid("a") == first
    assert processes.names() == ["a"]
    processes.stop("a")
    assert not processes.is_running("a")
    assert processes.names() == []
    processes.stop("a")


def test_starts_again_as_it_was(tmp_path: Path) -> None:
    processes = Processes(folder=tmp_path)
    processes.start("a", ["sh", "-c", "echo $GREETING; sleep 100"], {"GREETING": "hello"})
    processes.stop("a", keep_note=True)
    assert not processes.is_running("a")
    processes.start_again("a")
    assert processes.is_running("a")
    processes.stop("a")
    assert set(processes.last_lines("a").split()) <= {"hello"}


def test_leaves_another_process_with_the_same_pid_alone(tmp_path: Path) -> None:
    processes = Processes(folder=tmp_path)
    (tmp_path / "run").mkdir()
    with subprocess.Popen(SLEEP) as other:
        note = {"pid": other.pid, "started": 1, "command": SLEEP, "env": {}}
        (tmp_path / "run" / "a.json").write_text(json.dumps(note))
        assert not processes.is_running("a")
        processes.stop("a")
        assert other.poll() is None
        other.kill()
