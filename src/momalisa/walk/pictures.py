"""Pictures of a visitor's own, as waypoints."""

from pathlib import Path

import numpy as np
from PIL import Image

from momalisa.artworks.decoding import crop_box
from momalisa.artworks.images import read_picture
from momalisa.errors import InputError
from momalisa.walk.frames import Pixels, pixels_sha256


def load_picture(path: Path, height: int, width: int) -> tuple[str, Pixels]:
    """A picture at the walk's size, cropped to its shape, and the SHA-256 that a waypoint names it by.

    Raises InputError for a file that is missing or no picture.
    """
    try:
        data = path.read_bytes()
    except OSError as e:
        raise InputError(f"the picture {path} cannot be read: {e.strerror}") from e
    return fit_picture(read_picture(data, str(path)), height, width)


def fit_picture(picture: Image.Image, height: int, width: int) -> tuple[str, Pixels]:
    """An RGB picture as the walk has it: the middle of it, (height, width, 3)."""
    box = crop_box(picture.size, (width, height), (0.5, 0.5))
    pixels = np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS, box=box))
    return pixels_sha256(pixels), pixels
