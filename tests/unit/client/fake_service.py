"""A small service by the contract of REST v1, that fails when it is told to; time that passes when it is slept."""

import io
import json
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import httpx
from PIL import Image

ENDED = ("done", "failed", "cancelled")
NO_CAPACITY = {"title": "Too many requests", "status": 429, "code": "too_many_requests", "detail": "come back later"}


class FakeTime:
    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, duration_s: float) -> None:
        self.slept.append(duration_s)
        self.now += duration_s

    async def sleep_async(self, duration_s: float) -> None:
        self.sleep(duration_s)


class Body(httpx.SyncByteStream, httpx.AsyncByteStream):
    """Sends what it is given; raises what is an error, calls what is a function."""

    def __init__(self, parts: Iterator[bytes | Exception | Callable[[], bytes]]) -> None:
        self._parts = parts
        self.is_closed = False

    def __iter__(self) -> Iterator[bytes]:
        for part in self._parts:
            if isinstance(part, Exception):
                raise part
            yield part() if callable(part) else part

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self:
            yield part

    def close(self) -> None:
        self.is_closed = True

    async def aclose(self) -> None:
        self.is_closed = True


@dataclass
class FakeWalk:
    id: str
    request: dict[str, Any]
    num_frames: int
    state: str = "queued"
    num_done: int = 0
    error: dict[str, str] | None = None

    def view(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "state": self.state,
            "created_at": "2030-01-02T03:04:05Z",
            "ended_at": "2030-01-02T03:05:05.5Z" if self.state in ENDED else None,
            "request": {"model": "tiny", "seed": 7, **self.request},
            "progress": self.progress(),
            "cost": {"unet_evaluations_bound": 900, "unet_evaluations": 310, "seconds_estimated": 7},
            "error": self.error,
            "is_mine": True,
            "is_featured": False,
            "num_frames": self.num_frames if self.state == "done" else None,
            "duration_s": 3 if self.state == "done" else None,
            "links": {"self": f"/v1/walks/{self.id}"},
            "from_a_newer_service": {"anything": 1},
        }

    def progress(self) -> dict[str, Any]:
        ahead = 1 if self.state == "queued" else 0
        return {"frames_done": self.num_done, "frames_total": self.num_frames, "queue_position": ahead, "eta_s": None}


