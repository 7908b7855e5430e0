"""Twelve named colours, each a small family of shades rather than one value."""

import colorsys
from typing import NamedTuple

import numpy as np


class Rgb(NamedTuple):
    """A colour, 0–255 per channel."""

    red: int
    green: int
    blue: int


_SHADES: dict[str, tuple[Rgb, ...]] = {
    "red": (Rgb(200, 34, 38), Rgb(214, 48, 40), Rgb(180, 24, 36)),
    "orange": (Rgb(240, 128, 28), Rgb(232, 112, 30), Rgb(244, 142, 42)),
    "yellow": (Rgb(246, 206, 40), Rgb(250, 214, 64), Rgb(238, 196, 30)),
    "green": (Rgb(44, 132, 70), Rgb(62, 146, 66), Rgb(30, 112, 66)),
    "turquoise": (Rgb(52, 178, 176), Rgb(74, 192, 186), Rgb(38, 162, 168)),
    "blue": (Rgb(32, 72, 172), Rgb(26, 60, 148), Rgb(44, 88, 190)),
    "violet": (Rgb(116, 62, 150), Rgb(100, 52, 140), Rgb(130, 76, 166)),
    "pink": (Rgb(242, 150, 176), Rgb(246, 166, 186), Rgb(236, 134, 166)),
    "brown": (Rgb(122, 78, 46), Rgb(108, 68, 42), Rgb(134, 88, 54)),
    "black": (Rgb(24, 24, 28), Rgb(32, 30, 30), Rgb(18, 20, 26)),
    "white": (Rgb(244, 240, 230), Rgb(248, 246, 240), Rgb(240, 236, 222)),
    "grey": (Rgb(142, 144, 146), Rgb(156, 154, 150), Rgb(130, 134, 140)),
}

COLORS: tuple[str, ...] = tuple(_SHADES)
"""The names of all colours."""


def shade(name: str, rng: np.random.Generator) -> Rgb:
    """One shade of a named colour."""
    shades = _SHADES[name]
    return tone(shades[int(rng.integers(len(shades)))], rng, spread=0.35)


def tone(color: Rgb, rng: np.random.Generator, spread: float = 1.0) -> Rgb:
    """A neighbour of a colour: a little lighter or darker, warmer or cooler; its name stays true."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    hue += spread * rng.uniform(-0.012, 0.012)
    lightness += spread * rng.uniform(-0.055, 0.055)
    saturation *= 1 + spread * rng.uniform(-0.12, 0.05)
    return _from_hls(hue, lightness, saturation)


def lighten(color: Rgb, amount: float) -> Rgb:
    """The colour with its lightness moved by `amount` in [-1, 1]; negative darkens."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in color))
    return _from_hls(hue, lightness + amount, saturation)


def luminance(color: Rgb) -> float:
    """Perceived brightness in [0, 1]."""
    return (0.299 * color.red + 0.587 * color.green + 0.114 * color.blue) / 255


def _from_hls(hue: float, lightness: float, saturation: float) -> Rgb:
    clipped = (hue % 1.0, min(max(lightness, 0.06), 0.96), min(max(saturation, 0.0), 1.0))
    red, green, blue = colorsys.hls_to_rgb(*clipped)
    return Rgb(round(red * 255), round(green * 255), round(blue * 255))
