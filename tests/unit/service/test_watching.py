"""Many who watch one walk."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from momalisa.service.desk import Desk
from momalisa.service.models import ServedModel
from momalisa.service.progress import Snapshot
from momalisa.service.records import Records, WalkRecord, WorkOrder
from momalisa.storage import open_store
from momalisa.walk.request import WalkRequest, Waypoint
from tests.support.facts import FACTS

NUM_STREAMS = 500


class Led:
    """A leader of one work, which tells its news when it is told so."""

    def __init__(self) -> None:
        self.now = Snapshot(
            state="running",
            announced=(("a", 0.0),),
            num_frames=6,
            queue_position=0,
            eta_s=None,
            unet_evaluations=1,
        )
        self.changed = asyncio.Event()
        self.num_asked = 0

    def change(self, **changes: Any) -> None:
        self.now = replace(self.now, **changes)
        self.changed.set()
        self.changed = asyncio.Event()

    async def news(self, work: str, known: Snapshot | None, timeout_s: float) -> Snapshot:
        self.num_asked += 1
        if known is not None:
            await self.changed.wait()
        return self.now

    async def has_successor(self) -> bool:
        self.num_asked += 1
        return False


@pytest.fixture
def record(tmp_path: Path) -> WalkRecord:
    request = WalkRequest(waypoints=(Waypoint(prompt="dots"), Waypoint(prompt="waves")), num_frames=6)
    made = WalkRecord(id="walk", work="work", owner="key-ann", created_at=0.0, request=request)
    order = WorkOrder(request=request, model=ServedModel(id="m", uri="m"), facts=FACTS, owner="key-ann")
    Records(open_store(tmp_path)).create_walk(made, order, is_done=False)
    return made


def test_a_crowd_costs_the_conductor_no_more_than_one(tmp_path: Path, record: WalkRecord) -> None:
    async def play() -> None:
        led = Led()
        streams = [Desk(open_store(tmp_path), led).updates("walk")]  # type: ignore[arg-type]
        desk = Desk(open_store(tmp_path), led)  # type: ignore[arg-type]
        alone = await asyncio.wait_for(anext(streams[0]), 10)
        cost = led.num_asked
        streams = [desk.updates("walk") for _ in range(NUM_STREAMS)]
        first = await asyncio.gather(*map(anext, streams))
        assert {update.frames for update in first} == {alone.frames}
        assert led.num_asked == 2 * cost
        coming = [asyncio.ensure_future(anext(stream)) for stream in streams]
        while led.num_asked == 2 * cost:
            await asyncio.sleep(0)
        coming[0].cancel()  # who leaves takes nothing from the others
        led.change(announced=(("a", 0.0), ("b", 0.5)))
        second = await asyncio.gather(*coming[1:])
        assert {frame.number for update in second for frame in update.frames} == {2}
        assert led.num_asked == 3 * cost + 1

    asyncio.run(play())


def test_an_error_reaches_all_who_wait(tmp_path: Path, record: WalkRecord) -> None:
    async def play() -> None:
        led = Led()
        desk = Desk(open_store(tmp_path), led)  # type: ignore[arg-type]
        streams = [desk.updates("walk") for _ in range(3)]
        await asyncio.gather(*map(anext, streams))
        coming = [asyncio.ensure_future(anext(stream)) for stream in streams]
        await asyncio.sleep(0.01)
        Records(open_store(tmp_path)).delete_walk(record)
        led.change(announced=(("a", 0.0), ("b", 0.5)))
        found = await asyncio.gather(*coming, return_exceptions=True)
        assert [type(each).__name__ for each in found] == ["ObjectNotFoundError"] * 3

    asyncio.run(play())
