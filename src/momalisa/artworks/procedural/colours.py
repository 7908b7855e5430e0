"""Twelve named colours, and small variations of them that keep their name."""

import colorsys

import numpy as np

RGB = tuple[int, int, int]

COLOURS: dict[str, RGB] = {
    "red": (200, 38, 40),
    "orange": (236, 122, 30),
    "yellow": (245, 205, 48),
    "green": (46, 132, 74),
    "turquoise": (52, 176, 172),
    "blue": (32, 78, 168),
    "violet": (112, 60, 150),
    "pink": (238, 150, 172),
    "brown": (118, 74, 44),
    "black": (26, 25, 28),
    "grey": (140, 140, 142),
    "white": (244, 240, 230),
}


def shade(name: str, random: np.random.Generator, spread: float = 1.0) -> RGB:
    """The named colour, a little lighter, darker or warmer, never so much that its name changes."""
    hue, lightness, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in COLOURS[name]))
    hue = (hue + random.normal(0, 0.006) * spread) % 1
    lightness = float(np.clip(lightness + random.normal(0, 0.018) * spread, 0.06, 0.97))
    saturation = float(np.clip(saturation * (1 + random.normal(0, 0.05) * spread), 0, 1))
    red, green, blue = colorsys.hls_to_rgb(hue, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def blend(a: RGB, b: RGB, share: float) -> RGB:
    """`share` of b in a."""
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b, strict=True))  # type: ignore[return-value]
