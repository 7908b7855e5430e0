"""Visitors' pictures: known by what they are and not by what they are called, upright, plain RGB, without metadata."""

import asyncio
from dataclasses import dataclass

from PIL import Image

from momalisa.artworks.images import as_png, read_picture
from momalisa.errors import TooLargeError, UnsupportedMediaError
from momalisa.service.config import Limits

MEDIA_TYPES = ("image/png", "image/jpeg", "image/webp")
_AT_ONCE = 2
"""A phone's picture takes some 300 MB while it is decoded."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A picture as it is kept."""

    png: bytes
    width: int
    height: int


class Uploads:
    """Reads pictures in threads, few at a time."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._seats = asyncio.Semaphore(_AT_ONCE)

    async def read(self, data: bytes) -> Upload:
        """Raises UnsupportedMediaError, TooLargeError, and InputError for a picture that is broken or too large."""
        if len(data) > self._limits.max_upload_bytes:
            raise TooLargeError(f"the picture is too large: send at most {self._limits.max_upload_bytes} bytes")
        async with self._seats:
            return await asyncio.to_thread(read_upload, data, self._limits)


def read_upload(data: bytes, limits: Limits) -> Upload:
    """As `Uploads.read`."""
    if sniff(data) is None:
        raise UnsupportedMediaError(f"this is none of {', '.join(MEDIA_TYPES)}: send one of these")
    picture = read_picture(data, "the picture", max_pixels=limits.max_upload_pixels)
    picture.thumbnail((limits.max_kept_side, limits.max_kept_side), Image.Resampling.LANCZOS)
    return Upload(as_png(picture), picture.width, picture.height)


def sniff(data: bytes) -> str | None:
    """The media type of what the bytes begin with, where it is one that we take."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return None
