"""Draw one picture, sample many, write a folder of them."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from momalisa.artworks.procedural import geometry, painterly
from momalisa.artworks.procedural.canvas import Canvas
from momalisa.artworks.procedural.captions import caption
from momalisa.artworks.procedural.palette import COLORS, Rgb, shade
from momalisa.errors import ConfigError

_PAINTERS: dict[str, Callable[[Canvas, Rgb], None]] = {
    "color_field": painterly.color_field,
    "primary_grid": geometry.primary_grid,
    "dots": geometry.dots,
    "stripes": geometry.stripes,
    "concentric_squares": geometry.concentric_squares,
    "floating_shapes": geometry.floating_shapes,
    "drips": painterly.drips,
    "diagonals": geometry.diagonals,
    "circles": geometry.circles,
    "cutouts": painterly.cutouts,
    "waves": geometry.waves,
    "brush_strokes": painterly.brush_strokes,
}

MANNERS: tuple[str, ...] = tuple(_PAINTERS)
HELD_OUT_MANNERS: tuple[str, ...] = ("concentric_squares", "waves")
"""Manners that `tiny` never sees in training, so that a fine-tune has something to learn."""
TRAIN_MANNERS: tuple[str, ...] = tuple(manner for manner in MANNERS if manner not in HELD_OUT_MANNERS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """What a drawing shows, and a caption that says so."""

    caption: str
    manner: str
    foreground: str
    ground: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Drawing(Subject):
    """A picture with what it is called."""

    image: Image.Image


def draw(seed: int, size: int, manner: str, foreground: str, ground: str) -> Image.Image:
    """Paints an RGB picture of `size` × `size` pixels; the same arguments give the same pixels.

    Raises ConfigError for an unknown manner or colour, equal colours, or a side below 16.
    """
    if manner not in _PAINTERS:
        raise ConfigError(f"no manner {manner!r}; choose from {', '.join(MANNERS)}")
    for color in (foreground, ground):
        if color not in COLORS:
            raise ConfigError(f"no color {color!r}; choose from {', '.join(COLORS)}")
    if foreground == ground:
        raise ConfigError(f"foreground and ground are both {ground}: nothing would be seen; choose two colors")
    if size < 16:
        raise ConfigError(f"a drawing of {size} pixels is too small; choose a size of at least 16")
    rng = np.random.default_rng([seed, MANNERS.index(manner)])
    ground_shade, foreground_shade = shade(ground, rng), shade(foreground, rng)
    canvas = Canvas(size, ground_shade, rng)
    _PAINTERS[manner](canvas, foreground_shade)
    return canvas.finish()


def is_held_out(manner: str, foreground: str, ground: str) -> bool:
    """Whether a combination is kept out of training: a tenth of all, the same for ever."""
    return hashlib.sha256(f"{manner}/{foreground}/{ground}".encode()).digest()[0] % 10 == 0


def sample(seed: int, *, size: int = 128, manners: Sequence[str] = TRAIN_MANNERS, held_out: bool = False) -> Drawing:
    """One captioned drawing of the seed's subject."""
    subject = choose(seed, manners=manners, held_out=held_out)
    image = draw(seed, size, subject.manner, subject.foreground, subject.ground)
    return Drawing(image=image, **asdict(subject))


def choose(seed: int, *, manners: Sequence[str] = TRAIN_MANNERS, held_out: bool = False) -> Subject:
    """Manner, colours and caption by the seed, among the trained combinations or, with `held_out`, among those
    that are kept out. Raises ConfigError where no manner is given."""
    if not manners:
        raise ConfigError(f"no manners given; choose from {', '.join(MANNERS)}")
    rng = np.random.default_rng([seed, 0x7A])
    while True:
        manner = str(manners[int(rng.integers(len(manners)))])
        foreground, ground = (COLORS[int(i)] for i in rng.choice(len(COLORS), size=2, replace=False))
        if is_held_out(manner, foreground, ground) == held_out:
            break
    return Subject(
        caption=caption(manner, foreground, ground, rng), manner=manner, foreground=foreground, ground=ground
    )


def write_folder(
    path: Path | str,
    count: int,
    seed: int,
    manners: Sequence[str] = TRAIN_MANNERS,
    *,
    size: int = 128,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Writes `count` drawings as PNG with `metadata.jsonl` (file_name, text, manner, foreground, ground),
    the metadata last. `progress` is told of each."""
    folder = Path(path)
    (folder / "images").mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        drawing = sample(seed * 1_000_003 + index, size=size, manners=manners)
        file_name = f"images/{index:06d}.png"
        drawing.image.save(folder / file_name, compress_level=1)
        row = {
            "file_name": file_name,
            "text": drawing.caption,
            "manner": drawing.manner,
            "foreground": drawing.foreground,
            "ground": drawing.ground,
        }
        lines.append(json.dumps(row) + "\n")
        if progress is not None:
            progress(1)
    (folder / "metadata.jsonl").write_text("".join(lines), encoding="utf-8")


def contact_sheet(*, per_manner: int = 8, size: int = 128, seed: int = 0, gap: int = 6) -> Image.Image:
    """A row of samples for each manner."""
    step = size + gap
    sheet = Image.new("RGB", (per_manner * step + gap, len(MANNERS) * step + gap), (250, 250, 248))
    for row, manner in enumerate(MANNERS):
        for column in range(per_manner):
            image = sample(seed * 1_000_003 + column * 97 + row, size=size, manners=(manner,)).image
            sheet.paste(image, (gap + column * step, gap + row * step))
    return sheet
