"""A rank's words, from a process that ends well or is torn away: what arrives, and that nothing stays behind."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from momalisa.job_folder import JobFolder, error_key
from momalisa.rank_log import shipped_rank
from momalisa.storage import open_store

RANK = """
import ctypes, os, signal, sys
from momalisa.rank_log import shipped_rank
with shipped_rank({uri!r}, 0, 1):
    print("from python", flush=True)
    os.write(2, b"last words")
    {end}
"""
DIRECT_CHILDREN = "open(f'/proc/self/task/{os.getpid()}/children').read().split()"
ENDS = {
    "abort": "os.abort()",
    "segmentation fault": "os.kill(os.getpid(), signal.SIGSEGV)",
    "killed with its group": "os.killpg(0, signal.SIGKILL)",
    "as Ray does": f"[os.kill(int(child), 9) for child in {DIRECT_CHILDREN}]; os.kill(os.getpid(), 9)",
}


def log_of(output: Path, rank: int = 0) -> bytes:
    return b"".join(JobFolder.of_run(str(output)).read_log(f"rank-{rank}"))


def wait_for(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.05)


def is_any_left(output: Path) -> bool:
    """Whether a process knows of this folder, but for this one."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(output).encode() in process.read_bytes():
                return True
        except OSError:
            continue
    return False


def start(output: Path, code: str, **options: object) -> "subprocess.Popen[bytes]":
    code = code.replace("{uri!r}", repr(str(output / "job")))
    return subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **options)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize("end", ENDS)
def test_last_words_are_shipped_however_it_ends(tmp_path: Path, end: str) -> None:
    with (tmp_path / "worker.out").open("ab") as out, (tmp_path / "worker.err").open("ab") as err:
        out.write(b"before\n")
        out.flush()
        process = start(tmp_path, RANK.replace("{end}", ENDS[end]), stdout=out, stderr=err)
        assert process.wait(60) < 0
    wait_for(lambda: b"last words" in log_of(tmp_path))
    assert b"from python" in log_of(tmp_path)
    assert b"before" not in log_of(tmp_path)
    assert b"from python" in (tmp_path / "worker.out").read_bytes()  # where Ray's log monitor looks
    wait_for(lambda: not is_any_left(tmp_path))


def test_where_there_is_no_file_they_are_echoed(tmp_path: Path) -> None:
    process = start(tmp_path, RANK.replace("{end}", "os.abort()"), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    printed, said = process.communicate(timeout=60)  # to the end of the process that echoes
    assert (printed, said) == (b"from python\n", b"last words")
    assert b"last words" in log_of(tmp_path)


def test_native_code_that_prints_much_and_lets_nobody_run_is_not_blocked(tmp_path: Path) -> None:
    much = "ctypes.PyDLL(None).write(1, b'x' * 1_000_000, 1_000_000)"
    process = start(tmp_path, RANK.replace("{end}", much), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        printed, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert len(printed) > 1_000_000
    assert len(log_of(tmp_path)) > 1_000_000


TWICE = """
from momalisa.rank_log import shipped_rank
for rank, word in ((0, "first"), (0, "second"), (1, "third")):
    with shipped_rank({uri!r}, rank, 2):
        print(word)
    print("between")
"""


def test_a_group_that_starts_again_in_the_same_process_goes_on_after_its_parts(tmp_path: Path) -> None:
    with (tmp_path / "worker.out").open("ab") as out:
        assert start(tmp_path, TWICE, stdout=out, stderr=out).wait(60) == 0
    assert not is_any_left(tmp_path)
    assert (tmp_path / "worker.out").read_text().split() == [
        "first",
        "between",
        "second",
        "between",
        "third",
        "between",
    ]
    text = log_of(tmp_path)
    assert text.index(b"first") < text.index(b"second")
    assert b"between" not in text
    assert b"third" in log_of(tmp_path, rank=1)


def test_errors_that_were_recovered_from_are_forgotten(tmp_path: Path) -> None:
    """Each rank's by itself: another rank of the new group may have failed already. Fewer ranks may begin."""
    store = open_store(str(tmp_path / "job"))
    for rank in range(3):
        store.write_bytes(error_key(rank), b"{}")
    with shipped_rank(store.uri, 0, 2):
        assert [entry.key for entry in store.list("errors")] == [error_key(1)]
    with pytest.raises(OSError, match="the disk is full"), shipped_rank(store.uri, 1, 2):
        raise OSError("the disk is full")
    assert json.loads(store.read_bytes(error_key(1)))["exception"] == "OSError: the disk is full"
