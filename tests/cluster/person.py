"""Somebody at a shell with few rights: `momalisa jobs …` and `make submit-…` as processes, as a person runs them."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.gcs import ClusterGcs
from tests.cluster.handles import Namespace
from tests.cluster.images import ROOT

_PROGRAM = (sys.executable, "-m", "momalisa.cli")
_QUICK_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return f"exit code {self.code}\n{self.out}\n{self.err}"


class Running:
    """A command that has not ended yet; what it says goes to a file as it comes."""

    def __init__(self, words: Sequence[str], env: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                words,
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_listen_to_interrupts,
            )

    def said(self) -> str:
        return self._log.read_text(errors="replace")

    def interrupt(self) -> None:
        """Ctrl-C."""
        self._process.send_signal(signal.SIGINT)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def ended(self, timeout_s: float) -> int:
        """Its exit code."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it did not end within {timeout_s:.0f} s; it said:\n{self.said()}") from None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait(10)


def _listen_to_interrupts() -> None:
    """Whoever was started in the background is deaf to Ctrl-C, and so would be what it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Person:
    """Has the rights of a kubeconfig, a bucket, and nothing else."""

    def __init__(self, namespace: Namespace, gcs: ClusterGcs, folder: Path, kubeconfig: Path) -> None:
        self.namespace = namespace
        self.folder = folder
        self._running: list[Running] = []
        self.env = {
            **os.environ,
            **gcs.environment,
            "KUBECONFIG": str(kubeconfig),
            "MOMALISA_IMAGE": namespace.cluster.image,
            "MOMALISA_CACHE": str(folder / "cache"),
            "PYTHONPATH": str(ROOT / "src"),
            "COLUMNS": "180",
            "OMP_NUM_THREADS": "1",
        }

    def jobs(self, *words: str, timeout_s: float = _QUICK_S) -> Said:
        """`momalisa jobs WORDS`, to its end."""
        return self.run([*_PROGRAM, "jobs", *words], timeout_s=timeout_s)

    def make(self, *words: str, timeout_s: float = _QUICK_S) -> Said:
        """`make WORDS`, in the checkout, with the Python of these tests."""
        stands_for_setup = ["--assume-old=.venv/.installed", f"BIN={Path(sys.executable).parent}", "STAMP="]
        return self.run(["make", "--no-print-directory", *stands_for_setup, *words], timeout_s=timeout_s)

    def run(self, words: Sequence[str], *, timeout_s: float) -> Said:
        try:
            done = subprocess.run(
                words,
                cwd=ROOT,
                env=self.env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as e:
            said = "\n".join((part or b"").decode(errors="replace")[-4000:] for part in (e.stdout, e.stderr))
            raise AssertionError(
                f"{' '.join(words[:6])} took longer than {timeout_s:.0f} s:\n{said}\n{self.namespace.story()}"
            ) from None
        return Said(code=done.returncode, out=done.stdout, err=done.stderr)

    def start(self, *words: str) -> Running:
        """`momalisa jobs WORDS`, in the background."""
        log = self.folder / f"running-{uuid.uuid4().hex[:6]}.log"
        self._running.append(Running([*_PROGRAM, "jobs", *words], self.env, log))
        return self._running[-1]

    def status(self, name: str) -> dict[str, Any]:
        """The verdict, as programs read it."""
        said = self.jobs("status", name, "--json")
        assert said.out.startswith("{"), said.all
        verdict: dict[str, Any] = json.loads(said.out)
        return verdict

    def leave(self) -> None:
        """Ends what still runs."""
        for running in self._running:
            if not running.has_ended():
                running.kill()
