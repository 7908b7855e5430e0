"""Around the application, as plain ASGI: what holds for every request, whatever its route.

`Envelope` is the outermost: request id, security headers, the visitor's cookie, an answer to what went wrong.
`Bounds` is inside: sizes and time, and headers by which a client would switch off the server's own limits.
"""

import asyncio
import logging
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from momalisa.errors import TooLargeError, UnavailableError
from momalisa.service import problems
from momalisa.service.config import Limits
from momalisa.service.log_ids import noted
from momalisa.service.ray_headers import without_ray_serve
from momalisa.service.request_ids import accept

_DIGITS = 18
_LOGGER = logging.getLogger(__name__)
REQUEST_ID = "X-Request-Id"
COOKIES = "momalisa.cookies"
"""Where in the scope a route's dependencies leave cookies for the answer, whatever answer it becomes."""

_CSP_OF_DATA = "default-src 'none'; frame-ancestors 'none'"
CSP_OF_PAGES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_SECURITY: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=(), fullscreen=(self)",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Envelope:
    """What every answer has, that to a failure too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        cookies: list[str] = []
        scope = {**scope, COOKIES: cookies}
        identity = accept(Headers(scope=scope).get(REQUEST_ID))
        sender = _Dressed(send, identity, cookies)
        with noted(request_id=identity):
            try:
                await self._app(scope, receive, sender)
            except Exception:  # the edge: whatever it was, the client gets an answer and the log the trace
                _LOGGER.exception("%s failed", scope["method"])
                if sender.has_started:
                    raise  # the server cuts the connection: the client must not take a part for the whole
                await problems.problem(problems.INTERNAL)(scope, receive, sender)


class _Dressed:
    """Sends with the headers of every answer."""

    def __init__(self, send: Send, identity: str, cookies: list[str]) -> None:
        self._send, self._identity, self._cookies = send, identity, cookies
        self.has_started = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.has_started = True
            headers = MutableHeaders(scope=message)
            for name, value in _SECURITY.items():
                headers.setdefault(name, value)
            headers.setdefault("Content-Security-Policy", _CSP_OF_DATA)
            headers.setdefault("Cache-Control", "no-store")
            headers[REQUEST_ID] = self._identity
            for cookie in self._cookies:
                headers.append("Set-Cookie", cookie)
        await self._send(message)


class Bounds:
    """How large a request may be and how long it may take. Event streams have all the time, once they have begun."""

    def __init__(self, app: ASGIApp, limits: Limits, upload_path: str) -> None:
        self._app, self._limits, self._upload_path = app, limits, upload_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope = {**scope, "headers": without_ray_serve(scope["headers"])}
        try:
            self._check_head(scope)
        except TooLargeError as e:
            # The body is not read: the connection cannot be used again.
            response = problems.answer(e)
            response.headers["Connection"] = "close"
            await response(scope, receive, send)
            return
        await self._in_time(scope, _Counted(receive, self._max_body_bytes(scope)), send)

    async def _in_time(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watched(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                if Headers(raw=message["headers"]).get("content-type", "").startswith("text/event-stream"):
                    limit.reschedule(None)
            await send(message)

        try:
            async with asyncio.timeout(self._limits.request_timeout_s) as limit:
                await self._app(scope, receive, watched)
        except TimeoutError:
            if has_started or not limit.expired():
                raise
            await problems.answer(UnavailableError("the time limit of the edge"))(scope, receive, send)

    def _check_head(self, scope: Scope) -> None:
        url = len(scope.get("raw_path") or scope["path"].encode()) + len(scope["query_string"])
        if url > self._limits.max_url_bytes:
            raise TooLargeError(f"the address is too long: take at most {self._limits.max_url_bytes} bytes")
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self._limits.max_header_bytes:
            raise TooLargeError(f"the headers are too large: take at most {self._limits.max_header_bytes} bytes")
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced[:_DIGITS]) > self._max_body_bytes(scope):
            raise _too_large(self._max_body_bytes(scope))

    def _max_body_bytes(self, scope: Scope) -> int:
        is_upload = scope["path"].endswith(self._upload_path)
        return self._limits.max_upload_bytes if is_upload else self._limits.max_body_bytes


class _Counted:
    """Receives a body up to its limit, for what came without Content-Length or with a wrong one."""

    def __init__(self, receive: Receive, max_bytes: int) -> None:
        self._receive, self._max_bytes, self._num_bytes = receive, max_bytes, 0

    async def __call__(self) -> Message:
        message = await self._receive()
        self._num_bytes += len(message.get("body", b""))
        if self._num_bytes > self._max_bytes:
            # The framework takes every other error of a body for one that cannot be parsed.
            raise HTTPException(413, str(_too_large(self._max_bytes)))
        return message


def _too_large(max_bytes: int) -> TooLargeError:
    return TooLargeError(f"the body is too large: send at most {max_bytes} bytes")
