"""Micro-batches for one rank, from shards in a bucket or from a cache of latents.

A thread runs ahead by some steps: it announces the row groups that are needed, decodes in a pool, draws
each sample's randomness, and hands over whole steps. What a batch holds depends on (seed, position)
alone, never on the threads' timing.
"""

import queue
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from momalisa.artworks.buckets import Size, assign_buckets, bucket_sizes
from momalisa.artworks.cache import DatasetCache
from momalisa.artworks.dataset import RowGroup, StoredDataset
from momalisa.training.config import DataConfig
from momalisa.training.order import GlobalBatch, SampleOrder, share_of
from momalisa.training.samples import MicroBatch, SampleMaker
from momalisa.training.stream import LocalCache, RowGroupQueue, RowGroupReader

__all__ = ["LoaderSettings", "MicroBatch", "TrainLoader"]


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderSettings:
    """What of the run a loader needs besides its data."""

    seed: int
    rank: int
    world_size: int
    global_batch_size: int
    micro_batch_size: int
    latent_channels: int
    vae_scale_factor: int
    num_train_timesteps: int
    with_perturbation: bool = False


class TrainLoader:
    """Iterates over optimizer steps: a list of micro-batches for each. Close it, or use it in a `with`."""

    def __init__(
        self,
        dataset: StoredDataset,
        config: DataConfig,
        settings: LoaderSettings,
        *,
        cache: DatasetCache | None = None,
        start_step: int = 0,
        stop_step: int | None = None,
        local_cache_dir: Path | None = None,
    ) -> None:
        self._config = config
        self._settings = settings
        self._start, self._stop = start_step, stop_step
        self._groups = dataset.row_groups("train")
        self._sizes = resolve_buckets(dataset, config, settings.vae_scale_factor)
        self._order = SampleOrder(
            [group.num_rows for group in self._groups],
            seed=settings.seed,
            num_streams=config.num_streams,
            shuffle_buffer=config.shuffle_buffer,
            global_batch_size=settings.global_batch_size,
            buckets=self._sizes[1] if config.aspect_buckets else None,
            max_samples=config.max_samples,
        )
        self._maker = SampleMaker(config, settings, cache)
        local = LocalCache(local_cache_dir, config.local_cache_mib * 2**20) if local_cache_dir else None
        reader = RowGroupReader(
            cache.store if cache else dataset.store, cache.columns if cache else ("image", "text", "file_name"), local
        )
        idle = (
            2
            + min(config.num_streams, len(self._groups)) * (1 + -(-config.shuffle_buffer // 64)) // settings.world_size
        )
        self._row_groups = RowGroupQueue(reader, cache.paths if cache else None, max_idle=idle)
        self._decoders = ThreadPoolExecutor(config.num_decode_threads, thread_name_prefix="decode")
        self._ready: queue.Queue[list[MicroBatch] | BaseException | None] = queue.Queue(config.prefetch_batches)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run_ahead, name="loader", daemon=True)
        self._firsts = np.array([group.first for group in self._groups])

    def __enter__(self) -> "TrainLoader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[list[MicroBatch]]:
        """Steps from `start_step` to `stop_step`. Raises what a thread ran into."""
        self._thread.start()
        while True:
            item = self._ready.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Ends the threads, soon."""
        self._closed.set()
        self._row_groups.close()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        while not self._ready.empty():
            self._ready.get_nowait()

    def _run_ahead(self) -> None:
        try:
            announced: list[tuple[GlobalBatch, Any]] = []
            for step, batch in enumerate(self._order.batches(self._start), start=self._start):
                if self._closed.is_set() or (self._stop is not None and step >= self._stop):
                    break
                places = share_of(batch, self._settings.rank, self._settings.world_size)
                self._row_groups.expect(self._group_of(sample) for sample in batch.samples[places])
                announced.append((batch, places))
                # Fetches run a few steps ahead of decoding, which runs a few steps ahead of training.
                if len(announced) > self._config.prefetch_batches:
                    self._hand_over(*announced.pop(0))
            for batch, places in announced:
                self._hand_over(batch, places)
            self._put(None)
        except BaseException as e:  # noqa: BLE001 - whatever it is, the consumer's thread must raise it
            self._put(e)

    def _hand_over(self, batch: GlobalBatch, places: Any) -> None:
        if self._closed.is_set():
            return
        width, height = self._sizes[0][batch.bucket]
        futures = []
        for place in places:
            sample, epoch = int(batch.samples[place]), int(batch.epochs[place])
            group = self._group_of(sample)
            table = self._row_groups.take(group)
            futures.append(
                self._decoders.submit(self._maker.make, table, sample - group.first, sample, epoch, (width, height))
            )
        samples = [future.result() for future in futures]
        size = self._settings.micro_batch_size
        self._put([self._maker.collate(samples[i : i + size]) for i in range(0, len(samples), size)])

    def _group_of(self, sample: int) -> RowGroup:
        return self._groups[int(np.searchsorted(self._firsts, sample, side="right")) - 1]

    def _put(self, item: list[MicroBatch] | BaseException | None) -> None:
        while not self._closed.is_set():
            try:
                self._ready.put(item, timeout=0.2)
            except queue.Full:
                continue
            return


def resolve_buckets(
    dataset: StoredDataset, config: DataConfig, vae_scale_factor: int, split: Any = "train"
) -> tuple[list[Size], Any]:
    """The sizes there are, and with aspect buckets each row's index among them (else None)."""
    if not config.aspect_buckets:
        return [(config.resolution, config.resolution)], None
    sizes = bucket_sizes(config.resolution, config.max_aspect_ratio, 2 * vae_scale_factor)
    return sizes, assign_buckets(dataset.sizes(split), sizes)
