from typing import Any

import pytest
from fastapi.testclient import TestClient

from momalisa.errors import BusyError, HandoverError, UnavailableError, UriError
from momalisa.service.config import Limits
from tests.support.fake_walks import FakeWalks
from tests.unit.service.conftest import WALK, MakeApp, client_of, fields_of, problem_of


def submitted(client: TestClient, **changes: Any) -> dict[str, Any]:
    response = client.post("/v1/walks", json=WALK | changes)
    assert response.status_code == 202, response.text
    view: dict[str, Any] = response.json()
    return view


def test_a_walk_is_asked_for_and_seen(kiosk: TestClient, walks: FakeWalks) -> None:
    response = kiosk.post("/v1/walks", json=WALK | {"shape": "loop", "seed": 7})

    view = response.json()
    assert response.status_code == 202
    assert response.headers["location"] == view["links"]["self"] == "/v1/walks/walk-1"
    assert view["state"] == "queued"
    assert view["created_at"] == "2026-11-21T12:00:00Z"
    assert view["request"] | {"model": "tiny", "seed": 7, "shape": "loop", "num_frames": 60} == view["request"]
    assert view["request"]["waypoints"][0] == {
        "prompt": "blue dots",
        "picture": None,
        "negative_prompt": None,
        "guidance_scale": None,
        "seed": None,
        "hold_s": 0.0,
    }
    assert view["links"]["frame"] == "/v1/walks/walk-1/frames/{n}.png"
    assert view["links"]["report_picture"] == "/v1/walks/walk-1/report.png"
    assert view["is_mine"]
    assert walks.walks["walk-1"].owner == "key-kiosk"
    assert kiosk.get("/v1/walks/walk-1").json() == view


def test_another_sees_a_walk_as_not_theirs(kiosk: TestClient, visitor: TestClient, make_app: MakeApp) -> None:
    submitted(kiosk)

    assert visitor.get("/v1/walks/walk-1").json()["is_mine"] is False


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"waypoints": [{"prompt": "one"}]}, "waypoints"),
        ({"waypoints": [{"prompt": "a"}] * 9}, "waypoints"),
        ({"waypoints": [{"prompt": "a"}, {"prompt": " "}]}, "waypoints.1.prompt"),
        ({"waypoints": [{"prompt": "a"}, {"prompt": "b" * 501}]}, "waypoints.1.prompt"),
        (
            {"waypoints": [{"prompt": "a"}, {"prompt": "b", "negative_prompt": "c" * 501}]},
            "waypoints.1.negative_prompt",
        ),
        ({"waypoints": [{"prompt": "a"}, {"prompt": "b", "picture": "../../etc"}]}, "waypoints.1.picture"),
        ({"waypoints": [{"prompt": "a\0"}, {"prompt": "b"}]}, "waypoints.0.prompt"),
        ({"waypoints": [{"prompt": "a", "hold": 1}, {"prompt": "b"}]}, "waypoints.0.hold"),
        ({"num_frames": 301}, "num_frames"),
        ({"num_frames": "60"}, "num_frames"),
        ({"num_frames": 2, "waypoints": [{"prompt": "a"}] * 4}, "num_frames"),
        ({"num_inference_steps": 51}, "num_inference_steps"),
        ({"guidance_scale": 0.5}, "guidance_scale"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**60}, "seed"),
        ({"strength": 1.5}, "strength"),
        ({"easing": "sudden"}, "easing"),
        ({"shape": "square"}, "shape"),
        ({"mode": None}, "mode"),
        ({"model": "file:///etc"}, "model"),
        ({"model": "unknown"}, "model"),
        ({"height": 100}, "height"),
        ({"width": 2048}, "width"),
        ({"negative_prompt": "x" * 501}, "negative_prompt"),
        ({"num_frame": 3}, "num_frame"),
    ],
)
def test_a_field_that_cannot_be_is_named(kiosk: TestClient, changes: dict[str, Any], field: str) -> None:
    assert list(fields_of(kiosk.post("/v1/walks", json=WALK | changes))) == [field]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"\xff"',
        b'{"waypoints": NaN}',
        b'{"guidance_scale": Infinity, "waypoints": []}',
        b'{"waypoints": [], "\\ud800": 1}',
        b'{"waypoints": [{"prompt": "\\ud800"}, {"prompt": "b"}]}',
        b"[" * 50_000,
        b'{"num_frames": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_no_walk_is_refused(kiosk: TestClient, body: bytes) -> None:
    response = kiosk.post("/v1/walks", content=body, headers={"Content-Type": "application/json"})

    problem_of(response, 422, "invalid_request")


