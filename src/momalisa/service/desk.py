"""`Walks` on a bucket and a conductor: what the routes talk to."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal, Protocol

from momalisa.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    HandoverError,
    ObjectNotFoundError,
    UnavailableError,
)
from momalisa.service.log_ids import apart, note
from momalisa.service.pictures import keep_picture
from momalisa.service.port import (
    Derived,
    ImageRequest,
    Listing,
    ModelInfo,
    Owner,
    Page,
    PreviewFrame,
    Quota,
    State,
    Update,
    WalkStatus,
)
from momalisa.service.progress import Snapshot
from momalisa.service.records import Failure, Manifest, Records, WalkRecord
from momalisa.storage import Store
from momalisa.walk.animation import Format
from momalisa.walk.request import WalkRequest

_LOGGER = logging.getLogger(__name__)
_ANIMATIONS: Mapping[Format, Derived] = {
    "gif": "animation.gif",
    "mp4": "animation.mp4",
    "webp": "animation.webp",
}
_Mark = tuple[bool, State, int]
_Key = tuple[str, _Mark | None]
_MODELS_S = 2.0
_NEWS_S = 5.0
"""So long a look at a work waits for news; then the bucket is looked at, for others may lead it."""


class Leader(Protocol):
    """The conductor, in this process or another one."""

    async def admit(self, request: WalkRequest, owner: Owner, *, idempotency_key: str | None = None) -> WalkRecord:
        """As `Walks.submit`."""

    async def withdraw(self, record: WalkRecord) -> None:
        """A walk is wanted no more."""

    async def news(self, work: str, known: Snapshot | None, timeout_s: float) -> Snapshot | None:
        """How far a work is, once it differs from what is known, or once the time is over."""

    async def quota(self, owner: Owner) -> Quota:
        """What is used."""

    async def draw(self, request: ImageRequest, owner: Owner) -> bytes:
        """One picture as PNG."""

    async def derive(self, work: str, file: Derived) -> None:
        """Writes another animation or picture of a work that is done into the bucket."""

    async def take_over(self) -> None:
        """This release has visitors: it serves, and the one before it no more."""

    async def note_config(self, part: str, *, is_refused: bool) -> None:
        """Whether a part of the service refused its newest configuration."""

    async def has_successor(self) -> bool:
        """Whether a newer release serves."""

    async def models(self) -> Sequence[ModelInfo]:
        """Those that are served, the default one first."""

    async def is_ready(self) -> bool:
        """Whether a model has drawn a picture since the service started."""

    async def metrics(self) -> str:
        """In Prometheus's text format."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What was seen of a walk."""

    work: str
    status: WalkStatus
    announced: Sequence[tuple[str, float]]
    known: Snapshot | None
    is_left: bool
    """A newer release serves."""

    @property
    def mark(self) -> _Mark:
        """Whoever has seen as much waits for the same news."""
        return self.known is None, self.status.state, len(self.announced)


