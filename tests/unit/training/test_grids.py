from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from momalisa.training.grids import before_after, labelled_grid

RED, BLUE = (250, 0, 0), (0, 0, 250)


def _plain(colour: tuple[int, int, int], size: int = 32) -> Any:
    return np.full((size, size, 3), colour, np.uint8)


def _where(canvas: Image.Image, colour: tuple[int, int, int]) -> Any:
    return np.argwhere((np.asarray(canvas) == colour).all(axis=-1))


def test_small_pictures_are_twice_as_large_and_stay_crisp() -> None:
    checks = np.kron([[0, 1], [1, 0]], np.ones((1, 1)))[..., None] * np.array([250, 0, 0])
    canvas = labelled_grid({"checks": [np.tile(checks, (16, 16, 1)).astype(np.uint8)]})
    assert len(_where(canvas, RED)) == 64 * 64 / 2


def test_large_pictures_are_reduced() -> None:
    canvas = labelled_grid({"large": [_plain(RED, 512)]})
    assert len(_where(canvas, RED)) == 384 * 384


def test_each_prompt_has_its_row_and_before_is_on_the_left(tmp_path: Path) -> None:
    before = {"a coffee": [_plain(RED)] * 2, "changing seasons": [_plain(RED)] * 2}
    after = {"a coffee": [_plain(BLUE)] * 2, "changing seasons": [_plain(BLUE)] * 2}
    canvas = before_after(before, after, "demo", tmp_path / "before_after.png", headings=("base model", "240 steps"))
    red, blue = _where(canvas, RED), _where(canvas, BLUE)
    assert len(red) == len(blue) == 4 * 64 * 64
    assert red[:, 1].max() < blue[:, 1].min()
    assert set(red[:, 0]) == set(blue[:, 0])
    with Image.open(tmp_path / "before_after.png") as saved:
        assert np.array_equal(np.asarray(saved), np.asarray(canvas))


def test_labels_are_written_and_long_ones_do_not_touch_the_pictures() -> None:
    short = labelled_grid({"": [_plain(RED)]})
    long = labelled_grid({"Joan Miró and Čiurlionis " * 12 + "x" * 80: [_plain(RED)]})
    left = _where(long, RED)[:, 1].min()
    assert left == _where(short, RED)[:, 1].min()
    ink = np.argwhere(np.asarray(long).max(axis=-1) < 120)
    assert len(ink) > 500
    assert ink[:, 1].max() < left
    assert long.height > short.height


def test_pictures_of_several_shapes_share_a_grid() -> None:
    canvas = labelled_grid({"wide": [np.zeros((32, 64, 3), np.uint8)], "tall": [np.zeros((64, 32, 3), np.uint8)]})
    assert len(_where(canvas, (0, 0, 0))) == 2 * 64 * 128


def test_other_prompts_are_refused() -> None:
    with pytest.raises(ValueError, match="same ones"):
        before_after({"a": [_plain(RED)]}, {"b": [_plain(RED)]})
