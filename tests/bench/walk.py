"""Walks of `tiny`: our three modes against diffusers' pipeline, in one run, on the same prompts, steps and threads.

    python tests/bench/walk.py [--pairs 20] [--timed-pairs 5] [--frames 60] [--steps 25] [--threads 2] [--json FILE]

Baselines: (a) StableDiffusionPipeline called frame by frame as a user would; (b) the same in batches of 16; (c) the
first version's settings: lerp of embeddings, LMS, 70 steps, all frames in one batch. All from prompts to PNG files, the
model loaded before. Baselines are run on `--timed-pairs` only, and compared with our own walks of the same pairs. What
the keys mean: tests/bench/README.md.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # the folder of `tests`, when this file is run by itself

from momalisa.diffusion.loading import load_components
from momalisa.styles.classifier import load_classifier
from momalisa.styles.distances import perceptual_distance
from momalisa.terminal import counted
from momalisa.walk.report import evenness, ghost_share, sharpness
from momalisa.walk.settings import Settings
from momalisa.walk.studio import prepare
from tests.bench.walk_sides import (
    BATCH,
    Pair,
    Side,
    agreement,
    choose_pairs,
    diffusers_walk,
    frechet_to_drawings,
    fully_denoised,
    latent_steps,
    ours,
    perceptual_steps,
    pixel_steps,
    request_of,
)

_WHOLE = (0.0, 1.0)
_LONG, _SHORT = 300, 30
_RESAMPLES = 2000
_MIN_POOLED = 128
"""Twice the features of the Fréchet distance."""
_GOALS: dict[str, tuple[str, float]] = {
    "speedup_vs_framewise": (">=", 5.0),
    "speedup_vs_batched": (">=", 3.0),
    "fidelity_hybrid": ("<=", 1.0),
    "frechet_ratio": ("<=", 1.05),
    "sharpness_ratio": (">=", 0.9),
    "evenness_hybrid": (">=", 0.8),
    "probe_cost": ("<=", 0.05),
    "cost_300_over_30": ("<=", 6.0),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--timed-pairs", type=int, default=5)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="the walks as .npz files, to look at")
    flags = parser.parse_args()
    if flags.timed_pairs < 1 or flags.pairs * flags.frames < _MIN_POOLED:
        parser.error(f"take at least one timed pair, and {_MIN_POOLED} frames over all pairs")
    torch.set_num_threads(flags.threads)
    components = prepare(load_components(flags.model), torch.device("cpu"), Settings())
    plain, pairs = load_components(flags.model), choose_pairs(flags.pairs)
    rows: list[dict[str, float]] = []
    pools: dict[str, list[Any]] = {"hybrid": [], "denoised": [], "text": []}
    with counted("pairs", len(pairs)) as advance:
        for number, pair in enumerate(pairs):
            sides = draw_sides(components, pair, flags)
            if number < flags.timed_pairs:
                sides.update(draw_baselines(plain, pair, flags))
            denoised = fully_denoised(components, sides["hybrid"].walk)
            rows.append(measure(components, pair, sides, denoised))
            frames_of = {name: side.frames for name, side in sides.items()} | {"denoised": denoised}
            for name, pool in pools.items():
                pool.append(_evenly(frames_of[name], flags.frames))
            if flags.keep:
                flags.keep.mkdir(parents=True, exist_ok=True)
                np.savez_compressed(flags.keep / f"pair-{number:02d}.npz", **frames_of)
            advance(1)
    record = summarise(rows, pools)
    record["cost_300_over_30"] = cost_ratio(components, pairs[: flags.timed_pairs])
    report(record)
    if flags.json:
        flags.json.write_text(json.dumps(record, indent=1))
    fewer_ghosts = record["ghost_share_hybrid"] <= record["ghost_share_text"]
    more_even = record["evenness_hybrid"] > record["evenness_text"]
    return 0 if fewer_ghosts and more_even and all(_reached(record, name) for name in _GOALS) else 1


def draw_sides(components: Any, pair: Pair, flags: argparse.Namespace) -> dict[str, Side]:
    """Our walks of one pair: the three modes, and `hybrid` with guidance at every step."""
    settings = {"num_frames": flags.frames, "num_inference_steps": flags.steps}
    requests = {
        "hybrid": request_of(pair, **settings),
        "hybrid_whole": request_of(pair, guidance_interval=_WHOLE, guidance_stride=1, **settings),
        "text": request_of(pair, mode="text", **settings),
        "image": request_of(pair, mode="image", **settings),
    }
    with tempfile.TemporaryDirectory() as folder:
        return {name: ours(components, request, Path(folder) / name) for name, request in requests.items()}


def draw_baselines(components: Any, pair: Pair, flags: argparse.Namespace) -> dict[str, Side]:
    """The walks of diffusers' users: a model as it is loaded, guidance at every step."""
    request = request_of(pair, num_frames=flags.frames, num_inference_steps=flags.steps)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return {
            "framewise": diffusers_walk(components, request, folder / "a", batch_size=1),
            "batched": diffusers_walk(components, request, folder / "b", batch_size=BATCH),
            "first": diffusers_walk(components, request, folder / "c", batch_size=flags.frames, first_version=True),
        }


