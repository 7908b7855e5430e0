"""Walks from request to animation, led over a bucket, with renderers in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from momalisa.errors import AlreadyExistsError, BusyError, ConfigError, ObjectNotFoundError, RefusedError, ServiceError
from momalisa.service.admission import AdmissionConfig
from momalisa.service.conductor import Conductor
from momalisa.service.conductor_config import ConductorConfig
from momalisa.service.crew import ChunkResult, ChunkTask
from momalisa.service.ledger import Ledger
from momalisa.service.log_ids import ids, noted
from momalisa.service.models import ServedModel
from momalisa.service.port import ImageRequest, Owner
from momalisa.service.records import Failure, Manifest, WalkRecord
from momalisa.storage import Store, open_store
from momalisa.walk.request import WalkRequest, Waypoint
from momalisa.walk.texts import Texts
from tests.support.local_crew import LocalCrew
from tests.support.small_sd import save_small_sd

ANN, BOB = Owner(kind="key", name="key-ann"), Owner(kind="visitor", name="visitor-bob")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[ServedModel, ...]:
    folder = save_small_sd(tmp_path_factory.mktemp("small"))
    return (ServedModel(id="small", uri=str(folder)),)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def walk(seed: int = 0, **settings: Any) -> WalkRequest:
    usual: dict[str, Any] = {"num_frames": 6, "num_inference_steps": 4, "model": "small", "seed": seed}
    return WalkRequest(waypoints=(Waypoint(prompt="dots"), Waypoint(prompt="waves")), **{**usual, **settings})


def quick(**settings: Any) -> ConductorConfig:
    return ConductorConfig(**{"look_out_s": 0.02, "renew_s": 0.02, "patience_s": 0.2, **settings})


async def ended(conductor: Conductor, record: WalkRecord) -> Manifest:
    while (outcome := conductor.records.outcome(record.work)) is None:
        await asyncio.sleep(0.01)
    assert isinstance(outcome, Manifest)
    return outcome


async def started(conductor: Conductor) -> None:
    """It can draw, and no other release serves."""
    conductor.start()
    while not conductor._readiness.may_lead:
        await asyncio.sleep(0.01)


def run(store: Store, models: tuple[ServedModel, ...], play: Callable[[Conductor, LocalCrew], Awaitable[None]]) -> None:
    async def act() -> None:
        crew = LocalCrew(store)
        conductor = Conductor(store, crew, quick(), admission=AdmissionConfig(max_works=3, max_running_per_owner=2))
        await conductor.take_config(models)
        await started(conductor)
        try:
            await asyncio.wait_for(play(conductor, crew), 60)
        finally:
            await conductor.stop()

    asyncio.run(act())


def test_a_walk_is_made_and_told_of_frame_by_frame(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def play(conductor: Conductor, crew: LocalCrew) -> None:
        record = await conductor.admit(walk(), ANN)
        seen, known = [], None
        while (known := await conductor.news(record.work, known, 5)) is not None:
            seen.append(len(known.announced))
        manifest = await ended(conductor, record)
        assert seen == sorted(seen)
        assert len(manifest.addresses) == len(manifest.announced) == len(set(manifest.addresses)) >= 6
        assert crew.num_rendered == manifest.num_rendered == len(manifest.addresses)
        assert manifest.announced[0][1] == 0
        for name in ("animation.gif", "report.json", "provenance.json"):
            assert store.exists(f"works/{record.work}/{name}")
        assert conductor.records.waiting_works() == []

    run(store, models, play)


def test_an_equal_request_shares_the_work_and_costs_nothing(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def play(conductor: Conductor, crew: LocalCrew) -> None:
        first, second = await asyncio.gather(conductor.admit(walk(), ANN), conductor.admit(walk(), BOB))
        assert first.work == second.work
        assert first.id != second.id
        manifest = await ended(conductor, first)
        third = await conductor.admit(walk(), BOB)
        assert conductor.records.outcome(third.work) == manifest
        assert crew.num_rendered == manifest.num_rendered

    run(store, models, play)


def test_a_second_conductor_goes_on_where_the_first_was_lost(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def act() -> None:
        crew = LocalCrew(store)
        lost = Conductor(store, crew, quick())
        await lost.take_config(models)
        await started(lost)
        record = await lost.admit(walk(num_frames=24), ANN)
        known = None
        while known is None or not known.announced:
            known = await lost.news(record.work, known, 5)
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()  # as if the process had died, but for its lease, which stands still
        await asyncio.sleep(0.05)
        other = Conductor(store, crew, quick())
        await other.take_config(models)
        other.start()
        manifest = await asyncio.wait_for(ended(other, record), 60)
        await other.stop()
        assert Ledger(store).totals().num_rendered == len(set(manifest.addresses))

    asyncio.run(act())


def test_a_conductor_that_is_stopped_waits_for_the_chunk_that_is_being_drawn(
    store: Store, models: tuple[ServedModel, ...]
) -> None:
    async def act() -> None:
        crew = LocalCrew(store)
        first = Conductor(store, crew, quick())
        await first.take_config(models)
        await started(first)
        record = await first.admit(walk(num_frames=24), ANN)
        while not crew.in_hand:
            await asyncio.sleep(0.001)
        await first.stop()
        assert 0 < crew.num_rendered < 24
        assert crew.num_rendered == sum(entry.key.endswith(".png") for entry in store.list("frames"))
        assert first.records.waiting_works() == [record.work]

    asyncio.run(act())


def test_a_chunk_whose_renderer_died_is_given_to_another(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def play(conductor: Conductor, crew: LocalCrew) -> None:
        crew.dies_after = [1, 3]
        record = await conductor.admit(walk(), ANN)
        manifest = await ended(conductor, record)
        assert max(crew.drawn.values()) == 2
        assert crew.num_rendered == len(set(manifest.addresses))

    run(store, models, play)


def test_a_walk_over_which_every_renderer_dies_has_failed_in_the_end(
    store: Store, models: tuple[ServedModel, ...]
) -> None:
    async def play(conductor: Conductor, crew: LocalCrew) -> None:
        crew.dies_after = list(range(1, 100))
        record = await conductor.admit(walk(), ANN)
        while (outcome := conductor.records.outcome(record.work)) is None:
            await asyncio.sleep(0.01)
        assert isinstance(outcome, Failure)
        assert (outcome.code, outcome.detail) == ("render_failed", "given up after many tries: the renderer died")
        while conductor.records.waiting_works():  # what became of it is told first
            await asyncio.sleep(0.01)

    run(store, models, play)


def test_each_chunk_is_drawn_in_the_name_of_its_own_walk(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def play(conductor: Conductor, crew: LocalCrew) -> None:
        works: dict[str, str] = {}
        seen: list[tuple[str, dict[str, str]]] = []
        draw = crew.draw

        async def watched(task: ChunkTask) -> ChunkResult:
            seen.append((task.work, ids()))
            return await draw(task)

        crew.draw = watched  # type: ignore[method-assign]
        records = []
        for seed, owner in ((1, ANN), (2, BOB)):
            with noted(request_id=f"r{seed}"):
                records.append(await conductor.admit(walk(seed, num_frames=20), owner))
        for record in records:
            works[record.work] = record.id
            await ended(conductor, record)
        assert {work for work, _ in seen} == set(works)
        for work, of in seen:
            assert (of["work_id"], of["walk_id"]) == (work, works[work])

    run(store, models, play)


def test_a_walk_that_is_wanted_again_as_its_work_is_given_up_is_drawn(
    store: Store, models: tuple[ServedModel, ...]
) -> None:
    async def play(conductor: Conductor, _crew: LocalCrew) -> None:
        first = await conductor.admit(walk(num_frames=40), ANN)
        _, second = await asyncio.gather(conductor.withdraw(first), conductor.admit(walk(num_frames=40), BOB))
        assert second.work == first.work
        await ended(conductor, second)

    for _ in range(5):
        run(store, models, play)
        store.delete_tree("works")


def test_an_order_that_cannot_be_read_holds_up_no_other(store: Store, models: tuple[ServedModel, ...]) -> None:
    store.create("queue/broken", b"{}")
    store.create("works/broken/order.json", b'{"nonsense": 1}')

    async def play(conductor: Conductor, _crew: LocalCrew) -> None:
        await asyncio.sleep(0.1)
        record = await conductor.admit(walk(), ANN)
        await ended(conductor, record)
        assert not any(task.done() for task in conductor._background if "look_out" in str(task.get_coro()))

    run(store, models, play)


@pytest.mark.parametrize("method", ["draw", "assemble"])
def test_what_nobody_expected_ends_the_walk_and_tells_no_stranger_why(
    store: Store, models: tuple[ServedModel, ...], method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise KeyError("secret")

    async def play(conductor: Conductor, crew: LocalCrew) -> None:
        monkeypatch.setattr(crew, method, fail)
        record = await conductor.admit(walk(), ANN)
        while (outcome := conductor.records.outcome(record.work)) is None:
            await asyncio.sleep(0.01)
        assert isinstance(outcome, Failure)
        assert outcome.code == "internal"
        assert "secret" not in outcome.detail

    run(store, models, play)


def test_a_walk_that_nobody_wants_any_more_is_given_up(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def play(conductor: Conductor, crew: LocalCrew) -> None:
        mine = await conductor.admit(walk(num_frames=40), ANN)
        same = await conductor.admit(walk(num_frames=40), BOB)
        known = await conductor.news(mine.work, None, 5)
        while known is not None and not known.announced:
            known = await conductor.news(mine.work, known, 5)
        await conductor.withdraw(mine)
        assert conductor.snapshot(mine.work) is not None
        await conductor.withdraw(same)
        while crew.in_hand:
            await asyncio.sleep(0.01)
        drawn = crew.num_rendered
        await asyncio.sleep(0.1)
        assert crew.num_rendered == drawn < 40
        assert conductor.snapshot(mine.work) is None
        assert conductor.records.waiting_works() == []

    run(store, models, play)


def test_what_cannot_be_is_refused_before_anything_is_written(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def play(conductor: Conductor, _crew: LocalCrew) -> None:
        with pytest.raises(ConfigError, match="no model"):
            await conductor.admit(walk(model="other"), ANN)
        with pytest.raises(ConfigError, match="multiples of"):
            await conductor.admit(walk(height=33), ANN)
        missing = WalkRequest(
            waypoints=(Waypoint(prompt="a"), Waypoint(picture_sha256="0" * 64)), num_frames=6, model="small"
        )
        with pytest.raises(ConfigError, match="send it first"):
            await conductor.admit(missing, ANN)
        assert store.list() == []

    run(store, models, play)


def test_an_idempotency_key_stands_for_one_walk(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def play(conductor: Conductor, _crew: LocalCrew) -> None:
        both = await asyncio.gather(*(conductor.admit(walk(), ANN, idempotency_key="k") for _ in range(2)))
        assert both[0].id == both[1].id
        with pytest.raises(AlreadyExistsError, match="take a new one"):
            await conductor.admit(walk(seed=1), ANN, idempotency_key="k")
        assert (await conductor.admit(walk(seed=1), BOB, idempotency_key="k")).id != both[0].id
        assert len(conductor.records.wanted_by(both[0].work)) == 1

    run(store, models, play)


def test_owners_and_the_service_take_no_more_than_they_may(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def play(conductor: Conductor, _crew: LocalCrew) -> None:
        for seed in range(2):
            await conductor.admit(walk(seed, num_frames=60), ANN)
        with pytest.raises(BusyError, match="of your walks"):
            await conductor.admit(walk(7), ANN)
        await conductor.admit(walk(8, num_frames=60), BOB)
        with pytest.raises(BusyError, match="as many walks"):
            await conductor.admit(walk(9), BOB)

    run(store, models, play)


class NothingRoyal:
    """Refuses every picture."""

    async def check_prompts(self, prompts: Sequence[str]) -> None:
        pass

    async def check_picture(self, png: bytes) -> None:
        assert png.startswith(b"\x89PNG")
        raise RefusedError("this picture is not one that we show")


def test_a_frame_that_is_refused_is_announced_to_nobody(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def play(conductor: Conductor, crew: LocalCrew) -> None:
        await conductor.take_config(models, moderator=NothingRoyal())
        record = await conductor.admit(walk(), ANN)
        known = None
        while (known := await conductor.news(record.work, known, 5)) is not None:
            assert known.announced == ()
        outcome = conductor.records.outcome(record.work)
        assert isinstance(outcome, Failure)
        assert (outcome.code, outcome.detail) == ("refused", "this picture is not one that we show")

    run(store, models, play)


def test_a_deleted_walk_is_gone(store: Store, models: tuple[ServedModel, ...]) -> None:
    async def play(conductor: Conductor, _crew: LocalCrew) -> None:
        record = await conductor.admit(walk(), ANN)
        await ended(conductor, record)
        conductor.records.delete_walk(record)
        with pytest.raises(ObjectNotFoundError):
            conductor.records.walk(record.id)
        assert conductor.records.page("owners/key-ann", 10, None) == ([], None)

    run(store, models, play)


def test_a_release_that_waits_for_visitors_takes_up_nothing(store: Store, models: tuple[ServedModel, ...]) -> None:
    """Least of all one that cannot draw: it would fail the walks of the one that serves."""

    async def act() -> None:
        serving, waiting = (Conductor(store, LocalCrew(store), quick(), release=name) for name in ("blue", "green"))
        for each in (serving, waiting):
            await each.take_config(models)
        await started(serving)
        await serving.take_over()
        waiting.start()
        await waiting.settled(within_s=60, max_failures=1)
        records = [await serving.admit(walk(seed=seed), ANN) for seed in range(3)]
        for record in records:
            while serving.records.outcome(record.work) is None:
                assert waiting.snapshot(record.work) is None
                await asyncio.sleep(0.005)
        for each in (serving, waiting):
            await each.stop()

    asyncio.run(act())


def test_when_the_release_that_serves_is_gone_the_one_before_it_goes_on(
    store: Store, models: tuple[ServedModel, ...]
) -> None:
    async def act() -> None:
        old, new = (Conductor(store, LocalCrew(store), quick(), release=name) for name in ("blue", "green"))
        for each in (old, new):
            await each.take_config(models)
            each.start()
            await each.settled(within_s=60, max_failures=1)
            await each.take_over()
        while not await old.has_successor():
            await asyncio.sleep(0.01)
        await new.stop()
        record = await old.admit(walk(seed=3), ANN)
        await ended(old, record)
        assert not await old.has_successor()
        await old.stop()

    asyncio.run(act())


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ServiceError("CUDA has no kernel for this GPU"), r"CUDA has no kernel for this GPU"),
        (KeyError("kernel"), r"KeyError\('kernel'\)"),
        (TimeoutError(), r"TimeoutError\(\)"),
    ],
)
def test_a_release_that_cannot_draw_says_why(
    store: Store, models: tuple[ServedModel, ...], error: Exception, words: str
) -> None:
    """Also where nobody expected it: else Ray Serve would wait for ever, and tell nobody."""

    class Broken(LocalCrew):
        async def draw_image(self, *_: object) -> bytes:
            raise error

    async def act() -> None:
        conductor = Conductor(store, Broken(store), quick())
        await conductor.take_config(models)
        conductor.start()
        with pytest.raises(ServiceError, match=rf"^no picture can be drawn: {words}$"):
            await asyncio.wait_for(conductor.settled(within_s=60, max_failures=3), 10)
        assert not await conductor.is_ready()
        await conductor.stop()

    asyncio.run(act())


def test_a_picture_that_failed_as_nobody_expected_is_drawn_again(
    store: Store, models: tuple[ServedModel, ...], caplog: pytest.LogCaptureFixture
) -> None:
    class Stumbling(LocalCrew):
        errors: list[Exception] = [KeyError("kernel")]  # noqa: RUF012

        async def draw_image(self, request: ImageRequest, model: ServedModel, texts: Texts) -> bytes:
            if self.errors:
                raise self.errors.pop()
            return await super().draw_image(request, model, texts)

    async def act() -> None:
        conductor = Conductor(store, Stumbling(store), quick())
        await conductor.take_config(models)
        conductor.start()
        await asyncio.wait_for(conductor.settled(within_s=60, max_failures=3), 10)
        assert await conductor.is_ready()
        await conductor.stop()

    asyncio.run(act())
    assert "Traceback" in caplog.text


def test_a_model_that_comes_later_is_drawn_with_before_it_is_served(
    store: Store, models: tuple[ServedModel, ...]
) -> None:
    class Choosy(LocalCrew):
        async def draw_image(self, request: ImageRequest, model: ServedModel, texts: Texts) -> bytes:
            if model.id == "later":
                raise ServiceError("CUDA out of memory")
            return await super().draw_image(request, model, texts)

    async def act() -> None:
        conductor = Conductor(store, Choosy(store), quick())
        await conductor.take_config(models)
        conductor.start()
        await asyncio.wait_for(conductor.settled(within_s=60, max_failures=1), 10)
        later = replace(models[0], id="later", uri=f"{models[0].uri}/")
        with pytest.raises(ServiceError, match="CUDA out of memory"):
            await conductor.take_config([later], AdmissionConfig(max_works=1))
        assert [info.id for info in await conductor.models()] == [model.id for model in models]
        await conductor.stop()

    asyncio.run(act())


def test_renderers_that_sleep_are_waited_for_only_so_long(store: Store, models: tuple[ServedModel, ...]) -> None:
    class Asleep(LocalCrew):
        async def draw_image(self, *_: object) -> bytes:
            await asyncio.sleep(3600)
            raise AssertionError

    async def act() -> None:
        conductor = Conductor(store, Asleep(store), quick())
        await conductor.take_config(models)
        conductor.start()
        await conductor.settled(within_s=0.1, max_failures=1)
        assert not await conductor.is_ready()
        await conductor.stop()

    asyncio.run(act())


def test_walks_asked_of_the_old_release_are_made_by_the_one_that_took_over(
    store: Store, models: tuple[ServedModel, ...]
) -> None:
    async def act() -> None:
        old = Conductor(store, LocalCrew(store), quick(), release="blue")
        new = Conductor(store, LocalCrew(store), quick(), release="green")
        for each in (old, new):
            await each.take_config(models)
            each.start()
        await old.take_over()
        while not (await new.is_ready() and await old.is_ready()):
            await asyncio.sleep(0.01)
        assert not await old.has_successor()  # the new one is ready, but nobody is sent there
        await new.take_over()
        while not await old.has_successor():
            await asyncio.sleep(0.01)
        record = await old.admit(walk(seed=7), ANN)
        assert await old.news(record.work, None, 0) is None
        await ended(new, record)
        for each in (old, new):
            await each.stop()

    asyncio.run(act())


def test_a_gateway_that_fell_silent_refuses_nothing_any_more(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async def act() -> None:
        conductor = Conductor(store, LocalCrew(store), quick())

        async def told(part: str) -> float:
            lines = (await conductor.metrics()).splitlines()
            return float(next(line for line in lines if line.startswith(part)).rpartition(" ")[2])

        conductor.note_config("gateway", is_refused=True, teller="a")
        conductor.note_config("gateway", is_refused=False, teller="b", is_new=False)
        conductor.note_config("gateway", is_refused=True, teller="a", is_new=False)
        assert await told('momalisa_is_config_refused{part="gateway"}') == 1
        assert await told('momalisa_is_config_refused{part="conductor"}') == 0
        assert await told("momalisa_refused_configs_total") == 1
        monkeypatch.setattr("momalisa.service.conductor._SILENT_S", 0.0)
        conductor.note_config("gateway", is_refused=False, teller="b", is_new=False)
        assert await told('momalisa_is_config_refused{part="gateway"}') == 0

    asyncio.run(act())
