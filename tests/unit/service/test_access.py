"""Who is let in: keys, sessions, and pages of other sites."""

import logging
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from momalisa.service.visitors import COOKIE
from tests.support.fake_walks import FakeWalks
from tests.unit.service.conftest import WALK, MakeApp, client_of, problem_of


def test_the_first_request_without_a_key_gets_a_session(make_app: MakeApp) -> None:
    client = client_of(make_app())

    first, second = client.get("/v1/me"), client.get("/v1/me")

    assert first.json() == second.json()
    assert first.json()["kind"] == "visitor"
    assert "HttpOnly; SameSite=Lax; Secure" in first.headers["set-cookie"]
    assert "set-cookie" not in second.headers


def test_a_program_gets_none(kiosk: TestClient) -> None:
    response = kiosk.get("/v1/me")

    assert response.json() == {
        "kind": "key",
        "is_staff": False,
        "limits": {
            "max_waypoints": 8,
            "max_frames": 300,
            "max_prompt_length": 500,
            "max_upload_bytes": 10_000_000,
            "max_num_inference_steps": 50,
        },
        "quota": {"running": 1, "max_running": 2, "today": 3, "max_a_day": 50},
    }
    assert "set-cookie" not in response.headers


def test_what_needs_nobody_gives_no_session(make_app: MakeApp) -> None:
    client = client_of(make_app())

    for path in ("/healthz", "/readyz", "/v1/models", "/static/app.js", "/metrics", "/v1/walks/x/animation.gif"):
        assert "set-cookie" not in client.get(path).headers


def test_an_error_too_gives_the_session(make_app: MakeApp) -> None:
    assert COOKIE in client_of(make_app()).get("/v1/walks/unknown").cookies


@pytest.mark.parametrize(
    "authorization",
    ["Bearer wrong", "Bearer", "Basic a2lvc2sta2V5", "kiosk-key", "", "Bearer " + "x" * 600, "Bearer k\u00e9y"],
)
def test_a_key_that_is_none_is_refused_everywhere(visitor: TestClient, authorization: str) -> None:
    headers = {"Authorization": authorization.encode("latin-1")}

    for response in (
        visitor.get("/v1/me", headers=headers),
        visitor.post("/v1/walks", json=WALK, headers=headers),
    ):
        problem_of(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"


def test_without_key_and_session_nothing_is_made(make_app: MakeApp, walks: FakeWalks) -> None:
    client = client_of(make_app())

    for response in (
        client.post("/v1/walks", json=WALK),
        client.post("/v1/images", json={"prompt": "blue"}),
        client.post("/v1/pictures", content=b"", headers={"Content-Type": "image/png"}),
        client.get("/predict?word1=a&word2=b"),
        client.delete("/v1/walks/walk-1"),
        client.post("/v1/walks/walk-1/feature"),
    ):
        problem_of(response, 401, "unauthorized")
    assert not walks.walks


def test_anybody_is_let_in_where_the_service_is_open(make_app: MakeApp, walks: FakeWalks) -> None:
    client = client_of(make_app(is_open=True, has_visitors=False))

    assert client.get("/v1/me").json()["kind"] == "anybody"
    assert client.post("/v1/walks", json=WALK).status_code == 202
    assert walks.walks["walk-1"].owner == "anybody"
    problem_of(client.post("/v1/walks/walk-1/takedown"), 401, "unauthorized")


def test_sessions_can_be_switched_off(make_app: MakeApp, visitor: TestClient) -> None:
    client = client_of(make_app(has_visitors=False, session_secrets=()))

    page = client.get("/", headers={"Cookie": f"{COOKIE}={visitor.cookies[COOKIE]}"})

    assert "set-cookie" not in page.headers
    problem_of(client.post("/v1/walks", json=WALK), 401, "unauthorized")


def test_without_a_file_no_key_is_known(make_app: MakeApp) -> None:
    problem_of(client_of(make_app(keys_file=None), key="kiosk-key").get("/v1/me"), 401, "unauthorized")


def test_a_visitor_needs_the_header_that_other_sites_cannot_send(visitor: TestClient) -> None:
    for wrong in ("", "0", "true"):
        response = visitor.post("/v1/walks", json=WALK, headers={"X-Momalisa": wrong})
        problem_of(response, 403, "forbidden")
    del visitor.headers["X-Momalisa"]
    problem_of(visitor.post("/v1/walks", json=WALK), 403, "forbidden")
    problem_of(visitor.delete("/v1/walks/walk-1"), 403, "forbidden")

    assert visitor.get("/v1/walks?list=mine").json()["walks"] == []
    assert visitor.post("/v1/walks", json=WALK, headers={"X-Momalisa": "1"}).status_code == 202


def test_a_key_goes_before_a_session_and_needs_no_header(visitor: TestClient, walks: FakeWalks) -> None:
    del visitor.headers["X-Momalisa"]

    response = visitor.post("/v1/walks", json=WALK, headers={"Authorization": "bearer kiosk-key"})

    assert response.status_code == 202
    assert walks.walks["walk-1"].owner == "key-kiosk"


def test_a_cookie_that_was_tampered_with_is_no_session(make_app: MakeApp, visitor: TestClient) -> None:
    value = visitor.cookies[COOKIE]
    forged = {"Cookie": f"{COOKIE}={value[:-2]}AA", "X-Momalisa": "1"}
    client = client_of(make_app())

    problem_of(client.post("/v1/walks", json=WALK, headers=forged), 401, "unauthorized")
    assert "set-cookie" in client.get("/v1/me", headers=forged).headers


def test_another_visitors_walk_is_seen_but_not_ended(make_app: MakeApp, visitor: TestClient) -> None:
    visitor.post("/v1/walks", json=WALK)
    other = client_of(visitor.app)  # type: ignore[arg-type]
    other.get("/")
    other.headers["X-Momalisa"] = "1"

    assert other.get("/v1/walks/walk-1").json()["is_mine"] is False
    assert other.get("/v1/walks?list=mine").json()["walks"] == []
    problem_of(other.delete("/v1/walks/walk-1"), 403, "forbidden")
    problem_of(visitor.post("/v1/walks/walk-1/takedown"), 403, "forbidden")
    assert visitor.delete("/v1/walks/walk-1").json()["state"] == "cancelled"


def test_the_cookie_is_in_no_name_and_no_log(
    visitor: TestClient, walks: FakeWalks, caplog: pytest.LogCaptureFixture
) -> None:
    secret_parts = [part for part in visitor.cookies[COOKIE].split(".") if len(part) > 10]
    with caplog.at_level(logging.DEBUG):
        visitor.post("/v1/walks", json=WALK)
        walks.fails_with = RuntimeError("trouble")
        visitor.post("/v1/walks", json=WALK)

    seen: list[Any] = [walks.walks["walk-1"].owner, caplog.text]
    assert not any(part in text for part in secret_parts for text in seen)


def test_visitors_are_known_by_a_file_s_secrets(make_app: MakeApp, tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("s" * 32)
    client = client_of(make_app(session_secrets=(), session_secrets_file=tmp_path / "secrets"))
    assert COOKIE in client.get("/").headers["set-cookie"]
    assert "set-cookie" not in client.get("/").headers
