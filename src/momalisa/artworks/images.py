"""Pictures of any kind to plain RGB, and why some cannot be used."""

import hashlib
import io
import struct
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

from momalisa.errors import InputError

MAX_PIXELS = 100_000_000
MIN_SIDE = 32
PILLOW_MAX_PIXELS = 178_956_970
"""Above it Pillow itself refuses to open a picture."""

_READ_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP", "DIB", "JPEG2000", "PPM", "AVIF", "ICO", "TGA", "PSD")
"""No EPS, PDF, WMF and such: they run other programs on what they find."""
_KEPT_FORMATS = ("JPEG", "MPO", "PNG", "WEBP")
_ORIENTATION = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIXTEEN_BITS = ("I", "I;16", "I;16L", "I;16B", "I;16N")
_STRIP_PIXELS = 1 << 22
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    struct.error,
)
"""What Pillow's decoders raise on damaged bytes. MemoryError is not of it: that is the machine's trouble."""


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
        width, height = self.image.size
        digest = hashlib.sha256(f"{width}x{height}:".encode())
        rows = max(1, _STRIP_PIXELS // width)  # in strips: a second copy of a large picture is never made
        for top in range(0, height, rows):
            digest.update(self.image.crop((0, top, width, min(height, top + rows))).tobytes())
        return digest.hexdigest()


def decode(data: bytes, *, min_side: int = MIN_SIDE, max_pixels: int = MAX_PIXELS) -> DecodedImage:
    """RGB pixels, upright: the first frame, over white where it is transparent, 16 bits scaled to 8.

    Raises UnusableImageError with the reason. The size is judged by the header, before a pixel is decoded.
    """
    if not data:
        raise UnusableImageError("empty file")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is judged here by size and by decoding
        opened = _open(data, max_pixels)
        _check_size(opened, min_side, max_pixels)
        try:
            opened.load()
            orientation = opened.getexif().get(_ORIENTATION, 1)
            image = _to_rgb(opened)
            keeps_file = _is_plain(opened) and orientation not in _UPRIGHT
        except _DAMAGE as e:
            raise UnusableImageError(f"broken or truncated: {_in_words(e)}") from e
    if orientation in _UPRIGHT:
        image = image.transpose(_UPRIGHT[orientation])
    return DecodedImage(image, keeps_file)


def encode(decoded: DecodedImage, data: bytes) -> bytes:
    """The file itself where it is plain, else a PNG of the pixels."""
    return data if decoded.keeps_file else as_png(decoded.image)


def as_png(image: Image.Image) -> bytes:
    """The bytes of a PNG file, without any metadata."""
    plain = image.copy() if image.info else image
    plain.info = {}
    buffer = io.BytesIO()
    plain.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()


def channel_sums(image: Image.Image) -> tuple[int, list[int], list[int]]:
    """Pixels, and by channel the sums of values and of squares: exact, so that their order is no matter."""
    counts = np.array(image.histogram(), dtype=np.int64).reshape(3, 256)
    values = np.arange(256, dtype=np.int64)
    return image.width * image.height, (counts @ values).tolist(), (counts @ (values * values)).tolist()


def read_picture(data: bytes, name: str, *, max_pixels: int = MAX_PIXELS) -> Image.Image:
    """As `decode`, for one picture that somebody gives: raises InputError with the reason."""
    try:
        return decode(data, max_pixels=max_pixels).image
    except UnusableImageError as e:
        raise InputError(f"{name} cannot be used: {e}") from e


def _open(data: bytes, max_pixels: int) -> Image.Image:
    Image.init()
    formats = [name for name in _READ_FORMATS if name in Image.OPEN]
    try:
        return Image.open(io.BytesIO(data), formats=formats)
    except Image.DecompressionBombError as e:
        raise UnusableImageError(f"too large: more than {max_pixels} pixels") from e
    except (UnidentifiedImageError, *_DAMAGE) as e:
        raise UnusableImageError("not an image") from e


def _check_size(image: Image.Image, min_side: int, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise UnusableImageError(f"too large: {width}x{height} is more than {max_pixels} pixels")
    if min(width, height) < min_side:
        raise UnusableImageError(f"too small: {width}x{height}, the shorter side must have {min_side} pixels")


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BITS:
        return _from_sixteen_bits(image)
    if image.mode == "F":
        raise UnusableImageError("unsupported: floating-point pixels, whose range is not known")
    if image.mode == "CMYK" and image.format == "JPEG" and "adobe" not in image.info:
        # Adobe's programs store CMYK inverted and say so; Pillow takes every CMYK JPEG for one of theirs.
        image = ImageChops.invert(image)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layer = image.convert("RGBA")
        white = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, layer).convert("RGB")
    return image.convert("RGB")


def _is_plain(opened: Image.Image) -> bool:
    """Whether whoever opens the file sees RGB pixels, and no others than we do."""
    if opened.format not in _KEPT_FORMATS or opened.mode != "RGB" or "transparency" in opened.info:
        return False
    # The second picture of an MPO (phones make them) is no second frame: all the world shows the first.
    return opened.format == "MPO" or getattr(opened, "n_frames", 1) == 1


def _from_sixteen_bits(image: Image.Image) -> Image.Image:
    """Scaled, where Pillow's own conversion would clip everything above 255 to white."""
    values: Any = np.asarray(image).astype(np.int32)
    if values.min() < 0 or values.max() > 65535:
        raise UnusableImageError("unsupported: 32-bit pixels, whose range is not known")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8)).convert("RGB")


def _in_words(error: Exception) -> str:
    """The decoder's complaint in one line; some have none."""
    return " ".join(str(error).split())[:120] or type(error).__name__
