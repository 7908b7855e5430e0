"""Who comes next."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from momalisa.service.queue import FairQueue


def filled(works: dict[str, tuple[str, int]]) -> FairQueue[str]:
    """Works of owners with so many items of cost 1, named by the work and their number."""
    queue: FairQueue[str] = FairQueue()
    for work, (owner, num_items) in works.items():
        queue.open(work, owner)
        queue.put(work, [(f"{work}-{i}", 1.0) for i in range(num_items)])
    return queue


def order(queue: FairQueue[str], num_items: int) -> list[str]:
    taken = [queue.take() for _ in range(num_items)]
    return [item[0] for item in taken if item is not None]


def test_a_short_work_is_not_stuck_behind_a_long_one_of_the_same_owner() -> None:
    queue = filled({"long": ("ann", 100)})
    order(queue, 50)
    queue.open("short", "ann")
    queue.put("short", [("short-0", 1.0), ("short-1", 1.0)])
    assert order(queue, 4).count("short") == 2


def test_a_hundred_works_of_one_owner_do_not_hold_up_anothers_first() -> None:
    queue = filled({f"ann-{i}": ("ann", 10) for i in range(100)})
    order(queue, 30)
    queue.open("bob", "bob")
    queue.put("bob", [(f"bob-{i}", 1.0) for i in range(10)])
    assert order(queue, 21).count("bob") == 10


def test_who_was_away_has_earned_no_credit() -> None:
    queue = filled({"ann": ("ann", 200), "bob": ("bob", 1)})
    order(queue, 101)
    queue.close("bob")
    queue.open("bob-again", "bob")
    queue.put("bob-again", [(str(i), 1.0) for i in range(50)])
    counts = Counter(order(queue, 40))
    assert abs(counts["ann"] - counts["bob-again"]) <= 2


def test_costs_count_not_numbers() -> None:
    queue: FairQueue[str] = FairQueue()
    for owner, cost in (("cheap", 1.0), ("dear", 4.0)):
        queue.open(owner, owner)
        queue.put(owner, [(owner, cost)] * 50)
    counts = Counter(order(queue, 50))
    assert counts["cheap"] == pytest.approx(4 * counts["dear"], rel=0.2)


def test_what_was_not_done_comes_first_again_and_is_not_counted_twice() -> None:
    queue = filled({"ann": ("ann", 2), "bob": ("bob", 2)})
    taken = queue.take()
    assert taken == ("ann", "ann-0", 1.0)
    queue.put_back(*taken)
    assert queue.take() == ("ann", "ann-0", 1.0)
    assert order(queue, 9) == ["bob", "ann", "bob"]


def test_a_closed_work_gives_back_what_waited() -> None:
    queue = filled({"ann": ("ann", 3)})
    queue.take()
    assert queue.close("ann") == ["ann-1", "ann-2"]
    assert queue.close("ann") == []
    assert queue.take() is None


def test_the_place_in_the_queue_is_told() -> None:
    queue = filled({"a": ("ann", 1), "b": ("ann", 1), "c": ("bob", 1)})
    assert [queue.ahead_of(work) for work in ("a", "b", "c")] == [0, 1, 2]
    queue.take()
    assert queue.ahead_of("c") == 0


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(1, 30)), min_size=2, max_size=12), st.integers(1, 60))
def test_owners_who_wait_all_the_time_get_equal_shares(works: list[tuple[str, int]], num_taken: int) -> None:
    queue = filled({f"w{i}": work for i, work in enumerate(works)})
    wanted: Counter[str] = Counter()
    for owner, num_items in works:
        wanted[owner] += num_items
    owner_of = {f"w{i}": owner for i, (owner, _) in enumerate(works)}
    given_to = Counter(owner_of[work] for work in order(queue, num_taken))
    busy = [owner for owner in wanted if given_to[owner] < wanted[owner]]
    if busy:
        assert max(given_to[owner] for owner in busy) - min(given_to[owner] for owner in busy) <= 1
