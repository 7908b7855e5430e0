"""The manners of painting: each paints shapes of a foreground colour on a ground, at twice the size.

A painter gets a canvas already filled with the ground, its side in pixels, a source of randomness, and
a function that mixes a shade of the foreground or of the ground anew.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from momalisa.artworks.procedural.colours import RGB, blend

Mix = Callable[[], RGB]
Painter = Callable[[Image.Image, int, np.random.Generator, Mix, Mix], None]


def colour_field(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """Soft-edged rectangles that float on the ground."""
    bands = int(random.integers(2, 4))
    margin = side * random.uniform(0.07, 0.12)
    gap = side * random.uniform(0.03, 0.05)
    shares = random.dirichlet(np.full(bands, 6.0)) * (side - 2 * margin - gap * (bands - 1))
    top = margin
    mask = Image.new("L", image.size, 0)
    brush = ImageDraw.Draw(mask)
    soft = max(2, side // 48)
    for share in shares:
        for ring in range(soft):
            inset = min(ring * 1.2, share / 3)
            value = round(255 * (ring + 1) / soft)
            brush.rounded_rectangle(
                (margin + inset, top + inset, side - margin - inset, top + share - inset), radius=soft, fill=value
            )
        top += share + gap
    image.paste(Image.new("RGB", image.size, fore()), mask=mask)


def primary_grid(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """Black lines cross; a few of the cells are filled."""
    brush = ImageDraw.Draw(image)
    columns = _cuts(random, int(random.integers(2, 5)), side)
    rows = _cuts(random, int(random.integers(2, 5)), side)
    cells = [(left, top, right, bottom) for left, right in _pairs(columns) for top, bottom in _pairs(rows)]
    filled = random.choice(len(cells), size=max(2, len(cells) // 3), replace=False)
    for index in filled:
        brush.rectangle(cells[index], fill=fore())
    width = max(2, round(side * random.uniform(0.018, 0.032)))
    line = (24, 23, 26)
    for x in columns[1:-1]:
        brush.line((x, 0, x, side), fill=line, width=width)
    for y in rows[1:-1]:
        brush.line((0, y, side, y), fill=line, width=width)


def dots(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """Discs in a lattice, a little unruly."""
    brush = ImageDraw.Draw(image)
    number = int(random.integers(4, 8))
    step = side / number
    radius = step * random.uniform(0.26, 0.38)
    shifted = bool(random.integers(2))
    for row in range(-1, number + 1):
        for column in range(-1, number + 1):
            x = (column + 0.5 + (0.5 if shifted and row % 2 else 0)) * step + random.normal(0, step * 0.02)
            y = (row + 0.5) * step + random.normal(0, step * 0.02)
            _disc(brush, x, y, radius * random.uniform(0.94, 1.06), fore())


def stripes(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """Upright or level stripes of changing width."""
    brush = ImageDraw.Draw(image)
    number = int(random.integers(4, 9))
    edges = np.concatenate([[0], np.cumsum(random.dirichlet(np.full(2 * number, 8.0)))]) * side
    level = bool(random.integers(2))
    for start, stop in zip(edges[0::2], edges[1::2], strict=False):
        box = (0, start, side, stop) if level else (start, 0, stop, side)
        brush.rectangle(box, fill=fore())


def concentric_squares(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """Squares within squares, sinking a little."""
    brush = ImageDraw.Draw(image)
    rings = int(random.integers(3, 5))
    sink = random.uniform(0.0, 0.35)
    for ring in range(rings):
        inset = side * 0.5 * (ring + 0.45) / (rings + 0.35)
        drop = inset * sink
        colour = fore() if ring % 2 == 0 else ground()
        brush.rectangle((inset, inset + drop, side - inset, side - inset + drop * 0.6), fill=colour)


def floating_shapes(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """Bars, discs and triangles adrift at an angle."""
    brush = ImageDraw.Draw(image)
    lean = random.uniform(-0.9, 0.9)
    for index in range(int(random.integers(6, 10))):
        x, y = random.uniform(0.12, 0.88, 2) * side
        size = side * random.uniform(0.07, 0.2)
        kind = index % 3
        if kind == 0:
            _bar(brush, x, y, size * 1.6, size * random.uniform(0.2, 0.5), lean, fore())
        elif kind == 1:
            _disc(brush, x, y, size * 0.5, fore())
        else:
            corners = [
                (x + size * 0.7 * math.cos(lean + k * 2.094), y + size * 0.7 * math.sin(lean + k * 2.094))
                for k in range(3)
            ]
            brush.polygon(corners, fill=fore())


def drips(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """Thrown lines that curl over the whole canvas, with splashes."""
    brush = ImageDraw.Draw(image)
    for _ in range(int(random.integers(14, 22))):
        x, y = random.uniform(-0.1, 1.1, 2) * side
        heading, turn = random.uniform(0, 2 * math.pi), random.normal(0, 0.16)
        width = max(1, round(side * abs(random.normal(0.008, 0.005)) + 1))
        points = [(x, y)]
        for _ in range(26):
            turn = 0.86 * turn + random.normal(0, 0.12)
            heading += turn
            x, y = x + math.cos(heading) * side * 0.035, y + math.sin(heading) * side * 0.035
            points.append((x, y))
        brush.line(points, fill=fore(), width=width, joint="curve")
    for _ in range(int(random.integers(30, 60))):
        x, y = random.uniform(0, 1, 2) * side
        _disc(brush, x, y, side * abs(random.normal(0.004, 0.006)) + 1, fore())


def hard_edge(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """A few broad diagonal bands with sharp edges."""
    brush = ImageDraw.Draw(image)
    lean = random.choice([-1, 1]) * random.uniform(0.6, 1.0)
    x = random.uniform(-0.5, 0.0) * side
    while x < 1.6 * side:
        width = side * random.uniform(0.14, 0.32)
        shift = side * lean
        base = x - (shift if lean > 0 else 0)
        corners = [(base, 0), (base + width, 0), (base + width + shift, side), (base + shift, side)]
        brush.polygon(corners, fill=fore())
        x += width + side * random.uniform(0.14, 0.34)


def circles_in_circles(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """Rings in rings, in one to four places."""
    brush = ImageDraw.Draw(image)
    across = int(random.choice([1, 2, 2]))
    step = side / across
    for row in range(across):
        for column in range(across):
            x, y = (column + 0.5) * step, (row + 0.5) * step
            radius, rings = step * random.uniform(0.40, 0.47), int(random.integers(3, 6))
            for ring in range(rings):
                colour = fore() if ring % 2 == 0 else ground()
                _disc(brush, x, y, radius * (1 - ring / rings), colour)


def cut_outs(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """Leaf-like shapes, as if cut from painted paper."""
    brush = ImageDraw.Draw(image)
    number = int(random.integers(3, 6))
    for index in range(number):
        angle = 2 * math.pi * index / number + random.uniform(-0.4, 0.4)
        far = side * random.uniform(0.16, 0.30)
        x, y = side / 2 + far * math.cos(angle), side / 2 + far * math.sin(angle)
        size, lobes = side * random.uniform(0.13, 0.2), int(random.integers(4, 7))
        phase = random.uniform(0, 2 * math.pi)
        outline = []
        for k in range(72):
            t = 2 * math.pi * k / 72
            r = size * (0.62 + 0.38 * math.cos(lobes * t + phase))
            outline.append((x + r * math.cos(t), y + r * math.sin(t)))
        brush.polygon(outline, fill=fore())


def op_waves(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """Parallel lines that swell and sway together until the canvas seems to move."""
    number = int(random.integers(7, 11))
    height, length, phase = random.uniform(0.03, 0.06), random.uniform(0.9, 1.7), random.uniform(0, 2 * math.pi)
    along, across = np.meshgrid(np.linspace(0, 1, side), np.linspace(0, 1, side))
    if random.integers(2):
        along, across = across, along
    wave = across + height * np.sin(2 * math.pi * along * length + phase)
    mask = (np.sin(2 * math.pi * number * wave) > 0).astype(np.uint8) * 255
    image.paste(Image.new("RGB", image.size, fore()), mask=Image.fromarray(mask))


def brush_strokes(image: Image.Image, side: int, random: np.random.Generator, fore: Mix, ground: Mix) -> None:
    """A field of short broad strokes, all leaning the same way."""
    brush = ImageDraw.Draw(image)
    lean, number = random.uniform(-1.2, 1.2), int(random.integers(7, 10))
    step = side / number
    for row in range(-1, number + 1):
        for column in range(-1, number + 1):
            x = (column + 0.5) * step + random.normal(0, step * 0.16)
            y = (row + 0.5) * step + random.normal(0, step * 0.16)
            angle, length = lean + random.normal(0, 0.13), step * random.uniform(0.55, 0.8)
            colour = blend(fore(), ground(), random.uniform(0, 0.18))
            _bar(brush, x, y, length, step * random.uniform(0.22, 0.32), angle, colour)


def _cuts(random: np.random.Generator, number: int, side: int) -> list[float]:
    shares = random.dirichlet(np.full(number + 1, 3.0))
    return [0.0, *(np.cumsum(shares)[:-1] * side).tolist(), float(side)]


def _pairs(values: list[float]) -> list[tuple[float, float]]:
    return list(itertools.pairwise(values))


def _disc(brush: ImageDraw.ImageDraw, x: float, y: float, radius: float, colour: RGB) -> None:
    brush.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


def _bar(
    brush: ImageDraw.ImageDraw, x: float, y: float, length: float, width: float, angle: float, colour: RGB
) -> None:
    along, across = (
        (math.cos(angle) * length / 2, math.sin(angle) * length / 2),
        (-math.sin(angle) * width / 2, math.cos(angle) * width / 2),
    )
    brush.polygon(
        [
            (x + s * along[0] + t * across[0], y + s * along[1] + t * across[1])
            for s, t in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ],
        fill=colour,
    )
