"""Ways to draw the same walk: ours, and those of diffusers' users; and what the benchmarks measure of its frames."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DPMSolverMultistepScheduler, LMSDiscreteScheduler
from PIL import Image

from momalisa.artworks.procedural import TRAIN_MANNERS, choose
from momalisa.artworks.procedural import draw as paint
from momalisa.diffusion.encode import encode_prompts
from momalisa.diffusion.sampling import pipeline_of
from momalisa.storage import open_store
from momalisa.styles.classifier import StyleClassifier
from momalisa.styles.distances import frechet_distance, perceptual_distance
from momalisa.walk.conditions import initial_noise
from momalisa.walk.course import Walk, chunks
from momalisa.walk.frames import MemoryFrames, StoredFrames
from momalisa.walk.plan import Frame
from momalisa.walk.render import Renderer
from momalisa.walk.request import WalkRequest, Waypoint
from momalisa.walk.walk import render_walk

BATCH = 16
_SEED = 1 << 46


@dataclass(frozen=True, slots=True)
class Pair:
    """Two prompts, their manners, and the seed of the noise."""

    prompts: tuple[str, str]
    manners: tuple[str, str]
    seed: int


@dataclass(frozen=True, slots=True)
class Side:
    """Frames uint8 (N, H, W, 3) in order, how long they took from prompts to PNGs, and our own walk's record."""

    frames: Any
    seconds: float
    walk: Walk | None = None


def choose_pairs(count: int) -> list[Pair]:
    """The same ones every time: each manner with others, the colours by chance, one pair in five of one manner."""
    pairs = []
    for i in range(count):
        first = TRAIN_MANNERS[i % len(TRAIN_MANNERS)]
        step = 0 if i % 5 == 4 else 1 + i // len(TRAIN_MANNERS) * 3
        second = TRAIN_MANNERS[(i + step) % len(TRAIN_MANNERS)]
        subjects = [choose(_SEED + 10 * i + j, manners=(manner,)) for j, manner in enumerate((first, second))]
        captions = (subjects[0].caption, subjects[1].caption)
        pairs.append(Pair(captions, (first, second), 100 + i))
    return pairs


def request_of(pair: Pair, **settings: Any) -> WalkRequest:
    """A pair as a walk."""
    return WalkRequest(waypoints=tuple(Waypoint(prompt=prompt) for prompt in pair.prompts), seed=pair.seed, **settings)


def ours(components: Any, request: WalkRequest, folder: Path | None = None) -> Side:
    """Our renderer, into a folder of PNGs and states, or into memory."""
    began = time.perf_counter()
    frames = MemoryFrames() if folder is None else StoredFrames(open_store(folder))
    walk = render_walk(Renderer(components, request), request, frames)
    seconds = time.perf_counter() - began
    return Side(np.stack(list(walk.pictures(frames))), seconds, walk)


def fully_denoised(components: Any, walk: Walk, frames: MemoryFrames | None = None) -> Any:
    """The walk's frames, each from noise under its own embedding, (N, H, W, 3) uint8.

    `frames` keeps them for the next walk of the same waypoints and grid.
    """
    request, frames = replace(walk.request, mode="text"), frames or MemoryFrames()
    renderer = Renderer(components, request)
    addresses = {frame.index: str(frame.index) for frame in walk.placement}
    missing = frames.missing(dict.fromkeys(addresses.values(), ()))
    roots = [Frame(index) for index, address in addresses.items() if address in missing]
    for chunk in chunks(request.plan, roots, BATCH):
        frames.keep(renderer.render(chunk, addresses, frames))
    return np.stack([frames.pixels(address) for address in addresses.values()])


def diffusers_walk(
    components: Any, request: WalkRequest, folder: Path, *, batch_size: int, first_version: bool = False
) -> Side:
    """diffusers' own pipeline on lerped embeddings and one noise, `batch_size` frames a call, to PNGs.

    `first_version`: its LMS scheduler and its 70 steps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    pipeline = pipeline_of(components)
    kind = LMSDiscreteScheduler if first_version else DPMSolverMultistepScheduler
    pipeline.scheduler = kind.from_config(components.scheduler_config, use_karras_sigmas=not first_version)
    ends = encode_prompts(components, [waypoint.prompt for waypoint in request.waypoints])
    weights = torch.linspace(0, 1, request.num_frames)[:, None, None]
    embeddings = torch.lerp(ends[:1], ends[1:], weights)
    side = components.default_size // components.vae_scale_factor
    noise = torch.from_numpy(initial_noise(request.seed, (4, side, side)))[None]
    pictures = []
    for start in range(0, request.num_frames, batch_size):
        batch = embeddings[start : start + batch_size]
        drawn = pipeline(
            prompt_embeds=batch,
            negative_prompt=[""] * len(batch),
            latents=noise.expand(len(batch), -1, -1, -1).clone(),
            num_inference_steps=70 if first_version else request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            output_type="pil",
        ).images
        for offset, picture in enumerate(drawn):
            picture.save(folder / f"frame-{start + offset:04d}.png")
        pictures += drawn
    return Side(np.stack([np.asarray(picture) for picture in pictures]), time.perf_counter() - began)


def pixel_steps(frames: Any) -> list[float]:
    """Root mean square differences of consecutive frames, at a quarter of their side."""
    small = np.stack(
        [np.asarray(Image.fromarray(f).resize((32, 32), Image.Resampling.BOX), dtype=float) for f in frames]
    )
    return np.sqrt(((small[1:] - small[:-1]) ** 2).mean(axis=(1, 2, 3))).tolist()  # type: ignore[no-any-return]


@torch.no_grad()
def latent_steps(components: Any, frames: Any) -> list[float]:
    """Distances of consecutive frames by what the VAE's encoder makes of them."""
    latents = []
    for start in range(0, len(frames), BATCH):
        pixels = torch.from_numpy(frames[start : start + BATCH]).permute(0, 3, 1, 2).float() / 127.5 - 1
        latents.append(components.vae.encode(pixels).latent_dist.mean)
    all_latents = torch.cat(latents).flatten(1)
    return (all_latents[1:] - all_latents[:-1]).norm(dim=1).tolist()  # type: ignore[no-any-return]


def perceptual_steps(classifier: StyleClassifier, frames: Any) -> list[float]:
    """Perceptual distances of consecutive frames."""
    return perceptual_distance(classifier, frames[:-1], frames[1:]).tolist()  # type: ignore[no-any-return]


def agreement(classifier: StyleClassifier, frames: Any, manners: Sequence[str]) -> float:
    """How surely the classifier sees one of the two ends' manners, on average over the way."""
    probabilities = classifier.classify(frames).manner
    columns = [classifier.manners.index(manner) for manner in dict.fromkeys(manners)]
    return float(probabilities[:, columns].sum(dim=1).mean())


def frechet_to_drawings(classifier: StyleClassifier, frames: Any) -> float:
    """The Fréchet distance of frames to as many real drawings of the manners that `tiny` knows."""
    subjects = [
        choose(_SEED + 10_000 + i, manners=(TRAIN_MANNERS[i % len(TRAIN_MANNERS)],)) for i in range(len(frames))
    ]
    real = np.stack([np.asarray(paint(i, 128, s.manner, s.foreground, s.ground)) for i, s in enumerate(subjects)])
    return frechet_distance(classifier.features(frames), classifier.features(real))
