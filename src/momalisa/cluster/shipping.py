"""The entrypoint of a job: runs a command, ships what it says to the run's folder, and writes down how it ended.

python -m momalisa.cluster.shipping --output URI -- python jobs/train.py …

Ray kills a driver 3 s after SIGTERM: what was said until then is in the bucket by then, or never.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from types import FrameType
from typing import IO

from momalisa.errors import ConfigError, MomalisaError, StorageError
from momalisa.job_folder import (
    DRIVER,
    ERRORS,
    EXIT_FILE,
    FOLDER,
    JOB_FOLDER_VARIABLE,
    ExitRecord,
    JobFolder,
    RankError,
    now,
)
from momalisa.log_shipping import QUICK, LogShipper
from momalisa.storage import open_store
from momalisa.terminal import failed
from momalisa.training.run import STOP_KEY

STOPPED_EXIT_CODE = 3
_NUM_LAST_LINES = 60
_CLOCKS_DIFFER = timedelta(seconds=5)
_LOG_FIRST_S = 1.5  # of the 3 that Ray leaves: a slow bucket still gets to know how it ended
_PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def main(arguments: list[str] | None = None) -> int:
    """Runs the command; the exit code is its own, 128 + n where signal n ended it."""
    try:
        flags = _parse(arguments)
        return Entrypoint(flags.output, flags.command).run()
    except MomalisaError as e:
        return failed(e)


class Entrypoint:
    """One attempt of a job."""

    def __init__(self, output_uri: str, command: Sequence[str]) -> None:
        self._run_folder = open_store(output_uri, QUICK)
        self._folder = JobFolder(self._run_folder.child(FOLDER))
        self._command = tuple(command)
        self._shipper = LogShipper(self._folder.store, DRIVER, warn=_say)
        self._started_at = now()
        self._signalled: str | None = None
        self._last_lines: deque[str] = deque(maxlen=_NUM_LAST_LINES)
        self._writing_exit = threading.Lock()
        self._has_ended = False

    def run(self) -> int:
        """Runs it to its end."""
        if self._asked_to_stop():
            _say(f"it was asked to stop ({self._run_folder.uri_of(STOP_KEY)}), so it is not started again")
            self._write_exit(STOPPED_EXIT_CODE)
            return STOPPED_EXIT_CODE
        self._forget_earlier_end()
        self._shipper.add(f"--- an attempt begins at {self._started_at:%Y-%m-%d %H:%M:%S} UTC\n".encode())
        self._shipper.start()
        code = self._run_child()
        self._shipper.close()
        self._write_exit(code)
        return code

    def _run_child(self) -> int:
        environment = {**os.environ, "PYTHONUNBUFFERED": "1", JOB_FOLDER_VARIABLE: self._folder.store.uri}
        merged = _are_same(1, 2)
        try:
            # In this process's group: Ray ends the whole group where its own supervisor dies.
            child = subprocess.Popen(
                self._command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if merged else subprocess.PIPE,
            )
        except OSError as e:
            raise ConfigError(f"{self._command[0]!r} cannot be run ({e}): check the entrypoint") from e
        self._pass_signals_to(child)
        copies = [self._copying(stream, number) for stream, number in ((child.stdout, 1), (child.stderr, 2)) if stream]
        code = child.wait()
        for copy in copies:
            # What the command has left running may hold the pipe open for ever.
            copy.join(timeout=5.0)
        return 128 - code if code < 0 else code

    def _copying(self, stream: IO[bytes], number: int) -> threading.Thread:
        def copy() -> None:
            partial = b""
            while data := os.read(stream.fileno(), 65536):
                self._shipper.add(data)
                with suppress(OSError):  # nobody reads it any more, or a disk is full: the command must not wait for us
                    os.write(number, data)
                *lines, partial = (partial + data).split(b"\n")
                self._last_lines.extend(line.decode(errors="replace")[-1000:] for line in lines)
                partial = partial[-1000:]

        thread = threading.Thread(target=copy, name=f"copy-{number}", daemon=True)
        thread.start()
        return thread

    def _pass_signals_to(self, child: "subprocess.Popen[bytes]") -> None:
        def pass_on(number: int, _frame: FrameType | None) -> None:
            self._signalled = signal.Signals(number).name
            # Ctrl-C at a terminal goes to all of its processes already.
            if number != signal.SIGINT or not sys.stdin.isatty():
                child.send_signal(number)
            # In a thread: a handler may not wait for a bucket.
            threading.Thread(target=self._expect_a_kill, name="last-words", daemon=True).start()

        for number in _PASSED_ON:
            signal.signal(number, pass_on)

    def _expect_a_kill(self) -> None:
        self._shipper.hurry(_LOG_FIRST_S)
        self._write_exit(128 + signal.Signals[self._signalled or "SIGTERM"], foreseen=True)

    def _asked_to_stop(self) -> bool:
        """Before anything runs: KubeRay tries again what ended with a code other than 0, also after a stop."""
        try:
            return self._run_folder.exists(STOP_KEY)
        except StorageError:
            return False  # the bucket is away; what runs will see the marker itself

    def _forget_earlier_end(self) -> None:
        try:
            self._folder.store.delete(EXIT_FILE)
            self._folder.store.delete_tree(ERRORS)
        except StorageError as e:
            _say(f"{self._folder.store.uri} is not to be written to just now ({e})")

    def _write_exit(self, code: int, *, foreseen: bool = False) -> None:
        """After the log, so that whoever finds it finds all of it. What was foreseen yields to what happened."""
        with self._writing_exit:
            if foreseen and self._has_ended:
                return
            self._has_ended = not foreseen
            try:
                errors = self._folder.errors(since=self._started_at - _CLOCKS_DIFFER)
                error = errors[0] if errors and code not in (0, STOPPED_EXIT_CODE) else None
                self._folder.store.write_bytes(
                    EXIT_FILE, self._exit_record(code, error).model_dump_json(indent=1).encode()
                )
            except StorageError as e:
                _say(f"how it ended (code {code}) cannot be written to {self._folder.store.uri} ({e})")

    def _exit_record(self, code: int, error: RankError | None) -> ExitRecord:
        return ExitRecord(
            exit_code=code,
            started_at=self._started_at,
            ended_at=now(),
            command=self._command,
            signalled=self._signalled,
            error=error,
            last_lines=tuple(self._last_lines),
        )


def _are_same(first: int, second: int) -> bool:
    """Whether two descriptors lead to one file: then one pipe keeps the order of what is written."""
    a, b = os.fstat(first), os.fstat(second)
    return (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino)


def _say(message: str) -> None:
    sys.stderr.write(f"momalisa: {message}\n")
    sys.stderr.flush()


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run a job's command, and keep what it says and how it ends.")
    parser.add_argument("--output", required=True, metavar="URI", help="the run's folder")
    parser.add_argument("command", nargs="+", metavar="-- CMD", help="what to run, after --")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
