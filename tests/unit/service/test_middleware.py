import asyncio
from typing import Any

import pytest
from fastapi.testclient import TestClient

from momalisa.service.config import Limits
from momalisa.service.log_ids import IdsFilter, ids
from momalisa.service.middleware import Bounds
from momalisa.service.ray_headers import in_front_of_ray_serve, without_ray_serve
from tests.support.asgi import Exchange, http_scope
from tests.support.fake_walks import FakeWalks
from tests.support.virtual_time import run_virtually
from tests.unit.service.conftest import MakeApp, client_of, problem_of

JSON = (b"content-type", b"application/json")
KEY = (b"authorization", b"Bearer kiosk-key")
RAYS = [
    (b"X-Request-Timeout-Seconds", b"0"),
    (b"x-request-disconnect-disabled", b"?1"),
    (b"serve_multiplexed_model_id", b"huge"),
    (b"serve-multiplexed-model-id", b"huge"),
    (b"x_session_id", b"1"),
    (b"x-serve-router-target", b"me"),
]


def test_every_answer_has_the_security_headers(kiosk: TestClient) -> None:
    for path in ("/", "/v1/me", "/nowhere", "/v1/walks/unknown"):
        headers = kiosk.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cross-origin-opener-policy"] == headers["cross-origin-resource-policy"] == "same-origin"
        assert "camera=()" in headers["permissions-policy"]
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "cache-control" in headers


@pytest.mark.parametrize(("given", "is_kept"), [("abc-1.2_3", True), ("a b", False), ("x" * 65, False), ("", False)])
def test_a_request_id_is_kept_where_it_is_sane(kiosk: TestClient, given: str, is_kept: bool) -> None:
    answered = kiosk.get("/healthz", headers={"X-Request-Id": given}).headers["x-request-id"]

    assert (answered == given) is is_kept
    assert answered


def test_the_log_has_the_request_id(kiosk: TestClient, walks: FakeWalks, caplog: pytest.LogCaptureFixture) -> None:
    walks.fails_with = RuntimeError("trouble")
    caplog.handler.addFilter(IdsFilter())

    kiosk.get("/v1/walks", headers={"X-Request-Id": "r-7"})

    assert {getattr(record, "request_id", None) for record in caplog.records if "failed" in record.message} == {"r-7"}
    assert ids() == {}


def test_an_address_that_is_not_there_and_a_method_that_is_not_taken(kiosk: TestClient) -> None:
    problem_of(kiosk.get("/v2/walks"), 404, "not_found")
    response = kiosk.put("/v1/walks")
    problem_of(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET, POST"
    assert kiosk.put("/v1/walks/walk-1").headers["allow"] == "GET, DELETE"
    assert kiosk.post("/").headers["allow"] == "GET, HEAD"
    problem_of(kiosk.get("/docs"), 404, "not_found")
    problem_of(kiosk.get("/v1/walks/"), 404, "not_found")


def test_long_addresses_and_large_headers_are_refused(kiosk: TestClient) -> None:
    problem_of(kiosk.get("/v1/walks?cursor=" + "x" * 5000), 413, "too_large")
    problem_of(kiosk.get("/v1/walks", headers={"X-Large": "x" * 20_000}), 413, "too_large")


@pytest.mark.parametrize("length", [b"999999999", b"9" * 5000])
def test_a_body_that_is_announced_as_too_large_is_not_read(make_app: MakeApp, length: bytes) -> None:
    async def drill() -> None:
        app = make_app()
        headers = [JSON, KEY, (b"content-length", length)]
        exchange = Exchange(app, http_scope("/v1/walks", method="POST", headers=headers))
        await exchange.end()

        assert exchange.status == 413
        assert exchange.headers["connection"] == "close"

    run_virtually(drill())


def test_a_body_that_comes_without_its_length_is_counted(make_app: MakeApp) -> None:
    async def drill() -> None:
        app = make_app(limits=Limits(max_body_bytes=1000, max_upload_bytes=3000))
        parts = [b"x" * 400] * 4
        scopes = [http_scope(path, method="POST", headers=[JSON, KEY]) for path in ("/v1/walks", "/v1/pictures")]
        for_json, for_picture = (Exchange(app, scope, parts) for scope in scopes)
        await asyncio.gather(for_json.end(), for_picture.end())

        assert for_json.status == 413
        assert '"code":"too_large"' in for_json.body
        assert for_picture.status == 415

    run_virtually(drill())


def test_what_takes_too_long_is_given_up(make_app: MakeApp, walks: FakeWalks) -> None:
    async def forever(*_: Any) -> Any:
        await asyncio.Event().wait()

    async def drill() -> None:
        walks.models = forever  # type: ignore[method-assign]
        exchange = Exchange(make_app(), http_scope("/v1/models"))
        await exchange.end()

        assert asyncio.get_running_loop().time() == 60
        assert exchange.status == 503
        assert exchange.headers["retry-after"] == "5"
        assert exchange.headers["x-request-id"]

    run_virtually(drill())


def test_an_answer_that_does_not_end_is_cut() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    async def drill() -> None:
        exchange = Exchange(Bounds(app, Limits(), "/v1/pictures"), http_scope("/"))
        with pytest.raises(TimeoutError):
            await exchange.end()

    run_virtually(drill())


def test_headers_that_are_ray_serves_do_not_get_in() -> None:
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["headers"])
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def drill() -> None:
        (middleware,) = in_front_of_ray_serve()
        headers = [*RAYS, (b"x-request-id", b"in sane"), JSON]
        for wrapped in (Bounds(app, Limits(), "/v1/pictures"), middleware.cls(app)):
            await Exchange(wrapped, http_scope("/", headers=headers)).end()

    run_virtually(drill())
    host = (b"host", b"museum.example")
    assert seen == [[host, (b"x-request-id", b"in sane"), JSON], [host, JSON]]
    assert without_ray_serve(RAYS) == []


def test_ray_serves_second_request_id_is_taken_away() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"x-request-id", b"r-1"), JSON, (b"X-Request-ID", b"r-1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def drill() -> None:
        (middleware,) = in_front_of_ray_serve()
        exchange = Exchange(middleware.cls(app), http_scope("/"))
        await exchange.end()
        assert exchange.sent[0]["headers"] == [JSON, (b"x-request-id", b"r-1")]

    run_virtually(drill())


@pytest.mark.parametrize(("is_ours", "status"), [(True, 404), (False, 503)])
def test_what_ray_serve_does_not_know_may_come_back(is_ours: bool, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"Permissions-Policy", b"camera=()")] if is_ours else []
        await send({"type": "http.response.start", "status": 404, "headers": headers})
        await send({"type": "http.response.body", "body": b"Path '/v1/walks/w/events' not found."})

    async def drill() -> None:
        (middleware,) = in_front_of_ray_serve()
        exchange = Exchange(middleware.cls(app), http_scope("/"))
        await exchange.end()
        start, body = exchange.sent
        assert start["status"] == status
        assert (b"Path" in body["body"]) == is_ours
        if not is_ours:
            headers = dict(start["headers"])
            assert (headers[b"retry-after"], headers[b"connection"]) == (b"5", b"close")
            assert headers[b"content-type"] == b"application/problem+json"

    run_virtually(drill())


def test_other_protocols_pass(make_app: MakeApp) -> None:
    with client_of(make_app()) as client:  # lifespan
        assert client.get("/healthz").status_code == 200
