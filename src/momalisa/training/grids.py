"""Pictures side by side, with their prompts: what a person looks at first."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
from PIL import Image, ImageDraw, ImageFont

_PAPER, _INK, _GREY, _LINE = "#ffffff", "#222222", "#777777", "#dddddd"
_SMALL_SIDE, _LARGE_SIDE = 128, 384
"""Pictures up to the first are enlarged twice, without blurring; those above the second are reduced to it."""
_GAP, _MARGIN, _LABEL_WIDTH = 8, 24, 200
_LABEL_SIZE, _HEADING_SIZE, _TITLE_SIZE = 15, 16, 20

Pictures = Sequence[Any]
"""Each (H, W, 3) uint8."""


def labelled_grid(images_by_prompt: Mapping[str, Pictures], title: str = "", path: Path | None = None) -> Image.Image:
    """A row of pictures for each prompt, the prompt on the left; saved as a PNG where there is a path."""
    return _grid([("", images_by_prompt)], title, path)


def before_after(
    before: Mapping[str, Pictures],
    after: Mapping[str, Pictures],
    title: str = "",
    path: Path | None = None,
    *,
    headings: tuple[str, str] = ("before", "after"),
) -> Image.Image:
    """A row for each prompt: its pictures before on the left, those after, of the same seeds, on the right.

    Raises ValueError where the two are not of the same prompts.
    """
    if list(before) != list(after):
        raise ValueError("before and after have other prompts: draw the same ones both times")
    return _grid([(headings[0], before), (headings[1], after)], title, path)


def _grid(groups: Sequence[tuple[str, Mapping[str, Pictures]]], title: str, path: Path | None) -> Image.Image:
    prompts = list(groups[0][1])
    rows = [[[_fitted(picture) for picture in pictures[prompt]] for _, pictures in groups] for prompt in prompts]
    cell = _cell_size(rows)
    columns = [max((len(row[group]) for row in rows), default=0) for group in range(len(groups))]
    widths = [count * (cell[0] + _GAP) - _GAP if count else 0 for count in columns]
    lefts, left = [], _MARGIN + _LABEL_WIDTH + 2 * _GAP
    for width in widths:
        lefts.append(left)
        left += width + 3 * _GAP
    width = left - 3 * _GAP + _MARGIN
    title_lines = _wrapped(title, _TITLE_SIZE, width - 2 * _MARGIN) if title else []
    top = _MARGIN + len(title_lines) * (_TITLE_SIZE + 6) + (_GAP if title else 0)
    heading_height = _HEADING_SIZE + 2 * _GAP if any(heading for heading, _ in groups) else 0
    labels = [_wrapped(prompt, _LABEL_SIZE, _LABEL_WIDTH) for prompt in prompts]
    heights = [max(cell[1], len(lines) * (_LABEL_SIZE + 5)) for lines in labels]
    height = top + heading_height + sum(heights) + _GAP * max(0, len(rows) - 1) + _MARGIN

    canvas = Image.new("RGB", (width, height), _PAPER)
    pen = ImageDraw.Draw(canvas)
    _write(pen, (_MARGIN, _MARGIN), title_lines, _TITLE_SIZE, _INK)
    for (heading, _), x in zip(groups, lefts, strict=True):
        _write(pen, (x, top), [heading], _HEADING_SIZE, _GREY)
    for x in lefts[1:]:
        middle = x - round(1.5 * _GAP)
        pen.line([(middle, top), (middle, height - _MARGIN)], fill=_LINE, width=1)
    y = top + heading_height
    for row, lines, row_height in zip(rows, labels, heights, strict=True):
        _write(pen, (_MARGIN, y), lines, _LABEL_SIZE, _INK)
        for pictures, x in zip(row, lefts, strict=True):
            for number, picture in enumerate(pictures):
                _paste(canvas, picture, (x + number * (cell[0] + _GAP), y), cell)
        y += row_height + _GAP
    if path is not None:
        canvas.save(path, format="PNG", optimize=True)
    return canvas


def _fitted(picture: Any) -> Image.Image:
    image = Image.fromarray(picture)
    longest = max(image.size)
    if longest <= _SMALL_SIDE:
        return image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST)
    if longest > _LARGE_SIDE:
        share = _LARGE_SIDE / longest
        size = (max(1, round(image.width * share)), max(1, round(image.height * share)))
        return image.resize(size, Image.Resampling.LANCZOS)
    return image


def _cell_size(rows: Sequence[Sequence[Sequence[Image.Image]]]) -> tuple[int, int]:
    pictures = [picture for row in rows for group in row for picture in group]
    return max((p.width for p in pictures), default=0), max((p.height for p in pictures), default=0)


def _paste(canvas: Image.Image, picture: Image.Image, corner: tuple[int, int], cell: tuple[int, int]) -> None:
    canvas.paste(picture, (corner[0] + (cell[0] - picture.width) // 2, corner[1] + (cell[1] - picture.height) // 2))


def _write(pen: ImageDraw.ImageDraw, corner: tuple[int, int], lines: Sequence[str], size: int, colour: str) -> None:
    for number, line in enumerate(lines):
        pen.text((corner[0], corner[1] + number * (size + 5)), line, fill=colour, font=_font(size))


def _wrapped(text: str, size: int, width: int) -> list[str]:
    """Lines no wider than `width` pixels; a word that is wider by itself is broken."""
    lines = [""]
    for word in text.split():
        candidate = f"{lines[-1]} {word}".strip()
        if _font(size).getlength(candidate) <= width:
            lines[-1] = candidate
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and _font(size).getlength(lines[-1] + letter) > width:
                lines.append("")
            lines[-1] += letter
    return lines


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # DejaVu, which comes with matplotlib: Pillow's own font lacks the letters of many artists' names.
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"), size)
