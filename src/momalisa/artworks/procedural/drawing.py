"""One drawing: a manner, two colours, a caption, all from a seed."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from momalisa.artworks.procedural import manners
from momalisa.artworks.procedural.colours import COLOURS, shade

_OVERSAMPLING = 2

MANNERS: dict[str, tuple[manners.Painter, tuple[str, ...]]] = {
    "colour field": (manners.colour_field, ("a field painting in {f} and {g}", "{f} colour fields on {g}", "a colour field in {f} on a {g} ground")),
    "primary grid": (manners.primary_grid, ("a grid with {f} blocks on {g}", "{f} blocks in a black grid on a {g} ground", "a grid painting in {f} and {g}")),
    "dots": (manners.dots, ("{f} dots on a {g} ground", "{f} dots on {g}", "a {g} canvas with {f} dots")),
    "stripes": (manners.stripes, ("{f} stripes on a {g} ground", "{f} and {g} stripes", "a {g} canvas with {f} stripes")),
    "concentric squares": (manners.concentric_squares, ("concentric squares in {f} on {g}", "{f} squares within squares on a {g} ground", "a homage to the square in {f} and {g}")),
    "floating shapes": (manners.floating_shapes, ("floating {f} shapes on a {g} ground", "{f} geometric shapes floating on {g}", "geometric shapes in {f} on {g}")),
    "drips": (manners.drips, ("{f} drips on a {g} ground", "a drip painting in {f} on {g}", "{f} paint dripped over {g}")),
    "hard edge": (manners.hard_edge, ("hard-edge diagonals in {f} on {g}", "{f} diagonals on a {g} ground", "a hard-edge painting in {f} and {g}")),
    "circles in circles": (manners.circles_in_circles, ("{f} circles in circles on {g}", "circles within circles in {f} on a {g} ground", "{f} rings on {g}")),
    "cut-outs": (manners.cut_outs, ("{f} paper cut-outs on a {g} ground", "{f} cut-outs on {g}", "a collage of {f} leaves on {g}")),
    "op-art waves": (manners.op_waves, ("op-art waves in {f} on {g}", "{f} waves on a {g} ground", "wavy {f} lines on {g}")),
    "brush strokes": (manners.brush_strokes, ("{f} brush strokes on a {g} ground", "brush strokes in {f} on {g}", "a field of {f} strokes on {g}")),
}  # fmt: skip
"""Name → painter and caption forms."""

HELD_OUT_MANNERS = ("concentric squares", "op-art waves")
"""Kept out of the shipped model's training: what a fine-tune can teach it."""

TRAINED_MANNERS = tuple(name for name in MANNERS if name not in HELD_OUT_MANNERS)


@dataclass(frozen=True, slots=True)
class Drawing:
    """A picture and what is in it."""

    image: Image.Image
    caption: str
    manner: str
    foreground: str
    ground: str


def draw(seed: int, size: int, manner: str, foreground: str, ground: str) -> Image.Image:
    """The picture of a seed, `size` × `size` pixels."""
    random = np.random.default_rng([seed, 1])
    side = size * _OVERSAMPLING
    image = Image.new("RGB", (side, side), shade(ground, random))
    MANNERS[manner][0](
        image,
        side,
        random,
        lambda: shade(foreground, random, 0.7),
        lambda: shade(ground, random, 0.7),
    )
    small = np.asarray(image.resize((size, size), Image.Resampling.BOX), dtype=np.float32)
    return Image.fromarray(_grain(small, random))


def sample(
    seed: int, size: int = 128, manners: Sequence[str] = TRAINED_MANNERS, *, held_out: bool | None = False
) -> Drawing:
    """A drawing of one of the manners in two different colours, all chosen by the seed.

    held_out: only combinations that `is_held_out` says are (True) or are not (False); None for any.
    """
    random = np.random.default_rng([seed, 0])
    while True:
        manner = str(random.choice(list(manners)))
        foreground, ground = (str(name) for name in random.choice(list(COLOURS), size=2, replace=False))
        if held_out is None or is_held_out(manner, foreground, ground) == held_out:
            break
    form = str(random.choice(list(MANNERS[manner][1])))
    caption = form.format(f=foreground, g=ground)
    return Drawing(draw(seed, size, manner, foreground, ground), caption, manner, foreground, ground)


def is_held_out(manner: str, foreground: str, ground: str) -> bool:
    """Whether a combination is among the tenth that the shipped model never saw."""
    digest = hashlib.sha256(f"{manner}/{foreground}/{ground}".encode()).digest()
    return int.from_bytes(digest[:4], "big") % 10 == 0


def write_folder(
    folder: Path, *, count: int, seed: int, manners: Sequence[str] = TRAINED_MANNERS, size: int = 128
) -> None:
    """Writes drawings as PNG files with `metadata.jsonl`: what `jobs/prepare.py` reads.

    The same arguments give the same bytes. The metadata is written last.
    """
    images = folder / "images"
    images.mkdir(parents=True, exist_ok=True)
    lines = []
    for index in range(count):
        drawing = sample(seed * 1_000_003 + index, size, manners)
        name = f"images/{index:06d}.png"
        drawing.image.save(folder / name)
        row = {
            "file_name": name,
            "text": drawing.caption,
            "manner": drawing.manner,
            "foreground": drawing.foreground,
            "ground": drawing.ground,
        }
        lines.append(json.dumps(row))
    (folder / "metadata.jsonl").write_text("\n".join(lines) + "\n")


def _grain(
    pixels_HWC: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", random: np.random.Generator
) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    """A slight weave of canvas."""
    height, width, _ = pixels_HWC.shape
    fine = random.normal(0, 1.6, (height, width, 1)).astype(np.float32)
    broad = random.normal(0, 1.0, (height // 8 + 1, width // 8 + 1)).astype(np.float32)
    cloud = np.asarray(Image.fromarray(broad).resize((width, height), Image.Resampling.BICUBIC))[:, :, None] * 2.0
    return np.asarray(np.clip(pixels_HWC + fine + cloud, 0, 255)).astype(np.uint8)
