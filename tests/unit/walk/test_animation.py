"""Animations, read back by the libraries that people open them with."""

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from momalisa.errors import ConfigError, InputError
from momalisa.walk.animation import Animation, read_text, write_animation, write_pngs

TEXT = '{"momalisa":"1","request":"' + "x" * 4000 + '"}'


def frames(side: int = 24) -> list["np.ndarray"]:
    ramp = np.linspace(0, 255, side)
    return [
        np.stack([np.tile(ramp, (side, 1)), np.full((side, side), 40.0 * i), np.full((side, side), 90.0)], axis=-1)
        .round()
        .astype(np.uint8)
        for i in range(5)
    ]


def animation(**settings: object) -> Animation:
    usual = {"frames": frames, "durations_s": [0.05, 0.05, 0.5, 0.05, 0.25], "text": TEXT}
    return Animation(**{**usual, **settings})  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["walk.gif", "walk.mp4", "walk.webp"])
def test_the_text_comes_back(folder: Path, name: str) -> None:
    write_animation(animation(), folder / name)
    assert read_text(folder / name) == TEXT
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize("name", ["walk.gif", "walk.webp"])
def test_pillow_shows_the_frames_as_long_as_they_stand(folder: Path, name: str) -> None:
    write_animation(animation(), folder / name)
    with Image.open(folder / name) as picture:
        shown = [
            (np.asarray(frame.convert("RGB")).astype(int), frame.info["duration"])
            for frame in ImageSequence.Iterator(picture)
        ]
        assert picture.info["loop"] == 0
    assert [duration for _, duration in shown] == [50, 50, 500, 50, 250]
    for (found, _), expected in zip(shown, frames(), strict=True):
        assert np.abs(found - expected).mean() < 6


def mp4_frames(path: Path) -> Iterator[tuple["np.ndarray", float]]:
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24").astype(int), float(frame.pts * frame.time_base)


def test_mp4_is_h264_with_the_times_of_the_walk(folder: Path) -> None:
    write_animation(animation(frames=lambda: frames(25)), folder / "walk.mp4")
    shown = list(mp4_frames(folder / "walk.mp4"))
    assert [time for _, time in shown] == pytest.approx([0, 0.05, 0.1, 0.6, 0.65], abs=1e-3)
    for (found, _), expected in zip(shown, frames(25), strict=True):
        assert found.shape == (26, 26, 3)
        assert np.abs(found[:25, :25] - expected).mean() < 12
    with av.open(str(folder / "walk.mp4")) as container:
        assert container.duration / av.time_base == pytest.approx(0.9, abs=0.01)


def test_pngs_are_the_frames_without_loss(folder: Path) -> None:
    paths = write_pngs(animation(), folder / "frames")
    assert [path.name for path in paths] == [f"frame-000{i}.png" for i in range(5)]
    for path, expected in zip(paths, frames(), strict=True):
        assert (np.asarray(Image.open(path)) == expected).all()
        assert read_text(path) == TEXT


def test_enlarged_pixels_are_squares(folder: Path) -> None:
    (path, *_) = write_pngs(animation(enlarge=3), folder)
    assert (np.asarray(Image.open(path)) == np.kron(frames()[0], np.ones((3, 3, 1), dtype=np.uint8))).all()


def test_a_failed_write_leaves_nothing_and_no_half_file(folder: Path) -> None:
    def failing() -> Iterator["np.ndarray"]:
        yield frames()[0]
        raise OSError("the bucket is gone")

    (folder / "walk.mp4").write_bytes(b"the one before")
    with pytest.raises(OSError, match="bucket is gone"):
        write_animation(animation(frames=failing), folder / "walk.mp4")
    assert [path.name for path in folder.iterdir()] == ["walk.mp4"]
    assert (folder / "walk.mp4").read_bytes() == b"the one before"


def test_other_files_are_refused_with_what_would_do(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"ends in \.gif, \.mp4, \.webp"):
        write_animation(animation(), folder / "walk.avi")
    for name in ("text.gif", "text.mp4"):
        (folder / name).write_text("no animation")
        with pytest.raises(InputError, match="no animation that can be read"):
            read_text(folder / name)
    with pytest.raises(InputError, match="there is no file"):
        read_text(folder / "missing.gif")
