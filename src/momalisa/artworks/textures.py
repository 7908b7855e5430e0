"""Synthetic pictures with the statistics of paintings: what teaches the VAE more than flat colour.

Dead leaves (Lee, Mumford and Huang, 2001: overlapping shapes of power-law sizes) give edges and
occlusion at every scale; 1/f noise, gradients and blur give brushwork, skies and soft focus.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Floats = NDArray[np.float32]


def dead_leaves(rng: np.random.Generator, size: int) -> Image.Image:
    """An RGB picture of `size` × `size` pixels."""
    palette = _palette(rng)
    image = Image.new("RGB", (2 * size, 2 * size), _pick(palette, rng))
    canvas = ImageDraw.Draw(image)
    smallest = rng.uniform(0.01, 0.06)
    for _ in range(int(rng.integers(20, 140))):
        radius = min(smallest / (1 - rng.random()) ** 0.6, 0.5) * 2 * size
        x, y = rng.uniform(0, 2 * size, 2)
        color = _pick(palette, rng)
        if rng.random() < 0.55:
            squash = rng.uniform(0.3, 1)
            canvas.ellipse((x - radius, y - radius * squash, x + radius, y + radius * squash), fill=color)
        else:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
            reach = radius * rng.uniform(0.5, 1.3, len(angles))
            canvas.polygon(_around(x, y, angles, reach), fill=color)
    image = image.reduce(2)
    if rng.random() < 0.4:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 2.5)))
    return _paint_over(image, rng)


def brushwork(rng: np.random.Generator, size: int) -> Image.Image:
    """Dead leaves, finer and with strokes among them: as much fine detail as a painting reduced to 128 pixels has.

    An RGB picture of `size` × `size` pixels; a larger one shows more, not larger, shapes.
    """
    palette = _palette(rng)
    image = Image.new("RGB", (2 * size, 2 * size), _pick(palette, rng))
    canvas = ImageDraw.Draw(image)
    smallest, most = rng.uniform(1.0, 7.5), 2 * 64
    for _ in range(int(rng.integers(60, 400) * min(1.0, (size / 128) ** 2 + 0.1))):
        radius = min(smallest / (1 - rng.random()) ** 0.55, most)
        x, y = rng.uniform(0, 2 * size, 2)
        color, kind, squash, turn = _pick(palette, rng), rng.random(), rng.uniform(0.3, 1), rng.uniform(0, np.pi)
        if kind < 0.4:
            canvas.ellipse((x - radius, y - radius * squash, x + radius, y + radius * squash), fill=color)
        elif kind < 0.7:
            angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(3, 7))))
            reach = radius * rng.uniform(0.5, 1.3, len(angles))
            canvas.polygon(_around(x, y, angles, reach), fill=color)
        else:
            ends = _around(x, y, np.array([turn, turn + np.pi]), radius * rng.uniform(1, 3, 1))
            canvas.line(ends, fill=color, width=max(1, int(radius * rng.uniform(0.1, 0.5))))
    image = image.reduce(2)
    if rng.random() < 0.25:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.5)))
    return _paint_over(image, rng)


def _around(x: float, y: float, angles: NDArray[np.float64], reach: NDArray[np.float64]) -> list[float]:
    """Points at angles and distances from one, flat."""
    points: list[float] = np.stack([x + reach * np.cos(angles), y + reach * np.sin(angles)], axis=1).ravel().tolist()
    return points


def _palette(rng: np.random.Generator) -> Floats:
    """A few related colours, (N, 3) in [0, 255]: paintings are mostly muted, around one key."""
    key = rng.uniform(20, 220, 3)
    spread = rng.uniform(15, 90)
    muted = key + spread * rng.standard_normal((10, 3)) * rng.uniform(0.3, 1.0)
    light = spread * rng.standard_normal((10, 1))
    return np.clip(muted + light, 0, 255).astype(np.float32)


def _pick(palette: Floats, rng: np.random.Generator) -> tuple[int, int, int]:
    red, green, blue = np.clip(palette[int(rng.integers(len(palette)))] + rng.normal(0, 6, 3), 0, 255)
    return int(red), int(green), int(blue)


def _paint_over(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light from one side, and noise whose power falls with frequency."""
    pixels = np.asarray(image, dtype=np.float32)
    size = pixels.shape[0]
    ramp = np.linspace(-1, 1, size, dtype=np.float32)
    light = 1 + rng.uniform(-0.4, 0.4) * ramp[:, None] + rng.uniform(-0.4, 0.4) * ramp[None, :]
    pixels = pixels * light[..., None]
    strength = rng.uniform(0, 40) * rng.random()
    for _ in range(int(rng.integers(1, 3))):
        pixels = pixels + strength * cloud(rng, size, roughness=rng.uniform(0.4, 0.75))[..., None] * _tint(rng)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _tint(rng: np.random.Generator) -> Floats:
    return (1 + rng.uniform(-0.5, 0.5, 3)).astype(np.float32)


def cloud(rng: np.random.Generator, size: int, roughness: float) -> Floats:
    """Octaves of smooth noise, (size, size), of about unit deviation; `roughness` weighs the finer ones."""
    total = np.zeros((size, size), dtype=np.float32)
    cells, weight = 3, 1.0
    stretch = int(rng.choice([1, 1, 1, 4]))
    while cells <= size:
        coarse = rng.standard_normal((cells, max(2, cells // stretch)), dtype=np.float32)
        total += weight * np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))
        cells, weight = cells * 2, weight * roughness
    deviation = float(total.std())
    return total / (deviation + 1e-6)
