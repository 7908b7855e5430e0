"""Pictures from and for the service."""

import io
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from momalisa.errors import InputError, StorageError

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """A PNG. Notebooks show it by itself."""

    png: bytes

    def pil(self) -> "Image.Image":
        """For Pillow."""
        from PIL import Image  # here, so that who only saves needs no Pillow

        return Image.open(io.BytesIO(self.png))

    def save(self, path: str | Path) -> Path:
        """Writes the PNG."""
        return write_file(Path(path), self.png)

    def _repr_png_(self) -> bytes:
        return self.png

    def __repr__(self) -> str:
        return f"Picture({len(self.png)} bytes)"


PictureLike = Picture | bytes | Path | str
"""A picture, its file's bytes or path; also Pillow's `Image` wherever one of these is taken."""


def encode(picture: "PictureLike | Image.Image") -> tuple[bytes, str]:
    """A picture's bytes as the service takes them (PNG, JPEG, WebP), with their media type.

    Raises InputError for what is none.
    """
    if isinstance(picture, Picture):
        return picture.png, "image/png"
    if isinstance(picture, str | Path):
        try:
            picture = Path(picture).read_bytes()
        except OSError as e:
            raise InputError(f"the picture cannot be read: {e}") from e
    if isinstance(picture, bytes):
        media_type = _media_type(picture)
        return (picture, media_type) if media_type else (_as_png(picture), "image/png")
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue(), "image/png"


def is_picture(thing: object) -> bool:
    """Whether `encode` takes it; a string might as well be a prompt."""
    from PIL import Image

    return isinstance(thing, Picture | bytes | Path | Image.Image)


def write_file(path: Path, content: bytes) -> Path:
    """All of it or nothing. Raises StorageError."""
    partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except OSError as e:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise StorageError(f"{path} cannot be written: {e}") from e
    return path


def _media_type(content: bytes) -> str | None:
    if content.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if content.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return None


def _as_png(content: bytes) -> bytes:
    from PIL import Image, ImageOps, UnidentifiedImageError

    png = io.BytesIO()
    try:
        with Image.open(io.BytesIO(content)) as image:
            ImageOps.exif_transpose(image).convert("RGB").save(png, format="PNG")
    except (UnidentifiedImageError, OSError) as e:
        raise InputError("this is no picture: take a PNG, JPEG or WebP") from e
    return png.getvalue()
