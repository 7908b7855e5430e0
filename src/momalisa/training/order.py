"""The order of samples: canonical streams, a function of (row groups, seed, epoch) and of nothing else.

In each epoch the row groups are shuffled and dealt to streams; within a stream, rows are shuffled within
their row group and moved by at most `shuffle_buffer` rows beyond it; the streams are interleaved round
robin. Global batches are cut from that one sequence, so the number of workers changes only who works on
which part of a batch. (mosaicml/streaming's elastic determinism is the model for this.)
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from momalisa.training.randomness import generator

IntArray = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class GlobalBatch:
    """The samples of one optimizer step over all workers, of one bucket; arrays (B,)."""

    step: int
    """Counted from 0."""
    bucket: int
    indices: IntArray
    """Row positions over all shards of the split, in the manifest's order."""
    epochs: IntArray
    """The epoch that each sample belongs to: a batch may reach into the next one."""
    streams: IntArray


class SampleOrder:
    """The endless sequence of global batches over a split."""

    def __init__(
        self,
        row_group_sizes: Sequence[int],
        *,
        seed: int,
        num_streams: int,
        shuffle_buffer: int,
        global_batch_size: int,
        buckets: IntArray | None = None,
    ) -> None:
        """`buckets` gives each sample's bucket, (N,); None: all are of one."""
        self._sizes = np.asarray(row_group_sizes, dtype=np.int64)
        self._seed = seed
        self._num_streams = min(num_streams, len(self._sizes))
        self._shuffle_buffer = shuffle_buffer
        self._batch_size = global_batch_size
        self.num_samples = int(self._sizes.sum())
        assert self.num_samples > 0
        self._buckets = np.zeros(self.num_samples, dtype=np.int64) if buckets is None else buckets
        assert len(self._buckets) == self.num_samples
        self._bucket_sizes = np.bincount(self._buckets)
        self.span = self._num_streams * (3 * int(self._sizes.max()) + 2 * shuffle_buffer)
        """All rows of a row group come out within so many samples of the epoch's sequence."""

    def epoch(self, epoch: int) -> tuple[IntArray, IntArray]:
        """All samples of an epoch in order, and the stream of each."""
        random = generator(self._seed, epoch, "order")
        num_groups = len(self._sizes)
        dealt = random.permutation(num_groups)
        stream_of_group = np.empty(num_groups, dtype=np.int64)
        stream_of_group[dealt] = np.arange(num_groups) % self._num_streams
        first_of_group = self._first_positions(dealt)
        group_of_row = np.repeat(np.arange(num_groups), self._sizes)
        stream_of_row = stream_of_group[group_of_row]
        position = first_of_group[group_of_row] + self._within_stream(random, group_of_row)
        # One sort for all streams: their positions are laid out one stream after the other.
        width = position.max() + 1.0
        sequence = np.argsort(stream_of_row * width + position, kind="stable")
        return _round_robin(sequence, np.bincount(stream_of_row, minlength=self._num_streams))

    def batches(self, start_step: int = 0) -> Iterator[GlobalBatch]:
        """Global batches from a step on, for ever; skipping costs no more than a few epochs' order.

        A batch is complete as soon as its bucket has enough samples waiting; what waits at the end of
        an epoch goes on waiting in the next, so that no sample is lost or doubled.
        """
        epoch = self._epoch_of(start_step)
        step = self._num_steps_before(epoch)
        waiting = self._waiting_at(epoch)
        while True:
            arriving = self._rows_of(epoch)
            rows = tuple(np.concatenate(pair) for pair in zip(waiting, arriving, strict=True))
            complete, rest = self._cut(rows[0])
            for bucket, chosen in complete:
                if step >= start_step:
                    yield GlobalBatch(step, bucket, *(column[chosen] for column in rows))
                step += 1
            waiting = tuple(column[rest] for column in rows)
            epoch += 1

    def _first_positions(self, dealt: IntArray) -> IntArray:
        """Where in its stream each row group begins, in rows."""
        num_groups, width = len(dealt), self._num_streams
        padded = np.zeros(-(-num_groups // width) * width, dtype=np.int64)
        padded[:num_groups] = self._sizes[dealt]
        table = padded.reshape(-1, width)
        starts = np.cumsum(table, axis=0) - table
        first = np.empty(num_groups, dtype=np.int64)
        first[dealt] = starts.ravel()[:num_groups]
        return first

    def _within_stream(self, random: np.random.Generator, group_of_row: IntArray) -> Any:
        """Offsets of rows from their row group's beginning, (N,), not whole."""
        num_rows = self.num_samples
        if self._shuffle_buffer == 1:
            starts = np.cumsum(self._sizes) - self._sizes
            return np.arange(num_rows) - starts[group_of_row]
        in_group = random.random(num_rows) * self._sizes[group_of_row]
        # Unlike a buffer from which random rows are drawn, no row stays behind for long: the row groups
        # in memory are bounded.
        return in_group + random.random(num_rows) * self._shuffle_buffer

    def _rows_of(self, epoch: int) -> tuple[IntArray, IntArray, IntArray]:
        indices, streams = self.epoch(epoch)
        return indices, np.full(len(indices), epoch, dtype=np.int64), streams

    def _cut(self, indices: IntArray) -> tuple[list[tuple[int, IntArray]], IntArray]:
        """Positions in `indices` of each complete batch, in order of completion, and of what is left."""
        buckets = self._buckets[indices]
        by_bucket = np.argsort(buckets, kind="stable")
        ends = np.cumsum(np.bincount(buckets, minlength=len(self._bucket_sizes)))
        complete: list[tuple[int, IntArray]] = []
        rest: list[IntArray] = []
        for bucket, queue in enumerate(np.split(by_bucket, ends[:-1])):
            stop = len(queue) // self._batch_size * self._batch_size
            complete += [(bucket, batch) for batch in queue[:stop].reshape(-1, self._batch_size)]
            rest.append(queue[stop:])
        complete.sort(key=lambda item: int(item[1][-1]))
        return complete, np.sort(np.concatenate(rest))

    def _num_steps_before(self, epoch: int) -> int:
        return int((epoch * self._bucket_sizes // self._batch_size).sum())

    def _epoch_of(self, step: int) -> int:
        """The epoch whose samples complete the batch of a step."""
        epoch = step * self._batch_size // self.num_samples
        while self._num_steps_before(epoch + 1) <= step:
            epoch += 1
        return epoch

    def _waiting_at(self, epoch: int) -> tuple[IntArray, ...]:
        """The rows that wait for a full batch when an epoch begins."""
        counts = epoch * self._bucket_sizes % self._batch_size
        filled = counts > 0
        reach = int(np.max(-(-counts[filled] // self._bucket_sizes[filled]), initial=0))
        nothing = np.zeros(0, dtype=np.int64)
        parts = [(nothing, nothing, nothing), *(self._rows_of(e) for e in range(epoch - reach, epoch))]
        rows = tuple(np.concatenate(column) for column in zip(*parts, strict=True))
        buckets = self._buckets[rows[0]]
        kept = [np.flatnonzero(buckets == b)[-int(counts[b]) :] for b in np.flatnonzero(filled)]
        chosen = np.sort(np.concatenate([nothing, *kept]))
        return tuple(column[chosen] for column in rows)


def deal(streams: IntArray, world_size: int) -> IntArray:
    """The rank that works on each sample of a global batch, (B,); every rank gets equally many.

    Stream s belongs to rank s modulo the world's size. Where that is uneven, a rank gives away samples
    of its highest streams: always the same few streams, so that few row groups are read by two ranks.
    """
    assert len(streams) % world_size == 0
    share = len(streams) // world_size
    ranks = streams % world_size
    own = [np.flatnonzero(ranks == rank) for rank in range(world_size)]
    ordered = [positions[np.argsort(streams[positions], kind="stable")] for positions in own]
    surplus = iter(np.concatenate([positions[share:] for positions in ordered]))
    for rank, positions in enumerate(ordered):
        for _ in range(share - len(positions)):
            ranks[next(surplus)] = rank
    return ranks


def _round_robin(sequence: IntArray, lengths: IntArray) -> tuple[IntArray, IntArray]:
    """One row of each stream in turn; `sequence` holds the streams' rows one stream after the other."""
    table = np.full((len(lengths), int(lengths.max())), -1, dtype=np.int64)
    table[np.arange(table.shape[1]) < lengths[:, None]] = sequence
    turns = table.T
    present = turns >= 0
    streams = np.broadcast_to(np.arange(len(lengths)), turns.shape)
    return turns[present], streams[present]
