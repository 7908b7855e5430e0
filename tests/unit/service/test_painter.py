"""What a renderer does."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from momalisa.service.crew import ChunkTask
from momalisa.service.ledger import Ledger
from momalisa.service.models import ServedModel
from momalisa.service.painter import Painter
from momalisa.service.text_encoder import TextEncoder
from momalisa.storage import Store, open_store
from momalisa.walk.course import Course
from momalisa.walk.frames import Drawn, StoredFrames
from momalisa.walk.placement import MemoryJournal
from momalisa.walk.request import WalkRequest, Waypoint
from momalisa.walk.texts import prompts_of
from tests.support.small_sd import save_small_sd

REQUEST = WalkRequest(
    waypoints=(Waypoint(prompt="dots"), Waypoint(prompt="waves")), num_frames=12, num_inference_steps=4, model="small"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> ServedModel:
    return ServedModel(id="small", uri=str(save_small_sd(tmp_path_factory.mktemp("small"))))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def first_tasks(painter: Painter, model: ServedModel) -> list[ChunkTask]:
    """Those of a walk's first round."""
    facts = painter.describe(model)
    texts = TextEncoder().encode(prompts_of(REQUEST), model, facts)
    course = Course(REQUEST, facts.rendition(REQUEST), chunk_size=2, first_alone=True)
    return [
        ChunkTask(work="work", request=REQUEST, model=model, facts=facts, texts=texts, chunk=chunk)
        for chunk in course.advance(MemoryJournal())
    ]


class SlowToKeep(StoredFrames):
    """Keeps nothing before it is told to."""

    may_keep = threading.Event()

    def keep(self, drawn: Sequence[Drawn]) -> int:
        assert self.may_keep.wait(30)
        return super().keep(drawn)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> type[SlowToKeep]:
    monkeypatch.setattr("momalisa.service.painter.StoredFrames", SlowToKeep)
    SlowToKeep.may_keep.clear()
    return SlowToKeep


def test_the_next_chunk_is_drawn_while_frames_are_kept(
    store: Store, model: ServedModel, slow: type[SlowToKeep]
) -> None:
    painter = Painter(store)
    tasks = first_tasks(painter, model)
    rendered = [threading.Event() for _ in tasks]
    with ThreadPoolExecutor(len(tasks)) as pool:
        results = [
            pool.submit(painter.draw, task, on_rendered=event.set) for task, event in zip(tasks, rendered, strict=True)
        ]
        try:
            assert len(tasks) > 1
            assert all(event.wait(30) for event in rendered)
            assert store.list("frames") == []
        finally:
            slow.may_keep.set()
        num_rendered = sum(result.result().num_rendered for result in results)
    assert num_rendered == sum(entry.key.endswith(".png") for entry in store.list("frames"))
    assert Ledger(store).totals().num_rendered == num_rendered


def test_a_chunk_whose_frames_are_being_kept_is_not_drawn_again(
    store: Store, model: ServedModel, slow: type[SlowToKeep]
) -> None:
    painter = Painter(store)
    task, *_ = first_tasks(painter, model)
    is_rendered, is_rendered_again = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(painter.draw, task, on_rendered=is_rendered.set)
        assert is_rendered.wait(30)
        second = pool.submit(painter.draw, task, on_rendered=is_rendered_again.set)
        assert not is_rendered_again.wait(0.3)
        slow.may_keep.set()
        assert (first.result().num_rendered, second.result().num_rendered) == (1, 0)
    assert Ledger(store).totals().num_drawn_twice == 0


def test_frames_that_cannot_be_kept_are_drawn_by_the_next_who_asks(
    store: Store, model: ServedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    painter = Painter(store)
    task, *_ = first_tasks(painter, model)
    with monkeypatch.context() as patch:
        patch.setattr(StoredFrames, "keep", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            painter.draw(task)
    assert painter.draw(task).num_rendered == 1
