import pytest
from fastapi.testclient import TestClient

from tests.support.fake_walks import FakeWalks, png_of
from tests.unit.service.conftest import WALK, problem_of

GIF = b"GIF89a, or so: " + b"gif" * 100


@pytest.fixture
def done(kiosk: TestClient, walks: FakeWalks) -> TestClient:
    kiosk.post("/v1/walks", json=WALK)
    walks.finish("walk-1")
    return kiosk


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("animation.gif", "image/gif"),
        ("animation.mp4", "video/mp4"),
        ("animation.webp", "image/webp"),
        ("frames/0.png", "image/png"),
        ("previews/1.png", "image/png"),
        ("report", "application/json"),
        ("report.png", "image/png"),
    ],
)
def test_what_a_walk_has_become(done: TestClient, name: str, media_type: str) -> None:
    response = done.get(f"/v1/walks/walk-1/{name}")

    assert response.status_code == 200
    assert response.headers["content-type"] == media_type
    assert response.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


def test_an_animation_may_be_kept_and_asked_about(done: TestClient) -> None:
    first = done.get("/v1/walks/walk-1/animation.gif")
    again = done.get("/v1/walks/walk-1/animation.gif", headers={"If-None-Match": f'"x", W/{first.headers["etag"]}'})

    assert first.content == GIF
    assert first.headers["cache-control"] == again.headers["cache-control"] == "private, max-age=86400, immutable"
    assert "content-disposition" not in first.headers
    assert (again.status_code, again.content) == (304, b"")


def test_an_animation_may_be_downloaded(done: TestClient) -> None:
    response = done.get("/v1/walks/walk-1/animation.mp4?download=1")

    assert response.headers["content-disposition"] == 'attachment; filename="walk-walk-1.mp4"'


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [("bytes=0-0", 0, 1), ("bytes=10-", 10, 315), ("bytes=10-9999", 10, 315), ("bytes=-5", 310, 315)],
)
def test_a_part_of_an_animation(done: TestClient, asked: str, start: int, stop: int) -> None:
    response = done.get("/v1/walks/walk-1/animation.gif", headers={"Range": asked})

    assert response.status_code == 206
    assert response.content == GIF[start:stop]
    assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/315"


@pytest.mark.parametrize("asked", ["bytes=", "bytes=-", "bytes=5-2", "bytes=0-1,3-4", "lines=1-2", "bytes=a-b"])
def test_a_range_that_makes_no_sense_is_none(done: TestClient, asked: str) -> None:
    assert done.get("/v1/walks/walk-1/animation.gif", headers={"Range": asked}).content == GIF


def test_a_range_of_an_older_animation_is_none(done: TestClient) -> None:
    headers = {"Range": "bytes=0-1", "If-Range": '"older"'}

    assert done.get("/v1/walks/walk-1/animation.gif", headers=headers).status_code == 200


@pytest.mark.parametrize("asked", ["bytes=315-", "bytes=999-1000", "bytes=-0"])
def test_a_range_past_the_end(done: TestClient, asked: str) -> None:
    response = done.get("/v1/walks/walk-1/animation.gif", headers={"Range": asked})

    problem_of(response, 416, "range_not_satisfiable")
    assert response.headers["content-range"] == "bytes */315"


@pytest.mark.parametrize("name", ["animation.gif", "frames/0.png", "report", "report.png"])
def test_what_is_not_done_yet(kiosk: TestClient, walks: FakeWalks, name: str) -> None:
    kiosk.post("/v1/walks", json=WALK)
    walks.show("walk-1", 2)

    problem_of(kiosk.get(f"/v1/walks/walk-1/{name}"), 409, "conflict")
    assert kiosk.get("/v1/walks/walk-1/previews/2.png").content == png_of(2)


@pytest.mark.parametrize(
    "name",
    [
        "animation.exe",
        "animation.gif%2f..",
        "frames/99.png",
        "frames/-1.png",
        "frames/x.png",
        "frames/99999999999999999999.png",
        "frames/0.jpg",
        "previews/0.png",
        "report.pdf",
        "..%2f..%2fetc%2fpasswd",
    ],
)
def test_what_there_is_not(done: TestClient, name: str) -> None:
    problem_of(done.get(f"/v1/walks/walk-1/{name}"), 404, "not_found")
