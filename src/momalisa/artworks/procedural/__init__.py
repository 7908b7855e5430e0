"""Captioned abstract pictures, painted from a seed: what the miniature model learns from.

`sample(seed)` chooses a manner and two colours and paints; `write_folder` makes a folder in the form
that `jobs/prepare.py` reads. Needs no torch.
"""

from momalisa.artworks.procedural.colours import COLOURS
from momalisa.artworks.procedural.drawing import (
    HELD_OUT_MANNERS,
    MANNERS,
    TRAINED_MANNERS,
    Drawing,
    draw,
    is_held_out,
    sample,
    write_folder,
)

__all__ = [
    "COLOURS",
    "HELD_OUT_MANNERS",
    "MANNERS",
    "TRAINED_MANNERS",
    "Drawing",
    "draw",
    "is_held_out",
    "sample",
    "write_folder",
]
