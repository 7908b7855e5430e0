"""A walk's updates as server-sent events (WHATWG HTML, 9.2)."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from fastapi.responses import StreamingResponse
from pydantic import BaseModel, ConfigDict
from starlette.types import Receive, Scope, Send

from momalisa.errors import BusyError, GoneError, HandoverError, ObjectNotFoundError, UnavailableError
from momalisa.service.answers import Progress, WalkView
from momalisa.service.config import Limits, StreamConfig
from momalisa.service.port import Owner, PreviewFrame, State, Update, WalkStatus
from momalisa.service.views import view_progress

MEDIA_TYPE = "text/event-stream"
EVENT_SCHEMA = {
    "type": "object",
    "properties": {
        "event": {"enum": ["progress", "frame", "end"]},
        "id": {"type": "string", "description": "of a frame, its number: what a stream resumes after"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "description": "of a frame: its number, from 1; its position along the path, from 0 to 1 (of a boomerang "
            "that is the way there); its url",
        },
    },
}
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
_HEARTBEAT = b": ok\n\n"
_SEAT_RETRY_S = 10.0
_LOGGER = logging.getLogger(__name__)


class ProgressEvent(BaseModel):
    """Data of `progress`."""

    model_config = ConfigDict(frozen=True)

    state: State
    progress: Progress


class FrameEvent(BaseModel):
    """Data of `frame`."""

    number: int
    position: float
    url: str


class Seats:
    """Streams that are open in this process."""

    def __init__(self) -> None:
        self._by_owner: Counter[str] = Counter()

    @contextmanager
    def taken(self, owner: Owner, limits: Limits) -> Iterator[None]:
        """A seat for as long as the block. Raises BusyError where the owner has all of its own, UnavailableError where
        all are taken."""
        if owner.kind != "anybody" and self._by_owner[owner.name] >= limits.max_streams_per_owner:
            raise BusyError("you watch too many walks at once: close one of them", _SEAT_RETRY_S)
        if self._by_owner.total() >= limits.max_streams:
            raise UnavailableError(f"all {limits.max_streams} event streams are taken")
        self._by_owner[owner.name] += 1
        try:
            yield
        finally:
            self._by_owner[owner.name] -= 1
            self._by_owner += Counter()  # forgets those who have none

    @property
    def num_taken(self) -> int:
        """All of them."""
        return self._by_owner.total()


class EventStream(StreamingResponse):
    """Tells until the walk ends, the client leaves or its time is over; leaves nothing behind.

    Starlette's own stream notices that a client has left at the next thing to be sent, by some servers not even then.
    """

    def __init__(self, told: AsyncGenerator[bytes], seat: AbstractContextManager[None], config: StreamConfig) -> None:
        super().__init__(told, headers=_HEADERS, media_type=MEDIA_TYPE)
        self._told, self._seat = told, seat
        # `tell` ends by itself in time, unless the client reads nothing.
        self._timeout_s = config.max_duration_s + config.heartbeat_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """See ASGI."""
        with self._seat:
            telling = asyncio.create_task(self.stream_response(send))
            leaving = asyncio.create_task(_has_left(receive))
            try:
                await asyncio.wait((telling, leaving), timeout=self._timeout_s, return_when=asyncio.FIRST_COMPLETED)
            finally:
                telling.cancel()
                leaving.cancel()
                outcome, _ = await asyncio.gather(telling, leaving, return_exceptions=True)
                await self._told.aclose()
            if isinstance(outcome, Exception) and not isinstance(outcome, OSError):  # an OSError: it has left
                raise outcome


async def tell(
    updates: AsyncIterator[Update], first: WalkStatus, view: Callable[[WalkStatus], WalkView], config: StreamConfig
) -> AsyncGenerator[bytes]:
    """A stream's bytes: the frames that `updates` has, progress now and then, heartbeats, the end."""
    yield f"retry: {config.retry_ms}\n\n".encode()
    clock = asyncio.get_running_loop().time
    begun_at = heartbeat_at = clock()
    pace = _Pace(config.progress_interval_s, clock)
    yield pace.tell(first)
    coming = asyncio.create_task(_next(updates))
    try:
        while clock() < begun_at + config.max_duration_s:
            await asyncio.wait((coming,), timeout=min(heartbeat_at + config.heartbeat_s, pace.due_at) - clock())
            if coming.done():
                update = coming.result()
                if update is None:
                    return
                for frame in update.frames:
                    yield _frame(update.status.id, frame)
                if update.status.has_ended:
                    yield _event("end", view(update.status))
                    return
                pace.note(update.status)
                coming = asyncio.create_task(_next(updates))
            if (progress := pace.take()) is not None:
                yield progress
            if clock() >= heartbeat_at + config.heartbeat_s:
                heartbeat_at = clock()
                yield _HEARTBEAT
    except HandoverError:
        yield f"retry: {config.handover_retry_ms}\n\n".encode()
    except (ObjectNotFoundError, GoneError):
        pass  # deleted or taken down meanwhile: the client connects anew and is told so
    except UnavailableError as e:
        _LOGGER.warning("a stream was cut: %s", e)
    finally:
        await _close(coming, updates)


class _Pace:
    """Progress as it changes, but not too often: what is latest when the next may be told."""

    def __init__(self, interval_s: float, clock: Callable[[], float]) -> None:
        self._interval_s, self._clock = interval_s, clock
        self._told: ProgressEvent | None = None
        self._waiting: ProgressEvent | None = None
        self._told_at = 0.0

    @property
    def due_at(self) -> float:
        return float("inf") if self._waiting is None else self._told_at + self._interval_s

    def note(self, status: WalkStatus) -> None:
        seen = ProgressEvent(state=status.state, progress=view_progress(status))
        self._waiting = seen if seen != self._told else None

    def take(self) -> bytes | None:
        if self._waiting is None or self._clock() < self.due_at:
            return None
        self._told, self._waiting, self._told_at = self._waiting, None, self._clock()
        return _event("progress", self._told)

    def tell(self, status: WalkStatus) -> bytes:
        self._told, self._told_at = ProgressEvent(state=status.state, progress=view_progress(status)), self._clock()
        return _event("progress", self._told)


async def _next(updates: AsyncIterator[Update]) -> Update | None:
    return await anext(updates, None)


async def _close(coming: asyncio.Task[Update | None], updates: AsyncIterator[Update]) -> None:
    coming.cancel()
    await asyncio.wait((coming,))
    if isinstance(updates, AsyncGenerator):
        await updates.aclose()


async def _has_left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _frame(walk_id: str, frame: PreviewFrame) -> bytes:
    url = f"/v1/walks/{walk_id}/previews/{frame.number}.png"
    data = FrameEvent(number=frame.number, position=frame.position, url=url)
    return f"id: {frame.number}\n".encode() + _event("frame", data)


def _event(name: str, data: BaseModel) -> bytes:
    # pydantic writes JSON in one line, whatever is in it.
    return f"event: {name}\ndata: {data.model_dump_json()}\n\n".encode()
