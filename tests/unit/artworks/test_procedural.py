import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from momalisa.artworks.procedural import (
    COLORS,
    HELD_OUT_MANNERS,
    KEYWORDS,
    MANNERS,
    TRAIN_MANNERS,
    all_captions,
    contact_sheet,
    draw,
    is_held_out,
    sample,
    write_folder,
)
from momalisa.artworks.procedural.palette import Rgb, luminance, shade
from momalisa.errors import ConfigError


def _array(image: Image.Image) -> np.ndarray:
    return np.asarray(image, dtype=np.float32)


@pytest.mark.parametrize("manner", MANNERS)
def test_a_seed_decides_every_pixel(manner: str) -> None:
    first, again, other = (draw(seed, 48, manner, "red", "white") for seed in (3, 3, 4))
    assert first.mode == "RGB"
    assert first.size == (48, 48)
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("manner", MANNERS)
def test_both_colors_are_seen(manner: str) -> None:
    """Blue on yellow shows pixels near both; swapped, foreground and ground change places."""
    blue, yellow = np.array([34, 74, 170]), np.array([244, 206, 44])
    for seed in range(6):
        pixels = _array(draw(seed, 96, manner, "blue", "yellow"))
        near = {
            name: float((np.abs(pixels - color).sum(axis=-1) < 130).mean())
            for name, color in (("blue", blue), ("yellow", yellow))
        }
        assert near["blue"] > 0.04
        assert near["yellow"] > 0.04
        assert near["blue"] + near["yellow"] > 0.6


@pytest.mark.parametrize("manner", MANNERS)
def test_every_size_can_be_drawn(manner: str) -> None:
    for seed in range(12):
        assert draw(seed, 16 + seed, manner, "grey", "brown").size == (16 + seed, 16 + seed)


def test_a_drawing_is_the_same_composition_at_every_size() -> None:
    large = draw(5, 192, "dots", "black", "white").resize((64, 64), Image.Resampling.BOX)
    small = draw(5, 64, "dots", "black", "white")
    assert np.abs(_array(large) - _array(small)).mean() < 14


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((64, "cubism", "red", "blue"), "no manner 'cubism'; choose from color_field"),
        ((64, "dots", "mauve", "blue"), "no color 'mauve'; choose from red"),
        ((64, "dots", "blue", "blue"), "choose two colors"),
        ((8, "dots", "red", "blue"), "at least 16"),
    ],
)
def test_what_cannot_be_drawn_says_what_can(arguments: tuple[int, str, str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        draw(0, *arguments)


@given(st.integers(0, 2**40))
@settings(max_examples=40, deadline=None)
def test_captions_name_the_manner_and_both_colors(seed: int) -> None:
    drawing = sample(seed, size=16, manners=MANNERS)
    assert KEYWORDS[drawing.manner] in drawing.caption
    assert drawing.foreground in drawing.caption
    assert drawing.ground in drawing.caption
    assert drawing.caption.index(drawing.foreground) < drawing.caption.index(drawing.ground)


def test_captions_vary_and_no_two_manners_share_one() -> None:
    spoken = {manner: set(all_captions(manner, "blue", "orange")) for manner in MANNERS}
    assert all(len(captions) >= 8 for captions in spoken.values())
    assert sum(map(len, spoken.values())) == len(set().union(*spoken.values()))
    assert "blue dots on an orange ground" in spoken["dots"]
    assert not any("a orange" in caption for captions in spoken.values() for caption in captions)


def test_a_tenth_of_the_combinations_is_held_out_of_every_manner() -> None:
    pairs = [(a, b) for a in COLORS for b in COLORS if a != b]
    shares = [np.mean([is_held_out(manner, a, b) for a, b in pairs]) for manner in MANNERS]
    assert 0.08 < np.mean(shares) < 0.125
    assert min(shares) > 0.03


def test_the_split_never_changes() -> None:
    held_out = [(a, b) for a in COLORS for b in COLORS if a != b and is_held_out("dots", a, b)]
    assert held_out[:3] == [("red", "violet"), ("orange", "turquoise"), ("yellow", "violet")]


def test_samples_keep_to_their_side_of_the_split() -> None:
    for held_out in (False, True):
        drawings = [sample(seed, size=16, held_out=held_out) for seed in range(60)]
        assert all(is_held_out(d.manner, d.foreground, d.ground) == held_out for d in drawings)
        assert all(d.manner in TRAIN_MANNERS for d in drawings)
    assert len(HELD_OUT_MANNERS) == 2
    assert not set(HELD_OUT_MANNERS) & set(TRAIN_MANNERS)


def test_sample_refuses_no_manners() -> None:
    with pytest.raises(ConfigError, match="no manners"):
        sample(0, manners=())


def test_a_folder_lists_every_drawing(tmp_path) -> None:
    write_folder(tmp_path, 5, 7, HELD_OUT_MANNERS[:1], size=32)
    rows = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    assert [set(row) for row in rows] == [{"file_name", "text", "manner", "foreground", "ground"}] * 5
    assert {row["manner"] for row in rows} == {HELD_OUT_MANNERS[0]}
    pixels = set()
    for row in rows:
        with Image.open(tmp_path / row["file_name"]) as image:
            assert image.size == (32, 32)
            pixels.add(image.tobytes())
    assert len(pixels) == 5


def test_shades_keep_the_order_of_lightness() -> None:
    rng = np.random.default_rng(0)
    dark, middle, light = ([luminance(shade(name, rng)) for _ in range(30)] for name in ("black", "grey", "white"))
    assert max(dark) < min(middle)
    assert max(middle) < min(light)
    assert luminance(Rgb(255, 255, 255)) == pytest.approx(1)


def test_the_contact_sheet_has_a_row_for_each_manner() -> None:
    assert contact_sheet(per_manner=2, size=16, gap=2).size == (2 * 18 + 2, len(MANNERS) * 18 + 2)


def test_drawing_needs_no_torch() -> None:
    code = "import sys, momalisa.artworks.procedural; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
