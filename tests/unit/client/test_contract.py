"""The client against the service's own application: neither side can drift. Only what draws is a fake."""

import asyncio
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from fastapi import FastAPI

from momalisa.client import AsyncClient, Client, FrameDrawn, Patience, ProgressMade, WalkEnded, views
from momalisa.client.core import ImageSettings, WalkSettings
from momalisa.errors import (
    BusyError,
    FieldsError,
    ForbiddenError,
    GoneError,
    InputError,
    MomalisaError,
    ObjectNotFoundError,
    RefusedError,
    ServiceError,
    StorageError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    WalkError,
)
from momalisa.service import answers, events, schemas
from momalisa.service.app import create_app
from momalisa.service.config import EdgeConfig, Limits
from momalisa.service.keys import hash_key
from tests.support.fake_walks import FakeWalks, png_of
from tests.unit.client.conftest import Awaited
from tests.unit.client.fake_service import FakeTime

Connect = Callable[..., Any]
URL = "https://museum.example"
PROMPTS = ("blue dots", "red stripes")


class Blocking(httpx.BaseTransport):
    """An application that answers whoever waits for it."""

    def __init__(self, app: FastAPI, runner: asyncio.Runner) -> None:
        self._inner, self._runner = httpx.ASGITransport(cast(Any, app)), runner

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._runner.run(self._answer(request))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        given = await self._inner.handle_async_request(
            httpx.Request(request.method, request.url, headers=request.headers, content=request.read())
        )
        return httpx.Response(given.status_code, headers=given.headers, content=await given.aread())


@pytest.fixture
def walks() -> FakeWalks:
    return FakeWalks(ends_at_once=True)


@pytest.fixture(params=["blocking", "awaiting"])
def connect(request: pytest.FixtureRequest, walks: FakeWalks, tmp_path: Path) -> Iterator[Connect]:
    """Clients of one application: a visitor's without a key."""
    keys = tmp_path / "keys.jsonl"
    keys.write_text(json.dumps({"name": "kiosk", "sha256": hash_key("right")}))
    limits = Limits(max_upload_bytes=1000)
    app = create_app(walks, EdgeConfig(session_secrets=("s" * 32,), keys_file=keys, limits=limits))
    time = FakeTime()
    with asyncio.Runner() as runner:

        def make(key: str | None = "right") -> Any:
            common: dict[str, Any] = {"patience": Patience(deadline_s=0), "clock": time.clock}
            if request.param == "blocking":
                return Client(URL, key, transport=Blocking(app, runner), sleep=time.sleep, **common)
            transport = httpx.ASGITransport(cast(Any, app))
            client = AsyncClient(URL, key, transport=transport, sleep=time.sleep_async, **common)
            return Awaited(client, runner)

        yield make


@pytest.fixture
def client(connect: Connect) -> Any:
    return connect()


def test_a_walk_is_made_waited_for_and_saved(client: Any, tmp_path: Path) -> None:
    walk = client.walk(*PROMPTS, num_frames=3, shape="loop", guidance_scale=4.0)
    assert (walk.state, walk.view.num_frames, walk.view.duration_s, walk.view.is_mine) == ("done", 3, 0.15, True)
    assert [waypoint["prompt"] for waypoint in walk.request["waypoints"]] == list(PROMPTS)
    assert (walk.request["model"], walk.request["shape"], walk.request["guidance_scale"]) == ("tiny", "loop", 4.0)
    for kind in ("gif", "mp4", "webp"):
        assert walk.save(tmp_path / f"walk.{kind}").read_bytes().endswith(kind.encode())
    assert [frame.png for frame in walk.frames()] == [png_of(0), png_of(1), png_of(2)]
    assert walk.report() == {"largest_step": 0.1}
    assert client.get(walk.id).view == walk.view


def test_events_and_previews(client: Any) -> None:
    walk = client.walk(*PROMPTS, wait=False)
    assert walk.state == "queued"
    seen = list(walk.events())
    assert [type(event) for event in seen] == [ProgressMade, *[FrameDrawn] * 3, WalkEnded]
    assert [(event.number, event.position) for event in seen[1:4]] == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert walk.preview(2).png == png_of(2)
    walk = client.walk(*PROMPTS, wait=False)
    assert [event.number for event in walk.events(after=2) if isinstance(event, FrameDrawn)] == [3]


