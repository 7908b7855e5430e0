"""A picture of a dataset: thumbnails with their captions, because people would rather look."""

import functools
import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_CELL = 168
_GAP, _MARGIN = 20, 32
_MAX_COLUMNS = 8
_CAPTION_LINES = 2
_CAPTION_SIZE, _TITLE_SIZE, _LINE_HEIGHT = 12, 20, 16
_PAPER, _MAT, _INK, _GREY = (252, 251, 248), (240, 238, 233), (34, 34, 38), (104, 104, 110)


def contact_sheet(thumbnails: Sequence[tuple[Image.Image, str]], title: str) -> Image.Image:
    """Thumbnails (see `thumbnail`) in a grid of equal cells, each with its caption below, and a title above."""
    columns = min(_MAX_COLUMNS, max(3, math.ceil(math.sqrt(len(thumbnails) * 4 / 3))))
    rows = math.ceil(len(thumbnails) / columns)
    step_x, step_y = _CELL + _GAP, _CELL + 8 + _CAPTION_LINES * _LINE_HEIGHT + _GAP
    width = 2 * _MARGIN + columns * step_x - _GAP
    heading = wrapped(title, _TITLE_SIZE, width - 2 * _MARGIN, 2)
    top = _MARGIN + len(heading) * (_TITLE_SIZE + 8) + 12
    sheet = Image.new("RGB", (width, top + rows * step_y - _GAP + _MARGIN), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for line, text in enumerate(heading):
        draw.text((_MARGIN, _MARGIN + line * (_TITLE_SIZE + 8)), text, fill=_INK, font=_font(_TITLE_SIZE), anchor="lt")
    for index, (small, caption) in enumerate(thumbnails):
        left, upper = _MARGIN + index % columns * step_x, top + index // columns * step_y
        draw.rectangle((left, upper, left + _CELL - 1, upper + _CELL - 1), fill=_MAT)
        sheet.paste(small, (left + (_CELL - small.width) // 2, upper + (_CELL - small.height) // 2))
        for line, text in enumerate(wrapped(caption, _CAPTION_SIZE, _CELL, _CAPTION_LINES)):
            position = (left, upper + _CELL + 8 + line * _LINE_HEIGHT)
            draw.text(position, text, fill=_GREY, font=_font(_CAPTION_SIZE), anchor="la")
    return sheet


def thumbnail(image: Image.Image) -> Image.Image:
    """The whole of an RGB picture, fitted into a cell; small ones are enlarged crisply."""
    factor = _CELL // max(image.size)
    if factor >= 2:
        return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)
    scale = min(1.0, _CELL / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def wrapped(text: str, size: int, width: int, max_lines: int) -> list[str]:
    """Lines of at most `width` pixels; what does not fit ends in an ellipsis."""
    font = _font(size)
    lines: list[str] = []
    rest = " ".join(text.split())
    while rest and len(lines) < max_lines:
        last = len(lines) == max_lines - 1
        line = _fitting(rest, font, width, "…" if last else "")
        lines.append(line)
        rest = "" if last else rest[len(line) :].lstrip()
    return lines


def _fitting(text: str, font: ImageFont.FreeTypeFont, width: int, ending: str) -> str:
    """As much of the text as fits, broken between words where that is possible."""
    if font.getlength(text) <= width:
        return text
    length = len(text)
    while length > 1 and font.getlength(text[:length] + ending) > width:
        length -= 1
    space = text.rfind(" ", 1, length + 1)
    end = space if space > length // 2 else length
    return text[:end].rstrip() + ending


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Matplotlib brings a font with most of the world's letters; its code is not loaded for it."""
    spec = importlib.util.find_spec("matplotlib")
    assert spec is not None
    assert spec.origin is not None
    return ImageFont.truetype(Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf", size)
