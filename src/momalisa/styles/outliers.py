"""Pictures of nothing: what the classifier must not recognise. All of them are synthetic."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from momalisa.artworks.procedural import MANNERS, sample
from momalisa.artworks.textures import cloud, dead_leaves

Pixels = NDArray[np.uint8]


def outlier(rng: np.random.Generator, side: int) -> Pixels:
    """Noise, a blank canvas, or textures with the statistics of photographs, (side, side, 3)."""
    kinds = (_noise, _coarse_noise, _blank, _gradient, _clouds, _rough, _spots, _spots, _leaves, _leaves, _leaves)
    pixels = kinds[int(rng.integers(len(kinds)))](rng, side)
    if rng.random() < 0.25:  # Photographs are grey, too.
        pixels = np.repeat(pixels.mean(axis=-1, keepdims=True).astype(np.uint8), 3, axis=-1)
    return pixels


def spoilt_drawing(rng: np.random.Generator, side: int) -> Pixels:
    """Colours of a drawing without its manner: cut up, blurred away, or under another, (side, side, 3)."""
    kinds = (_shuffled, _blurred, _mixed)
    return kinds[int(rng.integers(len(kinds)))](rng, side)


def _noise(rng: np.random.Generator, side: int) -> Pixels:
    channels = int(rng.choice([1, 3]))
    return _bytes(rng.uniform(0, 255, 3) + rng.uniform(10, 120) * rng.standard_normal((side, side, channels)))


def _coarse_noise(rng: np.random.Generator, side: int) -> Pixels:
    """Squares of random colours, or smooth hills of them."""
    cells = int(rng.integers(3, side // 2))
    small = Image.fromarray(_bytes(rng.uniform(0, 255, (cells, cells, 3))))
    how = Image.Resampling.NEAREST if rng.random() < 0.3 else Image.Resampling.BICUBIC
    return np.asarray(small.resize((side, side), how))


def _blank(rng: np.random.Generator, side: int) -> Pixels:
    grain = rng.uniform(0, 6) * rng.standard_normal((side, side, 1))
    return _bytes(rng.uniform(0, 255, 3) + grain + rng.uniform(0, 8) * cloud(rng, side, 0.5)[..., None])


def _gradient(rng: np.random.Generator, side: int) -> Pixels:
    angle = rng.uniform(0, 2 * np.pi)
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    ramp = ((x * np.cos(angle) + y * np.sin(angle)) / 2.83 + 0.5)[..., None]
    return _bytes(rng.uniform(0, 255, 3) * ramp + rng.uniform(0, 255, 3) * (1 - ramp))


def _clouds(rng: np.random.Generator, side: int) -> Pixels:
    channels = [cloud(rng, side, rng.uniform(0.4, 0.9)) for _ in range(int(rng.choice([1, 3])))]
    return _bytes(rng.uniform(30, 225, 3) + rng.uniform(10, 70) * np.stack(channels, axis=-1))


def _rough(rng: np.random.Generator, side: int) -> Pixels:
    """Grass, gravel, fur: noise with most of its power in fine grain, of one light colour and one dark."""
    shade = np.tanh(rng.uniform(0.5, 2) * cloud(rng, side, rng.uniform(0.85, 1.15)))[..., None] / 2 + 0.5
    return _bytes(rng.uniform(90, 255, 3) * shade + rng.uniform(0, 120, 3) * (1 - shade))


def _spots(rng: np.random.Generator, side: int) -> Pixels:
    """Cells, stars, pebbles: soft, shaded blobs of all sizes in disorder on an uneven ground."""
    pixels = _clouds(rng, side).astype(np.float32) if rng.random() < 0.5 else _blank(rng, side).astype(np.float32)
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    color, spread = rng.uniform(0, 255, 3), rng.uniform(0, 60)
    for _ in range(int(rng.integers(3, 50))):
        radius = side * rng.uniform(0.01, 0.12) * rng.uniform(0.3, 2)
        (left, top), turn, squash = rng.uniform(0, side, 2), rng.uniform(0, np.pi), rng.uniform(0.4, 1)
        across = (x - left) * np.cos(turn) + (y - top) * np.sin(turn)
        along = (y - top) * np.cos(turn) - (x - left) * np.sin(turn)
        distance = np.hypot(across, along / squash) / radius
        body = 1 / (1 + np.exp(np.clip((distance - 1) * rng.uniform(2, 12), -30, 30)))
        shaded = color + spread * rng.standard_normal(3) + rng.uniform(0, 90) * (across / radius)[..., None].clip(-1, 1)
        pixels += (shaded - pixels) * body[..., None] * rng.uniform(0.4, 1)
    return _bytes(pixels)


def _leaves(rng: np.random.Generator, side: int) -> Pixels:
    return np.asarray(dead_leaves(rng, side))


def _shuffled(rng: np.random.Generator, side: int) -> Pixels:
    """Cut into small squares, those turned and in disorder."""
    cells = 16
    edge = side // cells
    squares = _drawing(rng, side)[: cells * edge, : cells * edge].reshape(cells, edge, cells, edge, 3).swapaxes(1, 2)
    mixed = rng.permutation(squares.reshape(-1, edge, edge, 3))
    turned = np.stack(
        [np.rot90(square, turns) for square, turns in zip(mixed, rng.integers(0, 4, len(mixed)), strict=True)]
    )
    whole = turned.reshape(cells, cells, edge, edge, 3).swapaxes(1, 2).reshape(cells * edge, cells * edge, 3)
    return np.ascontiguousarray(whole)


def _mixed(rng: np.random.Generator, side: int) -> Pixels:
    """Two drawings of different manners, one shining through the other."""
    first, second = (str(manner) for manner in rng.choice(MANNERS, 2, replace=False))
    return _bytes((_drawing(rng, side, first).astype(np.float32) + _drawing(rng, side, second)) / 2)


def _blurred(rng: np.random.Generator, side: int) -> Pixels:
    """A drawing of which only the rough distribution of its colours is left."""
    radius = side * rng.uniform(0.08, 0.2)
    return np.asarray(Image.fromarray(_drawing(rng, side)).filter(ImageFilter.GaussianBlur(radius)))


def _drawing(rng: np.random.Generator, side: int, manner: str | None = None) -> Pixels:
    manners = MANNERS if manner is None else (manner,)
    return np.asarray(sample(int(rng.integers(2**40)), size=side, manners=manners).image)


def _bytes(values: "NDArray[np.floating]") -> Pixels:
    shape = np.broadcast_shapes(values.shape, (1, 1, 3))
    return np.ascontiguousarray(np.broadcast_to(np.clip(values, 0, 255).astype(np.uint8), shape))
