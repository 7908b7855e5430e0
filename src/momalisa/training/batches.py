"""Micro-batches, and how the rows of a dataset or of its cache fill them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from momalisa.artworks.buckets import Size
from momalisa.artworks.cache import DatasetCache
from momalisa.artworks.decoding import decode_picture
from momalisa.errors import IntegrityError
from momalisa.training.stream import Row
from momalisa.training.transforms import Draw

_PICTURE_COLUMNS = ("image.bytes", "text", "file_name", "hash")

Array = np.ndarray[Any, Any]


@dataclass(slots=True)
class MicroBatch:
    """The samples of one forward pass of one rank, all of one size. Latents are C × h × w."""

    sample_indices: Array
    """int64 (B,), row positions in the split."""
    epochs: Array
    """int64 (B,)."""
    names: list[str]
    """File name and hash of each sample, for messages."""
    captions: list[str]
    """"" where the caption is dropped."""
    timesteps: Tensor
    """int64 (B,)."""
    latent_noise: Tensor
    """(B, C, h, w): `latents = (mean + std × latent_noise) × scaling_factor`."""
    noise: Tensor
    """(B, C, h, w)."""
    offset_noise: Tensor
    """(B, C, 1, 1)."""
    perturbation_noise: Tensor | None
    """(B, C, h, w); None where there is no input perturbation."""
    pixel_values: Tensor | None
    """(B, 3, H, W) float32 RGB in [-1, 1]; None where the moments are cached."""
    latent_mean: Tensor | None
    """(B, C, h, w) float32, before the scaling factor; None where they are not cached."""
    latent_std: Tensor | None
    text_embeddings: Tensor | None
    """(B, tokens, width) float32, the empty caption's where it is dropped; None where they are not cached."""


@dataclass(slots=True)
class Content:
    """A sample as it is stored, decoded: pixels, or cached moments and perhaps an embedding."""

    name: str
    caption: str
    pixels: Array | None = None
    """uint8 (H, W, 3)."""
    moments: tuple[Array, Array] | None = None
    """Mean and standard deviation (C, h, w)."""
    text_embedding: Array | None = None


class Batcher:
    """Makes micro-batches of the rows of one source: the dataset, or its cache. Safe in threads."""

    def __init__(
        self, *, cache: DatasetCache | None, latent_channels: int, vae_scale_factor: int, with_perturbation: bool
    ) -> None:
        self._cache = cache
        self._channels = latent_channels
        self._scale = vae_scale_factor
        self._with_perturbation = with_perturbation
        self._empty_text = cache.empty_text() if cache is not None and cache.with_text else None

    @property
    def columns(self) -> tuple[str, ...]:
        """What is read of each row."""
        return _PICTURE_COLUMNS if self._cache is None else self._cache.columns

    def new_batch(self, indices: Sequence[int], epochs: Sequence[int], size: Size) -> MicroBatch:
        """A micro-batch whose slots wait to be filled."""
        count = len(indices)
        latents = (count, self._channels, size[1] // self._scale, size[0] // self._scale)
        cached, text = self._cache is not None, self._empty_text
        return MicroBatch(
            sample_indices=np.asarray(indices, dtype=np.int64),
            epochs=np.asarray(epochs, dtype=np.int64),
            names=[""] * count,
            captions=[""] * count,
            timesteps=torch.empty(count, dtype=torch.int64),
            latent_noise=torch.empty(latents),
            noise=torch.empty(latents),
            offset_noise=torch.empty((*latents[:2], 1, 1)),
            perturbation_noise=torch.empty(latents) if self._with_perturbation else None,
            pixel_values=None if cached else torch.empty((count, 3, size[1], size[0])),
            latent_mean=torch.empty(latents) if cached else None,
            latent_std=torch.empty(latents) if cached else None,
            text_embeddings=None if text is None else torch.empty((count, *text.shape)),
        )

    def load(self, row: Row, size: Size, draw: Draw) -> Content:
        """Decodes a row. Raises IntegrityError naming the sample where it cannot be decoded."""
        name = f"{row['file_name']} ({row['hash'][:12]})"
        if self._cache is None:
            pixels = decode_picture(row["image"]["bytes"], size, name=name, crop=draw.crop, flip=draw.flip)
            return Content(name, row["text"], pixels=pixels)
        manifest = self._cache.manifest
        shape = (self._channels, size[1] // self._scale, size[0] // self._scale)
        if (manifest.latent_channels, row["latent_height"], row["latent_width"]) != shape:
            raise IntegrityError(
                f"{name} has latents of {manifest.latent_channels} × {row['latent_height']} × {row['latent_width']} in "
                f"{self._cache.store.uri} where {shape[0]} × {shape[1]} × {shape[2]} are needed: write the cache again"
            )
        mean, std = (np.frombuffer(row[key], manifest.dtype).reshape(shape) for key in ("latent_mean", "latent_std"))
        content = Content(name, row["text"], moments=(mean, std))
        if manifest.text_shape is not None and self._empty_text is not None:
            content.text_embedding = np.frombuffer(row["text_embedding"], manifest.dtype).reshape(manifest.text_shape)
        return content

    def fill(self, batch: MicroBatch, slot: int, content: Content, draw: Draw) -> None:
        """Puts a sample, with what is drawn for it, into a slot. With NumPy: torch's threads are the step's."""
        batch.names[slot] = content.name
        batch.captions[slot] = "" if draw.drop_caption else content.caption
        batch.timesteps[slot] = draw.timestep
        _fill_noise(batch, slot, draw)
        if batch.pixel_values is not None:
            assert content.pixels is not None
            target = batch.pixel_values[slot].numpy()
            np.multiply(content.pixels.transpose(2, 0, 1), np.float32(1 / 127.5), out=target)
            target -= 1
        if batch.latent_mean is not None and batch.latent_std is not None:
            assert content.moments is not None
            batch.latent_mean[slot].numpy()[:], batch.latent_std[slot].numpy()[:] = content.moments
        if batch.text_embeddings is not None:
            embedding = self._empty_text if draw.drop_caption else content.text_embedding
            batch.text_embeddings[slot].numpy()[:] = embedding


def _fill_noise(batch: MicroBatch, slot: int, draw: Draw) -> None:
    shape = tuple(batch.noise.shape[1:])
    batch.noise[slot].numpy()[:] = draw.random.normal(draw.noise_purpose, shape)
    batch.latent_noise[slot].numpy()[:] = draw.random.normal("latent", shape)
    batch.offset_noise[slot].numpy()[:] = draw.random.normal("offset", (shape[0], 1, 1))
    if batch.perturbation_noise is not None:
        batch.perturbation_noise[slot].numpy()[:] = draw.random.normal("perturbation", shape)
