"""Pictures of any kind to plain RGB, and why some cannot be used."""

import hashlib
import io
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MAX_PIXELS = 100_000_000
MIN_SIDE = 32
KEPT_FORMATS = ("JPEG", "PNG", "WEBP")


class UnusableImageError(Exception):
    """A picture that goes to the quarantine; the message is the reason. Never leaves `artworks`."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """A picture as RGB, upright, and whether its file gives the same when simply opened."""

    image: Image.Image
    keeps_file: bool

    @property
    def hash(self) -> str:
        """SHA-256 of size and pixels, hexadecimal: what makes two pictures the same."""
        header = f"{self.image.width}x{self.image.height}:".encode()
        return hashlib.sha256(header + self.image.tobytes()).hexdigest()


def decode(data: bytes, *, min_side: int = MIN_SIDE, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """RGB pixels, upright: the first frame, over white where it is transparent, 16 bits scaled to 8.

    Raises UnusableImageError with the reason.
    """
    if not data:
        raise UnusableImageError("empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is judged here by size and by decoding
        try:
            opened = Image.open(io.BytesIO(data))
        except Image.DecompressionBombError as e:
            raise UnusableImageError(f"too large: more than {max_pixels} pixels") from e
        except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as e:
            raise UnusableImageError("not an image") from e
        _check_size(opened, min_side, max_pixels)
        try:
            opened.load()
            image = _to_rgb(ImageOps.exif_transpose(opened))
        except (OSError, SyntaxError, ValueError, EOFError, IndexError, MemoryError) as e:
            raise UnusableImageError(f"broken: {e}") from e
    plain = opened.mode == "RGB" and opened.format in KEPT_FORMATS and getattr(opened, "n_frames", 1) == 1
    upright = opened.getexif().get(0x0112, 1) == 1
    return DecodedImage(image, keeps_file=plain and upright and "transparency" not in opened.info)


def encode(decoded: DecodedImage, data: bytes) -> bytes:
    """The file itself where it is plain, else a PNG of the pixels."""
    if decoded.keeps_file:
        return data
    buffer = io.BytesIO()
    decoded.image.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def channel_sums(image: Image.Image) -> tuple[int, list[int], list[int]]:
    """Pixels, and by channel the sums of values and of squares: exact, so that their order is no matter."""
    pixels = np.asarray(image, dtype=np.uint64).reshape(-1, 3)
    return len(pixels), pixels.sum(axis=0).tolist(), (pixels * pixels).sum(axis=0).tolist()


def _check_size(image: Image.Image, min_side: int, max_pixels: int) -> None:
    """From the header, before a pixel is decoded."""
    width, height = image.size
    if width * height > max_pixels:
        raise UnusableImageError(f"too large: {width}x{height} is more than {max_pixels} pixels")
    if min(width, height) < min_side:
        raise UnusableImageError(f"too small: {width}x{height}, the shorter side must have {min_side} pixels")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I;16", "I")):
        return _from_sixteen_bits(image)
    if image.mode == "F":
        raise ValueError("floating-point pixels without a known range")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _from_sixteen_bits(image: Image.Image) -> Image.Image:
    """Scaled, where Pillow's own conversion would clip everything above 255 to white."""
    values: Any = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray((values // 257).astype(np.uint8)).convert("RGB")
