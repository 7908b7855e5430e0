"""The manners with soft, torn or running edges: colour fields, drips, cut-outs, brush strokes."""

import math

import numpy as np
from numpy.typing import NDArray

from momalisa.artworks.procedural.canvas import Canvas, Floats, Point, smooth_noise
from momalisa.artworks.procedural.palette import Rgb, lighten, tone


def color_field(canvas: Canvas, foreground: Rgb) -> None:
    """Two or three tall, breathing rectangles with feathered edges float on the ground."""
    rng = canvas.rng
    side = 96
    x, y = canvas.grid(side)
    canvas.blend(0.5 + 0.5 * smooth_noise(rng, side, 4), lighten(canvas.ground, rng.uniform(-0.05, 0.05)))
    count = int(rng.choice([2, 2, 3]))
    shares = rng.dirichlet(np.full(count, 4.0)) + 0.12
    borders = np.concatenate([[0.0], np.cumsum(shares / shares.sum())]) * 0.9 + 0.05
    margin, gap, feather = rng.uniform(0.06, 0.12), rng.uniform(0.015, 0.03), rng.uniform(0.012, 0.03)
    for index in range(count):
        wobble = 0.012 * smooth_noise(rng, side, 14)
        inside = np.minimum(x - margin, 1 - margin - x)
        inside = np.minimum(inside, np.minimum(y - borders[index] - gap, borders[index + 1] - gap - y))
        body = 1 / (1 + np.exp(-(inside + wobble) / (feather * 0.45)))
        veil = 0.93 + 0.09 * smooth_noise(rng, side, 6)
        canvas.blend(body * veil, lighten(tone(foreground, rng), rng.uniform(-0.07, 0.07)))


def drips(canvas: Canvas, foreground: Rgb) -> None:
    """Paint poured along the top edge runs down in streams of uneven length, with a few splashes."""
    rng = canvas.rng
    darker = lighten(tone(canvas.ground, rng, 0.3), -0.03)
    canvas.blend(0.6 * np.clip(smooth_noise(rng, 48, 4), 0, 1), darker)
    height = rng.uniform(0.10, 0.24)
    xs = np.linspace(0, 1, 33)
    edge = height + 0.03 * np.interp(xs, np.linspace(0, 1, 9), rng.uniform(-1, 1, 9))
    canvas.polygon(
        [(0, 0), (1, 0), *((float(x), float(y)) for x, y in zip(xs[::-1], edge[::-1], strict=True))], foreground
    )
    x = rng.uniform(0.02, 0.07)
    while x < 0.99:
        width = rng.uniform(0.016, 0.05)
        length = height + (rng.beta(1.2, 1.4) ** 0.9) * (0.98 - height)
        _stream(canvas, x, height, length, width, tone(foreground, rng, 0.4))
        x += width + rng.uniform(0.012, 0.075)
    for _ in range(int(rng.integers(4, 14))):
        canvas.disc(rng.random(), rng.uniform(0.3, 1), rng.uniform(0.004, 0.014), tone(foreground, rng, 0.4))


def _stream(canvas: Canvas, x: float, top: float, bottom: float, width: float, color: Rgb) -> None:
    """A stream narrows on its way and ends in a drop."""
    half, neck = width / 2, width * 0.32
    shoulder = top + min(0.08, (bottom - top) * 0.4)
    canvas.polygon(
        [
            (x - half * 1.8, top - 0.03),
            (x + half * 1.8, top - 0.03),
            (x + half, top + 0.02),
            (x + neck, shoulder),
            (x + neck, bottom),
            (x - neck, bottom),
            (x - neck, shoulder),
            (x - half, top + 0.02),
        ],
        color,
    )
    canvas.disc(x, bottom, width * 0.46, color)


