"""What goes, and what stays."""

from pathlib import Path
from typing import Any

import pytest

from momalisa.service.models import ServedModel
from momalisa.service.records import Manifest, Records, WalkRecord, WorkOrder
from momalisa.service.retention import Retention, RetentionConfig
from momalisa.storage import Store, open_store
from momalisa.walk.request import WalkRequest, Waypoint
from tests.support.facts import FACTS

DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


@pytest.fixture
def retention(store: Store, clock: Clock) -> Retention:
    return Retention(store, RetentionConfig(keep_days=30, grace_s=DAY_S), clock)


def make(store: Store, clock: Clock, name: str, frames: list[str], **changes: Any) -> WalkRecord:
    """A walk that is done, with frames of these addresses."""
    records = Records(store)
    picture = Waypoint(prompt="dots", picture_sha256=name * 64)
    request = WalkRequest(waypoints=(picture, Waypoint(prompt="waves")), num_frames=6)
    record = WalkRecord(id=name, work=f"work{name}", owner="key-ann", created_at=clock(), request=request, **changes)
    order = WorkOrder(request=request, model=ServedModel(id="m", uri="m"), facts=FACTS, owner="key-ann")
    records.create_walk(record, order, is_done=False)
    manifest = Manifest(
        addresses=tuple(frames),
        announced=tuple((address, 0.0) for address in frames),
        durations_s=(0.05,) * len(frames),
        distances=(1.0,) * len(frames),
        num_rendered=len(frames),
        unet_evaluations=1,
        renderer_seconds=1.0,
        ended_at=clock(),
    )
    records.end_work(record.work, manifest)
    for address in frames:
        store.write_bytes(f"frames/{address}.png", b"png")
        store.write_bytes(f"frames/{address}.safetensors", b"states")
    store.write_bytes(f"pictures/{name * 64}.png", b"png")
    return record


def keys(store: Store, folder: str) -> set[str]:
    return {entry.key.rpartition("/")[2].partition(".")[0] for entry in store.list(folder)}


def nothing() -> set[str]:
    return set()


def pass_days(retention: Retention, clock: Clock, days: int) -> None:
    for _ in range(days):
        clock.now += DAY_S
        retention.sweep(nothing)


def test_a_walk_goes_after_its_time_and_takes_along_what_only_it_needed(
    store: Store, clock: Clock, retention: Retention
) -> None:
    make(store, clock, "a", ["f1", "f2"])
    clock.now += 20 * DAY_S
    make(store, clock, "b", ["f2", "f3"])
    pass_days(retention, clock, 13)
    assert keys(store, "frames") == {"f2", "f3"}
    assert keys(store, "pictures") == {"b" * 64}
    assert not store.list("works/worka")
    assert not store.exists("walks/a/walk.json")
    assert store.exists("works/workb/manifest.json")


def test_what_is_featured_stays(store: Store, clock: Clock, retention: Retention) -> None:
    records = Records(store)
    records.set_featured(make(store, clock, "a", ["f1"]), True)
    pass_days(retention, clock, 60)
    assert records.walk("a").is_featured
    assert keys(store, "frames") == {"f1"}


def test_nothing_goes_before_its_grace_or_while_it_is_in_use(store: Store, clock: Clock, retention: Retention) -> None:
    store.write_bytes("frames/f9.png", b"png")
    retention.sweep(nothing)
    clock.now += 0.9 * DAY_S
    assert retention.sweep(nothing).num_objects == 0
    clock.now += 0.2 * DAY_S
    assert retention.sweep(lambda: {"f9"}).num_objects == 0
    assert keys(store, "frames") == {"f9"}
    clock.now += DAY_S
    retention.sweep(nothing)
    clock.now += DAY_S
    retention.sweep(nothing)
    assert keys(store, "frames") == set()


def test_a_walk_that_is_deleted_frees_its_work(store: Store, clock: Clock, retention: Retention) -> None:
    Records(store).delete_walk(make(store, clock, "a", ["f1"]))
    pass_days(retention, clock, 3)
    assert not store.list("works")
    assert not store.list("frames")


def test_an_idempotency_key_stands_for_a_day(store: Store, clock: Clock, retention: Retention) -> None:
    records = Records(store)
    make(store, clock, "a", ["f1"])
    records.remember("key-ann", "once", "a")
    retention.sweep(nothing)
    assert records.remembered("key-ann", "once") is not None
    pass_days(retention, clock, 1)
    assert records.remembered("key-ann", "once") is None


def test_for_ever_is_for_ever(store: Store, clock: Clock) -> None:
    make(store, clock, "a", ["f1"])
    pass_days(Retention(store, RetentionConfig(keep_days=None), clock), clock, 500)
    assert keys(store, "frames") == {"f1"}
