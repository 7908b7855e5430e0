"""A walk service at the seam that draws nothing: walks move on when a test says so."""

import asyncio
import dataclasses
import hashlib
import io
from collections.abc import AsyncGenerator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from PIL import Image

from momalisa.errors import (
    AlreadyExistsError,
    ConfigError,
    ConflictError,
    ForbiddenError,
    GoneError,
    HandoverError,
    ObjectNotFoundError,
)
from momalisa.service.port import (
    ImageRequest,
    Listing,
    ModelInfo,
    Owner,
    Page,
    PreviewFrame,
    Quota,
    Update,
    WalkStatus,
)
from momalisa.walk.animation import Format
from momalisa.walk.request import WalkRequest

MODELS = (
    ModelInfo(id="tiny", title="Tiny", size=128, is_default=True, suggestions=("blue dots on white",)),
    ModelInfo(id="monet", title="Monet", size=512),
)


def png_of(shade: int = 0, size: tuple[int, int] = (8, 8)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (shade % 256, 0, 0)).save(buffer, format="PNG")
    return buffer.getvalue()


class FakeWalks:
    """Implements `Walks`. `ends_at_once`: walks are done as soon as somebody watches them."""

    def __init__(self, *, ends_at_once: bool = False) -> None:
        self.walks: dict[str, WalkStatus] = {}
        self.frames: dict[str, list[PreviewFrame]] = {}
        self.gone: set[str] = set()
        self.keys: dict[tuple[str, str], str] = {}
        self.pictures: dict[str, bytes] = {}
        self.drawn: list[ImageRequest] = []
        self.fails_with: Exception | None = None
        self.is_handing_over = False
        self.is_now_ready = True
        self.ends_at_once = ends_at_once
        self.num_watchers = 0
        self.num_submitted = 0
        self._changed = asyncio.Event()

    async def submit(self, request: WalkRequest, owner: Owner, *, idempotency_key: str | None = None) -> WalkStatus:
        self._maybe_fail()
        for waypoint in request.waypoints:
            if waypoint.picture_sha256 is not None and waypoint.picture_sha256 not in self.pictures:
                raise ConfigError(f"there is no picture {waypoint.picture_sha256}: send it first")
        if idempotency_key is not None:
            known = self.keys.get((owner.name, idempotency_key))
            if known in self.walks:
                if self.walks[known].request != request:
                    raise AlreadyExistsError("file:///secret/place exists already")
                return self.walks[known]
        self.num_submitted += 1
        walk_id = f"walk-{self.num_submitted}"
        if idempotency_key is not None:
            self.keys[owner.name, idempotency_key] = walk_id
        self.walks[walk_id] = WalkStatus(
            id=walk_id,
            owner=owner.name,
            state="queued",
            created_at=datetime(2026, 11, 21, 12, tzinfo=UTC),
            request=request,
            num_frames_total=request.num_frames,
            unet_evaluations_bound=900,
        )
        self.frames[walk_id] = []
        return self.walks[walk_id]

    async def status(self, walk_id: str) -> WalkStatus:
        self._maybe_fail()
        if walk_id in self.gone:
            raise GoneError("this walk was taken down")
        if walk_id not in self.walks:
            raise ObjectNotFoundError(f"file:///secret/place/{walk_id}: no such object")
        return self.walks[walk_id]

    async def updates(self, walk_id: str, after: int = 0) -> AsyncGenerator[Update]:
        self.num_watchers += 1
        try:
            if self.ends_at_once:
                self.finish(walk_id)
            seen: WalkStatus | None = None
            while True:
                self._changed.clear()
                if self.is_handing_over:
                    raise HandoverError("a newer release serves")
                status = await self.status(walk_id)
                frames = tuple(frame for frame in self.frames[walk_id] if frame.number > after)
                if frames or status != seen:
                    after, seen = after + len(frames) if frames else after, status
                    yield Update(status, frames)
                if status.has_ended:
                    return
                await self._changed.wait()
        finally:
            self.num_watchers -= 1

    async def cancel(self, walk_id: str, owner: Owner) -> WalkStatus:
        status = await self.status(walk_id)
        if status.owner != owner.name:
            raise ForbiddenError("this walk is somebody else's")
        if status.has_ended:
            del self.walks[walk_id]
            return status
        return self.change(walk_id, state="cancelled", ended_at=datetime(2026, 11, 21, 13, tzinfo=UTC))

    async def set_featured(self, walk_id: str, featured: bool) -> WalkStatus:
        await self._done(walk_id)
        return self.change(walk_id, is_featured=featured)

    async def take_down(self, walk_id: str) -> None:
        await self.status(walk_id)
        self.gone.add(walk_id)
        self._changed.set()

    async def page(self, listing: Listing, owner: Owner, *, limit: int, cursor: str | None = None) -> Page:
        self._maybe_fail()
        if cursor is not None and not (cursor.isascii() and cursor.isdigit()):
            raise ConfigError("this cursor is none: take that of the page before")
        begin = int(cursor[:9]) if cursor is not None else 0
        shown = [w for w in self.walks.values() if (w.owner == owner.name if listing == "mine" else w.is_featured)]
        chosen = shown[::-1][begin : begin + limit]
        is_last = begin + limit >= len(shown)
        return Page(walks=tuple(chosen), next_cursor=None if is_last else str(begin + limit))

    async def animation(self, walk_id: str, kind: Format) -> bytes:
        await self._done(walk_id)
        return b"GIF89a, or so: " + kind.encode() * 100

    async def frame(self, walk_id: str, number: int) -> bytes:
        status = await self._done(walk_id)
        if number >= (status.num_frames_shown or 0):
            raise ObjectNotFoundError(f"no frame {number}")
        return png_of(number)

    async def preview(self, walk_id: str, number: int) -> bytes:
        await self.status(walk_id)
        if number not in [frame.number for frame in self.frames[walk_id]]:
            raise ObjectNotFoundError(f"no preview {number}")
        return png_of(number)

    async def report(self, walk_id: str, kind: Literal["json", "png"]) -> bytes:
        await self._done(walk_id)
        return b'{"largest_step": 0.1}' if kind == "json" else png_of()

    async def keep_picture(self, png: bytes) -> str:
        self._maybe_fail()
        picture_id = hashlib.sha256(png).hexdigest()
        self.pictures[picture_id] = png
        return picture_id

    async def draw(self, request: ImageRequest, owner: Owner) -> bytes:
        self._maybe_fail()
        self.drawn.append(request)
        return png_of(request.seed)

    async def models(self) -> Sequence[ModelInfo]:
        return MODELS

    async def quota(self, owner: Owner) -> Quota:
        return Quota(running=1, max_running=2, today=3, max_a_day=50)

    async def is_ready(self) -> bool:
        return self.is_now_ready

    async def metrics(self) -> str:
        return "walks_total 3\n"

    def change(self, walk_id: str, **changes: Any) -> WalkStatus:
        """The walk moves on; those who watch it are told."""
        self.walks[walk_id] = dataclasses.replace(self.walks[walk_id], **changes)
        self._changed.set()
        return self.walks[walk_id]

    def show(self, walk_id: str, num_frames: int) -> None:
        """So many frames more are rendered."""
        shown = self.frames[walk_id]
        shown += [PreviewFrame(len(shown) + 1 + i, 0.5) for i in range(num_frames)]
        self.change(walk_id, state="running", num_frames_done=len(shown))

    def finish(self, walk_id: str, num_frames: int = 3) -> None:
        """The walk is done."""
        self.show(walk_id, num_frames)
        self.change(walk_id, state="done", num_frames_shown=num_frames, duration_s=0.15)

    def hand_over(self) -> None:
        """A newer release serves."""
        self.is_handing_over = True
        self._changed.set()

    async def _done(self, walk_id: str) -> WalkStatus:
        status = await self.status(walk_id)
        if status.state != "done":
            raise ConflictError("file:///secret/place is not done")
        return status

    def _maybe_fail(self) -> None:
        if self.fails_with is not None:
            raise self.fails_with