def cutouts(canvas: Canvas, foreground: Rgb) -> None:
    """Leaves and seaweeds cut from painted paper, on sheets of the ground's colour."""
    rng = canvas.rng
    columns = int(rng.choice([2, 2, 3]))
    step = 1 / columns
    for row in range(columns):
        for column in range(columns):
            sheet = lighten(tone(canvas.ground, rng, 0.7), 0.035 * (-1) ** (row + column))
            canvas.rectangle(column * step, row * step, (column + 1) * step, (row + 1) * step, sheet)
            x = (column + 0.5 + rng.uniform(-0.06, 0.06)) * step
            y = (row + 0.5 + rng.uniform(-0.06, 0.06)) * step
            shape = _leaf(rng, step * rng.uniform(0.42, 0.52)) if rng.random() < 0.7 else _pebble(rng, step * 0.38)
            canvas.polygon(shape + np.array([x, y], dtype=np.float32), tone(foreground, rng, 0.8))


def _leaf(rng: np.random.Generator, radius: float) -> Floats:
    """A frond: rounded lobes around a spine, (96, 2) around the origin."""
    angles = np.linspace(0, 2 * math.pi, 96, endpoint=False)
    lobes = int(rng.integers(5, 9))
    reach = 0.66 + 0.34 * np.cos(lobes * angles + rng.uniform(0, 2 * math.pi)) ** 1
    reach *= 1 + 0.12 * np.cos(2 * angles + rng.uniform(0, 2 * math.pi))
    return _turned(reach * radius, angles, rng, stretch=rng.uniform(0.72, 1.0))


def _pebble(rng: np.random.Generator, radius: float) -> Floats:
    """A smooth, lopsided blob, (64, 2) around the origin."""
    angles = np.linspace(0, 2 * math.pi, 64, endpoint=False)
    reach = np.ones(64)
    for waves in (2, 3, 4):
        reach += rng.uniform(0.05, 0.16) * np.cos(waves * angles + rng.uniform(0, 2 * math.pi))
    return _turned(reach * radius, angles, rng, stretch=rng.uniform(0.8, 1.1))


def _turned(
    reach: NDArray[np.float64], angles: NDArray[np.float64], rng: np.random.Generator, stretch: float
) -> Floats:
    x, y = reach * np.cos(angles) * stretch, reach * np.sin(angles)
    turn = rng.uniform(0, 2 * math.pi)
    return np.stack([x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)], axis=1).astype(
        np.float32
    )


def brush_strokes(canvas: Canvas, foreground: Rgb) -> None:
    """Short, broad strokes with visible bristles follow a slow current over the ground."""
    rng = canvas.rng
    base, swing = rng.uniform(0, math.pi), rng.uniform(0.3, 1.1)
    phase_x, phase_y = rng.uniform(0, 2 * math.pi, 2)
    canvas.blend(0.5 + 0.5 * smooth_noise(rng, 48, 6), lighten(canvas.ground, rng.choice([-0.025, 0.025])))
    columns = int(rng.integers(4, 6))
    length, width = rng.uniform(1.05, 1.5) / columns, rng.uniform(0.36, 0.5) / columns
    for index in range(columns * columns):
        x = (index % columns + 0.5 + rng.uniform(-0.3, 0.3)) / columns
        y = (index // columns + 0.5 + rng.uniform(-0.3, 0.3)) / columns
        angle = base + swing * (math.sin(3 * x + phase_x) + math.cos(3 * y + phase_y)) / 2
        color = lighten(tone(foreground, rng), rng.uniform(-0.05, 0.07))
        _stroke(canvas, (x, y), angle, length * rng.uniform(0.75, 1.15), width * rng.uniform(0.85, 1.2), color)


def _stroke(canvas: Canvas, center: Point, angle: float, length: float, width: float, color: Rgb) -> None:
    rng = canvas.rng
    bristles = 6
    along = np.linspace(-0.5, 0.5, 5)
    bow = rng.uniform(-0.12, 0.12) * length
    cosine, sine = math.cos(angle), math.sin(angle)
    for bristle in range(bristles):
        across = ((bristle + 0.5) / bristles - 0.5) * width
        ends = along * (1 - 0.18 * rng.random()) * length + rng.uniform(-0.04, 0.04) * length
        sideways = across + bow * (1 - 4 * along**2)
        path = np.stack([center[0] + ends * cosine - sideways * sine, center[1] + ends * sine + sideways * cosine])
        canvas.line(path.T.astype(np.float32), width / bristles * 1.3, lighten(color, rng.uniform(-0.045, 0.045)))
