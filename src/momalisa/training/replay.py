"""Prior preservation: samples that the base model drew, mixed into every step.

Ruiz et al. 2022 (arXiv:2208.12242), section 3.3. The pictures are drawn once, before the first step,
and kept as latents in the run's folder, so that a resumed run replays the same ones.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from momalisa.diffusion.sampling import draw
from momalisa.storage import Store
from momalisa.training.learner import LatentBatch, Learner
from momalisa.training.randomness import SampleRandom
from momalisa.training.world import World


@dataclass(frozen=True, slots=True)
class DrawnLatents:
    """Latents (N, C, h, w) of pictures that the base model drew, with the prompts that it was given."""

    latents: Tensor
    prompts: tuple[str, ...]


def draw_base_latents(
    learner: Learner,
    world: World,
    store: Store,
    name: str,
    prompts: Sequence[str],
    num_images: int,
    *,
    num_inference_steps: int,
    guidance_scale: float,
    seed: int,
) -> DrawnLatents:
    """Draws with the base model, each rank its share, or reads what an earlier attempt drew. Collective.

    Must be called before the plain copy holds trained weights.
    """
    key = f"base/{name}.safetensors"
    captions = tuple(prompts[i % len(prompts)] for i in range(num_images))
    if not world.broadcast(store.exists(key) if world.is_main else None):
        shares = world.gather(_draw_share(learner, world, captions, num_inference_steps, guidance_scale, seed))
        latents = torch.from_numpy(np.stack([shares[i % world.size][i // world.size] for i in range(num_images)]))
        if world.is_main:
            _save(store, key, latents)
        world.barrier()
    return DrawnLatents(latents=_load(store, key).float(), prompts=captions)


def replay_batch(
    learner: Learner, drawn: DrawnLatents, *, step: int, first: int, count: int, per_step: int, seed: int
) -> LatentBatch:
    """Replay samples `first … first + count` of a step's `per_step`, a function of (seed, step) alone."""
    positions = [step * per_step + first + i for i in range(count)]
    random = [SampleRandom(seed, 0, position, "replay") for position in positions]
    chosen = [r.integer("choice", len(drawn.prompts)) for r in random]
    shape = tuple(drawn.latents.shape[1:])
    timesteps = [r.integer("timestep", learner.diffusion.num_train_timesteps) for r in random]
    noise = torch.from_numpy(np.stack([r.normal("noise", shape) for r in random])).to(learner.device)
    token_ids, embeddings = learner.text_of([drawn.prompts[i] for i in chosen], None)
    return LatentBatch(
        latents=drawn.latents[chosen].to(learner.device),
        noise=noise,
        timesteps=torch.tensor(timesteps, device=learner.device),
        token_ids=token_ids,
        text_embeddings=embeddings,
    )


def share_of_replay(per_step: int, slot: int, num_slots: int) -> tuple[int, int]:
    """First and count of the replay samples of a micro-batch: `per_step` cut evenly over a step's slots."""
    start, stop = slot * per_step // num_slots, (slot + 1) * per_step // num_slots
    return start, stop - start


def _draw_share(
    learner: Learner, world: World, captions: tuple[str, ...], steps: int, guidance_scale: float, seed: int
) -> "np.ndarray[tuple[int, ...], np.dtype[np.float32]]":
    own = range(world.rank, len(captions), world.size)
    if not own:
        return np.zeros((0,), dtype=np.float32)
    with learner.engine.autocast():
        return draw(
            learner.drawing_components(),
            [captions[i] for i in own],
            seeds=[seed + i for i in own],
            num_inference_steps=steps,
            guidance_scale=guidance_scale,
            output="latent",
        ).astype(np.float32)


def _save(store: Store, key: str, latents: Tensor) -> None:
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "latents.safetensors"
        save_file({"latents": latents.half()}, path)
        store.upload(path, key)


def _load(store: Store, key: str) -> Tensor:
    with TemporaryDirectory() as scratch:
        path = Path(scratch) / "latents.safetensors"
        store.download(key, path)
        return load_file(path)["latents"].clone()
