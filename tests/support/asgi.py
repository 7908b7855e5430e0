"""Talks ASGI by hand: for what happens between the first byte of an answer and the last."""

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.types import ASGIApp, Message, Scope

RawHeaders = Sequence[tuple[bytes, bytes]]


def http_scope(path: str, *, method: str = "GET", query: str = "", headers: RawHeaders = ()) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(b"host", b"museum.example"), *headers],
        "client": ("192.0.2.1", 1234),
        "server": ("museum.example", 80),
    }


class Exchange:
    """One request, which goes on until the application is through with it or the client leaves."""

    def __init__(self, app: ASGIApp, scope: Scope, body: Sequence[bytes] = (b"",)) -> None:
        self.sent: list[Message] = []
        self.is_stuck = False
        self._news = asyncio.Event()
        self._has_left = asyncio.Event()
        self._body = [
            {"type": "http.request", "body": part, "more_body": i + 1 < len(body)} for i, part in enumerate(body)
        ]
        self.task = asyncio.create_task(app(scope, self._receive, self._send))  # type: ignore[arg-type]
        self.task.add_done_callback(lambda _: self._news.set())

    @property
    def status(self) -> int:
        status: int = self.sent[0]["status"]
        return status

    @property
    def headers(self) -> dict[str, str]:
        return {name.decode(): value.decode() for name, value in self.sent[0]["headers"]}

    @property
    def body(self) -> str:
        return b"".join(message.get("body", b"") for message in self.sent[1:]).decode()

    def leave(self) -> None:
        self._has_left.set()

    async def until(self, text: str) -> None:
        """Waits until the body so far has this."""
        while text not in self.body:
            assert not self.task.done(), self.body
            self._news.clear()
            await self._news.wait()

    async def end(self) -> None:
        await self.task

    async def _receive(self) -> Message:
        if self._body:
            return self._body.pop(0)
        await self._has_left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Any) -> None:
        if self.is_stuck:
            await asyncio.Event().wait()
        self.sent.append(message)
        self._news.set()
