"""GIFs of walks: one palette, a dither that stands still, unchanged pixels left as they are, flat memory."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from momalisa.errors import ConfigError
from momalisa.walk.palette import Histogram, Pixels, Quantizer, choose_palette, to_oklab

_TRANSPARENT = 255
_NUM_COLORS = 255
_MIN_DELAY_CS = 2
"""Browsers show a frame of less for a tenth of a second."""
_KEEP_WITHIN = 0.005
"""A pixel stays as it is where its old colour is at most so much farther off than the new one would be, in OKLab:
less than the eye sees, more than a dither's turn of mind."""


def write_gif(
    file: BinaryIO,
    frames: Callable[[], Iterable[Pixels]],
    durations_s: Sequence[float],
    *,
    comment: str = "",
) -> None:
    """Writes pictures uint8 (H, W, 3). `frames` is called twice, for the palette and for the pixels; one picture is
    held at a time. Raises ConfigError for durations that are not one to a frame.
    """
    histogram, count, size = Histogram(), 0, None
    for pixels in frames():
        histogram.add(pixels)
        size = pixels.shape[:2]
        count += 1
    if size is None or count != len(durations_s):
        raise ConfigError(f"{count} frames and {len(durations_s)} durations: give one to each of at least one frame")
    quantizer = Quantizer(choose_palette(histogram, _NUM_COLORS))
    file.write(_header(size, quantizer.palette))
    file.write(b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x00\x00\x00")  # for ever
    if comment:
        file.write(_comment(comment))
    for delay, changed in zip(delays_cs(durations_s), _changes(frames(), quantizer), strict=True):
        file.write(_frame(changed, delay))
    file.write(b";")


def delays_cs(durations_s: Sequence[float]) -> list[int]:
    """Whole centiseconds, at least 2 each, whose sum stays true: each time is rounded from the start."""
    passed, shown, delays = 0.0, 0, []
    for duration in durations_s:
        passed += duration * 100
        delay = max(_MIN_DELAY_CS, round(passed) - shown)
        delays.append(delay)
        shown += delay
    return delays


def _changes(frames: Iterable[Pixels], quantizer: Quantizer) -> Iterator[Pixels]:
    """Palette indices (H, W), transparent where the picture before can stay."""
    shown: NDArray[np.uint8] | None = None
    for pixels in frames:
        lab = to_oklab(pixels)
        wanted = quantizer.indices(pixels, lab)
        if shown is None:
            shown = wanted
            yield wanted
            continue
        stays = quantizer.distances(lab, shown) <= quantizer.distances(lab, wanted) + _KEEP_WITHIN
        shown = np.where(stays, shown, wanted)
        yield np.where(stays, np.uint8(_TRANSPARENT), wanted)


def _header(size: tuple[int, ...], palette: Pixels) -> bytes:
    table = np.zeros((256, 3), dtype=np.uint8)
    table[: len(palette)] = palette
    height, width = size
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0xF7, 0, 0) + table.tobytes()


def _comment(text: str) -> bytes:
    content = text.encode()
    blocks = [content[i : i + 255] for i in range(0, len(content), 255)]
    return b"\x21\xfe" + b"".join(bytes([len(block)]) + block for block in blocks) + b"\x00"


def _frame(indices: Pixels, delay: int) -> bytes:
    """A graphic control block and the smallest rectangle that changed; a single pixel where nothing did."""
    changed = indices != _TRANSPARENT
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    top, left, bottom, right = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1) if len(rows) else (0, 0, 1, 1)
    image = Image.fromarray(np.ascontiguousarray(indices[top:bottom, left:right]), mode="P")
    control = b"\x21\xf9\x04" + struct.pack("<BHBB", 0b0000_0101, delay, _TRANSPARENT, 0)
    blocks = GifImagePlugin.getdata(image, offset=(int(left), int(top)), include_color_table=False)
    content = b"".join(blocks)
    blocks.clear()  # Pillow keeps the list in a class that only the garbage collector frees, every few hundred frames
    return control + content
