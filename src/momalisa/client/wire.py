"""Bytes to the service and back, blocking or not. The only module of the client that imports httpx.

The client is written once, as coroutines that reach the world through a `Wire` alone. A `BlockingWire` blocks where an
`AsyncWire` awaits: with it the same coroutines never suspend, and `run` takes them to their end in one step.
"""

import asyncio
import time
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import httpx

from momalisa import __version__
from momalisa.errors import InputError

T = TypeVar("T")

_CONNECT_TIMEOUT_S = 10.0


class DisconnectedError(Exception):
    """The connection did not come about, or broke, or was silent for too long. Never leaves this package."""

    def __init__(self, reason: str, *, was_sent: bool) -> None:
        super().__init__(reason)
        self.was_sent = was_sent
        """Whether the service may have seen the request."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is asked. The path is below the service's URL."""

    method: str = "GET"
    path: str
    params: Mapping[str, str | int] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Any = None
    content: bytes | None = None
    silence_s: float = 60.0
    """The longest without a byte from the service."""
    is_repeatable: bool = True
    """Whether it does no harm when the service sees it twice."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Stream(Protocol):
    """An answer whose body has yet to come."""

    status: int
    headers: Mapping[str, str]
    """Their names in lower case."""

    async def chunk(self) -> bytes:
        """More of the body, b"" at its end. Raises DisconnectedError."""

    async def close(self) -> None:
        """Lets go of the connection."""


class Wire(Protocol):
    """All that the client needs of the world."""

    async def open(self, request: Request) -> Stream:
        """Raises DisconnectedError; InputError for a URL that cannot be."""

    async def sleep(self, duration_s: float) -> None: ...

    async def do(self, work: Callable[[], T]) -> T:
        """Work that blocks: on files, on pictures."""

    def clock(self) -> float:
        """Seconds, from whenever."""


class BlockingWire:
    """With which no coroutine of this package ever suspends."""

    def __init__(
        self,
        url: str,
        key: str | None,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        with _mapped(was_sent=False):
            self._http = httpx.Client(base_url=_checked(url), headers=_headers(key), transport=transport)
        self.close = weakref.finalize(self, self._http.close)  # nobody else closes what Client(url).walk(…) leaves
        self._sleep = sleep
        self.clock = clock

    async def open(self, request: Request) -> Stream:
        with _mapped():
            response = self._http.send(_build(self._http, request), stream=True)
        return _BlockingStream(response)

    async def sleep(self, duration_s: float) -> None:
        self._sleep(duration_s)

    async def do(self, work: Callable[[], T]) -> T:
        return work()


class AsLocalhost(httpx.BaseTransport):
    """Calls every service localhost: for trying one out within a cluster, by clear HTTP.

    To all others the service gives cookies that must not travel so, and a visitor without one may ask for nothing.
    """

    def __init__(self, inner: httpx.BaseTransport | None = None) -> None:
        self._inner = inner or httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.scheme == "http":
            request.headers["Host"] = "localhost"
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


class AsyncWire:
    """For an event loop of asyncio."""

    def __init__(
        self,
        url: str,
        key: str | None,
        transport: httpx.AsyncBaseTransport | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        with _mapped(was_sent=False):
            self._http = httpx.AsyncClient(base_url=_checked(url), headers=_headers(key), transport=transport)
        self._sleep = sleep
        self.clock = clock

    async def open(self, request: Request) -> Stream:
        with _mapped():
            response = await self._http.send(_build(self._http, request), stream=True)
        return _AsyncStream(response)

    async def sleep(self, duration_s: float) -> None:
        await self._sleep(duration_s)

    async def do(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)

    async def close(self) -> None:
        await self._http.aclose()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine over a `BlockingWire` returns."""
    try:
        coroutine.send(None)
    except StopIteration as e:
        result: T = e.value
        return result
    raise AssertionError("over a blocking wire nothing suspends")


def iterate(items: AsyncGenerator[T, None]) -> Iterator[T]:
    """What an asynchronous generator over a `BlockingWire` yields."""
    try:
        while True:
            try:
                item = run(items.__anext__())
            except StopAsyncIteration:
                return
            yield item
    finally:
        run(items.aclose())


class _BlockingStream:
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._chunks = response.iter_bytes()

    async def chunk(self) -> bytes:
        with _mapped():
            return next(self._chunks, b"")

    async def close(self) -> None:
        self._response.close()


class _AsyncStream:
    def __init__(self, response: httpx.Response) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._response = response
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()

    async def chunk(self) -> bytes:
        with _mapped():
            return await anext(self._chunks, b"")

    async def close(self) -> None:
        await self._response.aclose()


@contextmanager
def _mapped(*, was_sent: bool = True) -> Iterator[None]:
    try:
        yield
    except (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError) as e:
        raise InputError(f"this cannot be sent ({e}): check the service's URL and the key") from e
    except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError) as e:
        raise DisconnectedError(f"no connection ({_named(e)})", was_sent=False) from e
    except httpx.TimeoutException as e:
        raise DisconnectedError(f"no answer in time ({_named(e)})", was_sent=was_sent) from e
    except (httpx.TransportError, httpx.DecodingError) as e:
        raise DisconnectedError(f"the connection broke ({_named(e)})", was_sent=was_sent) from e


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _checked(url: str) -> httpx.URL:
    checked = httpx.URL(url)
    if checked.scheme not in ("http", "https") or not checked.host:
        raise InputError(f"{url!r} is no URL of a service: take one like https://walks.example.org")
    return checked


def _headers(key: str | None) -> dict[str, str]:
    # X-Momalisa: what changes anything must carry it where a cookie says who asks; no other site can send it.
    headers = {"User-Agent": f"momalisa/{__version__}", "X-Momalisa": "1"}
    if key is None:
        return headers
    if not (key.isascii() and key.isprintable()):
        raise InputError("the key has characters that no key has: is there a line end after it?")
    return headers | {"Authorization": f"Bearer {key}"}


def _build(http: httpx.Client | httpx.AsyncClient, request: Request) -> httpx.Request:
    return http.build_request(
        request.method,
        request.path,
        params=request.params or None,
        headers=request.headers,
        json=request.json,
        content=request.content,
        timeout=httpx.Timeout(request.silence_s, connect=_CONNECT_TIMEOUT_S),
    )
