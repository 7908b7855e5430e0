"""Server-sent events, by a clock that jumps."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from fastapi import FastAPI

from momalisa.service.app import create_app
from momalisa.service.config import EdgeConfig, Limits, StreamConfig
from momalisa.service.port import Owner
from momalisa.walk.request import WalkRequest, Waypoint
from tests.support.asgi import Exchange, http_scope
from tests.support.fake_walks import FakeWalks
from tests.support.virtual_time import run_virtually
from tests.unit.service.conftest import MakeApp

KEY = (b"authorization", b"Bearer kiosk-key")
STAFF_KEY = (b"authorization", b"Bearer staff-key")
Drill = Callable[[FastAPI], Awaitable[None]]


def watch(app: FastAPI, query: str = "", *headers: tuple[bytes, bytes], walk_id: str = "walk-1") -> Exchange:
    sent = headers if any(name == b"authorization" for name, _ in headers) else (KEY, *headers)
    return Exchange(app, http_scope(f"/v1/walks/{walk_id}/events", query=query, headers=sent))


def events_of(body: str) -> list[dict[str, str]]:
    """As a browser splits them."""
    blocks = [block for block in body.split("\n\n") if block and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.split("\n")) for block in blocks]


def names_of(body: str) -> list[str]:
    return [event["event"] for event in events_of(body) if "event" in event]


def ids_of(body: str) -> list[str]:
    return [event["id"] for event in events_of(body) if "id" in event]


async def begin(walks: FakeWalks) -> None:
    await walks.submit(
        WalkRequest(waypoints=(Waypoint(prompt="a"), Waypoint(prompt="b"))), Owner(kind="key", name="key-kiosk")
    )


async def settled() -> None:
    """All that can happen at this time has happened."""
    for _ in range(20):
        await asyncio.sleep(0)


def assert_nothing_is_left(walks: FakeWalks, app: FastAPI) -> None:
    assert walks.num_watchers == 0
    assert app.state.edge.seats.num_taken == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_a_stream_tells_of_a_walk_until_its_end(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app()
        await begin(walks)
        stream = watch(app)
        await stream.until("event: progress")
        walks.show("walk-1", 2)
        await stream.until("id: 2")
        walks.finish("walk-1", 1)
        await stream.end()

        first, progress, *frames, end = events_of(stream.body)
        assert stream.status == 200
        assert stream.headers["content-type"].startswith("text/event-stream")
        assert stream.headers["cache-control"] == "no-store"
        assert stream.headers["x-accel-buffering"] == "no"
        assert first == {"retry": "2000"}
        assert json.loads(progress["data"]) == {
            "state": "queued",
            "progress": {"frames_done": 0, "frames_total": 60, "queue_position": 0, "eta_s": None},
        }
        assert [frame["id"] for frame in frames] == ["1", "2", "3"]
        assert json.loads(frames[0]["data"]) == {
            "number": 1,
            "position": 0.5,
            "url": "/v1/walks/walk-1/previews/1.png",
        }
        assert end["event"] == "end"
        assert "id" not in end
        assert json.loads(end["data"])["state"] == "done"
        assert json.loads(end["data"])["is_mine"] is True
        assert stream.sent[-1]["more_body"] is False
        assert_nothing_is_left(walks, app)

    run_virtually(drill())


@pytest.mark.parametrize(
    ("query", "headers", "ids"),
    [
        ("", (), ["1", "2", "3"]),
        ("last_event_id=1", (), ["2", "3"]),
        ("", ((b"last-event-id", b"2"),), ["3"]),
        ("last_event_id=1", ((b"last-event-id", b"2"),), ["3"]),
        ("last_event_id=99", (), []),
    ],
)
def test_a_stream_resumes(make_app: MakeApp, walks: FakeWalks, query: str, headers: Any, ids: list[str]) -> None:
    async def drill() -> None:
        app = make_app()
        await begin(walks)
        walks.finish("walk-1", 3)
        stream = watch(app, query, *headers)
        await stream.end()

        assert ids_of(stream.body) == ids
        assert names_of(stream.body)[-1] == "end"
        assert_nothing_is_left(walks, app)

    run_virtually(drill())


@pytest.mark.parametrize(("query", "header"), [("last_event_id=x", b""), ("last_event_id=-1", b""), ("", b"a")])
def test_a_last_event_that_is_none_is_refused(make_app: MakeApp, walks: FakeWalks, query: str, header: bytes) -> None:
    async def drill() -> None:
        await begin(walks)
        stream = watch(make_app(), query, *([(b"last-event-id", header)] if header else []))
        await stream.end()

        assert stream.status == 422

    run_virtually(drill())


def test_hearts_beat_each_ten_seconds(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app()
        await begin(walks)
        stream = watch(app)
        await asyncio.sleep(35)
        stream.leave()
        await stream.end()

        assert stream.body.count(": ok\n\n") == 3
        assert_nothing_is_left(walks, app)

    run_virtually(drill())


def test_hearts_beat_while_there_is_progress_too(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        await begin(walks)
        stream = watch(make_app())
        for done in range(25):
            await asyncio.sleep(1)
            walks.change("walk-1", num_frames_done=done)
        stream.leave()
        await stream.end()

        assert stream.body.count(": ok\n\n") == 2

    run_virtually(drill())


def test_progress_is_told_at_most_twice_a_second_and_the_latest_is_not_lost(
    make_app: MakeApp, walks: FakeWalks
) -> None:
    async def drill() -> None:
        await begin(walks)
        stream = watch(make_app())
        await stream.until("event: progress")
        for done in range(1, 31):  # three seconds
            walks.change("walk-1", num_frames_done=done)
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        stream.leave()
        await stream.end()

        told = [json.loads(event["data"])["progress"]["frames_done"] for event in events_of(stream.body)[1:]]
        assert told[0] == 0
        assert told[-1] == 30
        assert len(told) <= 8

    run_virtually(drill())


def test_what_does_not_change_is_not_told(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        await begin(walks)
        stream = watch(make_app())
        for _ in range(5):
            await asyncio.sleep(1)
            walks.change("walk-1", unet_evaluations=1)
        stream.leave()
        await stream.end()

        assert names_of(stream.body) == ["progress"]

    run_virtually(drill())


def test_a_newer_release_has_clients_come_back_at_once(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app()
        await begin(walks)
        stream = watch(app)
        await stream.until("event: progress")
        walks.hand_over()
        await stream.end()

        assert events_of(stream.body)[-1] == {"retry": "500"}
        assert stream.sent[-1]["more_body"] is False
        assert_nothing_is_left(walks, app)

    run_virtually(drill())


def test_a_walk_that_is_taken_down_meanwhile_ends_the_stream(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app()
        await begin(walks)
        stream = watch(app)
        await stream.until("event: progress")
        await walks.take_down("walk-1")
        await stream.end()
        again = watch(app)
        await again.end()

        assert names_of(stream.body) == ["progress"]
        assert again.status == 410

    run_virtually(drill())


def test_a_client_that_leaves_leaves_nothing_behind(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app()
        await begin(walks)
        stream = watch(app)
        await stream.until("event: progress")
        await settled()
        assert (walks.num_watchers, app.state.edge.seats.num_taken) == (1, 1)
        stream.leave()
        await stream.end()

        assert_nothing_is_left(walks, app)

    run_virtually(drill())


def test_a_server_that_stops_leaves_nothing_behind(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app()
        await begin(walks)
        stream = watch(app)
        await stream.until("event: progress")
        stream.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream.end()

        assert_nothing_is_left(walks, app)

    run_virtually(drill())


def test_a_client_that_reads_nothing_is_left_in_the_end(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app()
        await begin(walks)
        stream = watch(app)
        await stream.until("event: progress")
        stream.is_stuck = True
        await stream.end()

        assert_nothing_is_left(walks, app)

    run_virtually(drill())


def test_a_stream_outlives_the_time_limit_but_not_its_own(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app(limits=Limits(request_timeout_s=5), streams=StreamConfig(max_duration_s=100))
        await begin(walks)
        stream = watch(app)
        begun_at = asyncio.get_running_loop().time()
        await stream.end()

        assert 100 <= asyncio.get_running_loop().time() - begun_at <= 110
        assert stream.sent[-1]["more_body"] is False

    run_virtually(drill())


def test_an_unexpected_failure_cuts_the_stream(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app()
        await begin(walks)
        stream = watch(app)
        await stream.until("event: progress")
        walks.fails_with = RuntimeError("secret")
        walks.change("walk-1", num_frames_done=1)
        with pytest.raises(RuntimeError):
            await stream.end()

        assert stream.sent[-1]["more_body"] is True
        assert "secret" not in stream.body
        assert_nothing_is_left(walks, app)

    run_virtually(drill())


def test_streams_are_counted(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app(limits=Limits(max_streams=3, max_streams_per_owner=2))
        await begin(walks)
        held = [watch(app), watch(app)]
        await asyncio.gather(*(stream.until("progress") for stream in held))
        one_too_many = watch(app)
        await one_too_many.end()
        held.append(watch(app, "", STAFF_KEY))
        await held[-1].until("progress")
        all_taken = watch(app, "", (b"authorization", b"Bearer staff-key"))
        await all_taken.end()

        assert (one_too_many.status, one_too_many.headers["retry-after"]) == (429, "10")
        assert (all_taken.status, all_taken.headers["retry-after"]) == (503, "5")
        held[0].leave()
        await held[0].end()
        held.append(watch(app))
        await held[-1].until("progress")
        for stream in held[1:]:
            stream.leave()
            await stream.end()
        assert_nothing_is_left(walks, app)

    run_virtually(drill())


def test_streams_of_an_edge_whose_place_another_takes_still_count(make_app: MakeApp, walks: FakeWalks) -> None:
    async def drill() -> None:
        app = make_app(limits=Limits(max_streams=3, max_streams_per_owner=1))
        await begin(walks)
        held = watch(app)
        await held.until("progress")
        changed = create_app(walks, app.state.edge.config, seats=app.state.edge.seats)
        one_too_many = watch(changed)
        await one_too_many.end()
        held.leave()
        await held.end()

        assert one_too_many.status == 429
        assert_nothing_is_left(walks, changed)

    run_virtually(drill())


def test_a_config_that_cannot_be() -> None:
    with pytest.raises(ValueError, match="heartbeat_s"):
        StreamConfig(heartbeat_s=0)
    with pytest.raises(ValueError, match="sessions need secrets"):
        EdgeConfig()
