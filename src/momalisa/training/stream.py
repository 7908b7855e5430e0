"""Rows of samples from a dataset's or cache's row groups, fetched ahead of their use.

A rank knows all of its samples beforehand. It plans them some thousand samples ahead, so that the rows it
needs of a row group are known when the row group is fetched: one fetch serves an epoch, only those
rows stay in memory, and each goes as it is used.
"""

import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import numpy as np
import pyarrow as pa

from momalisa.artworks.dataset import RowGroup
from momalisa.artworks.reading import ShardReader

Row = Mapping[str, Any]
"""A row's values by column name."""

_NUM_THREADS = 16
_CLOSE_TIMEOUT_S = 5.0


class _Visit:
    """One fetch of a row group, for some of its rows."""

    __slots__ = ("key", "needed", "position", "rows", "used")

    def __init__(self, key: tuple[int, int], position: int) -> None:
        self.key = key
        """Epoch and row group."""
        self.position = position
        """Of its first use, in samples planned before."""
        self.needed: list[int] = []
        self.rows: Future[dict[int, Row]] | None = None
        self.used = False


class RowStream:
    """The rows of one rank's samples, in the order in which they were planned.

    `plan` and `begin` are called by one thread, `take` by any.
    """

    def __init__(
        self,
        reader: ShardReader,
        row_groups: Sequence[RowGroup],
        columns: Sequence[str],
        *,
        span: int,
        num_ahead: int = _NUM_THREADS,
        num_threads: int = _NUM_THREADS,
    ) -> None:
        """All of a rank's uses of a row group in an epoch are planned within `span` samples of the first.

        Up to `num_ahead` row groups are fetched before they are due.
        """
        self._reader = reader
        self._groups = row_groups
        self._starts = np.array([group.start for group in row_groups])
        self._columns = columns
        self._span = span
        self._num_ahead = num_ahead
        self._open: dict[tuple[int, int], _Visit] = {}
        """Visits that can still be given rows."""
        self._uses: dict[tuple[int, int], _Visit] = {}
        self._planned: deque[_Visit] = deque()
        self._num_planned = 0
        self._num_early = 0
        self._lock = threading.Lock()
        self._running: set[Future[Any]] = set()
        self._pool = ThreadPoolExecutor(num_threads, thread_name_prefix="momalisa-fetch")

    def plan(self, epochs: Sequence[int], indices: Sequence[int]) -> None:
        """Announces samples that will be taken after those announced before."""
        groups = np.searchsorted(self._starts, indices, side="right") - 1
        with self._lock:
            for epoch, index, group in zip(epochs, indices, groups.tolist(), strict=True):
                visit = self._open.get((epoch, group))
                if visit is None:
                    visit = self._open[epoch, group] = _Visit((epoch, group), self._num_planned)
                    self._planned.append(visit)
                visit.needed.append(index)
                self._uses[epoch, index] = visit
                self._num_planned += 1

    def begin(self, num_due: int) -> None:
        """Fetches what the first `num_due` of all planned samples need, and some row groups beyond them."""
        with self._lock:
            while self._planned:
                visit = self._planned[0]
                due = visit.position < num_due
                early = self._num_early < self._num_ahead and visit.position + self._span <= self._num_planned
                if not (due or early):
                    break
                self._planned.popleft()
                self._begin(visit)

    def take(self, epoch: int, index: int) -> Row:
        """The row of a planned sample, once; waits for it.

        Raises what the fetch raised, CancelledError after `close`.
        """
        with self._lock:
            visit = self._uses.pop((epoch, index))
            if not visit.used:
                visit.used = True
                self._num_early -= 1
            rows = visit.rows
        assert rows is not None, "begin() comes before take()"
        return rows.result().pop(index)

    def close(self) -> None:
        """Stops the threads: nothing more is fetched, and a request under way is waited for, not for long."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            running = set(self._running)
        wait(running, timeout=_CLOSE_TIMEOUT_S)

    def _begin(self, visit: _Visit) -> None:
        # Rows planned from now on are another visit's.
        del self._open[visit.key]
        self._num_early += 1
        visit.rows = self._pool.submit(self._fetch, visit)
        self._running.add(visit.rows)
        visit.rows.add_done_callback(self._running.discard)

    def _fetch(self, visit: _Visit) -> dict[int, Row]:
        group = self._groups[visit.key[1]]
        table = self._reader.read(group.shard, group.number, self._columns)
        return {index: _row(table, index - group.start) for index in visit.needed}


def _row(table: pa.Table, position: int) -> Row:
    return {name: table.column(name)[position].as_py() for name in table.column_names}
