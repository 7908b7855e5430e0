import io

import numpy as np
import pytest
from PIL import Image

from momalisa.artworks.images import UnusableImageError, channel_sums, decode, encode


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def picture(width: int = 48, height: int = 40) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_a_plain_picture_keeps_its_file() -> None:
    data = encoded(picture())
    decoded = decode(data)
    assert decoded.keeps_file
    assert encode(decoded, data) is data
    assert decoded.image.size == (48, 40)


def test_exif_orientation_is_applied() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    decoded = decode(encoded(picture(), "JPEG", exif=exif.tobytes(), quality=95))
    assert decoded.image.size == (40, 48)
    assert not decoded.keeps_file
    again = decode(encode(decoded, b""))
    assert again.hash == decoded.hash
    assert again.keeps_file


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "LA", "RGBA"])
def test_other_modes_become_rgb(mode: str) -> None:
    kind = "JPEG" if mode == "CMYK" else "PNG"
    decoded = decode(encoded(picture().convert(mode), kind))
    assert decoded.image.mode == "RGB"
    assert not decoded.keeps_file


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    ramp = np.linspace(0, 65535, 64 * 64, dtype=np.uint16).reshape(64, 64)
    pixels = np.asarray(decode(encoded(Image.fromarray(ramp))).image)
    assert pixels.min() == 0
    assert pixels.max() == 255
    assert len(np.unique(pixels)) == 256


def test_transparency_is_put_on_white() -> None:
    clear = Image.new("RGBA", (40, 40), (255, 0, 0, 0))
    assert decode(encoded(clear)).image.getpixel((5, 5)) == (255, 255, 255)


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decode(data).image.getpixel((5, 5)) == (255, 0, 0)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"hello, I am text", "not an image"),
        (encoded(picture())[:900], "broken"),
        (encoded(picture(), "JPEG")[:1000], "broken"),
        (encoded(picture(20, 400)), "too small: 20x400"),
        (encoded(picture(200, 200)), "too large: 200x200"),
    ],
)
def test_the_unusable_say_why(data: bytes, reason: str) -> None:
    with pytest.raises(UnusableImageError, match=reason):
        decode(data, max_pixels=30_000)


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    bomb = encoded(Image.new("1", (30_000, 30_000)))
    assert len(bomb) < 2_000_000
    with pytest.raises(UnusableImageError, match="too large"):
        decode(bomb)


def test_the_hash_is_of_pixels_not_of_files() -> None:
    image = picture()
    png, webp = decode(encoded(image)), decode(encoded(image, "WEBP", lossless=True))
    assert png.hash == webp.hash
    assert decode(encoded(image.transpose(Image.Transpose.ROTATE_180))).hash != png.hash


def test_channel_sums_are_exact() -> None:
    image = picture()
    count, sums, squares = channel_sums(image)
    pixels = np.asarray(image).astype(float)
    assert count == 48 * 40
    assert sums == [int(pixels[:, :, c].sum()) for c in range(3)]
    assert squares == [int((pixels[:, :, c] ** 2).sum()) for c in range(3)]