def test_a_body_that_is_no_json_is_unsupported(kiosk: TestClient) -> None:
    for media_type in ("text/plain", "application/x-www-form-urlencoded", ""):
        response = kiosk.post("/v1/walks", content=b'{"waypoints": []}', headers={"Content-Type": media_type})
        problem_of(response, 415, "unsupported_media")


def test_a_prompt_of_a_megabyte_is_too_large(kiosk: TestClient) -> None:
    big = WALK | {"negative_prompt": "x" * 1_000_000}

    problem_of(kiosk.post("/v1/walks", json=big), 413, "too_large")


def test_the_same_idempotency_key_answers_with_the_same_walk(kiosk: TestClient, walks: FakeWalks) -> None:
    first, again = (kiosk.post("/v1/walks", json=WALK, headers={"Idempotency-Key": "k1"}) for _ in range(2))
    other = kiosk.post("/v1/walks", json=WALK | {"num_frames": 30}, headers={"Idempotency-Key": "k1"})

    assert first.json() == again.json()  # the seed too, which the service picked
    assert len(walks.walks) == 1
    problem_of(other, 409, "conflict")


@pytest.mark.parametrize("key", ["", "k" * 101, "a b"])
def test_an_idempotency_key_of_a_wrong_form_is_refused(kiosk: TestClient, key: str) -> None:
    response = kiosk.post("/v1/walks", json=WALK, headers={"Idempotency-Key": key})

    assert list(fields_of(response)) == ["Idempotency-Key"]


def test_the_service_picks_another_seed_each_time(kiosk: TestClient) -> None:
    assert submitted(kiosk)["request"]["seed"] != submitted(kiosk)["request"]["seed"]


def test_a_picture_may_be_a_waypoint(kiosk: TestClient, walks: FakeWalks) -> None:
    walks.pictures["a" * 64] = b""
    waypoints = [{"picture": "a" * 64}, {"prompt": "red"}]

    assert submitted(kiosk, waypoints=waypoints)["request"]["waypoints"][0]["picture"] == "a" * 64
    waypoints[0]["picture"] = "b" * 64
    problem_of(kiosk.post("/v1/walks", json=WALK | {"waypoints": waypoints}), 422, "invalid_request")


def test_refused_words_are_refused(kiosk: TestClient, walks: FakeWalks) -> None:
    asked = WALK | {"waypoints": [{"prompt": "blue"}, {"prompt": "h3il h1tler"}]}

    problem_of(kiosk.post("/v1/walks", json=asked), 422, "refused_words")
    assert not walks.walks


def test_no_capacity_says_when_to_come_back(kiosk: TestClient, walks: FakeWalks) -> None:
    walks.fails_with = BusyError("all renderers are busy: come back later", 7.2)

    response = kiosk.post("/v1/walks", json=WALK)

    assert problem_of(response, 429, "too_many_requests")["retry_after_s"] == 7.2
    assert response.headers["retry-after"] == "8"


@pytest.mark.parametrize("error", [UnavailableError("gs://secret"), HandoverError("a newer release serves")])
def test_what_passes_is_unavailable(kiosk: TestClient, walks: FakeWalks, error: Exception) -> None:
    walks.fails_with = error

    response = kiosk.post("/v1/walks", json=WALK)

    problem_of(response, 503, "unavailable")
    assert int(response.headers["retry-after"]) >= 1
    assert (response.headers.get("connection") == "close") == isinstance(error, HandoverError)


