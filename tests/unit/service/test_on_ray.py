"""What is decided on Ray Serve without a Ray."""

import asyncio
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from ray.serve._private.thirdparty.get_asgi_route_name import extract_route_patterns

from momalisa.errors import UnavailableError
from momalisa.service.on_ray import replicas
from momalisa.service.on_ray.application import build_app
from momalisa.service.on_ray.front import Front
from momalisa.service.on_ray.replicas import GatewayDeployment
from momalisa.service.structure import Structure


def release_of(**args: Any) -> str:
    release: str = build_app({"bucket": "gs://museum/walks", **args})._bound_deployment.init_args[0].release
    return release


def test_a_release_is_the_ray_cluster_where_it_is_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_CLUSTER_NAME", raising=False)
    assert release_of() == ""
    monkeypatch.setenv("RAY_CLUSTER_NAME", "walks-x7k2p")
    assert release_of() == "walks-x7k2p"
    assert release_of(release="blue") == "blue"


def test_a_gateway_is_there_once_a_picture_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    class Leader:
        answers: list[bool | Exception] = [UnavailableError("the conductor starts"), False, True]  # noqa: RUF012

        async def is_ready(self) -> bool:
            answer = self.answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

    monkeypatch.setattr(replicas, "_CANARY_S", 0.0)
    asyncio.run(GatewayDeployment._until_ready(SimpleNamespace(_leader=Leader())))
    assert not Leader.answers


def test_a_release_takes_over_with_its_first_visitor() -> None:
    told: list[str] = []

    async def take_over() -> None:
        told.append("asked")
        if len(told) == 1:
            raise UnavailableError("the bucket is away")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"keep-alive")]})

    async def play() -> list[Any]:
        front, sent = Front(take_over), []
        front.app = app

        async def send(message: Any) -> None:
            sent.append(dict(message["headers"]).get(b"connection"))

        async def ask(path: str) -> None:
            await front({"type": "http", "path": path}, None, send)  # type: ignore[arg-type]
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        for path in ("/healthz", "/readyz", "/metrics"):
            await ask(path)
        assert told == []
        for path in ("/", "/v1/walks", "/v1/walks"):
            await ask(path)
        front.is_leaving = True
        await ask("/v1/walks")
        return sent

    assert asyncio.run(play())[-2:] == [b"keep-alive", b"close"]
    assert told == ["asked", "asked"]


def test_ray_serve_sees_the_routes_of_the_application() -> None:
    """It looks for them once a replica has its first configuration, and calls every request one of `/` without any."""

    async def take_over() -> None: ...

    front = Front(take_over)
    assert extract_route_patterns(front) == []
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_api_route("/v1/walks/{walk_id}", take_over)
    front.app = app
    assert [pattern.path for pattern in extract_route_patterns(front)] == ["/v1/walks/{walk_id}"]


@pytest.mark.parametrize("is_heard", [True, False])
def test_a_configuration_that_a_gateway_does_not_take_is_told_to_the_conductor(is_heard: bool) -> None:
    noted: list[tuple[str, bool]] = []

    async def note_config(part: str, *, is_refused: bool, teller: str, is_new: bool) -> None:
        assert (teller, is_new) == ("gateway#1", True)
        if not is_heard:
            raise UnavailableError("the conductor starts")
        noted.append((part, is_refused))

    replica = SimpleNamespace(
        _name="gateway#1",
        _structure=Structure(bucket="gs://museum/walks", is_open=True),
        _front=SimpleNamespace(app="the one before"),
        _leader=SimpleNamespace(note_config=note_config),
        _watching=object(),
    )
    replica._note = partial(GatewayDeployment._note, replica)
    asyncio.run(GatewayDeployment.reconfigure(replica, {"limits": {"max_streams": 5000}}))
    assert noted == ([("gateway", True)] if is_heard else [])
    assert replica._front.app == "the one before"


def test_a_gateway_says_again_what_a_conductor_that_began_anew_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    noted: list[bool] = []

    async def note_config(part: str, *, is_refused: bool, teller: str, is_new: bool) -> None:
        assert not is_new
        noted.append(is_refused)
        if len(noted) == 2:
            raise asyncio.CancelledError

    async def has_successor() -> bool:
        return False

    monkeypatch.setattr(replicas, "_WATCH_S", 0.0)
    leader = SimpleNamespace(note_config=note_config, has_successor=has_successor)
    replica = SimpleNamespace(_leader=leader, _front=SimpleNamespace(), _is_refused=True, _name="gateway#1")
    replica._note = partial(GatewayDeployment._note, replica)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(GatewayDeployment._watch(replica))
    assert noted == [True, True]
