"""Abstract pictures with captions, painted from a seed: the drawings that `tiny` learns from.

A manner is a way of painting that art lovers know by sight; each takes a foreground and a ground.
Only numpy and Pillow are needed.
"""

from momalisa.artworks.procedural.captions import KEYWORDS, all_captions
from momalisa.artworks.procedural.drawing import (
    HELD_OUT_MANNERS,
    MANNERS,
    TRAIN_MANNERS,
    Drawing,
    Subject,
    choose,
    contact_sheet,
    draw,
    is_held_out,
    sample,
    write_folder,
)
from momalisa.artworks.procedural.palette import COLORS

__all__ = [
    "COLORS",
    "HELD_OUT_MANNERS",
    "KEYWORDS",
    "MANNERS",
    "TRAIN_MANNERS",
    "Drawing",
    "Subject",
    "all_captions",
    "choose",
    "contact_sheet",
    "draw",
    "is_held_out",
    "sample",
    "write_folder",
]
