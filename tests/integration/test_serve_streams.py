"""As many event streams as one gateway may hold, and more, on a real Ray Serve.

MOMALISA_NUM_STREAMS=10000 pytest -m slow tests/integration/test_serve_streams.py opens ten thousand (minutes).
"""

import asyncio
import json
import os
import resource
import threading
import time
from collections.abc import Awaitable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest

from momalisa.client import Client
from tests.support.meanwhile import meanwhile
from tests.support.served import Served, served
from tests.support.small_sd import save_small_sd

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

_NUM_STREAMS = int(os.environ.get("MOMALISA_NUM_STREAMS", "2000"))
"""Ray Serve's proxy opens some 60 a second on two cores."""
_NUM_TOO_MANY = 100
_NUM_FILES = _NUM_STREAMS + _NUM_TOO_MANY + 2000
_HEARTBEAT_S = max(15.0, _NUM_STREAMS / 300)
"""Each heartbeat goes through the gateway and Ray Serve's proxy: some hundreds a second leave room for other requests
on two cores, which these streams' clients are on as well."""
_AT_ONCE = 100
_MOST_MIB_A_STREAM = 0.3
_ANSWERED_S = 10.0
_AWAKE_S, _ASLEEP_S = 0.2, 15.0
_LONG = {"num_frames": 1000, "num_inference_steps": 50, "mode": "text"}
_BODY = {"waypoints": [{"prompt": "dots"}, {"prompt": "other waves"}], "num_frames": 2, "seed": 1}


@pytest.fixture
def _many_files() -> Iterator[None]:
    """For this process and for the service, which inherits it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < _NUM_FILES:
        pytest.skip(f"a process may open {hard} files here, {_NUM_FILES} are needed: raise the hard limit (ulimit -Hn)")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, _NUM_FILES), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("_many_files")
def test_thousands_watch_one_walk_and_hold_up_nobody(tmp_path: Path) -> None:
    model = save_small_sd(tmp_path / "small")
    limits = {"max_streams": _NUM_STREAMS, "max_frames": _LONG["num_frames"]}
    streams = {"heartbeat_s": _HEARTBEAT_S}
    (tmp_path / "life.json").write_text(json.dumps({"gateway": {"limits": limits, "streams": streams}}))
    flags = ("--model", f"small={model}", "--open", "--config", str(tmp_path / "life.json"))
    with served(tmp_path, *flags, "--set", f"max_open_requests={_NUM_STREAMS + 1000}") as service:
        walk = Client(service.url).walk("dots", "waves", wait=False, **_LONG)
        while service.metrics()["momalisa_live_works"] < 1:
            time.sleep(0.1)
        with _hardly_awake(service):
            asyncio.run(_watch(service, f"/v1/walks/{walk.id}/events"))
            assert walk.refresh().state == "running"
        walk.cancel()


def _hardly_awake(service: Served) -> AbstractContextManager[None]:
    """The cores are the streams': the renderer wakes for its health checks alone, or Ray Serve would replace it."""
    (renderer,) = service.replicas("renderer")

    def nod(is_over: threading.Event) -> None:
        while not is_over.wait(_AWAKE_S):
            renderer.suspend()
            is_over.wait(_ASLEEP_S)
            renderer.resume()

    return meanwhile(nod)


async def _watch(service: Served, path: str) -> None:
    (gateway,) = service.replicas("gateway")
    before, began = gateway.memory_info().rss, time.monotonic()
    async with httpx.AsyncClient(base_url=service.url, timeout=60) as client:
        held = [_Stream(service.url, path) for _ in range(_NUM_STREAMS)]
        assert set(await _opened(held)) == {200}
        print(f"{len(held)} streams after {time.monotonic() - began:.1f} s")
        too_many = [_Stream(service.url, path) for _ in range(_NUM_TOO_MANY)]
        assert set(await _opened(too_many)) == {503}
        assert all("retry-after: 5" in stream.head for stream in too_many)
        for asked, status in ((client.get("/healthz"), 200), (client.post("/v1/walks", json=_BODY), 202)):
            print(f"answered after {await _timed(asked, status):.2f} s meanwhile")
        until = time.monotonic() + 3 * _HEARTBEAT_S
        while any(stream.num_heartbeats == 0 for stream in held) and time.monotonic() < until:
            await asyncio.sleep(0.5)
        assert all(stream.num_heartbeats > 0 for stream in held)
        mib = (gateway.memory_info().rss - before) / 2**20 / len(held)
        print(f"{mib:.3f} MiB a stream, after {time.monotonic() - began:.1f} s")
        assert mib < _MOST_MIB_A_STREAM
        for stream in [*held, *too_many]:
            stream.close()
        again = [_Stream(service.url, path) for _ in range(2 * _NUM_TOO_MANY)]
        until = time.monotonic() + 30
        while set(await _opened(again)) != {200}:
            assert time.monotonic() < until, "the seats are still taken"
            await asyncio.sleep(1)
        for stream in again:
            stream.close()


async def _timed(asked: Awaitable[httpx.Response], status: int) -> float:
    began = time.monotonic()
    assert (await asked).status_code == status
    seconds = time.monotonic() - began
    assert seconds < _ANSWERED_S
    return seconds


async def _opened(streams: list["_Stream"]) -> list[int]:
    """Their statuses."""
    turns = asyncio.Semaphore(_AT_ONCE)

    async def open_one(stream: "_Stream") -> int:
        async with turns:
            return await stream.open()

    return await asyncio.gather(*map(open_one, streams))


class _Stream:
    """One event stream, read as it comes."""

    def __init__(self, url: str, path: str) -> None:
        self._host, self._port = url.removeprefix("http://").split(":")
        self._path = path
        self.head = ""
        self.num_heartbeats = 0
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self) -> int:
        self.close()
        reader, self._writer = await asyncio.open_connection(self._host, int(self._port), limit=1 << 12)
        self._writer.write(f"GET {self._path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        self.head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        self._reading = asyncio.create_task(self._read(reader))
        return int(self.head.split(" ")[1])

    async def _read(self, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(1 << 12):
            self.num_heartbeats += data.count(b": ok\n")

    def close(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
        if self._writer is not None:
            self._writer.close()
