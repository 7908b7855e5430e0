"""python -m tests.support.fault_proxy --upstream http://127.0.0.1:4443 --port 0

A proxy in front of the emulator that fails a share of the requests, delays all, or denies all. It prints its port, is
set and read over HTTP (`/_faults`), and ends when its standard input does, so that it never outlives its parent.
"""

import argparse
import asyncio
import re
import sys
import time
from urllib.parse import parse_qs, urlsplit

import aiohttp
from aiohttp import web
from yarl import URL

from tests.support.faults import REFUSALS, FaultPlan, FaultSettings
from tests.support.resumable import UploadSession

CONTROL_PATH = "/_faults"
_METADATA_BYTES = 4096
_HOP_HEADERS = {"connection", "content-length", "transfer-encoding", "keep-alive", "date"}

Relayed = tuple[int, dict[str, str], bytes]


class FaultProxy:
    def __init__(self, upstream: str, plan: FaultPlan) -> None:
        self._upstream = upstream
        self._plan = plan
        self._uploads: dict[str, UploadSession] = {}
        self._written_at: dict[str, float] = {}
        self._client: aiohttp.ClientSession | None = None

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == CONTROL_PATH:
            return await self._control(request)
        # Read first: a refusal must not look like a connection that broke while the request was sent.
        body = await request.read()
        settings = self._plan.settings
        fault = self._plan.next()
        if settings.latency_s:
            await asyncio.sleep(settings.latency_s)
        if fault == "403":
            return web.json_response({"error": {"code": 403, "message": "the proxy denies everything"}}, status=403)
        if fault in REFUSALS:
            return web.Response(status=int(fault), text="the proxy refuses this request")
        name = _object_written(request, body)
        if name is not None and self._is_too_often(name):
            self._plan.refuse("too often")
            return web.Response(status=429, text=f"{name} is written too often")
        relayed = await self._forward(request, body)
        if name is not None and relayed[0] < 300:
            self._written_at[name] = time.monotonic()
        return await _mutilated(request, relayed, fault, settings.stall_s)

    def _is_too_often(self, name: str) -> bool:
        limit = self._plan.settings.max_writes_per_s
        since = time.monotonic() - self._written_at.get(name, float("-inf"))
        return limit is not None and since < 1 / limit

    async def _control(self, request: web.Request) -> web.Response:
        if request.method == "PUT":
            self._plan.reset(FaultSettings(**await request.json()))
        return web.json_response({"settings": self._plan.settings.to_dict(), "counts": self._plan.counts})

    async def _forward(self, request: web.Request, body: bytes) -> Relayed:
        upload_id = parse_qs(urlsplit(request.path_qs).query).get("upload_id", [""])[0]
        if request.method != "PUT" or not upload_id:
            return await self._send(request, dict(request.headers), body)
        upload = self._uploads.setdefault(upload_id, UploadSession())
        async with upload.lock:
            accepted = upload.accept(request.headers.get("Content-Range", ""), body)
            if accepted:
                content_range, new = accepted
                relayed = await self._send(request, {**request.headers, "Content-Range": content_range}, new)
                if relayed[0] >= 400:
                    return relayed
                upload.stored(content_range, *relayed)
            return upload.answer()

    async def _send(self, request: web.Request, headers: dict[str, str], body: bytes) -> Relayed:
        if self._client is None:
            self._client = aiohttp.ClientSession(auto_decompress=False, timeout=aiohttp.ClientTimeout(total=300))
        url = self._upstream + request.raw_path
        sent = {name: value for name, value in headers.items() if name.lower() not in _HOP_HEADERS}
        async with self._client.request(
            request.method, URL(url, encoded=True), headers=sent, data=body or None, allow_redirects=False
        ) as response:
            return response.status, dict(response.headers), await response.read()


def _object_written(request: web.Request, body: bytes) -> str | None:
    """Where a request writes to, by the metadata that an upload begins with."""
    if request.method != "POST" or not request.path.startswith("/upload/"):
        return None
    found = re.search(rb'"name"\s*:\s*"([^"]+)"', body[:_METADATA_BYTES])
    return None if found is None else f"{request.path} {found[1].decode()}"


async def _mutilated(request: web.Request, relayed: Relayed, fault: str | None, stall_s: float) -> web.StreamResponse:
    status, headers, body = relayed
    kept = {name: value for name, value in headers.items() if name.lower() not in _HOP_HEADERS}
    if fault is None:
        return web.Response(status=status, headers=kept, body=body)
    transport = request.transport
    if fault == "lost" or transport is None:
        if transport is not None:
            transport.abort()
        return web.Response(status=status)
    response = web.StreamResponse(status=status, headers=kept | {"Content-Length": str(len(body) + 1)})
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if fault == "stall":
        await asyncio.sleep(stall_s)
    if fault == "truncated":
        transport.close()
    else:
        transport.abort()
    return response


async def _serve(arguments: argparse.Namespace) -> None:
    plan = FaultPlan(FaultSettings(share=arguments.faults, latency_s=arguments.latency_ms / 1000, seed=arguments.seed))
    proxy = FaultProxy(arguments.upstream, plan)
    application = web.Application(client_max_size=1 << 31)
    application.router.add_route("*", "/{path:.*}", proxy.handle)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", arguments.port)
    await site.start()
    assert site._server is not None
    print(site._server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--upstream", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--faults", type=float, default=0.0)
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--seed", type=int, default=0)
    asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
