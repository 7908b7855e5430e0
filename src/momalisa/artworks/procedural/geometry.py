"""The manners with hard edges: grids, dots, stripes, squares, circles, shapes, diagonals, waves."""

import math

import numpy as np

from momalisa.artworks.procedural.canvas import Canvas, Floats
from momalisa.artworks.procedural.palette import Rgb, lighten, luminance, tone

_INK = Rgb(22, 21, 24)
_CHALK = Rgb(240, 237, 228)


def primary_grid(canvas: Canvas, foreground: Rgb) -> None:
    """Black bars divide the ground; some of the blocks between them, less than half of all, carry the foreground."""
    rng = canvas.rng
    xs, ys = _divisions(rng), _divisions(rng)
    areas = {(i, j): (xs[i + 1] - xs[i]) * (ys[j + 1] - ys[j]) for i in range(len(xs) - 1) for j in range(len(ys) - 1)}
    filled = _choose_blocks(areas, rng, share=rng.uniform(0.26, 0.42))
    for i, j in areas:
        color = foreground if (i, j) in filled else canvas.ground
        canvas.rectangle(xs[i], ys[j], xs[i + 1], ys[j + 1], tone(color, rng, 0.5))
    bar = rng.uniform(0.018, 0.036)
    ink = _INK if luminance(canvas.ground) > 0.22 else _CHALK
    for x in xs[1:-1]:
        canvas.rectangle(x - bar / 2, 0, x + bar / 2, 1, ink)
    for y in ys[1:-1]:
        canvas.rectangle(0, y - bar / 2, 1, y + bar / 2, ink)


def _choose_blocks(areas: dict[tuple[int, int], float], rng: np.random.Generator, share: float) -> set[tuple[int, int]]:
    """Blocks at random, a larger one first, as long as they cover no more than a share of the canvas."""
    fitting = sorted((block for block in areas if areas[block] <= share), key=lambda block: -areas[block])
    first = fitting[int(rng.integers(min(3, len(fitting))))]
    chosen, covered = {first}, areas[first]
    for index in rng.permutation(len(fitting)):
        block = fitting[int(index)]
        if block not in chosen and covered + areas[block] <= share:
            chosen.add(block)
            covered += areas[block]
    return chosen


def _divisions(rng: np.random.Generator) -> list[float]:
    """Borders from 0 to 1 with gaps of uneven but never tiny width."""
    shares = rng.dirichlet(np.full(int(rng.integers(3, 6)), 2.5)) + 0.10
    return [0.0, *np.cumsum(shares / shares.sum())[:-1].tolist(), 1.0]


def dots(canvas: Canvas, foreground: Rgb) -> None:
    """Rows of dots: even, staggered, growing across the canvas, or strewn."""
    rng = canvas.rng
    count = int(rng.integers(4, 9))
    step = 1 / count
    layout = rng.choice(["rows", "staggered", "growing", "strewn"])
    angle = rng.uniform(0, 2 * math.pi)
    fill = rng.uniform(0.28, 0.42)
    for row in range(-1, count + 1):
        for column in range(-1, count + 1):
            shift = 0.5 * (row % 2) if layout != "rows" else 0.0
            x, y = (column + 0.5 + shift) * step, (row + 0.5) * step
            radius = fill * step
            if layout == "growing":
                along = (x - 0.5) * math.cos(angle) + (y - 0.5) * math.sin(angle)
                radius = step * min(max(0.31 + 0.34 * along, 0.10), 0.49)
            elif layout == "strewn":
                x, y = x + rng.uniform(-0.2, 0.2) * step, y + rng.uniform(-0.2, 0.2) * step
                radius *= rng.uniform(0.65, 1.1)
            canvas.disc(x, y, radius, tone(foreground, rng, 0.35))


def stripes(canvas: Canvas, foreground: Rgb) -> None:
    """Upright or level stripes, even or in a rhythm of widths."""
    rng = canvas.rng
    count = int(rng.integers(4, 10))
    concentration = float(rng.choice([1000.0, 14.0, 5.0]))
    shares = rng.dirichlet(np.full(2 * count + 1, concentration)) + 0.012
    borders = np.concatenate([[0.0], np.cumsum(shares / shares.sum())])
    upright = rng.random() < 0.55
    for index in range(1, 2 * count + 1, 2):
        start, stop = float(borders[index]), float(borders[index + 1])
        box = (start, 0.0, stop, 1.0) if upright else (0.0, start, 1.0, stop)
        canvas.rectangle(*box, tone(foreground, rng, 0.5))


def concentric_squares(canvas: Canvas, foreground: Rgb) -> None:
    """Squares within squares, in turn foreground and ground, sinking a little towards the bottom."""
    rng = canvas.rng
    count = int(rng.integers(2, 5)) * 2 - int(rng.integers(2))
    outer = rng.uniform(0.84, 0.94)
    sink = rng.uniform(0.0, 0.7) * rng.choice([0.0, 1.0])
    middle_x, top = 0.5, (1 - outer) / 2
    side, step = outer, outer / (count + rng.uniform(0.1, 0.6))
    for index in range(count):
        left = middle_x - side / 2
        canvas.rectangle(left, top, left + side, top + side, tone(canvas.ground if index % 2 else foreground, rng, 0.5))
        top += step * (0.5 + 0.5 * sink)
        side -= step


