"""What is between clients and Ray Serve's own HTTP: headers by which a client would tell it what is not the client's
to tell, and its 404 while the application comes or goes, by which a client would take a walk for gone.

Ray Serve's HTTP servers, the proxies as well as replicas that take requests directly, obey them before the application
sees a request. They call a function that may put middleware of ours in front; where that is to be this one, set on
every Ray node

    RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH=momalisa.service.ray_headers.in_front_of_ray_serve
"""

from collections.abc import Iterable
from http import HTTPStatus

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from momalisa.errors import UnavailableError
from momalisa.service import problems
from momalisa.service.request_ids import is_sane

_NAMES = frozenset(
    {
        b"x-request-timeout-seconds",  # 0 switches the time limit off
        b"x-request-disconnect-disabled",  # the server works on for a client that has left
        b"serve-multiplexed-model-id",  # chooses replicas, and makes them load models
        b"x-session-id",  # chooses replicas
    }
)
_PREFIX = b"x-serve-router-"
"""Owned by Ray Serve's router."""
_MARK = b"permissions-policy"
"""Every answer of ours has it."""

RawHeaders = list[tuple[bytes, bytes]]


def without_ray_serve(headers: Iterable[tuple[bytes, bytes]]) -> RawHeaders:
    """The headers but for these. Ray Serve takes dashes and underscores for the same in some of them."""
    return [(name, value) for name, value in headers if not _is_rays(name.lower().replace(b"_", b"-"))]


def in_front_of_ray_serve() -> list[Middleware]:
    """What Ray Serve's HTTP servers are to put in front of themselves."""
    return [Middleware(StripRayServeHeaders)]


class StripRayServeHeaders:
    """Takes them away, and a request id that is fit for no log; the answer's id, which Ray Serve adds once more.

    Where Ray Serve has no application to ask, it says so as every answer of ours does: try again (503).
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "http":
            kept = without_ray_serve(scope["headers"])
            headers = [each for each in kept if each[0] != b"x-request-id" or is_sane(each[1])]
            scope = {**scope, "headers": headers}
            send = _without_rays_404(_with_one_request_id(send), scope, receive)
        await self._app(scope, receive, send)


def _with_one_request_id(send: Send) -> Send:
    async def send_one(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            ids = [each for each in headers if each[0].lower() == b"x-request-id"]
            message = {**message, "headers": [each for each in headers if each not in ids] + ids[:1]}
        await send(message)

    return send_one


def _without_rays_404(send: Send, scope: Scope, receive: Receive) -> Send:
    is_replaced = False

    async def send_ours(message: Message) -> None:
        nonlocal is_replaced
        if message["type"] == "http.response.start" and message["status"] == HTTPStatus.NOT_FOUND:
            is_replaced = all(name.lower() != _MARK for name, _ in message.get("headers", ()))
            if is_replaced:
                response = problems.answer(UnavailableError("Ray Serve has no application just now"))
                response.headers["Connection"] = "close"
                await response(scope, receive, send)
        if not is_replaced:
            await send(message)

    return send_ours


def _is_rays(name: bytes) -> bool:
    return name in _NAMES or name.startswith(_PREFIX)
