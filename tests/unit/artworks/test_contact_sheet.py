import numpy as np
import pytest
from PIL import Image

from momalisa.artworks.contact_sheet import contact_sheet, thumbnail, wrapped
from tests.support.shards import make_picture

CELL = 168


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        ((800, 400), (168, 84)),
        ((400, 800), (84, 168)),
        ((168, 100), (168, 100)),
        ((120, 90), (120, 90)),
        ((40, 20), (160, 80)),
        ((9000, 4), (168, 1)),
    ],
)
def test_a_thumbnail_shows_the_whole_picture(size: tuple[int, int], shown: tuple[int, int]) -> None:
    assert thumbnail(Image.new("RGB", size)).size == shown


def test_cells_are_uniform_and_hold_their_pictures() -> None:
    colours = [(250, 10 + 5 * n, 10) for n in range(20)]
    cells = [(Image.new("RGB", (CELL, CELL), colour), f"picture {n}") for n, colour in enumerate(colours)]
    sheet = np.asarray(contact_sheet(cells, "20 artworks"))
    lefts, tops = set(), set()
    for colour in colours:
        ys, xs = np.nonzero((sheet == colour).all(axis=-1))
        assert len(ys) == CELL * CELL  # nothing covers it
        lefts.add(int(xs.min()))
        tops.add(int(ys.min()))
    assert len(lefts) * len(tops) >= 20
    assert len(set(np.diff(sorted(lefts)))) == 1
    assert len(set(np.diff(sorted(tops)))) == 1


def test_captions_stand_below_and_the_title_above() -> None:
    cells = [(make_picture(1, CELL, CELL), "a caption")] * 3
    with_words, without = contact_sheet(cells, "title"), contact_sheet([(cells[0][0], " ")] * 3, "title")
    changed = np.nonzero((np.asarray(with_words) != np.asarray(without)).any(axis=(1, 2)))[0]
    assert changed.min() > 32 + CELL
    assert with_words.size == without.size


def test_lines_fit_and_long_ones_end_in_an_ellipsis() -> None:
    assert wrapped("short", 12, CELL, 2) == ["short"]
    assert wrapped("", 12, CELL, 2) == []
    lines = wrapped("The Triumph of Death and of much else besides, painted on an oak panel in 1562", 12, CELL, 2)
    assert len(lines) == 2
    assert lines[0] == "The Triumph of Death and"
    assert lines[1].endswith("…")
    assert len(wrapped("x" * 300, 12, CELL, 2)) == 2


def test_one_picture_makes_a_sheet() -> None:
    assert contact_sheet([(make_picture(1, 50, 50), "one")], "1 artwork").width > CELL
