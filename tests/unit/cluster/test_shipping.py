"""The entrypoint's wrapper, as a process: what it echoes, what it ships, and what is left after a kill."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from momalisa.errors import UnavailableError
from momalisa.job_folder import JobFolder
from momalisa.log_shipping import LogShipper
from momalisa.storage import Store, open_store

WRAPPER = [sys.executable, "-m", "momalisa.cluster.shipping"]


def run(output: Path, code: str, **options: object) -> "subprocess.CompletedProcess[bytes]":
    command = [*WRAPPER, "--output", str(output), "--", sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, timeout=240, **options)  # type: ignore[call-overload,no-any-return]


def log_of(output: Path, source: str = "driver") -> bytes:
    return b"".join(JobFolder.of_run(str(output)).read_log(source))


def test_output_is_echoed_unchanged_and_shipped(tmp_path: Path) -> None:
    # In one call each: a newline that `print` writes by itself may come behind the other stream's words.
    out, err = "sys.stdout.write('to stdout \\x1b[31mé\\n')", "sys.stderr.write('to stderr, no end of line')"
    code = f"import sys; {out}; {err}; sys.exit(5)"
    done = run(tmp_path, code)
    assert done.returncode == 5
    assert done.stdout == "to stdout \x1b[31mé\n".encode()
    assert done.stderr == b"to stderr, no end of line"
    shipped = log_of(tmp_path)
    assert b"to stdout \x1b[31m\xc3\xa9\n" in shipped
    assert b"to stderr, no end of line" in shipped
    record = JobFolder.of_run(str(tmp_path)).exit()
    assert record is not None
    assert (record.exit_code, record.signalled, record.error) == (5, None, None)
    assert record.last_lines[0].startswith("to stdout")


def test_one_file_for_both_keeps_their_order(tmp_path: Path) -> None:
    code = "import sys\nfor i in range(50): print('out', i); sys.stderr.write(f'err {i}\\n')"
    command = [*WRAPPER, "--output", str(tmp_path), "--", sys.executable, "-c", code]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240, check=True)
    assert done.stdout.decode().splitlines() == [f"{name} {i}" for i in range(50) for name in ("out", "err")]


def test_a_second_attempt_goes_on_after_the_parts_of_the_first(tmp_path: Path) -> None:
    run(tmp_path, "print('first'); exit(1)")
    run(tmp_path, "print('second')")
    folder = JobFolder.of_run(str(tmp_path))
    assert folder.parts("driver") == ["logs/driver/000000.log", "logs/driver/000001.log"]
    text = log_of(tmp_path)
    assert text.index(b"first") < text.index(b"second")
    record = folder.exit()
    assert record is not None
    assert record.exit_code == 0


def test_the_command_is_told_where_the_folder_is(tmp_path: Path) -> None:
    done = run(tmp_path, "import os; print(os.environ['MOMALISA_JOB_FOLDER'])")
    assert done.stdout.decode().strip() == open_store(str(tmp_path)).child("job").uri


def test_a_run_that_was_asked_to_stop_is_not_started_again(tmp_path: Path) -> None:
    open_store(str(tmp_path)).write_bytes("control/stop", b"stop\n")
    done = run(tmp_path, "print('it runs')")
    assert done.returncode == 3
    assert b"it runs" not in done.stdout
    assert b"control/stop" in done.stderr


def test_a_command_that_is_not_there_is_wrong_input(tmp_path: Path) -> None:
    done = subprocess.run(
        [*WRAPPER, "--output", str(tmp_path), "--", "no-such-command"], capture_output=True, timeout=240
    )
    assert done.returncode == 2
    assert b"check the entrypoint" in done.stderr


def test_a_bucket_that_cannot_be_written_to_fails_no_job(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    done = run(blocked / "run", "print('done all the same')")
    assert done.returncode == 0
    assert done.stdout == b"done all the same\n"
    assert done.stderr


SLOW_TO_END = """
import signal, time
signal.signal(signal.SIGTERM, lambda *_: print("asked to end", flush=True))
print("ready", flush=True)
while True: time.sleep(1)
"""


def test_what_was_said_before_a_kill_is_there(tmp_path: Path) -> None:
    """As Ray does it: SIGTERM to driver and children, SIGKILL after a few seconds."""
    command = [*WRAPPER, "--output", str(tmp_path), "--", sys.executable, "-c", SLOW_TO_END]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == b"asked to end\n"
        exit_file = tmp_path / "job" / "exit.json"
        # Either alone may come first where a disk is slow; the order is the shipper's own test.
        while not exit_file.exists() or b"ready" not in log_of(tmp_path):
            assert process.poll() is None
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
    record = json.loads(exit_file.read_text())
    assert (record["exit_code"], record["signalled"]) == (143, "SIGTERM")


def test_a_command_ended_by_a_signal_gives_the_shells_code(tmp_path: Path) -> None:
    assert run(tmp_path, "import os; os.kill(os.getpid(), 9)").returncode == 137


RANK = """
import sys
from momalisa.rank_log import shipped_rank
try:
    with shipped_rank({uri!r}, 1, 2):
        import os
        print("from python", flush=True)
        os.system("echo from a child")
        raise ValueError("the picture is torn")
except ValueError:
    pass
