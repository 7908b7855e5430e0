"""Who leads a work."""

import asyncio
from pathlib import Path

import pytest

from momalisa.errors import ConflictError
from momalisa.service.leases import Lease, Leases, held
from momalisa.storage import Store, open_store


class Stopwatch:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def claimed(leases: Leases) -> Lease:
    lease = leases.claim("work")
    assert lease is not None
    return lease


def test_only_one_gets_a_lease(store: Store) -> None:
    first, second = Leases(store, "first"), Leases(store, "second")
    lease = claimed(first)
    assert second.claim("work") is None
    assert first.claim("work") is None
    lease.renew()
    assert second.claim("work") is None


def test_one_that_is_renewed_is_never_taken_over(store: Store) -> None:
    watch = Stopwatch()
    lease, other = claimed(Leases(store, "first")), Leases(store, "second", clock=watch)
    for _ in range(10):
        assert other.claim("work") is None
        watch.now += 14
        lease.renew()


def test_one_that_stands_still_is_taken_over_and_its_holder_notices(store: Store) -> None:
    watch = Stopwatch()
    lease, other = claimed(Leases(store, "first")), Leases(store, "second", clock=watch)
    assert other.claim("work") is None
    watch.now += 16
    taken = claimed(other)
    with pytest.raises(ConflictError):
        lease.renew()
    with pytest.raises(ConflictError):
        lease.release()
    taken.renew()


def test_of_two_who_take_over_at_once_one_succeeds(store: Store) -> None:
    claimed(Leases(store, "first"))
    watch = Stopwatch()
    others = [Leases(store, name, clock=watch) for name in ("second", "third")]
    assert all(other.claim("work") is None for other in others)
    watch.now += 16
    assert [other.claim("work") is not None for other in others] == [True, False]


def test_a_released_one_is_free_at_once(store: Store) -> None:
    claimed(Leases(store, "first")).release()
    claimed(Leases(store, "second"))


def test_a_lease_is_renewed_for_as_long_as_it_is_held_and_given_back_then(store: Store) -> None:
    other = Leases(store, "second", patience_s=0.1)

    async def act() -> None:
        async with held(Leases(store, "first"), "work", renew_s=0.01) as is_mine:
            assert is_mine
            async with held(other, "work", renew_s=0.01) as is_others:
                assert not is_others
            for _ in range(10):
                await asyncio.sleep(0.03)
                assert other.claim("work") is None
        claimed(other)

    asyncio.run(act())


def test_who_is_taken_over_is_cut_off(store: Store) -> None:
    other = Leases(store, "second", patience_s=0.0)

    async def hold() -> None:
        async with held(Leases(store, "first"), "work", renew_s=0.2):
            other.claim("work")
            claimed(other)
            await asyncio.sleep(30)

    async def act() -> None:
        with pytest.raises(ConflictError, match="taken over"):
            await hold()
        await asyncio.sleep(0)  # it is not cut off once more

    asyncio.run(act())


def test_who_is_cancelled_meanwhile_is_not_taken_for_taken_over(store: Store) -> None:
    async def act() -> None:
        async def hold() -> None:
            async with held(Leases(store, "first"), "work", renew_s=0.01):
                await asyncio.sleep(30)

        task = asyncio.create_task(hold())
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        claimed(Leases(store, "second"))

    asyncio.run(act())
