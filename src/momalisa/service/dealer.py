"""Gives chunks of all works to a crew, in a fair order, as many at once as the crew has room for."""

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass, field, replace
from functools import partial

from momalisa.service.crew import ChunkResult, ChunkTask, Crew, LostError
from momalisa.service.metrics import Metrics
from momalisa.service.queue import FairQueue


@dataclass(slots=True)
class _Job:
    """A chunk on its way."""

    task: ChunkTask
    cost: float
    result: asyncio.Future[ChunkResult]
    context: Context = field(default_factory=copy_context)
    """Of whoever leads the work: lines of the log are of it, whoever's turn it was before."""
    num_deaths: int = 0


@dataclass(slots=True)
class _Player:
    """A work that chunks are dealt of."""

    on_begin: Callable[[], None]
    in_hand: set[asyncio.Task[None]] = field(default_factory=set)


class Dealer:
    """Chunks wait here, and not with the crew: so whose turn it is can be decided when there is room."""

    def __init__(self, crew: Crew, metrics: Metrics, *, max_attempts: int) -> None:
        self._crew, self._metrics, self._max_attempts = crew, metrics, max_attempts
        self._queue: FairQueue[_Job] = FairQueue()
        self._players: dict[str, _Player] = {}
        self._num_given = 0
        self._has_stopped = False

    def __len__(self) -> int:
        """Chunks that wait."""
        return len(self._queue)

    def open(self, work: str, owner: str, on_begin: Callable[[], None]) -> None:
        """A work that will have chunks; `on_begin` is called with each one that is given out."""
        self._queue.open(work, owner)
        self._players[work] = _Player(on_begin)

    def close(self, work: str) -> None:
        """Calls off all that waits of a work, and what is with the crew already."""
        self._queue.close(work)
        for drawing in self._players.pop(work).in_hand:
            drawing.cancel()

    def num_ahead(self, work: str) -> int:
        """Works whose turn comes before this one's."""
        return self._queue.ahead_of(work)

    def deal(self, work: str, tasks: Sequence[ChunkTask]) -> list[asyncio.Future[ChunkResult]]:
        """What becomes of chunks of one work, which are begun in this order.

        A chunk whose renderer died is given to another one. The results raise LostError for one over which too many
        died, else what the crew raises.
        """
        loop = asyncio.get_running_loop()
        jobs = [_Job(task, _cost(task), loop.create_future()) for task in tasks]
        self._queue.put(work, [(job, job.cost) for job in jobs])
        self.give_out()
        return [job.result for job in jobs]

    def give_out(self) -> None:
        """Gives out what waits, as far as there is room: to be called when there may be more of it."""
        while (
            not self._has_stopped
            and self._num_given < self._crew.num_slots
            and (taken := self._queue.take()) is not None
        ):
            work, job, _ = taken
            player = self._players[work]
            player.on_begin()
            self._num_given += 1
            drawing = asyncio.create_task(self._draw(job), context=job.context)
            player.in_hand.add(drawing)
            drawing.add_done_callback(partial(self._take_back, player, job))

    async def stop(self, patience_s: float) -> None:
        """Gives nothing out any more, and waits for what is with the crew, but no longer than so."""
        self._has_stopped = True
        if in_hand := [drawing for player in self._players.values() for drawing in player.in_hand]:
            await asyncio.wait(in_hand, timeout=patience_s)

    def _take_back(self, player: _Player, job: _Job, drawing: asyncio.Task[None]) -> None:
        """A chunk is drawn, lost or called off."""
        player.in_hand.discard(drawing)
        if not drawing.cancelled() and (error := drawing.exception()) is not None and not job.result.done():
            job.result.set_exception(error)
        self._num_given -= 1
        self.give_out()

    async def _draw(self, job: _Job) -> None:
        try:
            result = await self._crew.draw(replace(job.task, num_queued=len(self._queue)))
        except LostError as e:
            self._metrics.lost_chunks.inc()
            self._try_again(job, e)
        else:
            if not job.result.done():
                job.result.set_result(result)

    def _try_again(self, job: _Job, reason: LostError) -> None:
        job.num_deaths += 1
        if job.result.done() or job.task.work not in self._players:
            return
        if job.num_deaths >= self._max_attempts:
            job.result.set_exception(reason)
        else:
            self._queue.put_back(job.task.work, job, job.cost)


def _cost(task: ChunkTask) -> float:
    frames = task.chunk.frames
    return float(task.request.plan.cost(frames).unet_evaluations + len(frames))
