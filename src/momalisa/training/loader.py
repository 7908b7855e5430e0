"""The training data of one rank: micro-batches in the canonical order, prepared in threads ahead of their use."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np

from momalisa.artworks.buckets import Size
from momalisa.artworks.cache import DatasetCache
from momalisa.artworks.dataset import RowGroup, StoredDataset
from momalisa.artworks.manifest import Split
from momalisa.artworks.reading import ShardReader
from momalisa.errors import ConfigError
from momalisa.training.batches import Batcher, MicroBatch
from momalisa.training.config import DataConfig
from momalisa.training.local_cache import LocalCache
from momalisa.training.order import GlobalBatch, IntArray, SampleOrder, deal
from momalisa.training.stream import RowStream
from momalisa.training.transforms import find_targets, training_draws

__all__ = ["MicroBatch", "TrainLoader", "open_source"]


@dataclass(slots=True)
class _Step:
    """One optimizer step of this rank, planned or under way."""

    size: Size
    epochs: IntArray
    indices: IntArray
    micro_batches: list[MicroBatch]
    work: list[Future[None]]


class TrainLoader:
    """One list of micro-batches for each optimizer step from `start_step` (a count) to `stop_step`.

    What a sample contains depends on (seed, epoch, index) alone, and which samples make a step not on the
    number of workers. Iterate once. Errors of its threads are raised where the step is taken:
    IntegrityError names the file or picture, StorageError the object.
    """

    def __init__(
        self,
        dataset: StoredDataset,
        data_config: DataConfig,
        *,
        seed: int,
        rank: int,
        world_size: int,
        global_batch_size: int,
        micro_batch_size: int,
        latent_channels: int,
        vae_scale_factor: int,
        num_train_timesteps: int,
        with_perturbation: bool,
        cache: DatasetCache | None,
        stop_step: int,
        start_step: int = 0,
        local_cache_dir: Path | None = None,
    ) -> None:
        if global_batch_size % (world_size * micro_batch_size):
            raise ConfigError(
                f"global_batch_size {global_batch_size} is no multiple of {world_size} workers × "
                f"micro_batch_size {micro_batch_size}: change one of them"
            )
        self._rank, self._world_size = rank, world_size
        self._share, self._micro_batch_size = global_batch_size // world_size, micro_batch_size
        self._num_prefetched = data_config.prefetch_batches
        self._stop_step = stop_step
        self._draw = training_draws(data_config, seed=seed, num_train_timesteps=num_train_timesteps)
        self._batcher = Batcher(
            cache=cache,
            latent_channels=latent_channels,
            vae_scale_factor=vae_scale_factor,
            with_perturbation=with_perturbation,
        )
        self._targets = find_targets(dataset, "train", data_config, vae_scale_factor=vae_scale_factor)
        local_cache = _local_cache(dataset, data_config, local_cache_dir)
        reader, groups = open_source(dataset, cache, "train", data_config.max_samples, local_cache)
        order = SampleOrder(
            [group.num_rows for group in groups],
            seed=seed,
            num_streams=data_config.num_streams,
            shuffle_buffer=data_config.shuffle_buffer,
            global_batch_size=global_batch_size,
            buckets=self._targets.buckets,
        )
        self._batches = order.batches(start_step)
        span = self._span(order)
        self._stream = RowStream(reader, groups, self._batcher.columns, span=span)
        self._horizon = 2 * span + self._num_prefetched * self._share
        self._planned: deque[_Step] = deque()
        self._num_planned = self._num_submitted = 0
        self._under_way: deque[_Step] = deque()
        self._pool = ThreadPoolExecutor(data_config.num_decode_threads, thread_name_prefix="momalisa-decode")

    def __iter__(self) -> Iterator[list[MicroBatch]]:
        try:
            while step := self._next_step():
                for work in step.work:
                    work.result()
                yield step.micro_batches
        finally:
            self.close()

    def __enter__(self) -> "TrainLoader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Stops the threads; what is under way is dropped."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._stream.close()
        self._under_way.clear()

    def _next_step(self) -> _Step | None:
        self._plan()
        self._stream.begin(self._num_submitted + (self._num_prefetched + 1) * self._share)
        while self._planned and len(self._under_way) <= self._num_prefetched:
            step = self._planned.popleft()
            self._num_submitted += len(step.indices)
            self._submit(step)
            self._under_way.append(step)
        return self._under_way.popleft() if self._under_way else None

    def _plan(self) -> None:
        """Keeps this rank's samples known as far ahead as the row stream needs."""
        while self._num_planned < self._num_submitted + self._horizon:
            batch = next(self._batches)
            if batch.step >= self._stop_step:
                self._horizon = 0
                return
            step = self._own_part(batch)
            self._stream.plan(step.epochs.tolist(), step.indices.tolist())
            self._num_planned += len(step.indices)
            self._planned.append(step)

    def _own_part(self, batch: GlobalBatch) -> _Step:
        own = np.flatnonzero(deal(batch.streams, self._world_size) == self._rank)
        return _Step(self._targets.sizes[batch.bucket], batch.epochs[own], batch.indices[own], [], [])

    def _submit(self, step: _Step) -> None:
        for start in range(0, self._share, self._micro_batch_size):
            part = slice(start, start + self._micro_batch_size)
            epochs, indices = step.epochs[part].tolist(), step.indices[part].tolist()
            batch = self._batcher.new_batch(indices, epochs, step.size)
            step.micro_batches.append(batch)
            for slot, (epoch, index) in enumerate(zip(epochs, indices, strict=True)):
                step.work.append(self._pool.submit(self._fill, batch, slot, epoch, index, step.size))

    def _fill(self, batch: MicroBatch, slot: int, epoch: int, index: int, size: Size) -> None:
        draw = self._draw(epoch, index)
        content = self._batcher.load(self._stream.take(epoch, index), size, draw)
        self._batcher.fill(batch, slot, content, draw)

    def _span(self, order: SampleOrder) -> int:
        """In samples of this rank: what all uses of a row group lie within, but for rare buckets' stragglers."""
        num_buckets = len(self._targets.sizes)
        waiting = 4 * self._share * num_buckets if num_buckets > 1 else 0
        return min(order.span, order.num_samples) // self._world_size + 2 * self._share + waiting


def open_source(
    dataset: StoredDataset,
    cache: DatasetCache | None,
    split: Split,
    max_rows: int | None,
    local_cache: LocalCache | None = None,
) -> tuple[ShardReader, tuple[RowGroup, ...]]:
    """A reader of the cache, or else of the dataset itself, and the row groups of a split."""
    if cache is None:
        return ShardReader(dataset.store, local_cache), dataset.row_groups(split, max_rows)
    return ShardReader(cache.store, local_cache), cache.row_groups(split, max_rows)


def _local_cache(dataset: StoredDataset, config: DataConfig, folder: Path | None) -> LocalCache | None:
    """None as well where the dataset itself is on this machine's disk."""
    if folder is None or config.local_cache_mib == 0 or dataset.store.local_path is not None:
        return None
    return LocalCache(folder, config.local_cache_mib * 2**20)
