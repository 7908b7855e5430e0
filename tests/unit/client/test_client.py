"""The client's calls, on both its faces."""

import asyncio
import inspect
import io
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import momalisa.client
from momalisa.client import AsyncClient, AsyncWalk, Client, Picture, Walk
from momalisa.errors import (
    ConflictError,
    FieldsError,
    ForbiddenError,
    GoneError,
    InputError,
    ObjectNotFoundError,
    RefusedError,
    ServiceError,
    StorageError,
    TooLargeError,
    UnauthorizedError,
    UnsupportedMediaError,
    WalkError,
)
from tests.unit.client.conftest import Connect
from tests.unit.client.fake_service import FakeService, png, problem


@pytest.mark.parametrize("suffix", ["gif", "mp4", "webp"])
def test_a_walk_is_made_waited_for_and_saved(client: Any, service: FakeService, folder: Path, suffix: str) -> None:
    walk = client.walk("blue dots", "red lines", num_frames=4, seed=3)
    assert (walk.state, walk.progress.frames_done, walk.view.num_frames) == ("done", 4, 4)
    assert walk.view.created_at == datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert walk.save(folder / f"walk.{suffix}").read_bytes() == f"animation.{suffix} of w1".encode()
    assert list(folder.iterdir()) == [folder / f"walk.{suffix}"]
    asked = json.loads(service.asked("POST", "/v1/walks")[0].content)
    assert asked == {"waypoints": [{"prompt": "blue dots"}, {"prompt": "red lines"}], "num_frames": 4, "seed": 3}


def test_progress_goes_to_the_function_that_is_given(client: Any) -> None:
    seen: list[Any] = []
    client.walk("a", "b", on_progress=seen.append)
    assert seen[0].queue_position == 1
    assert [progress.frames_done for progress in seen] == sorted(progress.frames_done for progress in seen)
    assert (seen[-1].frames_done, seen[-1].frames_total) == (3, 3)


