"""Walks that a request waits for."""

from collections.abc import AsyncGenerator

from momalisa.errors import ConflictError, UnavailableError
from momalisa.service.port import Walks, WalkStatus


async def until_done(walks: Walks, status: WalkStatus) -> WalkStatus:
    """The walk once it is done.

    It is left to go on where the wait is given up: who asks again finds it further on, or done. Raises
    UnavailableError where it fails, ConflictError where somebody cancels it.
    """
    updates = walks.updates(status.id)
    try:
        async for update in updates:
            status = update.status
            if status.has_ended:
                break
    finally:
        if isinstance(updates, AsyncGenerator):
            await updates.aclose()
    if status.state == "cancelled":
        raise ConflictError(f"the walk {status.id} was cancelled")
    if status.state != "done":
        raise UnavailableError(f"the walk {status.id} is {status.state}: {status.error_detail}")
    return status


async def frames_of(walks: Walks, status: WalkStatus) -> list[bytes]:
    """Every frame of an animation as PNG."""
    return [await walks.frame(status.id, number) for number in range(status.num_frames_shown or 0)]
