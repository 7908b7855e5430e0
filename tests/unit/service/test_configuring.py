"""Which configuration a conductor goes by, whatever is lost meanwhile."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from momalisa.errors import ConfigError, MomalisaError, ServiceError, UnavailableError
from momalisa.service import configuring
from momalisa.service.configuring import Configuring
from momalisa.service.crew import LostError
from momalisa.service.last_good import LastGood
from momalisa.storage import open_store

GOOD, OTHER, BAD, UNDRAWABLE = (
    {"models": [{"id": name, "uri": f"gs://museum/{name}"}]} for name in ("good", "other", "bad", "undrawable")
)


class FakeConductor:
    """`bad` cannot be loaded, `undrawable` not be drawn with."""

    def __init__(self) -> None:
        self.taken: list[str] = []
        self.refused: list[bool] = []
        self.pending: list[bool] = []
        self.errors: list[MomalisaError] = []
        """What the next tries meet with."""
        self.has_started = False
        self.cannot_be_drawn_with = {"undrawable"}
        self.cannot_be_loaded = {"bad"}
        self.renderer_is_there = asyncio.Event()
        self.renderer_is_there.set()

    async def take_config(self, models: Any, *_: Any) -> None:
        await self.renderer_is_there.wait()
        if self.errors:
            raise self.errors.pop()
        name = models[0].id
        if name in self.cannot_be_loaded or (self.has_started and name in self.cannot_be_drawn_with):
            raise ConfigError(f"no model at 'gs://museum/{name}'")
        self.taken.append(name)

    def note_config(self, part: str, *, is_refused: bool) -> None:
        assert part == "conductor"
        self.refused.append(is_refused)

    def note_trial(self, *, is_pending: bool) -> None:
        self.pending.append(is_pending)

    def start(self) -> None:
        self.has_started = True

    async def settled(self, **_: Any) -> None:
        if self.taken[-1] in self.cannot_be_drawn_with:
            raise ServiceError("no picture can be drawn")


class Museum:
    """A bucket, in which conductors begin one after the other."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(str(folder))

    def begin(self, release: str = "blue") -> tuple[Configuring, FakeConductor]:
        conductor = FakeConductor()
        return Configuring(conductor, LastGood(self.store, release)), conductor  # type: ignore[arg-type]


@pytest.fixture
def museum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Museum:
    monkeypatch.setattr(configuring, "_AGAIN_S", 0.0)
    return Museum(tmp_path)


async def tried(configuration: Configuring, *user_configs: dict[str, Any]) -> None:
    for user_config in user_configs:
        await configuration.take(user_config)
        if configuration.trial is not None:
            await configuration.trial


def test_a_bad_configuration_is_refused_and_the_last_good_one_holds_also_after_a_restart(museum: Museum) -> None:
    async def play() -> None:
        first, conductor = museum.begin()
        await tried(first, GOOD, OTHER, BAD, {"admission": {"max_works": "many"}})
        assert conductor.taken == ["good", "other"]
        assert conductor.refused == [False, True, True]
        again, conductor = museum.begin()
        await tried(again, BAD)
        assert (conductor.taken, conductor.refused) == (["other"], [True])

    asyncio.run(play())


@pytest.mark.parametrize("is_over", [True, False])
def test_what_holds_begins_and_the_newest_is_tried_beside_it(museum: Museum, is_over: bool) -> None:
    """Whether the conductor before had refused it, or was lost while it tried."""

    async def play() -> None:
        first, conductor = museum.begin()
        await first.take(GOOD)
        if not is_over:
            conductor.renderer_is_there.clear()
        await first.take(UNDRAWABLE)
        assert first.trial is not None
        if is_over:
            await first.trial
        again, conductor = museum.begin()
        await again.take(UNDRAWABLE)
        assert (conductor.taken, conductor.pending[-1]) == (["good"], True)
        await again.trial
        assert (conductor.taken, conductor.refused, conductor.pending[-1]) == (["good"], [True], False)
        mended, conductor = museum.begin()
        conductor.cannot_be_drawn_with.clear()
        await tried(mended, UNDRAWABLE)
        assert (conductor.taken, conductor.refused) == (["good", "undrawable"], [False])

    asyncio.run(play())


