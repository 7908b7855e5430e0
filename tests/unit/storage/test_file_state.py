"""What tells a changed file from one that is as it was."""

import os
from pathlib import Path

import pytest

from momalisa.storage.file_state import file_state


def at(path: Path, seconds: int) -> Path:
    """The file, as of then: so that no test waits for the clock."""
    os.utime(path, (seconds, seconds))
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "keys"
    path.write_text("one")
    return at(path, 1)


def test_a_file_that_nobody_writes_stays_as_it_is(file: Path) -> None:
    before = file_state(file)
    file.read_text()
    assert file_state(file) == before


def test_one_that_is_written_in_place(file: Path) -> None:
    before = file_state(file)
    file.write_text("two")  # as long as before
    assert file_state(at(file, 2)) != before


def test_one_that_grows_within_a_tick_of_the_clock(file: Path) -> None:
    before = file_state(file)
    with file.open("a") as growing:
        growing.write("more")
    assert file_state(at(file, 1)) != before


def test_one_behind_a_link_that_is_swapped(file: Path, tmp_path: Path) -> None:
    """As the kubelet does, with another file of the same length and time."""
    link, new = tmp_path / "link", tmp_path / "new"
    link.symlink_to(file)
    before = file_state(link)
    (tmp_path / "other").write_text("two")
    at(tmp_path / "other", 1)
    new.symlink_to("other")
    new.rename(link)
    assert file_state(link) != before


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        file_state(tmp_path / "none")
