"""A walk's frames as a file that plays: GIF, MP4 (H.264), WebP; or as PNGs, without loss.

Each carries a text that says how to make it again.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from momalisa.errors import ConfigError, InputError
from momalisa.walk.frames import Pixels
from momalisa.walk.gif import write_gif

Format = Literal["gif", "mp4", "webp"]
FORMATS: tuple[str, ...] = get_args(Format)

_MS = 1000
_PNG_KEY = "momalisa"
_WEBP_QUALITY = 90
_X264 = {"crf": "14", "preset": "slow", "bf": "0", "tune": "animation"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Animation:
    """Frames uint8 (H, W, 3) that can be gone through more than once, and how long each stands.

    `text` goes into the file; each pixel becomes a square of `enlarge` pixels.
    """

    frames: Callable[[], Iterable[Pixels]]
    durations_s: Sequence[float]
    text: str = ""
    enlarge: int = 1

    def enlarged(self) -> Iterator[Pixels]:
        """The frames as they are written."""
        for pixels in self.frames():
            yield pixels if self.enlarge == 1 else pixels.repeat(self.enlarge, axis=0).repeat(self.enlarge, axis=1)


def format_of(path: Path) -> Format:
    """By the file's ending; raises ConfigError for another."""
    ending = path.suffix.lower().removeprefix(".")
    if ending not in FORMATS:
        raise ConfigError(f"{path.name}: an animation ends in .{', .'.join(FORMATS)}")
    return ending  # type: ignore[return-value]


def write_animation(animation: Animation, path: Path) -> None:
    """Writes the file that its ending names; it appears whole. Of a WebP all frames are held, of others one."""
    writers = {"gif": _write_gif, "mp4": _write_mp4, "webp": _write_webp}
    writer = writers[format_of(path)]
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            writer(animation, file)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_pngs(animation: Animation, folder: Path) -> list[Path]:
    """Every frame as `frame-0000.png`, the text in each; those of a longer walk that was there are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in count(len(animation.durations_s)):
        if not (old := folder / f"frame-{number:04d}.png").exists():
            break
        old.unlink()
    paths = []
    for number, pixels in enumerate(animation.enlarged()):
        paths.append(folder / f"frame-{number:04d}.png")
        info = PngImagePlugin.PngInfo()
        info.add_itxt(_PNG_KEY, animation.text, zip=True)
        Image.fromarray(pixels).save(paths[-1], pnginfo=info)
    return paths


def read_text(path: Path) -> str:
    """The text of an animation or frame; empty where it has none. Raises InputError for a file that is neither."""
    if not path.is_file():
        raise InputError(f"there is no file {path}")
    try:
        return _mp4_text(path) if path.suffix.lower() == ".mp4" else _picture_text(path)
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError) as e:
        raise InputError(f"{path} is no animation that can be read: {e}") from e


def _write_gif(animation: Animation, file: BinaryIO) -> None:
    write_gif(file, animation.enlarged, animation.durations_s, comment=animation.text)


def _write_webp(animation: Animation, file: BinaryIO) -> None:
    pictures = (Image.fromarray(pixels) for pixels in animation.enlarged())
    first = next(pictures)
    first.save(
        file,
        "WEBP",
        save_all=True,
        append_images=pictures,
        duration=[round(end - start) for start, end in _spans_ms(animation.durations_s)],
        loop=0,
        quality=_WEBP_QUALITY,
        xmp=animation.text.encode(),
    )


def _write_mp4(animation: Animation, file: BinaryIO) -> None:
    import av

    spans = _spans_ms(animation.durations_s)
    lasts = {start: end - start for start, end in spans}
    options = {"movflags": "use_metadata_tags"}
    with av.open(file, "w", format="mp4", options=options) as container:
        container.metadata["comment"] = animation.text
        stream: Any = None
        for (start, _), pixels in zip(spans, animation.enlarged(), strict=True):
            even = _even(pixels)
            if stream is None:
                # The level that players look at follows from the rate, so it is the true one.
                rate = Fraction(len(spans) * _MS, spans[-1][1]).limit_denominator(1001)
                stream = container.add_stream("libx264", rate=rate, options=_X264)
                stream.pix_fmt = "yuv420p"
                stream.time_base = stream.codec_context.time_base = Fraction(1, _MS)
                stream.height, stream.width = even.shape[:2]
            frame = av.VideoFrame.from_ndarray(even, format="rgb24")
            frame.pts, frame.time_base = start, Fraction(1, _MS)
            _mux(container, stream.encode(frame), lasts)
        _mux(container, stream.encode(None), lasts)


def _mux(container: Any, packets: Iterable[Any], lasts_ms: dict[int, int]) -> None:
    for packet in packets:
        packet.duration = lasts_ms[packet.pts]  # the encoder cannot know how long the last frame stands
        container.mux(packet)


def _even(pixels: Pixels) -> Pixels:
    """H.264 halves its colours: a side of an odd number of pixels gets its last one twice."""
    height, width, _ = pixels.shape
    return np.ascontiguousarray(np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge"))


def _spans_ms(durations_s: Sequence[float]) -> list[tuple[int, int]]:
    """When each frame begins and ends, rounded from the animation's start, so that the total is true."""
    ends = np.rint(np.cumsum(durations_s) * _MS).astype(int).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _picture_text(path: Path) -> str:
    with Image.open(path, formats=["GIF", "WEBP", "PNG"]) as picture:
        found = picture.info.get("comment") or picture.info.get("xmp") or getattr(picture, "text", {}).get(_PNG_KEY, "")
    return found.decode(errors="replace") if isinstance(found, bytes) else str(found)


def _mp4_text(path: Path) -> str:
    import av

    try:
        # By name: what a file says it is may make ffmpeg open others.
        with av.open(str(path), format="mp4") as container:
            return str(container.metadata.get("comment", ""))
    except av.error.FFmpegError as e:
        raise InputError(f"{path} is no animation that can be read: {e}") from e
