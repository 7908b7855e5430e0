"""Our GIFs against ffmpeg's palettegen and paletteuse, of the same frames and at no more bytes.

    python tests/bench/gif.py [--walks 4] [--frames 60] [--json FILE]

- `gif_delta_e_ratio`: mean CIE76 ΔE of the shown pixels to the walk's, ours over ffmpeg's
- `gif_flicker_ratio`: temporal noise, the mean change of that error from frame to frame, ours over ffmpeg's
- `gif_bytes_ratio`: our bytes over ffmpeg's, at most 1
- `gif_memory_ratio`: peak memory of writing 600 frames over that of 60

ffmpeg's filters are run through PyAV, with their defaults: one palette of all frames, sierra2_4a error diffusion. Its
ordered dither (bayer) is listed beside it.
"""

import argparse
import io
import json
import statistics
import sys
import tempfile
import tracemalloc
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageSequence

sys.path.insert(0, str(Path(__file__).parents[2]))  # the folder of `tests`, when this file is run by itself

from momalisa.artworks.procedural import choose, draw
from momalisa.diffusion.loading import load_components
from momalisa.walk.gif import write_gif
from tests.bench.walk_sides import choose_pairs, ours, request_of

_DITHERS = {"sierra2_4a": "dither=sierra2_4a", "bayer": "dither=bayer:bayer_scale=3"}
_FPS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--walks", type=int, default=4)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--json", type=Path, metavar="FILE")
    flags = parser.parse_args()
    components = load_components(flags.model)
    rows = [
        compare(ours(components, request_of(pair, num_frames=flags.frames)).frames)
        for pair in choose_pairs(flags.walks)
    ]
    record = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    record["gif_memory_ratio"] = peak_memory(600) / peak_memory(60)
    for name, value in record.items():
        print(f"{name:32s}{value:10.3f}")
    if flags.json:
        flags.json.write_text(json.dumps(record, indent=1))
    reached = all(record[f"gif_{name}_ratio"] <= 1 for name in ("delta_e", "flicker", "bytes"))
    return 0 if reached and record["gif_memory_ratio"] <= 1.1 else 1


def compare(frames: Any) -> dict[str, float]:
    """Ratios for one walk, ours over ffmpeg's."""
    mine = io.BytesIO()
    write_gif(mine, lambda: frames, [1 / _FPS] * len(frames))
    error, flicker = errors(frames, mine.getvalue())
    row = {}
    for name, dither in _DITHERS.items():
        theirs = ffmpeg_gif(frames, dither)
        their_error, their_flicker = errors(frames, theirs)
        suffix = "" if name == "sierra2_4a" else f"_{name}"
        row[f"gif_delta_e_ratio{suffix}"] = error / their_error
        row[f"gif_flicker_ratio{suffix}"] = flicker / their_flicker
        row[f"gif_bytes_ratio{suffix}"] = len(mine.getvalue()) / len(theirs)
        row[f"delta_e_ffmpeg{suffix}"] = their_error
    return {**row, "delta_e": error, "kib": len(mine.getvalue()) / 1024}


def ffmpeg_gif(frames: Any, dither: str) -> bytes:
    """`ffmpeg -lavfi "split[a][b];[a]palettegen[p];[b][p]paletteuse=…"`."""
    height, width = frames.shape[1:3]
    graph = av.filter.Graph()
    size, rate = f"{width}x{height}", f"1/{_FPS}"
    source = graph.add("buffer", f"video_size={size}:pix_fmt=rgb24:time_base={rate}:pixel_aspect=1/1")
    split, palette = graph.add("split"), graph.add("palettegen", "stats_mode=full")
    use, sink = graph.add("paletteuse", dither), graph.add("buffersink")
    source.link_to(split)
    split.link_to(palette, 0, 0)
    split.link_to(use, 1, 0)
    palette.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    with tempfile.NamedTemporaryFile(suffix=".gif") as file:
        with av.open(file.name, "w") as container:
            stream = container.add_stream("gif", rate=_FPS)
            stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
            for coded in _through(graph, source, sink, frames):
                container.mux(stream.encode(coded))
            container.mux(stream.encode(None))
        return Path(file.name).read_bytes()


def _through(graph: Any, source: Any, sink: Any, frames: Any) -> Iterator[Any]:
    for number, pixels in enumerate(frames):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, _FPS)
        source.push(frame)
    source.push(None)
    while True:
        try:
            yield sink.pull()
        except (av.error.EOFError, av.error.BlockingIOError):
            return


def errors(frames: Any, gif: bytes) -> tuple[float, float]:
    """Mean ΔE of what a GIF shows, and the mean change of its error from frame to frame."""
    with Image.open(io.BytesIO(gif)) as picture:
        shown = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(picture)]
    assert len(shown) == len(frames), f"{len(shown)} frames of {len(frames)} came back"
    differences = [to_lab(found) - to_lab(wanted) for found, wanted in zip(shown, frames, strict=True)]
    error = float(np.mean([_length(difference) for difference in differences]))
    changes = [_length(after - before) for before, after in pairwise(differences)]
    return error, float(np.mean(changes))


def to_lab(rgb: Any) -> Any:
    """CIE L*a*b* of sRGB under D65."""
    encoded = rgb.astype(np.float64) / 255
    linear = np.where(encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4)
    matrix = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    xyz = linear @ np.array(matrix).T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], axis=-1)


def peak_memory(count: int) -> float:
    """Bytes that writing so many frames takes at most; they go to and fro, so that more frames are no other ones."""
    subject = choose(1)
    picture = np.asarray(draw(1, 512, subject.manner, subject.foreground, subject.ground))

    def frames() -> Iterator[Any]:
        return (np.roll(picture, abs(i % 60 - 30), axis=1) for i in range(count))

    tracemalloc.start()
    with tempfile.TemporaryFile() as file:
        write_gif(file, frames, [0.05] * count)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def _length(difference: Any) -> float:
    return float(np.sqrt((difference**2).sum(axis=-1)).mean())


if __name__ == "__main__":
    sys.exit(main())
