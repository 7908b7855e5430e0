"""Every test of the client is of both its faces: the awaiting one is driven here as if it blocked."""

import asyncio
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from momalisa.client import AsyncClient, Client
from tests.unit.client.fake_service import FakeService, FakeTime

Connect = Callable[..., Any]


@pytest.fixture
def service() -> FakeService:
    return FakeService()


@pytest.fixture
def fake_time() -> FakeTime:
    return FakeTime()


@pytest.fixture(params=["blocking", "awaiting"])
def connect(request: pytest.FixtureRequest, service: FakeService, fake_time: FakeTime) -> Iterator[Connect]:
    """A client of the fake service, by its key if it is given one."""
    transport = httpx.MockTransport(service)
    with asyncio.Runner() as runner:

        def make(key: str | None = None, url: str = "http://service.test", **more: Any) -> Any:
            if request.param == "blocking":
                return Client(url, key, transport=transport, sleep=fake_time.sleep, clock=fake_time.clock, **more)
            client = AsyncClient(
                url, key, transport=transport, sleep=fake_time.sleep_async, clock=fake_time.clock, **more
            )
            return Awaited(client, runner)

        yield make


@pytest.fixture
def client(connect: Connect) -> Any:
    return connect("right")


class Awaited:
    """Of an object its attributes, with coroutines awaited and asynchronous generators iterated."""

    def __init__(self, inner: Any, runner: asyncio.Runner) -> None:
        self._inner = inner
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        if not inspect.ismethod(attribute):
            return attribute
        return lambda *args, **kwargs: self._awaited(attribute(*args, **kwargs))

    def __repr__(self) -> str:
        return repr(self._inner)

    def _awaited(self, result: Any) -> Any:
        if inspect.isasyncgen(result):
            return self._iterated(result)
        if inspect.iscoroutine(result):
            result = self._runner.run(result)
        return Awaited(result, self._runner) if type(result).__name__.startswith("Async") else result

    def _iterated(self, items: Any) -> Iterator[Any]:
        try:
            while True:
                try:
                    item = self._runner.run(anext_of(items))
                except StopAsyncIteration:
                    return
                yield self._awaited(item)
        finally:
            self._runner.run(close(items))


async def anext_of(items: Any) -> Any:
    return await anext(items)


async def close(items: Any) -> None:
    await items.aclose()
