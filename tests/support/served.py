"""The service as `serve/app.py` starts it, in processes of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

_ROOT = Path(__file__).parents[2]
_READY_S = 180.0
CHUNK_SIZE = 16
"""Frames that a renderer draws together, at most."""
_LOG = "serve.log"


class Served:
    """A service that runs, by its address."""

    def __init__(self, process: subprocess.Popen[str], url: str, folder: Path) -> None:
        self.process, self.url, self._log = process, url, folder / _LOG
        self.bucket = folder / "bucket"

    @property
    def printed(self) -> str:
        """What it has printed so far."""
        return self._log.read_text()

    def replicas(self, deployment: str) -> list[psutil.Process]:
        """Processes of a deployment's replicas."""
        return self.processes(f"ray::ServeReplica:momalisa:{deployment}")

    @property
    def ray_figures(self) -> str:
        """The address at which its Ray tells figures: in a pod, that of the port called `metrics`."""
        (told,) = Path(self._ray_told("--session_dir=")).glob("metrics_export_port_*")
        return f"localhost:{told.read_text().strip()}"

    @property
    def ray_address(self) -> str:
        """Where another driver finds its Ray."""
        (agent,) = (each for each in self._ray_told("--dashboard_agent_command=").split() if "--gcs-address=" in each)
        return agent.partition("=")[2]

    def _ray_told(self, flag: str) -> str:
        """What a flag of its raylet says."""
        flags = [word for child in psutil.Process(self.process.pid).children() for word in child.cmdline()]
        return str(next(word.removeprefix(flag) for word in flags if word.startswith(flag)))

    def processes(self, title: str) -> list[psutil.Process]:
        """Those of its processes whose title begins like this."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if child.cmdline()[:1] and child.cmdline()[0].startswith(title):
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self, deployment: str) -> None:
        """Kill -9 of one replica."""
        victims = self.replicas(deployment)
        assert victims, f"no replica of {deployment} runs"
        victims[0].kill()

    def log_lines(self) -> list[dict[str, str]]:
        """What replicas have logged so far, line by line."""
        files = (self.bucket.parent / "logs").glob("replica_*.log")
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def metrics(self) -> dict[str, float]:
        """The figures of /metrics, by name and labels."""
        answer = httpx.get(f"{self.url}/metrics", timeout=30)
        while answer.status_code != httpx.codes.OK:  # the conductor starts anew
            time.sleep(0.2)
            answer = httpx.get(f"{self.url}/metrics", timeout=30)
        lines = answer.text.splitlines()
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in lines if line and line[0] != "#"}


@contextmanager
def served(folder: Path, *flags: str, environment: dict[str, str] | None = None) -> Iterator[Served]:
    """Starts the service with its state in a folder; it is ready within the block, and gone after it."""
    port = _free_port()
    command = [sys.executable, "serve/app.py", "--state", str(folder), "--port", str(port), *flags]
    with (folder / _LOG).open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=_ROOT,
            env={**os.environ, "PYTHONPATH": str(_ROOT / "src"), **(environment or {})},
            stdout=file,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
    service = Served(process, f"http://localhost:{port}", folder)
    try:
        _wait_for_line(service)
        yield service
    finally:
        _end(process)


def _wait_for_line(service: Served) -> None:
    until = time.monotonic() + _READY_S
    while "ready after" not in service.printed:
        if service.process.poll() is not None or time.monotonic() > until:
            raise AssertionError(f"the service did not start:\n{service.printed}")
        time.sleep(0.2)


def _end(process: subprocess.Popen[str]) -> None:
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        process.kill()
    for child in family:
        if child.is_running():
            child.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
