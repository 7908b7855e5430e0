"""A real GCS emulator (fake-gcs-server) behind a proxy that injects faults and latency.

python -m tests.support.gcs_emulator --faults 0.1 --latency-ms 50 --bucket demo
"""

import argparse
import asyncio
import contextlib
import os
import random
import shutil
import socket
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientSession, ClientTimeout, web

from momalisa.caches import cache_folder

VERSION = "v1.56.1"
FAULTS = ("503", "429", "reset", "truncated")


@dataclass
class FaultProxy:
    """Passes requests on to `target`, but for a share of them. Counts what it did."""

    target: str
    share: float = 0.0
    latency_s: float = 0.0
    seed: int = 0
    forbidden: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="fault-proxy", daemon=True)
        self._thread.start()
        assert self._started.wait(10), "the proxy did not start"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application(client_max_size=2**31)
        app.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(app, access_log=None)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", self.port).start())
        self._session = self._loop.run_until_complete(self._open())
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._session.close())
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _open(self) -> ClientSession:
        return ClientSession(timeout=ClientTimeout(total=120), auto_decompress=False)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        self.counts["requests"] += 1
        if self.latency_s:
            await asyncio.sleep(self.latency_s)
        if self.forbidden:
            return web.json_response({"error": {"code": 403, "message": "not allowed"}}, status=403)
        fault = self._random.choice(FAULTS) if self._random.random() < self.share else None
        if fault is not None:
            self.counts[fault] += 1
            self.counts["faults"] += 1
        if fault in ("503", "429"):
            return web.json_response({"error": {"code": int(fault), "message": "injected"}}, status=int(fault))
        body = await request.read()
        if fault == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
        async with self._session.request(
            request.method, self.target + request.raw_path, headers=headers, data=body, allow_redirects=False
        ) as answer:
            content = await answer.read()
            kept = {
                k: v.replace(self.target, self.url)
                for k, v in answer.headers.items()
                if k.lower() not in ("content-length", "transfer-encoding", "connection")
            }
            if fault == "truncated" and len(content) > 1:
                return await self._cut_short(request, answer.status, kept, content)
            return web.Response(status=answer.status, headers=kept, body=content)

    async def _cut_short(
        self, request: web.Request, status: int, headers: dict[str, str], content: bytes
    ) -> web.StreamResponse:
        """Half of the body under the whole one's length, and then a reset: the write has happened."""
        response = web.StreamResponse(status=status, headers={**headers, "Content-Length": str(len(content))})
        await response.prepare(request)
        await response.write(content[: len(content) // 2])
        assert request.transport is not None
        request.transport.abort()
        return response


@dataclass
class GcsEmulator:
    """A running emulator and the proxy before it."""

    proxy: FaultProxy
    direct: str

    def create_bucket(self, name: str) -> None:
        request = urllib.request.Request(
            f"{self.direct}/storage/v1/b",
            data=f'{{"name": "{name}"}}'.encode(),
            headers={"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).read()


@contextlib.contextmanager
def emulator(*, faults: float = 0.0, latency_s: float = 0.0, seed: int = 0) -> Iterator[GcsEmulator]:
    """Starts both on free ports, with `STORAGE_EMULATOR_HOST` set to the proxy; ends them afterwards."""
    port = free_port()
    direct = f"http://127.0.0.1:{port}"
    proxy = FaultProxy(direct, share=faults, latency_s=latency_s, seed=seed)
    command = [str(emulator_binary()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-backend", "memory", "-external-url", proxy.url, "-public-host", f"127.0.0.1:{proxy.port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    before = os.environ.get("STORAGE_EMULATOR_HOST")
    os.environ["STORAGE_EMULATOR_HOST"] = proxy.url
    try:
        _wait_until_up(direct)
        yield GcsEmulator(proxy, direct)
    finally:
        os.environ.pop("STORAGE_EMULATOR_HOST")
        if before is not None:
            os.environ["STORAGE_EMULATOR_HOST"] = before
        process.terminate()
        process.wait(10)
        proxy.close()


def emulator_binary() -> Path:
    """fake-gcs-server, built by Go at the first use into the cache."""
    binary = cache_folder("bin") / f"fake-gcs-server-{VERSION}"
    if not binary.is_file():
        if shutil.which("go") is None:
            raise RuntimeError("the GCS emulator is built with Go: install Go (1.24 or newer)")
        scratch = cache_folder("bin") / f"build-{os.getpid()}"
        scratch.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            ["go", "install", f"github.com/fsouza/fake-gcs-server@{VERSION}"],
            check=True,
            env={**os.environ, "GOBIN": str(scratch)},
        )
        (scratch / "fake-gcs-server").replace(binary)
        scratch.rmdir()
    return binary


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_up(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            urllib.request.urlopen(f"{url}/storage/v1/b?project=test", timeout=2).read()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a GCS emulator with faults.")
    parser.add_argument("--faults", type=float, default=0.0, help="share of the requests that fail")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--bucket", default="demo")
    flags = parser.parse_args()
    with emulator(faults=flags.faults, latency_s=flags.latency_ms / 1000) as running:
        running.create_bucket(flags.bucket)
        print(f"export STORAGE_EMULATOR_HOST={running.proxy.url}  # then use gs://{flags.bucket}/…", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                time.sleep(3600)


if __name__ == "__main__":
    main()
