"""What a run measures and draws with its weights as they are: always the same samples, noise and seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from momalisa.artworks.cache import DatasetCache
from momalisa.artworks.dataset import StoredDataset
from momalisa.diffusion.sampling import draw
from momalisa.training.config import ObjectiveConfig
from momalisa.training.denoiser import Denoiser
from momalisa.training.learner import LatentBatch, Learner
from momalisa.training.recognition import recognition_subjects
from momalisa.training.replay import DrawnLatents, replay_batch
from momalisa.training.validation_data import load_validation
from momalisa.training.world import World

_PLAIN = ObjectiveConfig()
"""Validation is the plain mean squared error, whatever the training's weights: runs stay comparable."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Losses by sample, the same samples in the same order at every step."""

    validation: tuple[float, ...]
    """Of the held-out samples, each the mean over its timesteps."""
    forgetting: tuple[float, ...]
    """Of pictures that the base model drew for prompts outside the collection."""

    @property
    def validation_loss(self) -> float:
        """The mean."""
        return float(np.mean(self.validation))


class Evaluator:
    """Measures and draws; every method is collective, each rank doing its share."""

    def __init__(
        self, learner: Learner, world: World, dataset: StoredDataset, cache: DatasetCache | None, outside: DrawnLatents
    ) -> None:
        self._learner = learner
        self._world = world
        self._dataset = dataset
        self._cache = cache
        self._outside = outside
        self._settings = learner.config.validation

    def measure(self, denoiser: Denoiser) -> Measurement:
        """Losses of a denoiser."""
        return Measurement(
            validation=tuple(self._merge(self._validation_losses(denoiser))),
            forgetting=tuple(self._merge(self._forgetting_losses(denoiser))),
        )

    def draw(self, prompts: Sequence[str], seeds: Sequence[int]) -> Any:
        """Pictures (N, H, W, 3) uint8 of the prompts, drawn with the learner's plain copy."""
        own = list(range(self._world.rank, len(prompts), self._world.size))
        pictures: list[Any] = []
        if own:
            with self._learner.engine.autocast():
                pictures = list(
                    draw(
                        self._learner.drawing_components(),
                        [prompts[i] for i in own],
                        seeds=[seeds[i] for i in own],
                        num_inference_steps=self._settings.num_inference_steps,
                        guidance_scale=self._settings.guidance_scale,
                        negative_prompt=self._settings.negative_prompt,
                        height=self._size,
                        width=self._size,
                    )
                )
        shares = self._world.gather(pictures)
        return np.stack([shares[i % self._world.size][i // self._world.size] for i in range(len(prompts))])

    def draw_validation_prompts(self) -> dict[str, list[Any]]:
        """The validation prompts' pictures, always of the same seeds."""
        prompts = [p for p in self._settings.prompts for _ in range(self._settings.images_per_prompt)]
        seeds = [self._settings.seed + i % self._settings.images_per_prompt for i in range(len(prompts))]
        pictures = self.draw(prompts, seeds)
        by_prompt: dict[str, list[Any]] = {prompt: [] for prompt in self._settings.prompts}
        for prompt, picture in zip(prompts, pictures, strict=True):
            by_prompt[prompt].append(picture)
        return by_prompt

    def draw_in_style(self, captions: Sequence[str]) -> Any:
        """Pictures of held-out captions, to compare with the held-out pictures."""
        return self.draw(captions, [self._settings.seed + 1000 + i for i in range(len(captions))])

    def draw_to_recognise(self) -> Any | None:
        """Pictures in which the style classifier is to recognise manners; None where it is not asked."""
        recognition = self._settings.recognition
        if recognition is None:
            return None
        captions = [subject.caption for subject in recognition_subjects(recognition)]
        return self.draw(captions, [self._settings.seed + 2000 + i for i in range(len(captions))])

    @property
    def _size(self) -> int:
        return self._learner.config.data.resolution

    def _validation_losses(self, denoiser: Denoiser) -> dict[int, list[float]]:
        config, learner = self._learner.config, self._learner
        batches = load_validation(
            self._dataset,
            config.data,
            num_samples=self._settings.num_samples,
            timesteps_per_sample=self._settings.timesteps_per_sample,
            seed=self._settings.seed,
            cache=self._cache,
            **learner.loader_arguments(self._world),
        )
        losses: dict[int, list[float]] = {}
        for batch in batches:
            values = self._losses(denoiser, learner.latent_batch(batch))
            for index, value in zip(batch.sample_indices.tolist(), values, strict=True):
                losses.setdefault(index, []).append(value)
        return losses

    def _forgetting_losses(self, denoiser: Denoiser) -> dict[int, list[float]]:
        losses: dict[int, list[float]] = {}
        count, size = len(self._outside.prompts), self._learner.config.micro_batch_size
        for start in range(self._world.rank * size, count, self._world.size * size):
            number = min(size, count - start)
            batch = replay_batch(
                self._learner,
                self._outside,
                step=0,
                first=start,
                count=number,
                per_step=count,
                seed=self._settings.seed,
            )
            # Each picture once, rather than at random: the noise alone is the batch's.
            batch.latents = self._outside.latents[start : start + number].to(self._learner.device)
            batch.token_ids, batch.text_embeddings = self._learner.text_of(
                list(self._outside.prompts[start : start + number]), None
            )
            for offset, value in enumerate(self._losses(denoiser, batch)):
                losses[start + offset] = [value]
        return losses

    def _losses(self, denoiser: Denoiser, batch: LatentBatch) -> list[float]:
        dtype = next(denoiser.parameters()).dtype
        with torch.no_grad(), self._learner.engine.autocast():
            values: list[float] = self._learner.losses(denoiser, batch, _PLAIN, dtype).tolist()
        return values

    def _merge(self, own: dict[int, list[float]]) -> list[float]:
        """Means by sample over all ranks, in the samples' order."""
        merged: dict[int, list[float]] = {}
        for share in self._world.gather(own):
            for index, values in share.items():
                merged.setdefault(index, []).extend(values)
        return [float(np.mean(merged[index])) for index in sorted(merged)]
