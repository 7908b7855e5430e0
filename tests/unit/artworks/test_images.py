import contextlib
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from momalisa.artworks.images import DecodedImage, UnusableImageError, channel_sums, decode, encode


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


@pytest.mark.parametrize("orientation", range(2, 9))
def test_every_orientation_is_set_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = picture()
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    data = encoded(upright.transpose(turned), exif=exif.tobytes())
    assert decode(data).image.tobytes() == upright.tobytes()


def without_adobe_marker(jpeg: bytes) -> bytes:
    start = jpeg.index(b"\xff\xee")
    length = int.from_bytes(jpeg[start + 2 : start + 4], "big")
    return jpeg[:start] + jpeg[start + 2 + length :]


def test_cmyk_is_read_inverted_only_where_adobe_says_so() -> None:
    ink = Image.new("CMYK", (40, 40), (0, 0, 0, 0))  # no ink: white paper
    adobe = encoded(ink, "JPEG")
    assert b"Adobe" in adobe
    assert decode(adobe).image.getpixel((5, 5)) == (255, 255, 255)
    plain = without_adobe_marker(encoded(Image.new("CMYK", (40, 40), (255, 255, 255, 255)), "JPEG"))
    assert b"Adobe" not in plain
    assert decode(plain).image.getpixel((5, 5)) == (255, 255, 255)


def test_a_palette_with_transparency_is_put_on_white() -> None:
    palette = Image.new("P", (40, 40), 1)
    palette.putpalette([10, 20, 30, 200, 0, 0])
    assert decode(encoded(palette, transparency=1)).image.getpixel((5, 5)) == (255, 255, 255)
    assert decode(encoded(palette, transparency=0)).image.getpixel((5, 5)) == (200, 0, 0)


def test_a_transparent_colour_of_an_rgb_picture_is_put_on_white() -> None:
    data = encoded(Image.new("RGB", (40, 40), (1, 2, 3)), transparency=(1, 2, 3))
    decoded = decode(data)
    assert not decoded.keeps_file
    assert decoded.image.getpixel((5, 5)) == (255, 255, 255)


def test_pixels_of_unknown_range_are_refused() -> None:
    for image in (Image.new("F", (40, 40), 0.5), Image.new("I", (40, 40), 70_000)):
        with pytest.raises(UnusableImageError, match="unsupported"):
            decode(encoded(image, "TIFF"))


def test_programs_in_disguise_are_not_run() -> None:
    with pytest.raises(UnusableImageError, match="not an image"):
        decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n")


def test_the_second_picture_of_a_phone_is_no_animation() -> None:
    data = encoded(picture(), "MPO", save_all=True, append_images=[picture(24, 20)])
    decoded = decode(data)
    assert decoded.keeps_file
    assert decoded.image.size == (48, 40)


def test_an_animated_webp_is_stored_as_its_first_frame() -> None:
    data = encoded(picture(), "WEBP", save_all=True, append_images=[picture(48, 40).rotate(180)], lossless=True)
    decoded = decode(data)
    assert not decoded.keeps_file
    again = Image.open(io.BytesIO(encode(decoded, data)))
    assert again.format == "PNG"
    assert getattr(again, "n_frames", 1) == 1


@pytest.mark.parametrize("mode", ["L", "P", "1", "LA", "RGBA", "CMYK"])
def test_what_is_stored_opens_as_the_very_pixels(mode: str) -> None:
    data = encoded(picture().convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    decoded = decode(data)
    stored = Image.open(io.BytesIO(encode(decoded, data)))
    assert stored.mode == "RGB"
    assert stored.tobytes() == decoded.image.tobytes()


def test_the_hash_of_a_large_picture_is_that_of_its_pixels() -> None:
    image = Image.fromarray(np.random.default_rng(1).integers(0, 256, (2100, 2100, 3), dtype=np.uint8))
    expected = hashlib.sha256(b"2100x2100:" + image.tobytes()).hexdigest()
    assert DecodedImage(image, keeps_file=True).hash == expected


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF", "BMP"])
def test_damaged_bytes_never_end_in_another_error(kind: str) -> None:
    data = bytearray(encoded(picture(), kind))
    random = np.random.default_rng(5)
    for _ in range(60):
        damaged = bytearray(data)
        for position in random.integers(0, len(data), 12):
            damaged[position] = random.integers(0, 256)
        with contextlib.suppress(UnusableImageError):
            decode(bytes(damaged))