def test_progress_is_a_bar_on_a_terminal_alone(
    client: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    client.walk("a", "b")
    assert capsys.readouterr() == ("", "")
    terminal = io.StringIO()
    terminal.isatty = lambda: True  # type: ignore[method-assign]
    monkeypatch.setattr(sys, "stderr", terminal)
    client.walk("a", "b")
    assert "walk" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    assert "ETA" in terminal.getvalue()


def test_saving_waits_for_a_walk_that_was_not_waited_for(client: Any, folder: Path) -> None:
    walk = client.walk("a", "b", wait=False)
    assert walk.state == "queued"
    assert "queued, 0/3" in repr(walk)
    walk.save(folder / "walk.GIF")
    assert walk.state == "done"


def test_what_cannot_be_saved_is_said_before_it_is_waited_for(client: Any, folder: Path) -> None:
    walk = client.walk("a", "b", wait=False)
    with pytest.raises(InputError, match=r"take one of \.gif"):
        walk.save(folder / "walk.png")
    with pytest.raises(InputError, match="make it first"):
        walk.save(folder / "no" / "walk.gif")
    assert walk.state == "queued"
    (folder / "walk.gif").mkdir()
    with pytest.raises(StorageError, match="cannot be written"):
        walk.save(folder / "walk.gif")
    assert list(folder.iterdir()) == [folder / "walk.gif"]


def test_frames_previews_and_the_report(client: Any) -> None:
    walk = client.walk("a", "b", wait=False)
    frames = list(walk.frames())
    assert [frame.pil().size for frame in frames] == [(2, 2)] * 3
    assert walk.preview(1) == Picture(png())
    assert walk.report() == {"smoothness": 1.5}


def test_a_walk_that_fails_says_why(client: Any, service: FakeService) -> None:
    service.outcome = "failed"
    with pytest.raises(WalkError, match=r"walk w1 .*the renderer died \(render_failed\)"):
        client.walk("a", "b")
    assert client.get("w1").view.error.code == "render_failed"


def test_a_walk_that_somebody_cancels_ends_the_wait(client: Any, service: FakeService) -> None:
    service.outcome = "cancelled"
    with pytest.raises(WalkError, match="cancelled"):
        client.walk("a", "b")


def test_cancelling(client: Any, service: FakeService) -> None:
    walk = client.walk("a", "b", wait=False)
    walk.cancel()
    assert walk.state == service.walks["w1"].state == "cancelled"
    walk.cancel()
    assert "w1" in service.walks  # a second DELETE would have deleted it


def test_deleting_a_walk_that_runs(client: Any, service: FakeService) -> None:
    walk = client.walk("a", "b", wait=False)
    walk.delete()
    assert not service.walks
    with pytest.raises(ObjectNotFoundError, match="there is no walk w1"):
        walk.refresh()


def test_walks_are_asked_for_page_by_page(client: Any, service: FakeService) -> None:
    for _ in range(5):
        service.add()
    walks = client.walks(page_size=2)
    assert [next(walks).id, next(walks).id] == ["w5", "w4"]
    assert len(service.asked("GET", "/v1/walks")) == 1
    assert [walk.id for walk in walks] == ["w3", "w2", "w1"]
    assert [request.url.params["list"] for request in service.requests] == ["mine"] * 3


def test_an_image_and_the_models(client: Any, service: FakeService, folder: Path) -> None:
    picture = client.image("dots", seed=3)
    assert picture.save(folder / "dots.png").read_bytes() == png()
    assert json.loads(service.requests[0].content) == {"prompt": "dots", "seed": 3}
    (model,) = client.models()
    assert (model.id, model.size, model.is_default, model.suggestions) == ("tiny", 128, True, ("dots",))
    assert client.me().quota == {"max_running": 2}


def test_pictures_among_the_waypoints_are_uploaded(client: Any, service: FakeService, folder: Path) -> None:
    path = folder / "cat.jpg"
    Image.new("RGB", (8, 8)).save(path)
    walk = client.walk(
        path,
        {"prompt": "dots", "picture": Image.new("RGB", (4, 4), "red"), "hold_s": 1},
        {"prompt": "lines", "picture": client.upload(Picture(png()))},
        {"prompt": "night"},
        wait=False,
    )
    by_id = service.pictures
    pictures = [by_id.get(waypoint.get("picture")) for waypoint in walk.request["waypoints"]]
    assert [picture and picture[0] for picture in pictures] == ["image/jpeg", "image/png", "image/png", None]
    assert pictures[0] == ("image/jpeg", path.read_bytes())
    assert walk.request["waypoints"][1]["hold_s"] == 1


def test_uploads_become_what_the_service_takes(client: Any, service: FakeService, folder: Path) -> None:
    Image.new("RGB", (8, 8)).save(folder / "old.bmp")
    assert service.pictures[client.upload(folder / "old.bmp")][0] == "image/png"
    assert service.pictures[client.upload(b"RIFF\0\0\0\0WEBPVP8 ")][0] == "image/webp"
    with pytest.raises(InputError, match="no picture"):
        client.upload(b"text")
    with pytest.raises(InputError, match="cannot be read"):
        client.upload(folder / "none.png")


def test_mistakes_are_named(client: Any) -> None:
    with pytest.raises(FieldsError, match="waypoints: at least 2") as caught:
        client.walk("alone")
    assert caught.value.fields == {"waypoints": "at least 2"}
    with pytest.raises(InputError, match="a waypoint cannot be a list"):
        client.walk(["a", "b"])
    with pytest.raises(ObjectNotFoundError, match="there is no walk none"):
        client.get("none")


def test_an_id_cannot_leave_its_place_in_the_path(client: Any, service: FakeService) -> None:
    with pytest.raises(ObjectNotFoundError):
        client.get("../models?a=b")
    assert service.requests[0].url.raw_path == b"/v1/walks/..%2Fmodels%3Fa%3Db"


def test_a_wrong_key_is_told_at_once(connect: Connect, service: FakeService) -> None:
    with pytest.raises(UnauthorizedError, match="ask the staff"):
        connect("wrong").image("dots")
    assert len(service.requests) == 1


def test_a_key_that_cannot_be_is_not_repeated(connect: Connect) -> None:
    with pytest.raises(InputError, match="line end") as caught:
        connect("secret\n")
    assert "secret" not in str(caught.value)


def test_a_visitor_is_known_from_its_first_change_on(connect: Connect, service: FakeService) -> None:
    visitor = connect()
    visitor.walk("a", "b", wait=False)
    visitor.image("dots")
    assert [request.url.path for request in service.requests] == ["/v1/me", "/v1/walks", "/v1/images"]


def test_a_service_below_a_path(connect: Connect, service: FakeService) -> None:
    with pytest.raises(ObjectNotFoundError):
        connect("right", "http://service.test/museum/").models()
    assert service.requests[0].url.path == "/museum/v1/models"


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (200, "<html>", "is no JSON"),
        (200, "[1]", "is no ModelList"),
        (200, '{"models": [{"title": "?"}]}', "KeyError: 'id'"),
        (200, '{"models": [{"id": 3}]}', "3 is no str"),
        (500, "oops", "status 500"),
        (307, "", "status 307"),
        (520, '["no problem"]', "status 520"),
    ],
)
def test_no_service_of_ours(client: Any, service: FakeService, status: int, text: str, error: str) -> None:
    service.fail("GET", "/v1/models", httpx.Response(status, text=text, headers={"Location": "https://elsewhere.test"}))
    with pytest.raises(ServiceError, match=error):
        client.models()
    assert len(service.requests) == 1


