"""Releases that follow each other on one bucket."""

from pathlib import Path

from momalisa.service.generations import Generations
from momalisa.storage import open_store


def test_the_release_that_was_entered_last_serves(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    old, new = Generations(store, "1.0"), Generations(store, "1.1")
    assert not old.has_successor()
    old.enter()
    assert not old.has_successor()
    assert not new.has_successor()  # it is not ready, but does not step back either
    new.enter()
    assert old.has_successor()
    assert not new.has_successor()


def test_a_release_that_starts_again_takes_nothing_back(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for release in ("1.0", "1.1"):
        Generations(store, release).enter()
    again = Generations(store, "1.0")
    again.enter()
    assert again.has_successor()
    assert not Generations(store, "1.1").has_successor()
