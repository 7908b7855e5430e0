"""What becomes of errors on their way from replica to replica."""

import asyncio
from collections.abc import Generator
from typing import Any

import pytest
from ray.exceptions import ObjectLostError, RayActorError, RaySystemError, RayTaskError

from momalisa.errors import BusyError, ServiceError, UnavailableError
from momalisa.service.crew import LostError
from momalisa.service.on_ray.handles import ServeCrew, ServeLeader
from momalisa.service.port import Owner

OWNER = Owner(kind="key", name="key-ann")


class Response:
    def __init__(self, error: BaseException | None) -> None:
        self.error, self.is_cancelled = error, False

    def __await__(self) -> Generator[Any, None, None]:
        if self.error is not None:
            raise self.error
        yield from asyncio.sleep(60).__await__()

    def cancel(self) -> None:
        self.is_cancelled = True


class Handle:
    """Answers every method with one response."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.response = Response(error)

    def __getattr__(self, name: str) -> Any:
        return self if name != "remote" else lambda *_, **__: self.response


def raised_there(error: Exception) -> RayTaskError:
    return RayTaskError("draw", "a traceback", error)


def crew(error: BaseException) -> ServeCrew:
    return ServeCrew(Handle(error), Handle(error), Handle(error))  # type: ignore[arg-type]


def test_our_own_errors_arrive_as_they_were_raised() -> None:
    error = raised_there(BusyError("full", 7.0))
    with pytest.raises(BusyError) as found:
        asyncio.run(ServeLeader(Handle(error)).quota(OWNER))  # type: ignore[arg-type]
    assert found.value.retry_after_s == 7.0


def test_what_nobody_expected_ends_a_walk_and_tells_no_stranger_why() -> None:
    with pytest.raises(ServiceError, match="its log says why") as found:
        asyncio.run(crew(raised_there(RuntimeError("CUDA error at /secret"))).draw(None))  # type: ignore[arg-type]
    assert "secret" not in str(found.value)


def test_a_replica_that_died_is_lost_to_the_crew_and_unavailable_to_clients() -> None:
    with pytest.raises(LostError):
        asyncio.run(crew(RayActorError()).draw(None))  # type: ignore[arg-type]
    leader = ServeLeader(Handle(RayActorError()))  # type: ignore[arg-type]
    with pytest.raises(UnavailableError):
        asyncio.run(leader.quota(OWNER))
    assert asyncio.run(leader.news("work", None, 0)) is None


def test_what_ray_serve_calls_off_by_itself_is_lost_and_not_cancelled() -> None:
    with pytest.raises(LostError):
        asyncio.run(crew(asyncio.CancelledError()).draw(None))  # type: ignore[arg-type]


def test_an_answer_that_was_lost_on_its_way_is_asked_for_again() -> None:
    with pytest.raises(LostError):
        asyncio.run(crew(ObjectLostError("00", "", "")).draw(None))  # type: ignore[arg-type]


def test_whatever_else_ray_says_is_an_error_of_ours() -> None:
    with pytest.raises(ServiceError, match="its log says why"):
        asyncio.run(crew(RaySystemError("trouble")).draw(None))  # type: ignore[arg-type]


def test_who_waits_no_more_calls_it_off() -> None:
    handle = Handle()

    async def act() -> None:
        waiting = asyncio.create_task(ServeLeader(handle).quota(OWNER))  # type: ignore[arg-type]
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(act())
    assert handle.response.is_cancelled