class Desk:
    """Implements `Walks`."""

    def __init__(self, store: Store, leader: Leader) -> None:
        self._store, self._leader = store, leader
        self._models: tuple[float, Sequence[ModelInfo]] | None = None
        self._records = Records(store)
        self._coming: dict[_Key, asyncio.Task[_Look]] = {}

    async def submit(self, request: WalkRequest, owner: Owner, *, idempotency_key: str | None = None) -> WalkStatus:
        """As `Walks`."""
        record = await self._leader.admit(request, owner, idempotency_key=idempotency_key)
        note(walk_id=record.id)
        _LOGGER.info("a walk for a %s", owner.kind)
        return await self._status(record)

    async def status(self, walk_id: str) -> WalkStatus:
        """As `Walks`."""
        return await self._status(await self._record(walk_id))

    async def updates(self, walk_id: str, after: int = 0) -> AsyncIterator[Update]:
        """As `Walks`."""
        seen: _Look | None = None
        while True:
            seen = await self._look_together(walk_id, seen)
            frames = tuple(PreviewFrame(n + 1, seen.announced[n][1]) for n in range(after, len(seen.announced)))
            after = max(after, len(seen.announced))
            yield Update(seen.status, frames)
            if seen.status.has_ended:
                return
            if seen.is_left:
                raise HandoverError("a newer release serves")

    async def cancel(self, walk_id: str, owner: Owner) -> WalkStatus:
        """As `Walks`."""
        record = await self._record(walk_id)
        if record.owner != owner.name:
            raise ForbiddenError("this walk is somebody else's")
        status = await self._status(record)
        if status.has_ended:
            await asyncio.to_thread(self._records.delete_walk, record)
            return status
        now = datetime.now(UTC).timestamp()
        record = await asyncio.to_thread(partial(self._records.change_walk, walk_id, cancelled_at=now))
        await self._leader.withdraw(record)
        return await self._status(record)

    async def set_featured(self, walk_id: str, featured: bool) -> WalkStatus:
        """As `Walks`."""
        record = await self._record(walk_id)
        if featured:
            await self._manifest(record)
        return await self._status(await asyncio.to_thread(self._records.set_featured, record, featured))

    async def take_down(self, walk_id: str) -> None:
        """As `Walks`."""
        await asyncio.to_thread(self._records.take_down, await self._record(walk_id))

    async def page(self, listing: Listing, owner: Owner, *, limit: int, cursor: str | None = None) -> Page:
        """As `Walks`."""
        folder = "gallery" if listing == "featured" else f"owners/{owner.name}"
        ids, next_cursor = await asyncio.to_thread(self._records.page, folder, limit, cursor)
        found = await asyncio.gather(*(self.status(walk_id) for walk_id in ids), return_exceptions=True)
        # A walk may be deleted or taken down between the one look and the other.
        for each in found:
            if isinstance(each, BaseException) and not isinstance(each, ObjectNotFoundError | GoneError):
                raise each
        return Page(walks=tuple(w for w in found if isinstance(w, WalkStatus)), next_cursor=next_cursor)

    async def animation(self, walk_id: str, kind: Format) -> bytes:
        """As `Walks`."""
        return await self._derived(walk_id, _ANIMATIONS[kind])

    async def frame(self, walk_id: str, number: int) -> bytes:
        """As `Walks`."""
        manifest = await self._manifest(await self._record(walk_id))
        return await self._frame_of(manifest.addresses, number)

    async def preview(self, walk_id: str, number: int) -> bytes:
        """As `Walks`."""
        record = await self._record(walk_id)
        _, announced, _ = await self._look(record)
        return await self._frame_of([address for address, _ in announced], number - 1)

    async def report(self, walk_id: str, kind: Literal["json", "png"]) -> bytes:
        """As `Walks`."""
        if kind == "png":
            return await self._derived(walk_id, "report.png")
        record = await self._record(walk_id)
        await self._manifest(record)
        return await asyncio.to_thread(self._store.read_bytes, f"works/{record.work}/report.json")

    async def keep_picture(self, png: bytes) -> str:
        """As `Walks`."""
        return await asyncio.to_thread(keep_picture, self._store, png)

    async def draw(self, request: ImageRequest, owner: Owner) -> bytes:
        """As `Walks`."""
        return await self._leader.draw(request, owner)

    async def models(self) -> Sequence[ModelInfo]:
        """As `Walks`. Those of a moment ago; older ones where nobody answers."""
        now = time.monotonic()
        if self._models is None or now - self._models[0] > _MODELS_S:
            try:
                self._models = now, await self._leader.models()
            except UnavailableError:
                if self._models is None:
                    raise
        return self._models[1]

    async def quota(self, owner: Owner) -> Quota:
        """As `Walks`."""
        return await self._leader.quota(owner)

    async def is_ready(self) -> bool:
        """As `Walks`."""
        return await self._leader.is_ready()

    async def metrics(self) -> str:
        """As `Walks`."""
        return await self._leader.metrics()

    async def _record(self, walk_id: str) -> WalkRecord:
        note(walk_id=walk_id)
        return await asyncio.to_thread(self._records.walk, walk_id)

    async def _manifest(self, record: WalkRecord) -> Manifest:
        outcome = await asyncio.to_thread(self._records.outcome, record.work)
        if not isinstance(outcome, Manifest) or record.cancelled_at is not None:
            raise ConflictError("this walk is not done yet: wait for it")
        return outcome

    async def _status(self, record: WalkRecord) -> WalkStatus:
        status, _, _ = await self._look(record)
        return status

    async def _look_together(self, walk_id: str, seen: "_Look | None") -> "_Look":
        """The next look, for all who have seen the same of a walk: a thousand streams cost no more than one."""
        key = walk_id, None if seen is None else seen.mark
        if (coming := self._coming.get(key)) is None:
            coming = self._coming[key] = asyncio.create_task(self._look_again(walk_id, seen), context=apart())
            coming.add_done_callback(partial(self._has_come, key))
        return await asyncio.shield(coming)

    def _has_come(self, key: _Key, coming: "asyncio.Task[_Look]") -> None:
        del self._coming[key]
        if not coming.cancelled():
            coming.exception()  # it is nobody's where all have left meanwhile

    async def _look_again(self, walk_id: str, seen: "_Look | None") -> "_Look":
        """A look at a walk, once there may be news since the last one."""
        if seen is not None and seen.known is None:
            await asyncio.sleep(1)  # somebody else leads it, or is about to
        elif seen is not None:
            await self._leader.news(seen.work, seen.known, _NEWS_S)
        record = await self._record(walk_id)
        status, announced, known = await self._look(record)
        is_left = not status.has_ended and await self._leader.has_successor()
        return _Look(record.work, status, announced, known, is_left)

    async def _look(self, record: WalkRecord) -> tuple[WalkStatus, Sequence[tuple[str, float]], Snapshot | None]:
        """The walk, its announced frames, and how far its work is where it goes on."""
        if record.cancelled_at is not None:
            return _of(record, state="cancelled", ended_at=_time(record.cancelled_at)), (), None
        outcome = await asyncio.to_thread(self._records.outcome, record.work)
        if isinstance(outcome, Manifest):
            return _done(record, outcome), outcome.announced, None
        if isinstance(outcome, Failure):
            ended = _of(
                record,
                state="failed",
                ended_at=_time(outcome.ended_at),
                error_code=outcome.code,
                error_detail=outcome.detail,
            )
            return ended, (), None
        snapshot = await self._leader.news(record.work, None, 0)
        if snapshot is None:
            return _of(record, state="queued"), (), None
        return _going_on(record, snapshot), snapshot.announced, snapshot

    async def _derived(self, walk_id: str, file: Derived) -> bytes:
        """Made when somebody asks for it first."""
        record = await self._record(walk_id)
        await self._manifest(record)
        key = f"works/{record.work}/{file}"
        try:
            return await asyncio.to_thread(self._store.read_bytes, key)
        except ObjectNotFoundError:
            await self._leader.derive(record.work, file)
        return await asyncio.to_thread(self._store.read_bytes, key)

    async def _frame_of(self, addresses: Sequence[str], number: int) -> bytes:
        if not 0 <= number < len(addresses):
            raise ObjectNotFoundError(f"there is no frame {number}: there are {len(addresses)}")
        return await asyncio.to_thread(self._store.read_bytes, f"frames/{addresses[number]}.png")