@pytest.mark.parametrize("error", [RuntimeError("secret"), UriError("gs://secret")])
def test_what_nobody_expects_tells_nothing_but_the_request(
    kiosk: TestClient, walks: FakeWalks, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    walks.fails_with = error

    response = kiosk.post("/v1/walks", json=WALK, headers={"X-Request-Id": "r-1"})

    problem_of(response, 500, "internal_error")
    assert response.headers["x-request-id"] == "r-1"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert "secret" in caplog.text


@pytest.mark.parametrize("walk_id", ["unknown", "a" * 65, "..", "%2e%2e%2fetc", "a%00b", "ä", "walk-1%0a"])
@pytest.mark.parametrize("rest", ["", "/events", "/animation.gif", "/report", "/frames/0.png"])
def test_a_walk_that_is_not_there(kiosk: TestClient, walk_id: str, rest: str) -> None:
    submitted(kiosk)

    problem_of(kiosk.get(f"/v1/walks/{walk_id}{rest}"), 404, "not_found")


def test_a_walk_that_was_taken_down_is_gone(kiosk: TestClient, staff: TestClient) -> None:
    submitted(kiosk)

    assert staff.post("/v1/walks/walk-1/takedown").status_code == 204
    for rest in ("", "/events", "/animation.gif"):
        problem_of(kiosk.get(f"/v1/walks/walk-1{rest}"), 410, "gone")


def test_a_walk_is_cancelled_then_deleted_by_its_owner_alone(
    kiosk: TestClient, staff: TestClient, walks: FakeWalks
) -> None:
    submitted(kiosk)

    problem_of(staff.delete("/v1/walks/walk-1"), 403, "forbidden")
    assert kiosk.delete("/v1/walks/walk-1").json()["state"] == "cancelled"
    assert kiosk.delete("/v1/walks/walk-1").json()["state"] == "cancelled"
    problem_of(kiosk.get("/v1/walks/walk-1"), 404, "not_found")


def test_staff_alone_decide_what_is_featured(kiosk: TestClient, staff: TestClient, walks: FakeWalks) -> None:
    submitted(kiosk)
    problem_of(staff.post("/v1/walks/walk-1/feature"), 409, "conflict")
    walks.finish("walk-1")

    problem_of(kiosk.post("/v1/walks/walk-1/feature"), 403, "forbidden")
    problem_of(kiosk.post("/v1/walks/walk-1/takedown"), 403, "forbidden")
    assert staff.post("/v1/walks/walk-1/feature").json()["is_featured"] is True
    assert [walk["id"] for walk in kiosk.get("/v1/walks").json()["walks"]] == ["walk-1"]
    assert staff.delete("/v1/walks/walk-1/feature").json()["is_featured"] is False
    assert kiosk.get("/v1/walks?list=featured").json() == {"walks": [], "next_cursor": None}


def test_lists_go_page_by_page(kiosk: TestClient) -> None:
    for _ in range(3):
        submitted(kiosk)

    first = kiosk.get("/v1/walks", params={"list": "mine", "limit": 2}).json()
    second = kiosk.get("/v1/walks", params={"list": "mine", "cursor": first["next_cursor"]}).json()

    assert [walk["id"] for walk in first["walks"] + second["walks"]] == ["walk-3", "walk-2", "walk-1"]
    assert second["next_cursor"] is None


@pytest.mark.parametrize("query", ["list=all", "limit=0", "limit=101", "limit=x", "cursor=", "cursor=../a", "cursor=x"])
def test_a_list_that_cannot_be(kiosk: TestClient, query: str) -> None:
    problem_of(kiosk.get(f"/v1/walks?{query}"), 422, "invalid_request")


def test_what_everybody_asked_for_is_nobodys_list(make_app: MakeApp) -> None:
    client = client_of(make_app(is_open=True, has_visitors=False))

    submitted(client)
    assert client.get("/v1/walks?list=mine").json() == {"walks": [], "next_cursor": None}
    assert client.get("/v1/walks/walk-1").json()["is_mine"]


def test_limits_are_those_of_the_service(make_app: MakeApp) -> None:
    client = client_of(make_app(limits=Limits(max_frames=30, max_waypoints=3)), key="kiosk-key")

    problems = fields_of(client.post("/v1/walks", json={"waypoints": [{"prompt": "a"}] * 4, "num_frames": 31}))

    assert set(problems) == {"waypoints", "num_frames"}
    assert "30" in problems["num_frames"]


def test_what_is_usual_is_within_the_limits(make_app: MakeApp) -> None:
    limits = Limits(max_frames=30, max_num_inference_steps=9)
    client = client_of(make_app(limits=limits), key="kiosk-key")

    request = submitted(client)["request"]

    assert (request["num_frames"], request["num_inference_steps"]) == (30, 9)
    properties = client.get("/openapi.json").json()["components"]["schemas"]["WalkCreate"]["properties"]
    assert properties["num_frames"]["default"] == properties["num_frames"]["maximum"] == 30


def test_a_whole_number_may_be_written_with_a_point(kiosk: TestClient) -> None:
    response = kiosk.post("/v1/walks", json=WALK | {"num_frames": 12.0, "seed": 7.0, "width": 64.0})

    assert response.json()["request"] | {"num_frames": 12, "seed": 7, "width": 64} == response.json()["request"]
    assert "num_frames" in fields_of(kiosk.post("/v1/walks", json=WALK | {"num_frames": 12.5}))


def test_a_failed_walk_says_why(kiosk: TestClient, walks: FakeWalks) -> None:
    submitted(kiosk)
    walks.change("walk-1", state="failed", error_code="render_failed", error_detail="the model drew nothing")

    assert kiosk.get("/v1/walks/walk-1").json()["error"] == {
        "code": "render_failed",
        "detail": "the model drew nothing",
    }
