"""What is between Ray Serve and a gateway's application."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from starlette.routing import BaseRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from momalisa.errors import MomalisaError

_NO_VISITS = frozenset({"/healthz", "/readyz", "/metrics"})
"""Whoever asks these looks after a release, and need not have been sent to it by the service's address."""
_LOGGER = logging.getLogger(__name__)


class Front:
    """An ASGI application that can be exchanged for another one while requests come in.

    on_visitor: called until it once succeeds, when a visitor's request comes.
    """

    def __init__(self, on_visitor: Callable[[], Awaitable[None]]) -> None:
        self.app: ASGIApp | None = None
        self.is_leaving = False
        self._on_visitor = on_visitor
        self._has_visitors = False
        self._telling: asyncio.Task[None] | None = None

    @property
    def routes(self) -> Sequence[BaseRoute]:
        """The application's: Ray Serve names requests by them in its figures. Without them all are of `/`."""
        return getattr(self.app, "routes", ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":  # nothing is to be started or stopped
            return
        assert self.app is not None, "Ray Serve configures a replica before it gives it requests"
        if not self._has_visitors and self._telling is None and scope.get("path") not in _NO_VISITS:
            self._telling = asyncio.create_task(self._tell())
        await self.app(scope, receive, _closing(send) if self.is_leaving else send)

    async def _tell(self) -> None:
        try:
            await self._on_visitor()
            self._has_visitors = True
        except MomalisaError as e:
            _LOGGER.warning("that there are visitors cannot be told now: %s", e)
        finally:
            self._telling = None


def _closing(send: Send) -> Send:
    """A kept-alive connection would stay with this release."""

    async def send_closing(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [each for each in message.get("headers", ()) if each[0].lower() != b"connection"]
            message = {**message, "headers": [*headers, (b"connection", b"close")]}
        await send(message)

    return send_closing