def test_what_held_and_is_gone_does_not_keep_a_good_one_out(museum: Museum) -> None:
    async def play() -> None:
        await museum.begin()[0].take(GOOD)
        for gone in ("cannot_be_loaded", "cannot_be_drawn_with"):
            again, conductor = museum.begin()
            getattr(conductor, gone).add("good")
            await tried(again, OTHER)
            assert conductor.taken[-1] == "other"
            assert conductor.pending[-1] is False
            await museum.begin()[0].take(GOOD)

    asyncio.run(play())


def test_who_begins_a_service_without_a_name_gets_what_was_asked_for(museum: Museum) -> None:
    async def play() -> None:
        await museum.begin("")[0].take(GOOD)
        again, conductor = museum.begin("")
        await again.take(OTHER)
        assert (conductor.taken, again.trial) == (["other"], None)
        for cannot_be in (BAD, UNDRAWABLE):
            again, conductor = museum.begin("")
            await tried(again, cannot_be)
            assert conductor.taken[-1] == "other"
            assert conductor.refused == [True]

    asyncio.run(play())


def test_a_conductor_answers_while_it_tries_a_configuration(museum: Museum) -> None:
    """Ray Serve sends it nothing before `take` returns. The last one that came is the one that counts."""

    async def play() -> None:
        configuration, conductor = museum.begin()
        await configuration.take(GOOD)
        conductor.renderer_is_there.clear()
        for config in (BAD, OTHER):
            await configuration.take(config)
            await asyncio.sleep(0)
        assert (conductor.taken, conductor.pending[-1]) == (["good"], True)
        conductor.renderer_is_there.set()
        assert configuration.trial is not None
        await configuration.trial
        assert (conductor.taken, conductor.refused, conductor.pending[-1]) == (["good", "other"], [False], False)

    asyncio.run(play())


@pytest.mark.parametrize("error", [LostError("the renderer died"), UnavailableError("the bucket is away")])
def test_what_says_nothing_of_a_configuration_refuses_none(museum: Museum, error: MomalisaError) -> None:
    async def play() -> None:
        configuration, conductor = museum.begin()
        await configuration.take(GOOD)
        conductor.errors = [error, error]
        await tried(configuration, OTHER)
        assert (conductor.taken, conductor.refused) == (["good", "other"], [False])
        conductor.errors = [error] * 3
        await tried(configuration, GOOD)
        assert conductor.refused == [False, True]

    asyncio.run(play())


def test_a_new_release_must_be_good_by_itself(museum: Museum) -> None:
    async def play() -> None:
        await museum.begin("blue")[0].take(GOOD)
        with pytest.raises(ConfigError, match="no model at 'gs://museum/bad'"):
            await museum.begin("green")[0].take(BAD)
        with pytest.raises(ServiceError, match="no picture can be drawn"):
            await museum.begin("green")[0].take(UNDRAWABLE)
        assert await LastGood(museum.store, "green").find() is None

    asyncio.run(play())


def test_a_bucket_that_is_away_at_the_start_is_waited_for(museum: Museum, monkeypatch: pytest.MonkeyPatch) -> None:
    away = [UnavailableError("the bucket is away")] * 3
    find = LastGood.find

    async def find_later(self: LastGood) -> dict[str, Any] | None:
        if away:
            raise away.pop()
        return await find(self)

    async def play() -> None:
        monkeypatch.setattr(LastGood, "find", find_later)
        configuration, conductor = museum.begin()
        conductor.errors = [UnavailableError("the bucket is away")] * 3
        await configuration.take(GOOD)
        assert conductor.taken == ["good"]
        assert not away

    asyncio.run(play())
