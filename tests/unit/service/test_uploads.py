import hashlib
import io
import struct
import zlib
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from momalisa.service.config import Limits
from momalisa.service.uploads import read_upload, sniff
from tests.support.fake_walks import FakeWalks
from tests.unit.service.conftest import MakeApp, client_of, fields_of, problem_of

RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(kind: str, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size, RED if mode == "RGB" else None).save(buffer, format=kind, **options)
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """A PNG of a few bytes that says it is as large as a hall."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0" * 10**6))
        + chunk(b"IEND", b"")
    )


def send(client: TestClient, data: bytes, media_type: str = "image/png") -> Any:
    return client.post("/v1/pictures", content=data, headers={"Content-Type": media_type})


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_kept_as_png(kiosk: TestClient, walks: FakeWalks, kind: str) -> None:
    response = send(kiosk, picture(kind), f"image/{kind.lower()}; x=y")

    (kept,) = walks.pictures.values()
    assert response.status_code == 201
    assert response.json() == {"id": hashlib.sha256(kept).hexdigest(), "width": 64, "height": 48}
    assert sniff(kept) == "image/png"


def test_a_picture_is_turned_upright_and_loses_what_it_tells() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "the camera's maker"
    sides = Image.new("RGB", (64, 48), BLUE)
    sides.paste(RED, (0, 0, 64, 24))
    buffer = io.BytesIO()
    sides.save(buffer, format="JPEG", exif=exif, comment=b"at home", quality=95)

    upload = read_upload(buffer.getvalue(), Limits())

    with Image.open(io.BytesIO(upload.png)) as kept:
        kept.load()
        assert (upload.width, upload.height) == kept.size == (48, 64)
        assert kept.getpixel((40, 32))[0] > 200  # type: ignore[index]
        assert not kept.info
        assert not kept.getexif()
    assert b"maker" not in upload.png
    assert b"at home" not in upload.png


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "I;16", "1"])
def test_a_picture_of_any_mode_becomes_rgb(mode: str) -> None:
    upload = read_upload(picture("PNG", mode=mode), Limits())

    with Image.open(io.BytesIO(upload.png)) as kept:
        assert kept.mode == "RGB"


def test_a_large_picture_is_kept_smaller() -> None:
    upload = read_upload(picture("PNG", (400, 100)), Limits(max_kept_side=200))

    assert (upload.width, upload.height) == (200, 50)


@pytest.mark.parametrize(("width", "height"), [(100_000, 100_000), (50_001, 1000), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_by_its_header(kiosk: TestClient, walks: FakeWalks, width: int, height: int) -> None:
    response = send(kiosk, bomb(width, height))

    assert problem_of(response, 422, "invalid_request")
    assert not walks.pictures


@pytest.mark.parametrize("data", [picture("GIF"), picture("TIFF"), b"<svg/>", b"%PDF-1.7", b"", b"RIFF\0\0\0\0WAVE"])
def test_what_is_no_png_jpeg_or_webp_is_unsupported_whatever_it_is_called(kiosk: TestClient, data: bytes) -> None:
    problem_of(send(kiosk, data), 415, "unsupported_media")


@pytest.mark.parametrize("media_type", ["image/gif", "multipart/form-data", "application/json", ""])
def test_what_is_called_something_else_is_unsupported(kiosk: TestClient, media_type: str) -> None:
    problem_of(send(kiosk, picture("PNG"), media_type), 415, "unsupported_media")


@pytest.mark.parametrize(
    "data", [picture("PNG")[:60], picture("JPEG")[:100], b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", picture("PNG", (8, 8))]
)
def test_a_picture_that_is_broken_or_too_small_is_refused(kiosk: TestClient, data: bytes) -> None:
    problem_of(send(kiosk, data), 422, "invalid_request")


def test_a_picture_of_too_many_bytes_is_refused(make_app: MakeApp) -> None:
    client = client_of(make_app(limits=Limits(max_upload_bytes=1000)), key="kiosk-key")

    problem_of(send(client, picture("PNG") + b"x" * 1000), 413, "too_large")


def test_a_picture_is_drawn(kiosk: TestClient, walks: FakeWalks) -> None:
    response = kiosk.post("/v1/images", json={"prompt": "blue", "model": "monet", "seed": 7, "height": 128})

    assert response.headers["content-type"] == "image/png"
    assert sniff(response.content) == "image/png"
    assert (walks.drawn[0].model, walks.drawn[0].seed, walks.drawn[0].height) == ("monet", 7, 128)


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "prompt"),
        ({"prompt": " "}, "prompt"),
        ({"prompt": "x" * 501}, "prompt"),
        ({"prompt": "a", "model": "x"}, "model"),
        ({"prompt": "a", "width": 2048}, "width"),
        ({"prompt": "a", "num_inference_steps": 100}, "num_inference_steps"),
        ({"prompt": "a", "style": "x"}, "style"),
    ],
)
def test_a_picture_that_cannot_be_drawn(kiosk: TestClient, asked: dict[str, Any], field: str) -> None:
    assert list(fields_of(kiosk.post("/v1/images", json=asked))) == [field]


def test_refused_words_are_not_drawn(kiosk: TestClient, walks: FakeWalks) -> None:
    problem_of(kiosk.post("/v1/images", json={"prompt": "fuck"}), 422, "refused_words")
    assert not walks.drawn
