"""What is decided on Ray Serve without a Ray."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import FastAPI
from ray.serve._private.thirdparty.get_asgi_route_name import extract_route_patterns

from momalisa.errors import ConfigError, UnavailableError
from momalisa.service.on_ray import replicas
from momalisa.service.on_ray.application import build_app
from momalisa.service.on_ray.front import Front
from momalisa.service.on_ray.replicas import ConductorDeployment, GatewayDeployment
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


GOOD, OTHER, BAD, UNDRAWABLE = (
    {"models": [{"id": name, "uri": f"gs://museum/{name}"}]} for name in ("good", "other", "bad", "undrawable")
)


class FakeConductor:
    """Takes every model but one, once it may."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self.taken: list[str] = []
        self.refused: list[bool] = []
        self.pending: list[bool] = []
        self.num_away = 0
        self.has_started = False
        self.renderer_is_there = asyncio.Event()
        self.renderer_is_there.set()

    async def take_config(self, models: Any, *_: Any) -> None:
        await self.renderer_is_there.wait()
        if self.num_away:
            self.num_away -= 1
            raise UnavailableError("the bucket is away")
        if models[0].id == "bad" or (models[0].id == "undrawable" and self.has_started):
            raise ConfigError(f"no model at 'gs://museum/{models[0].id}'")
        self.taken.append(models[0].id)

    def note_config(self, part: str, *, is_refused: bool) -> None:
        assert part == "conductor"
        self.refused.append(is_refused)

    def note_trial(self, *, is_pending: bool) -> None:
        self.pending.append(is_pending)

    def start(self) -> None:
        self.has_started = True

    async def settled(self, **_: Any) -> None:
        pass


class AloneConductor(ConductorDeployment):
    def __del__(self) -> None:  # type: ignore[override]
        """Only Ray Serve awaits the one that is a coroutine."""


@pytest.fixture
def begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., ConductorDeployment]:
    monkeypatch.setattr(replicas, "Conductor", FakeConductor)
    monkeypatch.setattr(replicas, "log_as_serve_does", lambda: None)
    monkeypatch.setattr(replicas, "_AGAIN_S", 0.0)
    monkeypatch.setattr(replicas.ServeCrew, "count", lambda _: asyncio.sleep(0))

    def make(release: str = "blue") -> ConductorDeployment:
        structure = Structure(bucket=str(tmp_path), release=release)
        return AloneConductor(structure, *[SimpleNamespace()] * 3)  # type: ignore[arg-type]

    return make


async def tried(deployment: ConductorDeployment, user_config: dict[str, Any]) -> None:
    await deployment.reconfigure(user_config)
    if deployment._trying is not None:
        await deployment._trying


def test_a_bad_configuration_is_refused_and_the_last_good_one_holds_also_after_a_restart(
    begin: Callable[..., ConductorDeployment],
) -> None:
    async def play() -> None:
        first = begin()
        for config in (GOOD, OTHER, BAD, {"admission": {"max_works": "many"}}):
            await tried(first, config)
        assert first._conductor.taken == ["good", "other"]
        assert first._conductor.refused == [False, True, True]
        again = begin()
        await tried(again, BAD)
        assert (again._conductor.taken, again._conductor.refused) == (["other"], [True])

    asyncio.run(play())


def test_what_was_refused_in_place_is_no_beginning_but_is_tried_once_more(
    begin: Callable[..., ConductorDeployment], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that can be loaded and not drawn with would be taken by a conductor that begins anew."""

    async def play() -> None:
        first = begin()
        await tried(first, GOOD)
        await tried(first, UNDRAWABLE)
        assert first._conductor.refused == [True]
        again = begin()
        await again.reconfigure(UNDRAWABLE)
        assert (again._conductor.taken, again._conductor.pending) == (["good"], [True])
        await again._trying
        assert (again._conductor.taken, again._conductor.refused) == (["good"], [True])
        assert again._conductor.pending[-1] is False
        mended = begin()
        monkeypatch.setattr(FakeConductor, "start", lambda _: None)  # it can be drawn with by now
        await tried(mended, UNDRAWABLE)
        assert (mended._conductor.taken, mended._conductor.refused) == (["good", "undrawable"], [False])

    asyncio.run(play())


def test_a_conductor_answers_while_it_tries_a_configuration(begin: Callable[..., ConductorDeployment]) -> None:
    """Ray Serve sends it nothing before `reconfigure` returns. The last one that came is the one that counts."""

    async def play() -> None:
        deployment = begin()
        conductor = deployment._conductor
        await deployment.reconfigure(GOOD)
        conductor.renderer_is_there.clear()
        for config in (BAD, OTHER):
            await deployment.reconfigure(config)
            await asyncio.sleep(0)
        assert (conductor.taken, conductor.pending[-1]) == (["good"], True)
        conductor.renderer_is_there.set()
        await deployment._trying
        assert (conductor.taken, conductor.refused, conductor.pending[-1]) == (["good", "other"], [False], False)

    asyncio.run(play())


def test_a_new_release_must_be_good_by_itself(begin: Callable[..., ConductorDeployment]) -> None:
    async def play() -> None:
        await begin("blue").reconfigure(GOOD)
        with pytest.raises(ConfigError, match="no model at 'gs://museum/bad'"):
            await begin("green").reconfigure(BAD)

    asyncio.run(play())


def test_a_bucket_that_is_away_at_the_start_is_waited_for(begin: Callable[..., ConductorDeployment]) -> None:
    async def play() -> None:
        deployment = begin()
        deployment._conductor.num_away = 3
        await deployment.reconfigure(GOOD)
        assert deployment._conductor.taken == ["good"]

    asyncio.run(play())


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

    async def note_config(part: str, *, is_refused: bool) -> None:
        if not is_heard:
            raise UnavailableError("the conductor starts")
        noted.append((part, is_refused))

    replica = SimpleNamespace(
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

    async def note_config(part: str, *, is_refused: bool) -> None:
        noted.append(is_refused)
        if len(noted) == 2:
            raise asyncio.CancelledError

    async def has_successor() -> bool:
        return False

    monkeypatch.setattr(replicas, "_WATCH_S", 0.0)
    leader = SimpleNamespace(note_config=note_config, has_successor=has_successor)
    replica = SimpleNamespace(_leader=leader, _front=SimpleNamespace(), _is_refused=True)
    replica._note = partial(GatewayDeployment._note, replica)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(GatewayDeployment._watch(replica))
    assert noted == [True, True]
