"""`Walks` on a bucket and a conductor: what the routes talk to."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Literal

from momalisa.errors import (
    ConflictError,
    ForbiddenError,
    GoneError,
    HandoverError,
    ObjectNotFoundError,
    UnavailableError,
)
from momalisa.service.leader import Leader
from momalisa.service.log_ids import note
from momalisa.service.looks import Look, Looks
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
    Update,
    WalkStatus,
)
from momalisa.service.records import Manifest, Records, WalkRecord
from momalisa.storage import Store
from momalisa.walk.animation import Format
from momalisa.walk.request import WalkRequest

_LOGGER = logging.getLogger(__name__)
_ANIMATIONS: Mapping[Format, Derived] = {
    "gif": "animation.gif",
    "mp4": "animation.mp4",
    "webp": "animation.webp",
}
_MODELS_S = 2.0


class Desk:
    """Implements `Walks`."""

    def __init__(self, store: Store, leader: Leader) -> None:
        self._store, self._leader = store, leader
        self._models: tuple[float, Sequence[ModelInfo]] | None = None
        self._records = Records(store)
        self._looks = Looks(self._records, leader)

    async def submit(self, request: WalkRequest, owner: Owner, *, idempotency_key: str | None = None) -> WalkStatus:
        """As `Walks`."""
        record = await self._leader.admit(request, owner, idempotency_key=idempotency_key)
        note(walk_id=record.id)
        _LOGGER.info("a walk for a %s", owner.kind)
        return await self._status(record)

    async def status(self, walk_id: str) -> WalkStatus:
        """As `Walks`."""
        return await self._status(await self._looks.record(walk_id))

    async def updates(self, walk_id: str, after: int = 0) -> AsyncIterator[Update]:
        """As `Walks`."""
        seen: Look | None = None
        while True:
            seen = await self._looks.next(walk_id, seen)
            frames = tuple(PreviewFrame(n + 1, seen.announced[n][1]) for n in range(after, len(seen.announced)))
            after = max(after, len(seen.announced))
            yield Update(seen.status, frames)
            if seen.status.has_ended:
                return
            if seen.is_left:
                raise HandoverError("a newer release serves")

    async def cancel(self, walk_id: str, owner: Owner) -> WalkStatus:
        """As `Walks`."""
        record = await self._looks.record(walk_id)
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
        record = await self._looks.record(walk_id)
        if featured:
            await self._manifest(record)
        return await self._status(await asyncio.to_thread(self._records.set_featured, record, featured))

    async def take_down(self, walk_id: str) -> None:
        """As `Walks`."""
        await asyncio.to_thread(self._records.take_down, await self._looks.record(walk_id))

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
        manifest = await self._manifest(await self._looks.record(walk_id))
        return await self._frame_of(manifest.addresses, number)

    async def preview(self, walk_id: str, number: int) -> bytes:
        """As `Walks`."""
        record = await self._looks.record(walk_id)
        _, announced, _ = await self._looks.now(record)
        return await self._frame_of([address for address, _ in announced], number - 1)

    async def report(self, walk_id: str, kind: Literal["json", "png"]) -> bytes:
        """As `Walks`."""
        if kind == "png":
            return await self._derived(walk_id, "report.png")
        record = await self._looks.record(walk_id)
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

    async def _manifest(self, record: WalkRecord) -> Manifest:
        outcome = await asyncio.to_thread(self._records.outcome, record.work)
        if not isinstance(outcome, Manifest) or record.cancelled_at is not None:
            raise ConflictError("this walk is not done yet: wait for it")
        return outcome

    async def _status(self, record: WalkRecord) -> WalkStatus:
        status, _, _ = await self._looks.now(record)
        return status

    async def _derived(self, walk_id: str, file: Derived) -> bytes:
        """Made when somebody asks for it first."""
        record = await self._looks.record(walk_id)
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
