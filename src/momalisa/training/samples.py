"""One sample: its picture or cached moments, its caption, and all that is random about it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from momalisa.artworks.buckets import Size
from momalisa.artworks.cache import DatasetCache
from momalisa.errors import DatasetError
from momalisa.training.config import DataConfig
from momalisa.training.randomness import SampleRandom
from momalisa.training.transforms import decode_to

if TYPE_CHECKING:
    from momalisa.training.loader import LoaderSettings


@dataclass(slots=True)
class MicroBatch:
    """One forward pass of one rank: B samples of one size.

    Either `pixel_values`, or the unscaled moments `latent_mean` and `latent_std`; latents are
    `(mean + std · latent_noise) · scaling_factor`.
    """

    sample_indices: Any
    """(B,) int64, positions in the split."""
    epochs: Any
    names: list[str]
    """File names, for messages."""
    pixel_values: Tensor | None
    """(B, 3, H, W) float32 in [-1, 1]."""
    latent_mean: Tensor | None
    """(B, C, h, w) float32."""
    latent_std: Tensor | None
    latent_noise: Tensor
    noise: Tensor
    offset_noise: Tensor
    """(B, C, 1, 1) float32."""
    perturbation_noise: Tensor | None
    timesteps: Tensor
    """(B,) int64."""
    captions: list[str]
    """Empty where dropped."""
    text_embeddings: Tensor | None
    """(B, tokens, width) float32, the empty caption's where dropped."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample as arrays, before it is put with others."""

    index: int
    epoch: int
    name: str
    pixels: Any
    mean: Any
    std: Any
    caption: str
    embedding: Any
    timestep: int
    random: dict[str, Any]


class SampleMaker:
    """Makes samples from rows of tables, in any thread."""

    def __init__(self, config: DataConfig, settings: "LoaderSettings", cache: DatasetCache | None) -> None:
        self._config = config
        self._settings = settings
        self._cache = cache

    def make(self, table: Any, row: int, index: int, epoch: int, size: Size, timestep: int | None = None) -> Sample:
        """The sample at a row of a row group.

        With a timestep given it is a validation sample: centre crop, no flip, no dropout, the latent's mean.
        Raises DatasetError naming the picture that cannot be decoded.
        """
        training = timestep is None
        random = SampleRandom(self._settings.seed, epoch=epoch, index=index)
        name = table["file_name"][row].as_py()
        pixels = mean = std = embedding = None
        dropped = training and random.uniform("caption-dropout") < self._config.caption_dropout
        if self._cache is not None:
            mean, std = self._cache.moments(table, row)
            embedding = self._cache.text_embedding(table, row, dropped)
            latent_size = mean.shape[1:]
        else:
            pixels = self._decode(table, row, name, size, random if training else None)
            latent_size = (size[1] // self._settings.vae_scale_factor, size[0] // self._settings.vae_scale_factor)
        shape = (self._settings.latent_channels, *latent_size)
        return Sample(
            index=index,
            epoch=epoch,
            name=name,
            pixels=pixels,
            mean=mean,
            std=std,
            caption="" if dropped else table["text"][row].as_py(),
            embedding=embedding,
            timestep=random.integer("timestep", self._settings.num_train_timesteps) if timestep is None else timestep,
            random=self._draw(random, shape, training),
        )

    def collate(self, samples: list[Sample]) -> MicroBatch:
        """Samples of one size as tensors."""
        pixels = means = stds = embeddings = None
        if self._cache is None:
            stacked = np.stack([sample.pixels for sample in samples])
            pixels = torch.from_numpy(stacked).permute(0, 3, 1, 2).to(torch.float32).div_(127.5).sub_(1.0)
        else:
            means, stds = _stack([s.mean for s in samples]), _stack([s.std for s in samples])
            if samples[0].embedding is not None:
                embeddings = _stack([s.embedding for s in samples])
        drawn = {key: _stack([s.random[key] for s in samples]) for key in samples[0].random}
        return MicroBatch(
            sample_indices=np.array([s.index for s in samples], dtype=np.int64),
            epochs=np.array([s.epoch for s in samples], dtype=np.int64),
            names=[s.name for s in samples],
            pixel_values=pixels,
            latent_mean=means,
            latent_std=stds,
            latent_noise=drawn["latent"],
            noise=drawn["noise"],
            offset_noise=drawn["offset"],
            perturbation_noise=drawn.get("perturbation"),
            timesteps=torch.tensor([s.timestep for s in samples], dtype=torch.int64),
            captions=[s.caption for s in samples],
            text_embeddings=embeddings,
        )

    def _draw(self, random: SampleRandom, shape: tuple[int, ...], training: bool) -> dict[str, Any]:
        drawn = {
            "latent": random.normal("latent", shape) if training else np.zeros(shape, dtype=np.float32),
            "noise": random.normal("noise", shape),
            "offset": random.normal("offset", (shape[0], 1, 1)),
        }
        if self._settings.with_perturbation and training:
            drawn["perturbation"] = random.normal("perturbation", shape)
        return drawn

    def _decode(self, table: Any, row: int, name: str, size: Size, random: SampleRandom | None) -> Any:
        data = table["image"][row]["bytes"].as_py()
        crop, flip = self._config.crop, self._config.random_flip
        try:
            return decode_to(data, size, random=random, crop=crop, flip=flip)
        except (OSError, SyntaxError, ValueError) as e:
            raise DatasetError(f"{name} cannot be decoded ({e}): make the dataset anew") from e


def _stack(arrays: list[Any]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))
