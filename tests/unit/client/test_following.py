"""Events over connections that break, on both faces of the client."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from momalisa.client import FrameDrawn, ProgressMade, WalkEnded
from momalisa.errors import GoneError, ServiceError, UnavailableError
from tests.unit.client.fake_service import FakeService, FakeTime, FakeWalk, event, problem

EVENTS = "/v1/walks/w1/events"


def numbers(events: Any) -> list[int]:
    return [each.number for each in events if isinstance(each, FrameDrawn)]


def test_events_in_order(client: Any) -> None:
    walk = client.walk("a", "b", wait=False)
    events = list(walk.events())
    assert numbers(events) == [1, 2, 3]
    assert isinstance(events[0], ProgressMade)
    assert isinstance(events[-1], WalkEnded)
    assert events[-1].walk == walk.view
    assert events[1].position == pytest.approx(1 / 3)
    assert numbers(walk.events(after=2)) == [3]


def test_a_cut_connection_is_resumed_where_it_broke(client: Any, service: FakeService, fake_time: FakeTime) -> None:
    def cut(walk: FakeWalk, last: int) -> Iterator[Any]:
        yield from service.first_events(walk, last, last + 2)
        yield b"event: frame\nid: 99\nda"  # half an event is none
        yield httpx.ReadError("cut")

    service.scripts = [cut, cut]
    service.fail("GET", EVENTS, httpx.ConnectError("refused"))
    walk = client.walk("a", "b", num_frames=6, wait=False)
    assert numbers(walk.events()) == [1, 2, 3, 4, 5, 6]
    assert [request.headers.get("last-event-id") for request in service.asked("GET", EVENTS)] == [None, None, "2", "4"]
    assert all(2 <= slept <= 2.5 for slept in fake_time.slept[1:])
    assert all(connection.is_closed for connection in service.connections)


def test_a_newer_release_is_gone_over_to(client: Any, service: FakeService, fake_time: FakeTime) -> None:
    def hand_over(walk: FakeWalk, last: int) -> Iterator[Any]:
        yield from service.first_events(walk, last, 1)
        yield b"retry: 500\n\n"

    service.scripts = [hand_over]
    walk = client.walk("a", "b")
    assert walk.state == "done"
    (slept,) = fake_time.slept
    assert 0.5 <= slept <= 1


def test_frames_that_are_sent_again_are_seen_once(client: Any, service: FakeService) -> None:
    def cut(walk: FakeWalk, last: int) -> Iterator[Any]:
        yield from service.first_events(walk, last, 2)

    def from_the_start(walk: FakeWalk, last: int) -> Iterator[Any]:
        yield from service.all_events(walk, 0)

    service.scripts = [cut, from_the_start]
    walk = client.walk("a", "b", wait=False)
    assert numbers(walk.events()) == [1, 2, 3]


def test_where_events_are_held_back_the_walk_itself_is_asked_for(client: Any, service: FakeService) -> None:
    def held_back(walk: FakeWalk, last: int) -> Iterator[Any]:
        yield httpx.ReadTimeout("")

    def held_back_to_the_end(walk: FakeWalk, last: int) -> Iterator[Any]:
        walk.state, walk.num_done = "done", 3
        yield httpx.ReadTimeout("")

    service.scripts = [held_back, held_back, held_back_to_the_end]
    seen: list[int] = []
    walk = client.walk("a", "b", on_progress=lambda progress: seen.append(progress.frames_done))
    assert walk.state == "done"
    assert seen == [0, 0, 3]


def test_a_wait_has_an_end_while_the_walk_goes_on(client: Any, service: FakeService, fake_time: FakeTime) -> None:
    def forever(walk: FakeWalk, last: int) -> Iterator[Any]:
        yield from service.first_events(walk, last, 1)
        while True:
            fake_time.now += 10
            yield b": ok\n\n"

    service.scripts = [forever]
    with pytest.raises(ServiceError, match="w1 is still running: wait longer"):
        client.walk("a", "b", timeout_s=60)
    assert fake_time.now <= 1080
    assert service.connections[0].is_closed
    assert client.get("w1").wait().state == "done"


def test_who_looks_away_lets_go_of_the_connection(client: Any, service: FakeService) -> None:
    events = client.walk("a", "b", wait=False).events()
    next(events)
    assert not service.connections[0].is_closed
    events.close()
    assert service.connections[0].is_closed


def test_a_walk_that_is_taken_down_meanwhile(client: Any, service: FakeService) -> None:
    service.scripts = [lambda walk, last: service.first_events(walk, last, 1)]
    walk = client.walk("a", "b", wait=False)
    with pytest.raises(GoneError, match="taken down"):  # noqa: PT012
        for each in walk.events():
            if isinstance(each, FrameDrawn):
                service.fail("GET", EVENTS, problem(410, "gone", "it was taken down"))
    assert service.connections[0].is_closed


def test_a_service_that_does_not_come_back(client: Any, service: FakeService) -> None:
    service.scripts = [lambda walk, last: service.first_events(walk, last, 1)]
    walk = client.walk("a", "b", wait=False)
    events = walk.events()
    next(events)
    for _ in range(6):
        service.fail("GET", EVENTS, httpx.ConnectError("refused"))
    with pytest.raises(UnavailableError) as caught:
        list(events)
    assert isinstance(caught.value.__cause__, httpx.ConnectError)


def test_events_of_a_newer_service_are_passed_over(client: Any, service: FakeService) -> None:
    def newer(walk: FakeWalk, last: int) -> Iterator[Any]:
        yield event("applause", {"loud": True})
        yield from service.all_events(walk, last)

    service.scripts = [newer]
    assert client.walk("a", "b").state == "done"


def test_events_that_are_none(client: Any, service: FakeService) -> None:
    service.scripts = [lambda walk, last: iter([b"event: frame\ndata: {\n\n"])]
    with pytest.raises(ServiceError, match="no JSON"):
        client.walk("a", "b")
    service.scripts = [lambda walk, last: iter([b"event: frame\ndata: {}\n\n"])]
    with pytest.raises(ServiceError, match="no FrameDrawn"):
        client.walk("a", "b")


def test_progress_that_runs_ahead_of_the_end(client: Any, service: FakeService) -> None:
    def cut_before_the_end(walk: FakeWalk, last: int) -> Iterator[Any]:
        yield from service.first_events(walk, last, 3)
        walk.state = "done"
        yield event("progress", {"state": "done", "progress": walk.progress()})

    service.scripts = [cut_before_the_end]
    walk = client.walk("a", "b", wait=False)
    for each in walk.events():
        if isinstance(each, ProgressMade) and each.state == "done":
            break
    assert len(list(walk.frames())) == 3
    for _ in range(2):
        service.fail("GET", "/v1/walks/w1", httpx.Response(200, json={"id": "w1", "state": "done"}))
    with pytest.raises(ServiceError, match="how many frames"):
        list(client.get("w1").frames())
