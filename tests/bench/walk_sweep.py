"""What each setting of the walk costs and how true its frames stay: the picture behind the defaults.

    python tests/bench/walk_sweep.py [--model tiny] [--pairs 4] [--frames 60] [--plot FILE] [--json FILE]

Cost is UNet evaluations over those of `text`; fidelity the mean perceptual distance of each frame to the fully denoised
one at the same t, over that of consecutive frames of `text`.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # the folder of `tests`, when this file is run by itself

from momalisa.diffusion.loading import load_components
from momalisa.styles.classifier import load_classifier
from momalisa.styles.distances import perceptual_distance
from momalisa.terminal import counted
from momalisa.walk.frames import MemoryFrames
from momalisa.walk.plan import Branching
from momalisa.walk.report import evenness, ghost_share, sharpness
from momalisa.walk.request import WalkRequest
from momalisa.walk.settings import Settings
from momalisa.walk.studio import prepare
from tests.bench.walk_sides import (
    Pair,
    Side,
    choose_pairs,
    fully_denoised,
    latent_steps,
    ours,
    perceptual_steps,
    pixel_steps,
    request_of,
)

_VALUES: dict[str, tuple[float, ...]] = {
    "earliest": (0.08, 0.24),
    "far": (0.5, 1.2),
    "narrow": (0.0, 2.0),
    "settled": (0.5, 0.7, 1.0),
    "key_share": (0.1,),
    "reserve": (0.0,),
}


def settings() -> Iterator[tuple[str, Branching]]:
    """The default, and what differs from it in one thing."""
    plain = Branching()
    yield "default", plain
    for name, values in _VALUES.items():
        for value in values:
            yield f"{name} {value:g}", replace(plain, **{name: value})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--plot", type=Path, metavar="FILE")
    parser.add_argument("--json", type=Path, metavar="FILE")
    flags = parser.parse_args()
    components = prepare(load_components(flags.model), torch.device("cpu"), Settings())
    pairs = choose_pairs(flags.pairs)
    rows = sweep(components, pairs, flags.frames)
    for row in rows:
        print(
            "  ".join(
                f"{name} {value:.3f}" if isinstance(value, float) else f"{value:18s}" for name, value in row.items()
            )
        )
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1))
    if flags.plot:
        plot(rows, flags.plot)
    return 0


def sweep(components: Any, pairs: list[Pair], num_frames: int) -> list[dict[str, Any]]:
    """One row for each setting: medians over the pairs."""
    found: dict[str, list[dict[str, float]]] = {}
    listed = list(settings())
    with counted("walks", len(pairs) * (len(listed) + 1)) as advance:
        for pair in pairs:
            text, whole = ours(components, request_of(pair, mode="text", num_frames=num_frames)), MemoryFrames()
            advance(1)
            for name, branching in listed:
                request = request_of(pair, num_frames=num_frames, branching=branching)
                found.setdefault(name, []).append(_row(components, request, text, whole))
                advance(1)
    return [
        {"setting": name, **{key: float(np.median([row[key] for row in rows])) for key in rows[0]}}
        for name, rows in found.items()
    ]


def _row(components: Any, request: WalkRequest, by_text: Side, whole: MemoryFrames) -> dict[str, float]:
    classifier, text = load_classifier(), by_text.frames
    side = ours(components, request)
    walk = side.walk
    assert walk is not None
    assert by_text.walk is not None
    apart = perceptual_distance(classifier, side.frames, fully_denoised(components, walk, whole)).numpy()
    return {
        "cost": walk.num_evaluations / by_text.walk.num_evaluations,
        "fidelity": float(apart.mean() / np.mean(perceptual_steps(classifier, text))),
        "even_pixels": evenness(pixel_steps(side.frames)),
        "even_latents": evenness(latent_steps(components, side.frames)),
        "text_even_pixels": evenness(pixel_steps(text)),
        "ghosts": ghost_share(side.frames),
        "text_ghosts": ghost_share(text),
        "sharpness": float(np.mean([sharpness(f) for f in side.frames]) / np.mean([sharpness(f) for f in text])),
        "median_step": float(np.median(walk.distances)),
        "seconds": side.seconds,
    }


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Cost against fidelity."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for row in rows:
        is_default = row["setting"] == "default"
        point, color = (row["cost"], row["fidelity"]), "#b3382c" if is_default else "#2f5d8c"
        axes.scatter(*point, color=color)
        below = (-12, -14) if is_default else (4, 3)  # its neighbours differ from it by little
        axes.annotate(row["setting"], point, fontsize=8, xytext=below, textcoords="offset points", color=color)
    axes.set_xlabel("UNet evaluations, of those of text")
    axes.set_ylabel("distance to the fully denoised frame, in steps of text")
    axes.axhline(1, color="#999999", linewidth=0.8, linestyle=":")
    figure.savefig(path)


if __name__ == "__main__":
    sys.exit(main())