def test_a_walk_is_cancelled_and_deleted(client: Any, walks: FakeWalks) -> None:
    walk = client.walk(*PROMPTS, wait=False)
    assert walk.cancel().state == "cancelled"
    with pytest.raises(WalkError, match="cancelled"):
        walk.wait()
    walk.delete()
    assert walks.walks == {}
    with pytest.raises(ObjectNotFoundError):
        walk.refresh()


def test_lists_models_pictures_and_who_asks(connect: Connect) -> None:
    client, visitor = connect(), connect(None)
    made = [client.walk(*PROMPTS).id for _ in range(3)]
    assert [walk.id for walk in client.walks(page_size=2)] == made[::-1]
    assert list(client.walks("featured")) == []
    assert [(model.id, model.is_default, model.size) for model in client.models()] == [
        ("tiny", True, 128), ("monet", False, 512),
    ]  # fmt: skip
    assert client.image("blue dots", seed=7, width=64).png == png_of(7)
    picture = client.upload(png_of(9, (32, 32)))
    assert client.walk({"picture": picture, "prompt": "dots"}, "red").request["waypoints"][0]["picture"] == picture
    assert (client.me().kind, visitor.me().kind) == ("key", "visitor")
    assert client.me().quota == {"running": 1, "max_running": 2, "today": 3, "max_a_day": 50}
    assert visitor.walk(*PROMPTS).state == "done"


def test_errors_are_those_of_the_service(connect: Connect, walks: FakeWalks) -> None:
    client, wrong, visitor = connect(), connect("wrong"), connect(None)
    walk, gone = client.walk(*PROMPTS), client.walk(*PROMPTS)
    walks.gone.add(gone.id)
    unfinished = client.walk(*PROMPTS, wait=False)
    expected: list[tuple[type[MomalisaError], Callable[[], Any]]] = [
        (UnauthorizedError, lambda: wrong.walk(*PROMPTS)),
        (FieldsError, lambda: client.walk(*PROMPTS, num_frames=1)),
        (FieldsError, lambda: client.walk(*PROMPTS, model="none")),
        (FieldsError, lambda: client.image("")),
        (RefusedError, lambda: client.image("fuck")),
        (InputError, lambda: client.walk({"picture": "0" * 64}, "red")),
        (TooLargeError, lambda: client.upload(b"\x89PNG\r\n\x1a\n" + bytes(2000))),
        (ForbiddenError, lambda: visitor.get(unfinished.id).cancel()),
        (ObjectNotFoundError, lambda: client.get("nobody-has-this")),
        (ObjectNotFoundError, lambda: walk.preview(99)),
        (GoneError, gone.refresh),
    ]
    for kind, ask in expected:
        with pytest.raises(kind) as raised:
            ask()
        assert type(raised.value) is kind
    with pytest.raises(FieldsError) as fields:
        client.walk({"prompt": ""}, "red", num_inference_steps=0)
    assert fields.value.fields.keys() == {"num_inference_steps"}


@pytest.mark.parametrize(("failure", "kind"), [
    (BusyError("come back", 12.0), BusyError), (UnavailableError("the bucket is away"), UnavailableError),
    (StorageError("file:///secret/place"), ServiceError),
])  # fmt: skip
def test_trouble_of_the_service(client: Any, walks: FakeWalks, failure: Exception, kind: type[Exception]) -> None:
    walks.fails_with = failure
    with pytest.raises(kind) as raised:
        client.walk(*PROMPTS)
    assert "secret" not in str(raised.value)
    if isinstance(raised.value, BusyError):
        assert raised.value.retry_after_s == 12.0


@pytest.mark.parametrize(("read", "told"), [
    (views.WalkView, answers.WalkView), (views.Progress, answers.Progress), (views.Cost, answers.Cost),
    (views.Failure, answers.WalkFailure), (views.WalkPage, answers.WalkList), (views.ModelInfo, answers.ModelView),
    (views.ModelList, answers.ModelList), (views.Account, answers.MeView), (views.ProgressMade, events.ProgressEvent),
])  # fmt: skip
def test_all_that_is_told_is_read(read: Any, told: Any) -> None:
    assert {each.name for each in dataclasses.fields(read)} == set(told.model_fields)


@pytest.mark.parametrize(("said", "taken", "besides"), [
    (WalkSettings, schemas.WalkCreate, "waypoints"), (ImageSettings, schemas.ImageCreate, "prompt"),
])  # fmt: skip
def test_all_that_is_taken_can_be_said(said: Any, taken: Any, besides: str) -> None:
    assert set(said.__annotations__) | {besides} == set(taken.model_fields)
