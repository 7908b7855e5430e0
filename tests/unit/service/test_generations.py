"""Releases that follow each other on one bucket."""

from pathlib import Path

import pytest

from momalisa.service.generations import Generations, Standing
from momalisa.storage import Store, open_store

SERVES, WAITS, SERVED = Standing(True, True), Standing(False, False), Standing(True, False)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def test_the_release_that_was_entered_last_serves(store: Store) -> None:
    old, new = Generations(store, "1.0"), Generations(store, "1.1")
    assert old.look() == Standing(False, True)  # nobody else is there
    old.enter()
    assert old.look() == SERVES
    assert new.look() == WAITS  # it has no visitors
    new.enter()
    assert (old.look(), new.look()) == (SERVED, SERVES)
    assert old.look().has_successor


def test_a_release_that_starts_again_takes_nothing_back(store: Store) -> None:
    for release in ("1.0", "1.1"):
        Generations(store, release).enter()
    again = Generations(store, "1.0")
    again.enter()
    assert again.look() == SERVED
    assert Generations(store, "1.1").look() == SERVES


def test_one_that_says_nothing_any_more_serves_no_more(store: Store) -> None:
    now = 0.0
    old, new = Generations(store, "1.0", patience_s=10, clock=lambda: now), Generations(store, "1.1")
    old.enter()
    new.enter()
    assert old.look() == SERVED
    for now in (9.0, 18.0, 27.0):  # noqa: B007  # the clock reads it
        new.live()
        assert old.look() == SERVED
    now = 37.5
    assert old.look() == SERVES
    new.live()
    assert old.look() == SERVED  # it was only slow


def test_one_that_says_goodbye_is_not_waited_for(store: Store) -> None:
    old, new = Generations(store, "1.0"), Generations(store, "1.1")
    old.enter()
    new.enter()
    new.leave()
    assert old.look() == SERVES
    new.live()
    assert old.look() == SERVED


def test_who_was_never_visited_says_nothing(store: Store) -> None:
    new = Generations(store, "1.1")
    new.live()
    new.leave()
    assert not store.list("alive")


def test_another_process_of_the_same_release_is_no_successor(store: Store) -> None:
    one, other = Generations(store, "1.0"), Generations(store, "1.0")
    one.enter()
    other.live()
    assert one.look() == other.look() == SERVES
