"""Pictures with their prompts beside them, for people who would rather look."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont

_CELL, _GAP, _LABEL, _HEAD = 192, 10, 210, 64
_PAPER, _INK, _FAINT = (250, 249, 246), (40, 40, 44), (120, 120, 126)


def labelled_grid(by_prompt: Mapping[str, Sequence[Any]], title: str) -> Image.Image:
    """A row for each prompt, its pictures (H, W, 3) uint8 side by side."""
    return _grid(list(by_prompt), list(by_prompt.values()), title, headings=())


def before_after(before: Mapping[str, Sequence[Any]], after: Mapping[str, Sequence[Any]], title: str) -> Image.Image:
    """A row for each prompt: what the base model drew, and what the trained one draws from the same noise."""
    rows = [[*before[prompt], *after[prompt]] for prompt in before]
    count = len(next(iter(before.values())))
    return _grid(list(before), rows, title, headings=((0, "before"), (count, "after")))


def _grid(
    prompts: list[str], rows: Sequence[Sequence[Any]], title: str, headings: Sequence[tuple[int, str]]
) -> Image.Image:
    columns = max(len(row) for row in rows)
    head = _HEAD + (22 if headings else 0)
    # The second group of a before/after stands a little apart.
    width = _LABEL + columns * (_CELL + _GAP) + _GAP + (2 * _GAP if headings else 0)
    sheet = Image.new("RGB", (width, head + len(rows) * (_CELL + _GAP)), _PAPER)
    brush = ImageDraw.Draw(sheet)
    brush.text((_GAP, 18), title, fill=_INK, font=ImageFont.load_default(20))
    font = ImageFont.load_default(14)
    split = headings[1][0] if headings else columns
    for place, heading in headings:
        brush.text((_left(place, split), head - 24), heading, fill=_FAINT, font=font)
    for number, (prompt, pictures) in enumerate(zip(prompts, rows, strict=True)):
        top = head + number * (_CELL + _GAP)
        brush.multiline_text((_GAP, top + 4), "\n".join(textwrap.wrap(prompt, 26)), fill=_INK, font=font, spacing=4)
        for place, picture in enumerate(pictures):
            sheet.paste(_fitted(picture), (_left(place, split), top))
    return sheet


def _left(place: int, split: int) -> int:
    return _LABEL + place * (_CELL + _GAP) + (2 * _GAP if place >= split else 0)


def _fitted(picture: Any) -> Image.Image:
    image = Image.fromarray(picture)
    small = max(image.size) < _CELL
    return image.resize((_CELL, _CELL), Image.Resampling.BICUBIC if small else Image.Resampling.LANCZOS)
