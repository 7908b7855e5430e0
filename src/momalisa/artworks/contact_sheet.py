"""A picture of a dataset: thumbnails with their captions."""

import textwrap
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

_CELL = 160
_PADDING = 14
_CAPTION_LINES = 2
_COLUMNS = 8
_PAPER, _INK, _FAINT = (250, 249, 246), (40, 40, 44), (120, 120, 126)


def contact_sheet(thumbnails: Sequence[tuple[Image.Image, str]], title: str) -> Image.Image:
    """Thumbnails in a grid of eight columns, captions of two short lines below, a title above."""
    title_font, font = ImageFont.load_default(22), ImageFont.load_default(12)
    rows = -(-len(thumbnails) // _COLUMNS)
    cell_height = _CELL + 16 * _CAPTION_LINES + 2 * _PADDING
    width = _COLUMNS * (_CELL + _PADDING) + _PADDING
    sheet = Image.new("RGB", (width, 58 + rows * cell_height), _PAPER)
    brush = ImageDraw.Draw(sheet)
    brush.text((_PADDING, 18), title, fill=_INK, font=title_font)
    for index, (thumbnail, caption) in enumerate(thumbnails):
        left = _PADDING + (index % _COLUMNS) * (_CELL + _PADDING)
        top = 58 + (index // _COLUMNS) * cell_height
        sheet.paste(thumbnail, (left + (_CELL - thumbnail.width) // 2, top + (_CELL - thumbnail.height) // 2))
        lines = textwrap.shorten(caption, 52, placeholder="…")
        wrapped = "\n".join(textwrap.wrap(lines, 26)[:_CAPTION_LINES])
        brush.multiline_text((left, top + _CELL + 6), wrapped, fill=_FAINT, font=font, spacing=3)
    return sheet


def thumbnail(image: Image.Image) -> Image.Image:
    """The whole picture, fitted into a cell; small ones are enlarged crisply."""
    small = image.copy()
    if max(small.size) <= _CELL // 2:
        factor = _CELL // max(small.size)
        return small.resize((small.width * factor, small.height * factor), Image.Resampling.NEAREST)
    small.thumbnail((_CELL, _CELL), Image.Resampling.LANCZOS, reducing_gap=2.0)
    return small
