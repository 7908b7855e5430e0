"""The order of samples: a function of the dataset, the seed and nothing else.

An epoch's row groups are shuffled and dealt to canonical streams; in each stream the rows run through a
bounded shuffle buffer; the streams are interleaved. So an order that never needs the whole dataset at
once is the same for any number of workers, who each own some of the streams (after mosaicml/streaming's
elastic determinism). A position in it is a count of optimizer steps.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

IntArray = "np.ndarray[Any, np.dtype[np.int64]]"


@dataclass(frozen=True, slots=True)
class GlobalBatch:
    """One optimizer step's samples, all of one bucket: positions in the train split, epochs, streams."""

    samples: Any
    epochs: Any
    streams: Any
    bucket: int


class SampleOrder:
    """An endless sequence of global batches."""

    def __init__(
        self,
        row_groups: Sequence[int],
        *,
        seed: int,
        num_streams: int,
        shuffle_buffer: int,
        global_batch_size: int,
        buckets: Any | None = None,
        max_samples: int | None = None,
    ) -> None:
        """`row_groups` are the numbers of rows; `buckets` gives each row's bucket, None: all are of one."""
        self._sizes = _limited(list(row_groups), max_samples)
        self._firsts = np.concatenate([[0], np.cumsum(self._sizes)[:-1]]).astype(np.int64)
        self.num_samples = int(sum(self._sizes))
        self._seed = seed
        self._num_streams = max(1, min(num_streams, len(self._sizes)))
        self._shuffle_buffer = shuffle_buffer
        self._batch = global_batch_size
        self._buckets = buckets

    def epoch(self, epoch: int) -> tuple[Any, Any]:
        """An epoch's samples in order, and the stream of each, both (num_samples,)."""
        random = np.random.default_rng([self._seed, epoch, 0x0DE5])
        order = random.permutation(len(self._sizes))
        streams = []
        for number in range(self._num_streams):
            own = order[number :: self._num_streams]
            rows = [self._firsts[g] + np.arange(self._sizes[g]) for g in own]
            streams.append(_through_buffer(np.concatenate(rows), self._shuffle_buffer, random))
        return _interleave(streams)

    def batches(self, start_step: int = 0) -> Iterator[GlobalBatch]:
        """Global batches from a step on; the steps before are counted, not read."""
        steps = self._plain_batches(start_step) if self._buckets is None else self._bucketed_batches(start_step)
        yield from steps

    def _plain_batches(self, start_step: int) -> Iterator[GlobalBatch]:
        position = start_step * self._batch
        epoch, offset = divmod(position, self.num_samples)
        parts: list[tuple[Any, Any, Any]] = []
        missing = self._batch
        while True:
            samples, streams = self.epoch(epoch)
            while offset < self.num_samples:
                stop = min(offset + missing, self.num_samples)
                parts.append((samples[offset:stop], np.full(stop - offset, epoch), streams[offset:stop]))
                missing -= stop - offset
                offset = stop
                if missing == 0:
                    yield GlobalBatch(*(np.concatenate(column) for column in zip(*parts, strict=True)), bucket=0)
                    parts, missing = [], self._batch
            epoch, offset = epoch + 1, 0

    def _bucketed_batches(self, start_step: int) -> Iterator[GlobalBatch]:
        assert self._buckets is not None
        waiting: dict[int, list[tuple[int, int, int]]] = {}
        step = epoch = 0
        while True:
            samples, streams = self.epoch(epoch)
            for sample, stream, bucket in zip(
                samples.tolist(), streams.tolist(), self._buckets[samples].tolist(), strict=True
            ):
                queue = waiting.setdefault(bucket, [])
                queue.append((sample, epoch, stream))
                if len(queue) == self._batch:
                    if step >= start_step:
                        columns = np.array(queue, dtype=np.int64).T
                        yield GlobalBatch(columns[0], columns[1], columns[2], bucket)
                    step += 1
                    waiting[bucket] = []
            epoch += 1


def share_of(batch: GlobalBatch, rank: int, world_size: int) -> Any:
    """Which of a global batch's samples are a rank's: places in the batch, in order, equally many for all.

    A rank gets what is of its own streams (`stream % world_size`) as far as shares stay equal, so that
    mostly one rank reads a row group.
    """
    size = len(batch.samples) // world_size
    shares: list[list[int]] = [[] for _ in range(world_size)]
    homeless = []
    for place, stream in enumerate(batch.streams.tolist()):
        own = shares[stream % world_size]
        (own if len(own) < size else homeless).append(place)
    for place in homeless:
        next(share for share in shares if len(share) < size).append(place)
    return np.array(sorted(shares[rank]), dtype=np.int64)


def _through_buffer(rows: Any, size: int, random: np.random.Generator) -> Any:
    """What comes out of a shuffle buffer: always one of `size` waiting rows, at random, refilled in order."""
    result = np.empty_like(rows)
    buffer = rows[:size].tolist()
    picks = random.random(len(rows))
    for position in range(len(rows)):
        place = int(picks[position] * len(buffer))
        result[position] = buffer[place]
        following = position + size
        if following < len(rows):
            buffer[place] = int(rows[following])
        else:
            buffer[place] = buffer[-1]
            buffer.pop()
    return result


def _interleave(streams: list[Any]) -> tuple[Any, Any]:
    """Round robin, streams that have ended skipped."""
    turns = np.concatenate([np.arange(len(stream)) for stream in streams])
    numbers = np.concatenate([np.full(len(stream), number) for number, stream in enumerate(streams)])
    order = np.lexsort((numbers, turns))
    return np.concatenate(streams)[order], numbers[order]


def _limited(sizes: list[int], max_samples: int | None) -> list[int]:
    if max_samples is None:
        return sizes
    limited, left = [], max_samples
    for size in sizes:
        if left > 0:
            limited.append(min(size, left))
            left -= size
    return limited
