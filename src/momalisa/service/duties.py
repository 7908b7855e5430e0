"""What is done in the background for as long as a replica lives."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_LOGGER = logging.getLogger(__name__)
_AGAIN_S = 5.0


async def kept_up(duty: Callable[[], Awaitable[None]], *, again_s: float = _AGAIN_S) -> None:
    """A duty that begins anew after an error that nobody foresaw, by which it would else end with nobody told."""
    while True:
        try:
            await duty()
        except Exception:
            _LOGGER.exception("what is done in the background failed, and begins anew")
            await asyncio.sleep(again_s)
        else:
            return
