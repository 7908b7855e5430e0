"""A picture's bytes to the pixels that the VAE sees."""

import io
from typing import Any

import numpy as np
from PIL import Image

from momalisa.artworks.buckets import Size
from momalisa.training.randomness import SampleRandom


def decode_to(
    data: bytes, size: Size, *, random: SampleRandom | None = None, crop: str = "center", flip: bool = False
) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Pixels (H, W, 3) uint8 of a picture, filling `size` (width, height) and cropped to it.

    `crop` is `center` or `random`, `flip` mirrors every second one: both drawn from `random`.
    Raises OSError (Pillow's) for bytes that are no picture.
    """
    width, height = size
    with Image.open(io.BytesIO(data)) as opened:
        opened.draft("RGB", _filling(opened.size, size))  # JPEG decodes at a half, a quarter or an eighth for free
        image = opened.convert("RGB")
    scaled = _filling(image.size, size)
    if scaled != image.size:
        image = image.resize(scaled, Image.Resampling.LANCZOS, reducing_gap=2.0)
    spare_x, spare_y = scaled[0] - width, scaled[1] - height
    left, top = spare_x // 2, spare_y // 2
    if crop == "random" and random is not None:
        left, top = random.integer("crop-x", spare_x + 1), random.integer("crop-y", spare_y + 1)
    pixels = np.asarray(image)[top : top + height, left : left + width]
    if flip and random is not None and random.uniform("flip") < 0.5:
        pixels = pixels[:, ::-1]
    return pixels


def _filling(original: Size, target: Size) -> Size:
    """The size at which a picture just covers the target."""
    scale = max(target[0] / original[0], target[1] / original[1])
    return max(target[0], round(original[0] * scale)), max(target[1], round(original[1] * scale))