def measure(components: Any, pair: Pair, sides: dict[str, Side], denoised: Any) -> dict[str, float]:
    """One pair's figures; `denoised` are the frames of `hybrid`, each from noise."""
    classifier = load_classifier()
    hybrid, text = sides["hybrid"], sides["text"]
    assert hybrid.walk is not None
    step = float(np.mean(perceptual_steps(classifier, text.frames)))
    apart = perceptual_distance(classifier, hybrid.frames, denoised).numpy()
    image_t = sides["image"].frames
    roots = np.sqrt(perceptual_steps(classifier, text.frames))
    row = {
        "fidelity_hybrid": float(apart.mean()) / step,
        "fidelity_roots": float(np.sqrt(apart).mean() / np.median(roots)),
        "fidelity_image": float(perceptual_distance(classifier, image_t, text.frames).mean()) / step,
        "ghost_share_denoised": ghost_share(denoised),
        "agreement_denoised": agreement(classifier, denoised, pair.manners),
        "sharpness_ratio": _sharpness(hybrid.frames) / _sharpness(text.frames),
        "probe_cost": 1
        - hybrid.walk.request.plan.cost(hybrid.walk.placement).unet_evaluations / hybrid.walk.num_evaluations,
        "evaluations_of_text": hybrid.walk.num_evaluations / sides["text"].walk.num_evaluations,
        "num_repairs": float(hybrid.walk.num_repairs),
    }
    for mode in ("hybrid", "text", "image"):
        frames = sides[mode].frames
        row[f"evenness_pixels_{mode}"] = evenness(pixel_steps(frames))
        row[f"evenness_latents_{mode}"] = evenness(latent_steps(components, frames))
        row[f"evenness_{mode}"] = (row[f"evenness_pixels_{mode}"] + row[f"evenness_latents_{mode}"]) / 2
        row[f"ghost_share_{mode}"] = ghost_share(frames)
        row[f"agreement_{mode}"] = agreement(classifier, frames, pair.manners)
        row[f"seconds_{mode}"] = sides[mode].seconds
    row["speedup_of_interval"] = sides["hybrid_whole"].seconds / hybrid.seconds
    if "framewise" in sides:
        row["speedup_vs_framewise"] = sides["framewise"].seconds / hybrid.seconds
        row["speedup_vs_framewise_whole"] = sides["framewise"].seconds / sides["hybrid_whole"].seconds
        row["speedup_vs_batched"] = sides["batched"].seconds / hybrid.seconds
        row["speedup_vs_first_version"] = sides["first"].seconds / hybrid.seconds
        row["text_speedup_vs_framewise"] = sides["framewise"].seconds / text.seconds
        row["image_speedup_vs_framewise"] = sides["framewise"].seconds / sides["image"].seconds
    return row


def summarise(rows: Sequence[dict[str, float]], pools: dict[str, list[Any]]) -> dict[str, Any]:
    """Medians with their 95 % intervals; the Fréchet distances over all frames."""
    record: dict[str, Any] = {"num_pairs": len(rows), "intervals": {}, "pairs": list(rows)}
    for key in rows[0]:
        values = [row[key] for row in rows if key in row]
        mean = key.startswith(("ghost_share", "probe", "agreement"))
        record[key] = float((np.mean if mean else np.median)(values))
        record["intervals"][key] = interval(values, np.mean if mean else np.median)
    classifier = load_classifier()
    distances = {mode: frechet_to_drawings(classifier, np.concatenate(pool)) for mode, pool in pools.items()}
    record["frechet_hybrid"], record["frechet_text"] = distances["hybrid"], distances["text"]
    record["frechet_denoised"] = distances["denoised"]
    record["frechet_ratio"] = distances["hybrid"] / distances["text"]
    record["frechet_ratio_same_places"] = distances["hybrid"] / distances["denoised"]
    record["ghost_share"] = record["ghost_share_hybrid"]
    return record


def interval(values: Sequence[float], statistic: Callable[..., Any]) -> tuple[float, float]:
    """95 % of bootstrap resamples."""
    rng = np.random.default_rng(0)
    drawn = statistic(rng.choice(np.asarray(values), (_RESAMPLES, len(values))), axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    return float(low), float(high)


def cost_ratio(components: Any, pairs: Sequence[Pair]) -> float:
    """The median of UNet evaluations of 300 frames over those of 30."""
    costs = []
    for pair in pairs:
        evaluations = [
            ours(components, request_of(pair, num_frames=count)).walk.num_evaluations for count in (_LONG, _SHORT)
        ]
        costs.append(evaluations[0] / evaluations[1])
    return float(np.median(costs))


def report(record: dict[str, Any]) -> None:
    """The table."""
    for name, value in record.items():
        if not isinstance(value, float):
            continue
        low, high = record["intervals"].get(name, (None, None))
        spread = "" if low is None else f"  [{low:.3f}, {high:.3f}]"
        goal = (
            ""
            if name not in _GOALS
            else f"  {_GOALS[name][0]} {_GOALS[name][1]}  {'reached' if _reached(record, name) else 'MISSED'}"
        )
        print(f"{name:34s}{value:9.3f}{spread}{goal}")


def _reached(record: dict[str, Any], name: str) -> bool:
    comparison, goal = _GOALS[name]
    return bool(record[name] >= goal if comparison == ">=" else record[name] <= goal)


def _evenly(frames: Any, count: int) -> Any:
    """So many of the frames: repairs add some, and the Fréchet distance compares sets of one size."""
    return frames[np.linspace(0, len(frames) - 1, count).round().astype(int)]


def _sharpness(frames: Any) -> float:
    return float(np.mean([sharpness(pixels) for pixels in frames]))


if __name__ == "__main__":
    sys.exit(main())