@dataclass
class FakeService:
    walks: dict[str, FakeWalk] = field(default_factory=dict)
    outcome: str = "done"
    page_size: int = 2
    is_known_by_cookie: bool = True
    requests: list[httpx.Request] = field(default_factory=list)
    connections: list[Body] = field(default_factory=list)
    failures: list[tuple[str, str, Any, bool]] = field(default_factory=list)
    scripts: list[Callable[[FakeWalk, int], Iterator[Any]]] = field(default_factory=list)
    """What the next connections for events send instead of all there is."""
    keys: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    pictures: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def fail(self, method: str, path: str, what: Any, *, only_the_answer: bool = False) -> None:
        """The next such request gets an error or another answer; with only_the_answer it is seen to all the same."""
        self.failures.append((method, path, what, only_the_answer))

    def asked(self, method: str, path: str) -> list[httpx.Request]:
        return [request for request in self.requests if (request.method, request.url.path) == (method, path)]

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        for failure in self.failures:
            method, path, what, only_the_answer = failure
            if (request.method, request.url.path) == (method, path):
                self.failures.remove(failure)
                if only_the_answer:
                    self._answer(request)
                if isinstance(what, Exception):
                    raise what
                return what
        return self._answer(request)

    def _answer(self, request: httpx.Request) -> httpx.Response:
        method, parts = request.method, request.url.path.removeprefix("/v1/").split("/")
        if method != "GET" and (refusal := self._refusal(request)):
            return refusal
        match method, parts:
            case "GET", ["me"]:
                cookie = {"Set-Cookie": "momalisa_session=visitor1; Path=/; HttpOnly; SameSite=Lax"}
                return httpx.Response(200, json={"kind": "visitor", "quota": {"max_running": 2}}, headers=cookie)
            case "GET", ["models"]:
                models = [{"id": "tiny", "title": "Tiny", "size": 128, "is_default": True, "suggestions": ["dots"]}]
                return httpx.Response(200, json={"models": models})
            case "POST", ["images"]:
                return httpx.Response(200, content=png())
            case "POST", ["pictures"]:
                content = request.read()
                name = sha256(content).hexdigest()
                self.pictures[name] = request.headers["content-type"], content
                return httpx.Response(201, json={"id": name, "width": 1, "height": 1})
            case "POST", ["walks"]:
                return self._create(request)
            case "GET", ["walks"]:
                return self._page(request)
            case _, ["walks", walk_id, *rest]:
                return self._about(request, walk_id, rest)
        return problem(404, "not_found", "no such route")

    def _refusal(self, request: httpx.Request) -> httpx.Response | None:
        if request.headers.get("authorization") == "Bearer right":
            return None
        if "authorization" in request.headers or "momalisa_session=visitor1" not in request.headers.get("cookie", ""):
            return problem(401, "unauthorized", "no such key: ask the staff for one")
        return None if request.headers.get("x-momalisa") == "1" else problem(403, "forbidden", "X-Momalisa is missing")

    def _create(self, request: httpx.Request) -> httpx.Response:
        body, key = request.read(), request.headers["idempotency-key"]
        if key in self.keys:
            walk_id, before = self.keys[key]
            assert body == before
            return httpx.Response(202, json=self.walks[walk_id].view())
        asked = json.loads(body)
        if len(asked["waypoints"]) < 2:
            errors = [{"field": "waypoints", "message": "at least 2"}]
            return problem(422, "invalid_request", "the walk cannot be", errors=errors)
        walk = self.add(asked)
        self.keys[key] = walk.id, body
        return httpx.Response(202, json=walk.view())

    def add(self, asked: dict[str, Any] | None = None, **changes: Any) -> FakeWalk:
        asked = asked or {}
        walk = FakeWalk(f"w{len(self.walks) + 1}", asked, asked.get("num_frames", 3), **changes)
        self.walks[walk.id] = walk
        return walk

    def _page(self, request: httpx.Request) -> httpx.Response:
        newest_first = list(reversed(self.walks.values()))
        begin = int(request.url.params.get("cursor", 0))
        end = begin + int(request.url.params["limit"])
        views = [walk.view() for walk in newest_first[begin:end]]
        return httpx.Response(200, json={"walks": views, "next_cursor": str(end) if end < len(newest_first) else None})

    def _about(self, request: httpx.Request, walk_id: str, rest: list[str]) -> httpx.Response:
        walk = self.walks.get(walk_id)
        if walk is None:
            return problem(404, "not_found", f"there is no walk {walk_id}")
        match request.method, rest:
            case "GET", []:
                return httpx.Response(200, json=walk.view())
            case "DELETE", []:
                if walk.state in ENDED:
                    del self.walks[walk_id]
                else:
                    walk.state = "cancelled"
                return httpx.Response(200, json=walk.view())
            case "GET", ["events"]:
                last = int(request.headers.get("last-event-id", 0))
                script = self.scripts.pop(0) if self.scripts else self.all_events
                body = Body(script(walk, last))
                self.connections.append(body)
                return httpx.Response(200, stream=body, headers={"Content-Type": "text/event-stream"})
            case "GET", ["previews", _]:
                return httpx.Response(200, content=png())
        if walk.state != "done":
            return problem(409, "conflict", f"the walk is {walk.state}: wait until it is done")
        match rest:
            case ["frames", _]:
                return httpx.Response(200, content=png())
            case ["report"]:
                return httpx.Response(200, json={"smoothness": 1.5})
        return httpx.Response(200, content=f"{rest[0]} of {walk_id}".encode())

    def all_events(self, walk: FakeWalk, last: int) -> Iterator[bytes]:
        yield from self.first_events(walk, last, walk.num_frames)
        walk.state = self.outcome
        if self.outcome == "failed":
            walk.error = {"code": "render_failed", "detail": "the renderer died"}
        yield event("end", walk.view())

    def first_events(self, walk: FakeWalk, last: int, up_to: int) -> Iterator[bytes]:
        yield b"retry: 2000\n\n"
        yield event("progress", {"state": walk.state, "progress": walk.progress()})
        for number in range(last + 1, up_to + 1):
            walk.state, walk.num_done = "running", max(walk.num_done, number)
            yield event("frame", {"number": number, "position": number / walk.num_frames, "url": "/x"}, number)
            yield event("progress", {"state": walk.state, "progress": walk.progress()})
            yield b": ok\n\n"


def event(name: str, data: Any, number: int | None = None) -> bytes:
    identity = "" if number is None else f"id: {number}\n"
    return f"event: {name}\n{identity}data: {json.dumps(data)}\n\n".encode()


def problem(status: int, code: str, detail: str, **more: Any) -> httpx.Response:
    content = {"type": "about:blank", "title": code, "status": status, "detail": detail, "code": code, **more}
    return httpx.Response(status, json=content, headers={"Content-Type": "application/problem+json"})


def busy(retry_after: str) -> httpx.Response:
    return httpx.Response(429, json=NO_CAPACITY, headers={"Retry-After": retry_after})


def png() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (2, 2), "teal").save(content, format="PNG")
    return content.getvalue()
