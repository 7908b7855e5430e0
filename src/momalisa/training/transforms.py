"""What happens to a sample: the size it is trained at, and everything about it that is drawn at random."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from momalisa.artworks.buckets import IntArray, Size, assign_buckets, make_buckets
from momalisa.artworks.dataset import StoredDataset
from momalisa.artworks.manifest import Split
from momalisa.training.config import DataConfig
from momalisa.training.randomness import SampleRandom

_CENTER = (0.5, 0.5)


@dataclass(frozen=True, slots=True)
class Draw:
    """The random choices for one use of a sample. Noise is made of `random`, later: it is large."""

    random: SampleRandom
    noise_purpose: str
    """Which of the sample's noises this use has."""
    timestep: int
    crop: tuple[float, float] = _CENTER
    flip: bool = False
    drop_caption: bool = False


@dataclass(frozen=True, slots=True)
class Targets:
    """The sizes that a split's samples are trained at."""

    sizes: tuple[Size, ...]
    """Width and height of each bucket; one square where there are no buckets."""
    buckets: IntArray | None
    """Each sample's number in `sizes`, (N,); None: all are of the one."""

    def size_of(self, index: int) -> Size:
        """Of one sample."""
        return self.sizes[0 if self.buckets is None else int(self.buckets[index])]


def find_targets(dataset: StoredDataset, split: Split, config: DataConfig, *, vae_scale_factor: int) -> Targets:
    """Sizes by the pictures' shapes, which are read from the shards where there are buckets."""
    if not config.aspect_buckets:
        return Targets(((config.resolution, config.resolution),), None)
    sizes = make_buckets(config.resolution, vae_scale_factor=vae_scale_factor, max_aspect_ratio=config.max_aspect_ratio)
    widths, heights = dataset.sizes(split, config.max_samples if split == "train" else None)
    return Targets(sizes, assign_buckets(widths, heights, sizes))


def training_draws(config: DataConfig, *, seed: int, num_train_timesteps: int) -> Callable[[int, int], Draw]:
    """Gives the draws of a sample by (epoch, index)."""

    def draw(epoch: int, index: int) -> Draw:
        random = SampleRandom(seed, epoch, index)
        crop = _CENTER
        if config.crop == "random":
            crop = (random.uniform("crop-x"), random.uniform("crop-y"))
        return Draw(
            random=random,
            noise_purpose="noise",
            timestep=random.integer("timestep", num_train_timesteps),
            crop=crop,
            flip=config.random_flip and random.uniform("flip") < 0.5,
            drop_caption=random.uniform("caption") < config.caption_dropout,
        )

    return draw


def stratified_timesteps(num_samples: int, per_sample: int, *, seed: int, num_train_timesteps: int) -> IntArray:
    """Timesteps (num_samples, per_sample), fixed by the seed.

    Each sample has one in every `per_sample`-th of [0, T), and within such a part the samples are spread
    evenly (a Latin hypercube): the mean loss over them varies less than over independent timesteps.
    """
    columns = []
    for part in range(per_sample):
        order = [SampleRandom(seed, part, i).uniform("stratum") for i in range(num_samples)]
        within = (np.argsort(np.argsort(order)) + 0.5) / num_samples
        columns.append((part + within) / per_sample * num_train_timesteps)
    timesteps: IntArray = np.stack(columns, axis=1).astype(np.int64)
    return timesteps
