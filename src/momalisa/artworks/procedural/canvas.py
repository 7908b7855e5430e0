"""A canvas in units of its own side, drawn larger than it is shown and then reduced."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from momalisa.artworks.procedural.palette import Rgb

Floats = NDArray[np.float32]
Point = tuple[float, float]

_SUPERSAMPLING = 3


class Canvas:
    """Coordinates run from 0 to 1, from the top left. Lengths are shares of the side."""

    def __init__(self, size: int, ground: Rgb, rng: np.random.Generator) -> None:
        self.size = size
        self.ground = ground
        self.rng = rng
        self._pixels = size * _SUPERSAMPLING
        self._image = Image.new("RGB", (self._pixels, self._pixels), ground)
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Sequence[Point] | Floats, color: Rgb) -> None:
        """A filled polygon, (N, 2)."""
        self._draw.polygon(self._flat(points), fill=color)

    def rectangle(self, left: float, top: float, right: float, bottom: float, color: Rgb) -> None:
        """A filled, upright rectangle; however thin, it stays visible."""
        x0, y0, x1, y1 = (round(length * self._pixels) for length in (left, top, right, bottom))
        self._draw.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), fill=color)

    def disc(self, x: float, y: float, radius: float, color: Rgb) -> None:
        """A filled circle."""
        edge = self._pixels
        box = ((x - radius) * edge, (y - radius) * edge, (x + radius) * edge, (y + radius) * edge)
        self._draw.ellipse(box, fill=color)

    def line(self, points: Sequence[Point] | Floats, width: float, color: Rgb) -> None:
        """A polyline with rounded joints, (N, 2)."""
        self._draw.line(self._flat(points), fill=color, width=max(1, round(width * self._pixels)), joint="curve")

    def blend(self, mask: Floats, color: Rgb) -> None:
        """Lays a colour through a mask in [0, 1] of any resolution, smoothly enlarged."""
        small = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8))
        full = small.resize((self._pixels, self._pixels), Image.Resampling.BILINEAR)
        self._image.paste(color, (0, 0), full)

    def grid(self, side: int) -> tuple[Floats, Floats]:
        """Coordinates x and y of the centres of a `side` × `side` grid, each (side, side)."""
        centres = ((np.arange(side) + 0.5) / side).astype(np.float32)
        return np.meshgrid(centres, centres)

    @property
    def full_side(self) -> int:
        """Pixels of the side before it is reduced."""
        return self._pixels

    def finish(self) -> Image.Image:
        """The picture at its size, with the unevenness of paint and the grain of canvas."""
        small = self._image.reduce(_SUPERSAMPLING)
        pixels = np.asarray(small, dtype=np.float32)
        paint = 1 + 0.045 * smooth_noise(self.rng, self.size, cells=5)
        grain = self.rng.standard_normal((self.size, self.size), dtype=np.float32) * 2.2
        weave = (np.indices((self.size, self.size)).sum(axis=0) % 2).astype(np.float32) * 1.4 - 0.7
        pixels = pixels * paint[..., None] + (grain + weave)[..., None]
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    def _flat(self, points: Sequence[Point] | Floats) -> list[float]:
        scaled = np.asarray(points, dtype=np.float32).ravel() * self._pixels
        flat: list[float] = scaled.tolist()
        return flat


def smooth_noise(rng: np.random.Generator, side: int, cells: int) -> Floats:
    """Smooth noise of about unit height in [-1, 1], (side, side), with `cells` bumps along a side."""
    coarse = rng.uniform(-1, 1, (cells, cells)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC))
