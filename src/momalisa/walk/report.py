"""How smooth a walk is: figures, and a picture of them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from momalisa.config import to_dict
from momalisa.walk.addresses import Rendition
from momalisa.walk.course import Walk
from momalisa.walk.frames import Frames, Pixels
from momalisa.walk.provenance import fingerprints_of

_SIDE = 128
"""Pixels of the longer side at which frames are compared."""
_GHOST_R2 = 0.95
_GHOST_WEIGHT = 0.2
_STILL = 0.9
"""Two pictures of this correlation are no distinct ones: what is between them is no ghost."""
_NUM_KEYS = (2, 3, 5, 9)
_NUM_IN_STRIP = 12
_INK, _BLUE, _ORANGE = "#222222", "#2f5d8c", "#d9772b"


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkReport:
    """Distances are those that placed the frames, of consecutive shown frames."""

    num_frames: int
    evenness: float
    """1 − the Gini coefficient of the distances: 1 where all steps are alike."""
    mean_distance: float
    max_distance: float
    largest_jump: int
    """The frame after which the picture changes most."""
    ghost_share: float
    """Of the frames, those that are a double exposure of two others."""
    sharpness: float
    """The mean length of the brightness's gradient, in levels of 255 per pixel."""
    num_repairs: int
    """Frames that were added where a step stood out."""
    num_rendered: int
    num_evaluations: int
    """Latents that went through the UNet."""
    seconds: float


def evenness(distances: Sequence[float]) -> float:
    """1 − the Gini coefficient; 1 where all are alike, towards 0 where all of it is in one."""
    values = np.sort(np.asarray(distances, dtype=np.float64))
    if values.sum() <= 0:
        return 1.0
    ranks = np.arange(1, len(values) + 1)
    gini = 2 * (ranks * values).sum() / (len(values) * values.sum()) - (len(values) + 1) / len(values)
    return float(1 - gini)


def report_of(walk: Walk, frames: Frames, *, seconds: float) -> WalkReport:
    """The figures of a walk that is rendered, whose frames are gone through once."""
    smalls, sharpnesses = [], []
    for pixels in walk.pictures(frames):
        smalls.append(small(pixels))
        sharpnesses.append(sharpness(pixels))
    distances = walk.shown_distances
    return WalkReport(
        num_frames=len(smalls),
        evenness=evenness(distances),
        mean_distance=float(np.mean(distances)),
        max_distance=max(distances),
        largest_jump=int(np.argmax(distances)),
        ghost_share=ghost_share(smalls),
        sharpness=float(np.mean(sharpnesses)),
        num_repairs=walk.num_repairs,
        num_rendered=walk.num_rendered,
        num_evaluations=walk.num_evaluations,
        seconds=seconds,
    )


def ghost_share(pictures: Sequence[Pixels]) -> float:
    """The share of frames that are a double exposure.

    They are compared with key frames around them, for keys that lie ever more closely (a slow cross-fade hides from
    close ones): a frame counts where a weighted sum of the two explains it (R² above 0.95, both weights above 0.2),
    and the two are distinct pictures.
    """
    levels = [np.unique(np.linspace(0, len(pictures) - 1, num).round().astype(int)).tolist() for num in _NUM_KEYS]
    keys = sorted({key for level in levels for key in level})
    centred_keys = np.stack([_centred(pictures[key]) for key in keys])
    between_keys = centred_keys @ centred_keys.T
    ghosts = 0
    for i, picture in enumerate(pictures):
        around = [pair for level in levels for pair in pairwise(level) if pair[0] < i < pair[1]]
        centred = _centred(picture)
        to_keys, own = centred_keys @ centred, float(centred @ centred)
        pairs = [[keys.index(left), keys.index(right)] for left, right in around]
        ghosts += any(_is_blend(between_keys[np.ix_(pair, pair)], to_keys[pair], own) for pair in pairs)
    return ghosts / len(pictures)


