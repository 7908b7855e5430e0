"""The held-out samples with their fixed noise and timesteps: the same at every step, on any number of workers."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from momalisa.artworks.cache import DatasetCache
from momalisa.artworks.dataset import RowGroup, StoredDataset
from momalisa.training.config import DataConfig
from momalisa.training.loader import LoaderSettings, resolve_buckets
from momalisa.training.samples import MicroBatch, Sample, SampleMaker
from momalisa.training.stream import RowGroupReader
from momalisa.training.transforms import decode_to


def load_validation(
    dataset: StoredDataset,
    config: DataConfig,
    settings: LoaderSettings,
    *,
    num_samples: int,
    timesteps_per_sample: int,
    cache: DatasetCache | None,
) -> Iterator[MicroBatch]:
    """This rank's share of the first `num_samples` held-out rows, each at timesteps spread evenly over all.

    Sample n at repetition r gets the middle of stratum `(n + r · N) % (N · R)` mixed by a fixed stride, so
    that every sample and the whole set see low and high noise alike.
    """
    maker = SampleMaker(config, settings, cache)
    sizes, buckets = resolve_buckets(dataset, config, settings.vae_scale_factor, "validation")
    columns = cache.columns if cache else ("image", "text", "file_name")
    reader = RowGroupReader(cache.store if cache else dataset.store, columns)
    waiting: dict[int, list[Sample]] = {}
    count = min(num_samples, dataset.num_rows("validation"))
    for group, rows in _share(dataset, count, settings):
        table = reader.read(group, cache.paths[group.shard.path] if cache else None)
        for row in rows:
            index = group.first + row
            bucket = 0 if buckets is None else int(buckets[index])
            for repetition in range(timesteps_per_sample):
                timestep = _timestep(index, repetition, timesteps_per_sample, settings.num_train_timesteps)
                # The repetition takes the epoch's place: other noise for the same picture.
                sample = maker.make(table, row, index, repetition, sizes[bucket], timestep)
                queue = waiting.setdefault(bucket, [])
                queue.append(sample)
                if len(queue) == settings.micro_batch_size:
                    yield maker.collate(waiting.pop(bucket))
    for samples in waiting.values():
        yield maker.collate(samples)


def validation_pictures(dataset: StoredDataset, config: DataConfig, count: int) -> tuple[list[str], Any]:
    """Captions and square pictures (N, H, W, 3) uint8 of the first held-out rows."""
    reader = RowGroupReader(dataset.store, ("image", "text", "file_name"))
    captions: list[str] = []
    pictures: list[Any] = []
    for group in dataset.row_groups("validation"):
        if len(captions) >= count:
            break
        table = reader.read(group)
        for row in range(min(group.num_rows, count - len(captions))):
            captions.append(table["text"][row].as_py())
            pictures.append(decode_to(table["image"][row]["bytes"].as_py(), (config.resolution, config.resolution)))
    return captions, np.stack(pictures)


def _share(dataset: StoredDataset, count: int, settings: LoaderSettings) -> Iterator[tuple[RowGroup, list[int]]]:
    for group in dataset.row_groups("validation"):
        rows = [r for r in range(group.num_rows) if group.first + r < count]
        own = [r for r in rows if (group.first + r) % settings.world_size == settings.rank]
        if own:
            yield group, own


def _timestep(index: int, repetition: int, repetitions: int, num_train_timesteps: int) -> int:
    """Stratified: repetition r is in the r-th part of the range, the place in it by the golden ratio."""
    place = (index * 0.6180339887498949 + 0.5) % 1.0
    return int((repetition + place) / repetitions * num_train_timesteps)
