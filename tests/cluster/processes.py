"""Daemons of the test cluster, each known by its pid and the moment that it began: nothing else is ever signalled."""

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

_STOP_TIMEOUT_S = 20.0
_KILLED_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """What was started is noted in `folder`/run/NAME.json; what it prints goes to `folder`/log/NAME.log."""

    folder: Path

    def start(self, name: str, command: list[str], env: dict[str, str] | None = None) -> None:
        """Starts `command` in a session of its own, unless it runs already."""
        if self.is_running(name):
            return
        for part in ("log", "run"):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        environment = os.environ | (env or {})
        with self.log(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=environment,
                start_new_session=True,
            )
        process.returncode = 0  # It outlives this object, which would otherwise complain; `_started` reaps it.
        note = {"pid": process.pid, "started": _started(process.pid), "command": command, "env": env or {}}
        self._note(name).write_text(json.dumps(note, indent=1))

    def start_again(self, name: str) -> None:
        """Starts what `stop(name, keep_note=True)` has stopped, as it was."""
        note = json.loads(self._note(name).read_text())
        self.start(name, note["command"], note["env"])

    def stop(self, name: str, *, keep_note: bool = False) -> None:
        """Ends it and waits until it is gone; is there none: fine."""
        for number, timeout_s in ((signal.SIGTERM, _STOP_TIMEOUT_S), (signal.SIGKILL, _KILLED_TIMEOUT_S)):
            if not self.is_running(name):
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid(name), number)
            self._wait_until_gone(name, timeout_s)
        if not keep_note:
            self._note(name).unlink(missing_ok=True)

    def names(self) -> list[str]:
        """All that were started, the earliest first."""
        notes = sorted((self.folder / "run").glob("*.json"), key=lambda note: note.stat().st_mtime_ns)
        return [note.stem for note in notes]

    def pid(self, name: str) -> int:
        """Its pid when it was started."""
        pid: int = json.loads(self._note(name).read_text())["pid"]
        return pid

    def is_running(self, name: str) -> bool:
        """Whether the very process that was started is there: pids are given again, moments of start are not."""
        try:
            note = json.loads(self._note(name).read_text())
        except FileNotFoundError:
            return False
        return note["started"] is not None and _started(note["pid"]) == note["started"]

    def log(self, name: str) -> Path:
        """Where its output is."""
        return self.folder / "log" / f"{name}.log"

    def last_lines(self, name: str, number: int = 15) -> str:
        """The end of its log, for an error message."""
        lines = self.log(name).read_text(errors="replace").splitlines() if self.log(name).exists() else []
        return "\n".join(lines[-number:])

    def _wait_until_gone(self, name: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while self.is_running(name) and time.monotonic() < deadline:
            time.sleep(0.05)

    def _note(self, name: str) -> Path:
        return self.folder / "run" / f"{name}.json"


def _started(pid: int) -> int | None:
    """When a process began, in ticks since boot; None when it is gone (or only waits for its parent to notice)."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])