def _of(record: WalkRecord, *, state: State, **fields: Any) -> WalkStatus:
    usual: Mapping[str, Any] = {
        "num_frames_total": record.request.num_frames,
        "unet_evaluations_bound": record.request.plan.bound.unet_evaluations,
    }
    return WalkStatus(
        id=record.id,
        owner=record.owner,
        state=state,
        created_at=_time(record.created_at),
        request=record.request,
        is_featured=record.is_featured,
        **{**usual, **fields},
    )


def _going_on(record: WalkRecord, snapshot: Snapshot) -> WalkStatus:
    return _of(
        record,
        state=snapshot.state,
        num_frames_done=len(snapshot.announced),
        num_frames_total=max(snapshot.num_frames, len(snapshot.announced)),
        queue_position=snapshot.queue_position,
        eta_s=snapshot.eta_s,
        unet_evaluations=snapshot.unet_evaluations,
    )


def _done(record: WalkRecord, manifest: Manifest) -> WalkStatus:
    return _of(
        record,
        state="done",
        ended_at=_time(max(manifest.ended_at, record.created_at)),
        num_frames_done=len(manifest.announced),
        num_frames_total=len(manifest.announced),
        unet_evaluations=manifest.unet_evaluations,
        num_frames_shown=len(manifest.addresses),
        duration_s=sum(manifest.durations_s),
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