@pytest.mark.parametrize("url", ["service.test", "ftp://service.test", "http://", "http://a b:x/"])
def test_a_url_that_cannot_be(connect: Connect, url: str) -> None:
    with pytest.raises(InputError):
        connect(url=url)


def test_what_a_newer_or_older_service_tells(client: Any, service: FakeService) -> None:
    service.fail("GET", "/v1/walks/w9", httpx.Response(200, json={"id": "w9", "state": "dreaming", "cost": None}))
    walk = client.get("w9")
    assert (walk.state, walk.view.has_ended, walk.progress.frames_total) == ("dreaming", False, 0)


@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (403, "forbidden", ForbiddenError),
        (405, "method_not_allowed", ServiceError),
        (409, "conflict", ConflictError),
        (410, "gone", GoneError),
        (413, "too_large", TooLargeError),
        (415, "unsupported_media", UnsupportedMediaError),
        (422, "invalid_request", InputError),
        (422, "refused_words", RefusedError),
    ],
)
def test_errors_reach_the_caller_as_the_service_raised_them(
    client: Any, service: FakeService, status: int, code: str, error: type[Exception]
) -> None:
    service.fail("GET", "/v1/me", problem(status, code, "the reason", errors=[]))
    with pytest.raises(error, match=r"^the reason$") as caught:
        client.me()
    assert type(caught.value) is error
    assert len(service.requests) == 1


def test_a_client_is_closed_when_nobody_holds_it(service: FakeService) -> None:
    closed: list[bool] = []

    class Transport(httpx.MockTransport):
        def close(self) -> None:
            closed.append(True)

    events = Client("http://service.test", "right", transport=Transport(service)).walk("a", "b", wait=False).events()
    next(events)
    assert not closed
    del events
    assert closed
    with Client("http://service.test", transport=Transport(service)):
        closed.clear()
    assert closed


def test_the_blocking_face_within_an_event_loop(service: FakeService) -> None:
    async def in_a_notebook() -> int:
        client = Client("http://service.test", "right", transport=httpx.MockTransport(service))
        events = client.walk("a", "b", wait=False).events()
        next(events)
        del events
        assert service.connections[0].is_closed  # at once, not when the loop comes to it
        return len(list(client.walk("a", "b").frames()))

    assert asyncio.run(in_a_notebook()) == 3
    assert all(connection.is_closed for connection in service.connections)


def test_importing_the_client_loads_nothing_heavy() -> None:
    code = (
        "import sys, momalisa.client; "
        "print(*{'torch', 'numpy', 'PIL', 'pydantic', 'ray', 'transformers', 'pyarrow', 'fsspec'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert done.stdout.strip() == ""


def test_httpx_enters_through_one_module() -> None:
    folder = Path(momalisa.client.__file__).parent
    importers = [
        path.name
        for path in folder.glob("*.py")
        if re.search(r"^(import|from) httpx", path.read_text(), flags=re.MULTILINE)
    ]
    assert importers == ["wire.py"]


@pytest.mark.parametrize(("blocking", "awaiting"), [(Client, AsyncClient), (Walk, AsyncWalk)])
def test_both_faces_are_alike(blocking: type, awaiting: type) -> None:
    def parameters(face: type) -> dict[str, list[str]]:
        methods = inspect.getmembers(face, inspect.isfunction)
        return {name: list(inspect.signature(each).parameters) for name, each in methods if not name.startswith("_")}

    assert parameters(blocking) == parameters(awaiting)
