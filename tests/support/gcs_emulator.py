"""python -m tests.support.gcs_emulator [--build] [--faults 0.1] [--latency-ms 50] [--bucket NAME]

A Cloud Storage of this machine: fake-gcs-server in memory, behind a proxy that can fail, delay and deny requests.
Prints the environment to set, and runs until Ctrl-C. The server is built once with `go install`, into the cache folder.
"""

import argparse
import contextlib
import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from momalisa.caches import cache_folder
from tests.support.fault_proxy import CONTROL_PATH
from tests.support.faults import FaultSettings

VERSION = "v1.56.1"
_MODULE = f"github.com/fsouza/fake-gcs-server@{VERSION}"
# Tests move HOME to a temporary folder; Go's own caches must not move with it.
_HOME = Path(os.environ.get("HOME", "~")).expanduser()
_ROOT = Path(__file__).parents[2]
_PR_SET_PDEATHSIG = 1
_START_TIMEOUT_S = 20


class EmulatorUnavailableError(Exception):
    """It can neither be found nor built here."""


@dataclass(frozen=True)
class GcsEmulator:
    """A running emulator. url: what clients use (the proxy). direct_url: past the proxy."""

    url: str
    direct_url: str

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs in its environment to take this for Google's."""
        return {"STORAGE_EMULATOR_HOST": self.url, "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false"}

    def create_bucket(self, name: str) -> str:
        """Make a bucket; returns its URI."""
        _request("POST", f"{self.direct_url}/storage/v1/b?project=test", {"name": name})
        return f"gs://{name}"

    def set_faults(self, **settings: Any) -> None:
        """Set the proxy (see `FaultSettings`; what is not named is off) and begin to count anew."""
        _request("PUT", self.url + CONTROL_PATH, FaultSettings(**settings).to_dict())

    def counts(self) -> dict[str, int]:
        """Requests and faults by kind since the proxy was set."""
        counts: dict[str, int] = _request("GET", self.url + CONTROL_PATH)["counts"]
        return {"requests": 0} | counts

    def num_faults(self) -> int:
        """Faults since the proxy was set."""
        return sum(number for kind, number in self.counts().items() if kind != "requests")


@contextlib.contextmanager
def running_emulator(**settings: Any) -> Iterator[GcsEmulator]:
    """Start the emulator and its proxy on free ports of the loopback; stop both at the end.

    Raises EmulatorUnavailableError where there is neither the server nor Go to build it.
    """
    binary = emulator_binary()
    port = free_port()
    server = [str(binary), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
    with _process([*server, "-log-level", "error", "-public-host", "127.0.0.1"]) as emulator:
        direct_url = f"http://127.0.0.1:{port}"
        _wait_for(f"{direct_url}/storage/v1/b?project=test", emulator)
        proxy_command = [sys.executable, "-m", "tests.support.fault_proxy", "--upstream", direct_url]
        with _process(proxy_command) as proxy:
            assert proxy.stdout is not None
            line = proxy.stdout.readline()
            if not line.strip().isdigit():
                raise EmulatorUnavailableError("the fault proxy did not start")
            running = GcsEmulator(f"http://127.0.0.1:{int(line)}", direct_url)
            running.set_faults(**settings)
            yield running


@contextlib.contextmanager
def emulator(*, faults: float = 0.0, latency_s: float = 0.0, seed: int = 0) -> Iterator[GcsEmulator]:
    """A running emulator that this process and its children take for Google's; a share of `faults` requests fail.

    Stalls last a second, so that clients with patient policies meet them too.
    """
    before = dict(os.environ)
    with running_emulator(share=faults, latency_s=latency_s, seed=seed, stall_s=1.0) as running:
        os.environ.update(running.environment)
        try:
            yield running
        finally:
            for name in running.environment:
                os.environ.pop(name, None)
                os.environ.update({name: before[name]} if name in before else {})


def emulator_binary() -> Path:
    """The server, built at most once per machine."""
    folder = cache_folder("bin")
    binary = folder / f"fake-gcs-server-{VERSION}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not binary.exists():
            _build(binary)
    return binary


def free_port() -> int:
    """A port of the loopback that no one listens on at the moment."""
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        port: int = candidate.getsockname()[1]
        return port


def _build(binary: Path) -> None:
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise EmulatorUnavailableError(f"the GCS emulator is built with Go: install Go, or put it at {binary}")
    workshop = binary.parent / f"build-{os.getpid()}"
    environment = os.environ | {"GOBIN": str(workshop), "HOME": str(_HOME)}
    try:
        subprocess.run([go, "install", _MODULE], env=environment, cwd=binary.parent, check=True, capture_output=True)
        (workshop / "fake-gcs-server").replace(binary)
    except subprocess.CalledProcessError as e:
        raise EmulatorUnavailableError(f"go install {_MODULE} failed: {e.stderr.decode()[-2000:]}") from e
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


@contextlib.contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A child that ends with this block, and with this process however that ends."""
    with subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=_die_with_parent()
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _wait_for(url: str, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            _request("GET", url)
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise EmulatorUnavailableError("fake-gcs-server did not start")


def _request(method: str, url: str, content: Any = None) -> Any:
    data = None if content is None else json.dumps(content).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    # Proxies of the environment are for the world outside, not for the loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(request, timeout=30) as response:
        return json.load(response)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that fail, 0 to 1")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--bucket", default="momalisa")
    parser.add_argument("--build", action="store_true", help="only build the server, minutes at the first time")
    arguments = parser.parse_args()
    if arguments.build:
        emulator_binary()
        return
    with running_emulator(share=arguments.faults, latency_s=arguments.latency_ms / 1000) as emulator:
        for name, value in emulator.environment.items():
            print(f"export {name}={value}")
        print(f"# bucket: {emulator.create_bucket(arguments.bucket)}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
        print(f"# {emulator.counts()}")


if __name__ == "__main__":
    main()
