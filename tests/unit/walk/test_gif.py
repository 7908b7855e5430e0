"""GIFs, read back by Pillow."""

import io
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from momalisa.artworks.procedural import draw
from momalisa.errors import ConfigError
from momalisa.walk.gif import delays_cs, write_gif
from momalisa.walk.palette import Histogram, Quantizer, choose_palette, to_oklab


def moving(count: int, size: int = 48) -> list["np.ndarray"]:
    """A picture that slides over another."""
    back, front = (
        np.asarray(draw(seed, size, manner, "red", "white")) for seed, manner in ((1, "dots"), (2, "circles"))
    )
    return [np.concatenate([front[:, : i + 1], back[:, i + 1 :]], axis=1) for i in range(count)]


def read(content: bytes) -> tuple[list["np.ndarray"], list[int]]:
    image = Image.open(io.BytesIO(content))
    frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(image)]
    durations = []
    for index in range(image.n_frames):
        image.seek(index)
        durations.append(image.info["duration"])
    return frames, durations


def written(frames: list["np.ndarray"], durations: list[float], **settings: object) -> bytes:
    file = io.BytesIO()
    write_gif(file, lambda: frames, durations, **settings)
    return file.getvalue()


def test_every_frame_comes_back_near_its_colours() -> None:
    frames = moving(12)
    content = written(frames, [0.05] * 12, comment="walk " * 100)
    read_frames, durations = read(content)
    assert durations == [50] * 12
    assert b"NETSCAPE2.0" in content
    assert Image.open(io.BytesIO(content)).info["comment"] == b"walk " * 100
    for found, wanted in zip(read_frames, frames, strict=True):
        assert np.abs(found.astype(int) - wanted).mean() < 5


def test_what_does_not_change_costs_next_to_nothing() -> None:
    still = [moving(1)[0]] * 20
    assert len(written(still, [0.1] * 20)) < len(written(still[:1], [0.1])) + 20 * 40
    frames, durations = read(written(still, [0.1] * 20))
    assert all((frame == frames[0]).all() for frame in frames)
    assert sum(durations) == 2000


def test_delays_are_whole_and_their_sum_is_true() -> None:
    assert set(delays_cs([1 / 24] * 24)) == {4, 5}
    assert sum(delays_cs([1 / 24] * 24)) == 100
    assert min(delays_cs([0.001] * 5)) == 2
    assert delays_cs([0.05, 2.0, 0.05]) == [5, 200, 5]


def test_few_colours_come_back_exactly() -> None:
    rng = np.random.default_rng(0)
    colors = rng.integers(0, 256, (20, 3), dtype=np.uint8)
    frame = colors[rng.integers(0, 20, (32, 32))]
    (found,), _ = read(written([frame], [0.1]))
    assert np.abs(found.astype(int) - frame).max() <= 4


def test_a_palette_serves_small_things_too() -> None:
    histogram = Histogram()
    picture = np.asarray(Image.linear_gradient("L").convert("RGB").resize((256, 256))).copy()
    picture[:4, :4] = (255, 0, 0)
    histogram.add(picture)
    palette = choose_palette(histogram, 16)
    assert len(palette) <= 16
    assert np.abs(palette.astype(int) - (255, 0, 0)).sum(axis=1).min() < 30


def test_the_dither_stands_still() -> None:
    gradient = np.asarray(Image.radial_gradient("L").convert("RGB").resize((64, 64)))
    histogram = Histogram()
    histogram.add(gradient)
    quantizer = Quantizer(choose_palette(histogram, 12))
    again = np.concatenate([gradient, gradient[:, :8]], axis=1)
    assert (quantizer.indices(gradient) == quantizer.indices(again)[:, :64]).all()
    dithered = quantizer.palette[quantizer.indices(gradient)].astype(float)
    plain = Quantizer(quantizer.palette, strength=0.0)
    flat = plain.palette[plain.indices(gradient)].astype(float)

    def coarse_error(picture: "np.ndarray") -> float:
        return float(np.abs((picture - gradient).reshape(8, 8, 8, 8, 3).mean(axis=(1, 3))).mean())

    assert coarse_error(dithered) < coarse_error(flat)


def test_oklab_is_what_its_author_says() -> None:
    white, red = to_oklab(np.array([[255, 255, 255], [255, 0, 0]]))
    assert white == pytest.approx([1, 0, 0], abs=1e-3)
    assert red == pytest.approx([0.628, 0.225, 0.126], abs=1e-3)


def test_memory_does_not_grow_with_frames() -> None:
    def peak(count: int) -> int:
        def frames() -> Iterator["np.ndarray"]:
            for i in range(count):
                yield np.full((400, 400, 3), i % 256, dtype=np.uint8)

        tracemalloc.start()
        with Path("/dev/null").open("wb") as nowhere:
            write_gif(nowhere, frames, [0.05] * count)
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(2)
    assert peak(120) < 1.1 * peak(20)  # a hundred frames are 48 MB


def test_durations_must_fit_the_frames() -> None:
    with pytest.raises(ConfigError, match="3 frames and 2 durations"):
        written(moving(3), [0.1, 0.1])
    with pytest.raises(ConfigError, match="at least one frame"):
        written([], [])