print("after it")
"""


def test_a_ranks_output_and_its_exception_are_shipped(tmp_path: Path) -> None:
    job = str(tmp_path / "job")
    done = subprocess.run([sys.executable, "-c", RANK.format(uri=job)], capture_output=True, timeout=240, check=True)
    assert done.stdout == b"from python\nfrom a child\nafter it\n"
    folder = JobFolder.of_run(str(tmp_path))
    assert folder.sources() == ["rank-1"]
    text = log_of(tmp_path, "rank-1")
    assert b"from python\nfrom a child\n" in text
    assert b"after it" not in text
    assert (
        "ValueError: the picture is torn" in json.loads((tmp_path / "job/errors/rank-1.json").read_text())["exception"]
    )


def test_the_first_ranks_error_is_in_the_exit_record(tmp_path: Path) -> None:
    code = """
import os
from momalisa.rank_log import shipped_rank
for rank, message in ((1, "the cause"), (0, "a consequence")):
    try:
        with shipped_rank(os.environ["MOMALISA_JOB_FOLDER"], rank, 2):
            raise RuntimeError(message)
    except RuntimeError:
        pass
raise SystemExit(1)
"""
    run(tmp_path, code)
    record = JobFolder.of_run(str(tmp_path)).exit()
    assert record is not None
    assert record.error is not None
    assert (record.error.rank, record.error.exception) == (1, "RuntimeError: the cause")


@pytest.mark.parametrize(("code", "is_told"), [(1, True), (3, False)])
def test_a_run_that_was_stopped_has_no_error(tmp_path: Path, code: int, is_told: bool) -> None:
    """What a rank left behind was recovered from, or the driver would not say that it stopped."""
    error = f"rank=1, time='{datetime.now(UTC) + timedelta(minutes=1)}', exception='OSError: gone', traceback=''"
    command = f"""
import os
from momalisa.job_folder import RankError, error_key
from momalisa.storage import open_store
open_store(os.environ['MOMALISA_JOB_FOLDER']).write_bytes(error_key(1), RankError({error}).model_dump_json().encode())
raise SystemExit({code})
"""
    run(tmp_path, command)
    record = JobFolder.of_run(str(tmp_path)).exit()
    assert record is not None
    assert (record.error is not None) is is_told


def test_a_job_goes_on_where_nobody_reads_its_output(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    code = "import sys; sys.stdout.write('x' * 1_000_000); sys.stdout.flush(); print('the end')"
    process = subprocess.Popen([*WRAPPER, "--output", str(tmp_path), "--", sys.executable, "-c", code], stdout=writing)
    os.close(writing)
    os.close(reading)
    try:
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert log_of(tmp_path).endswith(b"the end\n")


class Flaky:
    """A store whose writes fail until it is told otherwise."""

    def __init__(self, store: Store) -> None:
        self.uri = store.uri
        self.list = store.list
        self.is_away = True
        self.takes = threading.Event()
        self.takes.set()
        self.written: list[int] = []
        self._store = store

    def write_bytes(self, key: str, data: bytes) -> None:
        assert self.takes.wait(60)
        if self.is_away:
            raise UnavailableError("it is away")
        self.written.append(len(data))
        self._store.write_bytes(key, data)


@pytest.fixture
def ship(tmp_path: Path) -> Callable[..., tuple[LogShipper, Flaky, list[str]]]:
    def make(**options: int) -> tuple[LogShipper, Flaky, list[str]]:
        store, warnings = Flaky(open_store(str(tmp_path / "job"))), []  # type: ignore[var-annotated]
        return LogShipper(store, "driver", warn=warnings.append, **options), store, warnings  # type: ignore[arg-type]

    return make


def test_a_bucket_that_is_away_is_told_once_and_gets_all_later(tmp_path: Path, ship: Callable[..., tuple]) -> None:
    shipper, store, warnings = ship()
    for line in (b"one\n", b"two\n", b"three\n"):
        shipper.add(line)
        assert not shipper.ship()
    assert len(warnings) == 1
    store.is_away = False
    assert shipper.ship()
    assert log_of(tmp_path) == b"one\ntwo\nthree\n"
    assert shipper.ship()
    assert store.written == [14]  # nothing new, nothing written


def test_parts_grow_to_their_size_and_then_the_next_begins(tmp_path: Path, ship: Callable[..., tuple]) -> None:
    shipper, store, _ = ship(part_bytes=8)
    store.is_away = False
    for line in (b"12345\n", b"6789\n", b"0\n"):
        shipper.add(line)
        shipper.ship()
    assert store.written == [6, 11, 2]
    assert log_of(tmp_path) == b"12345\n6789\n0\n"
    assert len(JobFolder.of_run(str(tmp_path)).parts("driver")) == 2


def test_memory_is_bounded_and_what_is_left_out_is_said(tmp_path: Path, ship: Callable[..., tuple]) -> None:
    shipper, store, _ = ship(most_waiting_bytes=10, part_bytes=4)
    for data in (b"012345", b"6789abcdef", b"ghi"):
        shipper.add(data)
        assert not shipper.ship()
    store.is_away = False
    assert shipper.ship()
    assert sum(store.written) < 100
    text = log_of(tmp_path)
    assert text.startswith(b"012345\n")
    assert b"3 bytes are left out" in text
    assert text.endswith(b"9abcdefghi")


def test_in_a_hurry_all_that_was_added_is_written_first(tmp_path: Path, ship: Callable[..., tuple]) -> None:
    shipper, store, _ = ship()
    store.is_away = False
    shipper.add(b"last words\n")
    shipper.hurry(within_s=60)
    assert log_of(tmp_path) == b"last words\n"


def test_a_hurry_waits_no_longer_than_it_was_told(tmp_path: Path, ship: Callable[..., tuple]) -> None:
    shipper, store, _ = ship()
    store.is_away = False
    store.takes.clear()
    shipper.add(b"last words\n")
    shipper.hurry(within_s=0.01)
    assert log_of(tmp_path) == b""
    store.takes.set()
    assert shipper.ship()