def sharpness(pixels: Pixels) -> float:
    """The mean length of the brightness's gradient, in levels of 255 per pixel."""
    brightness = pixels.astype(np.float32).mean(axis=2)
    return float(np.hypot(np.diff(brightness, axis=0)[:, :-1], np.diff(brightness, axis=1)[:-1]).mean())


def small(pixels: Pixels) -> Pixels:
    """A picture at which frames are compared, at most 128 pixels a side, (h, w, 3)."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((_SIDE, _SIDE), Image.Resampling.BOX)
    return np.asarray(picture)


def write_report(
    report: WalkReport, walk: Walk, frames: Frames, path: Path, *, rendition: Rendition | None = None
) -> None:
    """As JSON or as a picture, by the file's ending.

    rendition: where the JSON is to say which walk it is of, by which weights, and what measured its distances.
    """
    if path.suffix == ".png":
        plot_report(report, walk.shown_distances, [frames.pixels(walk.shown[i]) for i in in_strip(walk.shown)], path)
    else:
        content = asdict(report)
        if rendition is not None:
            content["walk"] = {
                "request": to_dict(walk.request),
                "fingerprints": fingerprints_of(rendition),
                "ruler": rendition.ruler,
            }
        path.write_text(json.dumps(content, indent=2) + "\n")


def in_strip(shown: Sequence[str]) -> list[int]:
    """Which of the shown frames stand for all of them."""
    picked: list[int] = np.linspace(0, len(shown) - 1, min(_NUM_IN_STRIP, len(shown))).round().astype(int).tolist()
    return picked


def plot_report(report: WalkReport, distances: Sequence[float], pictures: Sequence[Pixels], path: Path) -> None:
    """A strip of pictures over the steps between all frames; the largest step is marked."""
    figure = Figure(figsize=(12, 4.4), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    strip, bars = figure.subplots(2, 1, gridspec_kw={"height_ratios": [1, 2]})
    strip.imshow(np.concatenate(pictures, axis=1))
    strip.set_axis_off()
    colors = [_ORANGE if i == report.largest_jump else _BLUE for i in range(len(distances))]
    bars.bar(range(len(distances)), distances, color=colors, width=0.85)
    bars.axhline(report.mean_distance, color=_INK, linewidth=0.8, linestyle=":")
    bars.set_xlabel("frame")
    bars.set_ylabel("step to the next frame")
    bars.set_xlim(-0.6, len(distances) - 0.4)
    for side in ("top", "right"):
        bars.spines[side].set_visible(False)
    bars.set_title(_caption(report), loc="left", fontsize=10, color=_INK)
    figure.savefig(path, metadata={"Software": None})


def _caption(report: WalkReport) -> str:
    repaired = f", {report.num_repairs} added where a step stood out" if report.num_repairs else ""
    return (
        f"{report.num_frames} frames{repaired}; evenness {report.evenness:.2f}, largest step "
        f"{report.max_distance / max(report.mean_distance, 1e-12):.1f} × the mean; ghosts {report.ghost_share:.0%}"
    )


def _centred(picture: Pixels) -> NDArray[np.float32]:
    values: NDArray[np.float32] = picture.ravel().astype(np.float32)
    values -= values.mean()
    return values


def _is_blend(between: NDArray[np.float32], to_both: NDArray[np.float32], own: float) -> bool:
    """Whether a picture is a weighted sum of two, by the products of the two (2, 2), its own with them (2,), and with
    itself."""
    (aa, ab), (_, bb) = between.astype(np.float64)
    if ab > _STILL * np.sqrt(aa * bb):
        return False
    try:
        weights = np.linalg.solve(between.astype(np.float64), to_both.astype(np.float64))
    except np.linalg.LinAlgError:  # a picture of one colour
        return False
    rest = own - weights @ to_both
    return bool(weights.min() > _GHOST_WEIGHT and rest < (1 - _GHOST_R2) * own)
