import io

import numpy as np
import pytest
from PIL import Image

from momalisa.artworks.decoding import crop_box, decode_picture
from momalisa.errors import IntegrityError


def encode(picture, image_format="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def thirds(width=90, height=30):
    """Red, green and blue from left to right."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    for channel in range(3):
        pixels[:, channel * width // 3 : (channel + 1) * width // 3, channel] = 255
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("crop", "channel"), [((0.0, 0.5), 0), ((0.5, 0.5), 1), ((1.0, 0.5), 2)])
def test_the_crop_lies_where_it_should(crop, channel):
    pixels = decode_picture(encode(thirds()), (16, 16), name="x", crop=crop)
    assert pixels.shape == (16, 16, 3)
    assert pixels.dtype == np.uint8
    expected = np.zeros(3)
    expected[channel] = 255
    np.testing.assert_array_equal(pixels[8, 8], expected)


def test_flip():
    data = encode(thirds())
    plain = decode_picture(data, (30, 10), name="x")
    np.testing.assert_array_equal(decode_picture(data, (30, 10), name="x", flip=True), plain[:, ::-1])
    assert plain[5, 2].tolist() == [255, 0, 0]


def test_size_is_width_by_height():
    assert decode_picture(encode(thirds()), (24, 16), name="x").shape == (16, 24, 3)


def test_the_same_size_is_left_as_it_is():
    picture = thirds(32, 32)
    np.testing.assert_array_equal(decode_picture(encode(picture), (32, 32), name="x"), np.asarray(picture))


def test_a_large_jpeg_decoded_small_looks_like_one_decoded_whole():
    noise = np.random.default_rng(0).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    picture = Image.fromarray(noise).resize((900, 700), Image.Resampling.BICUBIC)
    data = encode(picture, "JPEG", quality=95)
    whole = (
        Image.open(io.BytesIO(data)).convert("RGB").resize((64, 64), Image.Resampling.LANCZOS, box=(100, 0, 800, 700))
    )
    difference = np.abs(decode_picture(data, (64, 64), name="x").astype(int) - np.asarray(whole).astype(int))
    assert difference.mean() < 1.5
    assert difference.max() < 16


@pytest.mark.parametrize("mode", ["L", "P", "CMYK"])
def test_other_modes_become_rgb(mode):
    picture = Image.new("RGB", (20, 20), (200, 200, 200))
    picture = picture.quantize(4) if mode == "P" else picture.convert(mode)
    data = encode(picture, "JPEG" if mode == "CMYK" else "PNG")
    assert np.abs(decode_picture(data, (8, 8), name="x").astype(int) - 200).max() <= 3


@pytest.mark.parametrize("cut", [0, 10, 200])
def test_what_cannot_be_decoded_is_named(cut):
    data = encode(Image.effect_noise((64, 64), 50), "PNG")[:cut]
    with pytest.raises(IntegrityError, match=r"lost\.png"):
        decode_picture(data, (8, 8), name="lost.png")


@pytest.mark.parametrize("crop", [(0.0, 0.0), (0.3, 0.9), (1.0, 1.0)])
@pytest.mark.parametrize("full", [(1, 1), (7, 100), (843, 600), (3, 2)])
@pytest.mark.parametrize("size", [(8, 8), (640, 384)])
def test_boxes_lie_within_the_picture_and_have_the_shape(full, size, crop):
    left, top, right, bottom = crop_box(full, size, crop)
    assert 0 <= left < right <= full[0]
    assert 0 <= top < bottom <= full[1]
    assert (right - left) / (bottom - top) == pytest.approx(size[0] / size[1])
    assert right - left == pytest.approx(full[0]) or bottom - top == pytest.approx(full[1])