def circles(canvas: Canvas, foreground: Rgb) -> None:
    """Circles within circles: one great target, or a field of small ones."""
    rng = canvas.rng
    count = int(rng.choice([1, 2, 2, 3]))
    step = 1 / count
    for row in range(count):
        for column in range(count):
            wander = 0.12 if count == 1 else 0.03
            x = (column + 0.5) * step + rng.uniform(-wander, wander)
            y = (row + 0.5) * step + rng.uniform(-wander, wander)
            radius = step * rng.uniform(0.40, 0.47)
            rings = int(rng.integers(3, 8)) if count == 1 else int(rng.integers(2, 5))
            _target(canvas, x, y, radius, rings, foreground)


def _target(canvas: Canvas, x: float, y: float, radius: float, rings: int, foreground: Rgb) -> None:
    rng = canvas.rng
    radii = radius * np.sqrt(np.linspace(1, 0, rings + 1)[:-1]) if rng.random() < 0.3 else None
    if radii is None:
        radii = radius * np.linspace(1, 0, rings + 1)[:-1]
    for index, r in enumerate(radii):
        canvas.disc(x, y, float(r), tone(canvas.ground if index % 2 else foreground, rng, 0.5))


def floating_shapes(canvas: Canvas, foreground: Rgb) -> None:
    """Bars, squares, discs and triangles adrift along one tilted axis."""
    rng = canvas.rng
    tilt = rng.uniform(-0.9, 0.9)
    canvas.polygon(
        _tilted(0.5 + rng.uniform(-0.12, 0.12), 0.45, rng.uniform(0.32, 0.5), 0.3, tilt), tone(foreground, rng)
    )
    for _ in range(int(rng.integers(6, 11))):
        x, y = rng.uniform(0.08, 0.92, 2)
        color = lighten(tone(foreground, rng), rng.uniform(-0.08, 0.08))
        kind = rng.choice(["bar", "bar", "bar", "square", "disc", "triangle"])
        if kind == "bar":
            length, width = rng.uniform(0.18, 0.6), rng.uniform(0.02, 0.06)
            canvas.polygon(_tilted(x, y, length, width, tilt + rng.choice([0.0, math.pi / 2, 0.25])), color)
        elif kind == "square":
            side = rng.uniform(0.08, 0.2)
            canvas.polygon(_tilted(x, y, side, side, tilt + rng.uniform(-0.3, 0.3)), color)
        elif kind == "disc":
            canvas.disc(x, y, rng.uniform(0.03, 0.10), color)
        else:
            turn = rng.uniform(0, 2 * math.pi)
            canvas.polygon(_regular(x, y, rng.uniform(0.06, 0.15), 3, turn), color)
    ink = _INK if luminance(canvas.ground) > 0.22 else _CHALK
    x, y = rng.uniform(0.2, 0.8, 2)
    canvas.polygon(_tilted(x, y, rng.uniform(0.2, 0.45), 0.016, tilt + math.pi / 2 * rng.integers(2)), ink)


def _tilted(x: float, y: float, length: float, width: float, angle: float) -> Floats:
    corners = np.array([[-length, -width], [length, -width], [length, width], [-length, width]]) / 2
    cosine, sine = math.cos(angle), math.sin(angle)
    turned = corners @ np.array([[cosine, sine], [-sine, cosine]])
    return np.asarray(turned + np.array([x, y]), dtype=np.float32)


def _regular(x: float, y: float, radius: float, corners: int, turn: float) -> Floats:
    angles = turn + np.linspace(0, 2 * math.pi, corners, endpoint=False)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1).astype(np.float32)


def diagonals(canvas: Canvas, foreground: Rgb) -> None:
    """Wide, sharp bands across the canvas: slanted, or folded into chevrons. The outermost are the ground's."""
    rng = canvas.rng
    slope = rng.uniform(0.7, 1.3) * rng.choice([-1, 1])
    chevron = rng.random() < 0.4
    count = int(rng.integers(2, 5))
    # The corners cut the outermost bands short, so they are wider.
    shares = rng.dirichlet(np.full(2 * count + 1, 6.0)) + np.array([0.12, *[0.0] * (2 * count - 1), 0.12])
    borders = np.concatenate([[0.0], np.cumsum(shares / shares.sum())])
    reach = 1 + abs(slope) * (0.5 if chevron else 1.0)
    lowest = min(0.0, -slope * (0.5 if chevron else 1.0)) if not chevron or slope > 0 else 0.0
    for index in range(1, 2 * count + 1, 2):
        near, far = (lowest + reach * float(borders[index + k]) for k in (0, 1))
        color = tone(foreground, rng, 0.6)
        if chevron:
            fold = slope * 0.5
            canvas.polygon([(0, near), (0.5, near + fold), (1, near), (1, far), (0.5, far + fold), (0, far)], color)
        else:
            canvas.polygon([(0, near), (1, near + slope), (1, far + slope), (0, far)], color)


def waves(canvas: Canvas, foreground: Rgb) -> None:
    """Bands, narrower than the ground between them, that swell and lean until the flat canvas seems to move."""
    rng = canvas.rng
    side = canvas.full_side
    x, y = canvas.grid(side)
    if rng.random() < 0.5:
        x, y = y, x
    bands = rng.uniform(5, 9)
    amplitude, length = rng.uniform(0.05, 0.13), rng.uniform(0.35, 0.8)
    bend = amplitude * np.sin(2 * math.pi * (x / length + rng.random()))
    bend *= 1 + rng.uniform(0, 0.7) * np.sin(2 * math.pi * (y * rng.uniform(0.5, 1.0) + rng.random()))
    squeeze = rng.uniform(0, 0.06) * np.sin(2 * math.pi * (y + rng.random()))
    phase = np.sin(2 * math.pi * bands * (y + bend + squeeze))
    canvas.blend((phase > 0.3).astype(np.float32), foreground)
