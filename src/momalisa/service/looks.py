"""How walks are, by the bucket and by whoever leads their works."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from momalisa.service.leader import Leader
from momalisa.service.log_ids import apart, note
from momalisa.service.port import State, WalkStatus
from momalisa.service.progress import Snapshot
from momalisa.service.records import Failure, Manifest, Records, WalkRecord

_NEWS_S = 5.0
"""So long a look at a work waits for news; then the bucket is looked at, for others may lead it."""
_Mark = tuple[bool, State, int]
_Key = tuple[str, _Mark | None]


@dataclass(frozen=True, slots=True)
class Look:
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


class Looks:
    """At walks, by one at a time or by a crowd."""

    def __init__(self, records: Records, leader: Leader) -> None:
        self._records, self._leader = records, leader
        self._coming: dict[_Key, asyncio.Task[Look]] = {}

    async def record(self, walk_id: str) -> WalkRecord:
        """What is written of a walk, which the log's lines are of from now on."""
        note(walk_id=walk_id)
        return await asyncio.to_thread(self._records.walk, walk_id)

    async def now(self, record: WalkRecord) -> tuple[WalkStatus, Sequence[tuple[str, float]], Snapshot | None]:
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

    async def next(self, walk_id: str, seen: Look | None) -> Look:
        """The next look, for all who have seen the same of a walk: a thousand streams cost no more than one."""
        key = walk_id, None if seen is None else seen.mark
        if (coming := self._coming.get(key)) is None:
            coming = self._coming[key] = asyncio.create_task(self._look_again(walk_id, seen), context=apart())
            coming.add_done_callback(partial(self._has_come, key))
        return await asyncio.shield(coming)

    def _has_come(self, key: _Key, coming: asyncio.Task[Look]) -> None:
        del self._coming[key]
        if not coming.cancelled():
            coming.exception()  # it is nobody's where all have left meanwhile

    async def _look_again(self, walk_id: str, seen: Look | None) -> Look:
        """A look at a walk, once there may be news since the last one."""
        if seen is not None and seen.known is None:
            await asyncio.sleep(1)  # somebody else leads it, or is about to
        elif seen is not None:
            await self._leader.news(seen.work, seen.known, _NEWS_S)
        record = await self.record(walk_id)
        status, announced, known = await self.now(record)
        is_left = not status.has_ended and await self._leader.has_successor()
        return Look(record.work, status, announced, known, is_left)


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
