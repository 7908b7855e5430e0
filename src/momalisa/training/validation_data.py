"""Held-out samples, always the same ones with the same noise and timesteps, so that losses compare."""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from momalisa.artworks.buckets import Size
from momalisa.artworks.cache import DatasetCache
from momalisa.artworks.dataset import RowGroup, StoredDataset
from momalisa.artworks.decoding import decode_picture
from momalisa.training.batches import Batcher, Content, MicroBatch
from momalisa.training.config import DataConfig
from momalisa.training.loader import open_source
from momalisa.training.randomness import SampleRandom, generator
from momalisa.training.stream import RowStream
from momalisa.training.transforms import Draw, find_targets, stratified_timesteps

_NUM_BATCHES_AHEAD = 2
_PICTURES_SEED = 0


@dataclass(frozen=True, slots=True)
class _Use:
    """One noise and timestep for one sample."""

    index: int
    draw: Draw


@dataclass(frozen=True, slots=True)
class _Part:
    """A micro-batch to be."""

    size: Size
    uses: tuple[_Use, ...]


def load_validation(
    dataset: StoredDataset,
    data_config: DataConfig,
    *,
    num_samples: int,
    timesteps_per_sample: int,
    seed: int,
    rank: int,
    world_size: int,
    micro_batch_size: int,
    latent_channels: int,
    vae_scale_factor: int,
    num_train_timesteps: int,
    cache: DatasetCache | None,
) -> Iterator[MicroBatch]:
    """This rank's micro-batches over at most `num_samples` held-out samples, each `timesteps_per_sample` times.

    Centre crops, all captions. The micro-batches are the same whatever the world's size; each rank gets
    consecutive ones, perhaps none. Raises as `TrainLoader` does.
    """
    targets = find_targets(dataset, "validation", data_config, vae_scale_factor=vae_scale_factor)
    indices = choose_rows(dataset.row_groups("validation"), num_samples, seed)
    timesteps = stratified_timesteps(
        len(indices), timesteps_per_sample, seed=seed, num_train_timesteps=num_train_timesteps
    )
    uses: dict[Size, list[_Use]] = {size: [] for size in targets.sizes}
    for index, row in zip(indices, timesteps.tolist(), strict=True):
        random = SampleRandom(seed, 0, index, "validation")
        uses[targets.size_of(index)] += [_Use(index, Draw(random, f"noise/{k}", t)) for k, t in enumerate(row)]
    parts = [
        _Part(size, tuple(of_size[start : start + micro_batch_size]))
        for size, of_size in uses.items()
        for start in range(0, len(of_size), micro_batch_size)
    ]
    own = parts[rank * len(parts) // world_size : (rank + 1) * len(parts) // world_size]
    batcher = Batcher(
        cache=cache,
        latent_channels=latent_channels,
        vae_scale_factor=vae_scale_factor,
        with_perturbation=False,
    )
    reader, groups = open_source(dataset, cache, "validation", None)
    order = list(dict.fromkeys(use.index for part in own for use in part.uses))
    stream = RowStream(reader, groups, batcher.columns, span=len(order))
    try:
        stream.plan([0] * len(order), order)
        stream.begin(len(order))
        yield from _micro_batches(own, batcher, stream, data_config.num_decode_threads)
    finally:
        stream.close()


def validation_pictures(
    dataset: StoredDataset, data_config: DataConfig, num_pictures: int
) -> "tuple[list[str], np.ndarray[Any, np.dtype[np.uint8]]]":
    """Captions and centre squares of held-out pictures, uint8 (N, resolution, resolution, 3), always the same ones."""
    groups = dataset.row_groups("validation")
    indices = choose_rows(groups, num_pictures, _PICTURES_SEED)
    size = (data_config.resolution, data_config.resolution)
    reader, _ = open_source(dataset, None, "validation", None)
    stream = RowStream(reader, groups, ("image.bytes", "text", "file_name"), span=len(indices))

    def load(index: int) -> "tuple[str, np.ndarray[Any, np.dtype[np.uint8]]]":
        row = stream.take(0, index)
        return row["text"], decode_picture(row["image"]["bytes"], size, name=row["file_name"])

    try:
        stream.plan([0] * len(indices), indices)
        stream.begin(len(indices))
        with ThreadPoolExecutor(data_config.num_decode_threads, thread_name_prefix="momalisa-decode") as pool:
            loaded = list(pool.map(load, indices))
    finally:
        stream.close()
    return [caption for caption, _ in loaded], np.stack([picture for _, picture in loaded])


def choose_rows(row_groups: Sequence[RowGroup], num_rows: int, seed: int) -> list[int]:
    """Positions of at most `num_rows` rows of a split, drawn from few row groups, ascending."""
    random = generator(seed, "validation rows")
    candidates: list[int] = []
    for number in random.permutation(len(row_groups)):
        if len(candidates) >= 2 * num_rows:
            break
        group = row_groups[number]
        candidates += range(group.start, group.start + group.num_rows)
    return sorted(random.permutation(candidates)[:num_rows].tolist())


def _micro_batches(
    parts: Sequence[_Part], batcher: Batcher, stream: RowStream, num_threads: int
) -> Iterator[MicroBatch]:
    """Each sample is decoded once, a little ahead, though several micro-batches may use it."""
    contents: dict[int, Future[Content]] = {}
    submitted = 0
    with ThreadPoolExecutor(num_threads, thread_name_prefix="momalisa-decode") as pool:
        for number, part in enumerate(parts):
            ahead = parts[submitted : number + 1 + _NUM_BATCHES_AHEAD]
            for use, size in ((use, p.size) for p in ahead for use in p.uses):
                if use.index not in contents:
                    contents[use.index] = pool.submit(_load, stream, batcher, use, size)
            submitted += len(ahead)
            indices = [use.index for use in part.uses]
            batch = batcher.new_batch(indices, [0] * len(indices), part.size)
            for slot, use in enumerate(part.uses):
                batcher.fill(batch, slot, contents[use.index].result(), use.draw)
            yield batch
            upcoming = {use.index for p in parts[number + 1 : submitted] for use in p.uses}
            # A sample's uses are neighbours: one that no upcoming micro-batch has is done with.
            contents = {index: content for index, content in contents.items() if index in upcoming}


def _load(stream: RowStream, batcher: Batcher, use: _Use, size: Size) -> Content:
    return batcher.load(stream.take(0, use.index), size, use.draw)
