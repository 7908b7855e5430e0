"""Leads works from request to animation: claims them, hands out their chunks in a fair order, tells how far they are.

All of it can be lost at any moment: rounds, frames and results are in the bucket, and a work that stops being led is
taken up again by whoever looks out next.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from momalisa.errors import (
    AlreadyExistsError,
    ConflictError,
    HandoverError,
    MomalisaError,
    ObjectNotFoundError,
    RefusedError,
    StorageError,
)
from momalisa.service.admission import Admission, AdmissionConfig
from momalisa.service.crew import ChunkResult, ChunkTask, Crew, LostError, ModelChangedError
from momalisa.service.generations import Generations
from momalisa.service.leases import Lease, Leases
from momalisa.service.ledger import Ledger
from momalisa.service.metrics import Metrics
from momalisa.service.models import ServedModel, Shelf
from momalisa.service.moderation import Moderator
from momalisa.service.pictures import fit_pictures
from momalisa.service.port import ImageRequest, ModelInfo, Owner, Quota, State
from momalisa.service.queue import FairQueue
from momalisa.service.records import Failure, Manifest, Records, WalkRecord, WorkOrder, new_id
from momalisa.service.retention import LEASE, Retention, RetentionConfig
from momalisa.storage import Store
from momalisa.walk.animation import Format
from momalisa.walk.course import Chunk, Course, Walk, walk_id
from momalisa.walk.placement import StoredJournal
from momalisa.walk.request import WalkRequest

CANARY = ImageRequest(prompt="", model="", num_inference_steps=2)
"""What must be drawn before the service counts as ready."""
_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ConductorConfig:
    """How works are led."""

    look_out_s: float = 2.0
    """So often it looks for works that nobody leads."""
    renew_s: float = 3.0
    """So often leases are renewed."""
    patience_s: float = 10.0
    """A lease that stands still for so long is taken over."""
    max_attempts: int = 5
    """Of a chunk whose renderer died."""

    def __post_init__(self) -> None:
        if not 0 < 2 * self.renew_s < self.patience_s:
            raise ValueError(f"renew_s {self.renew_s}: take less than half of patience_s, {self.patience_s}")
        if self.look_out_s <= 0 or self.max_attempts < 1:
            raise ValueError("look_out_s must be above 0, max_attempts at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """How far a work is; `announced` are address and place of its frames so far, in an order that never changes."""

    state: State
    announced: tuple[tuple[str, float], ...]
    num_frames: int
    queue_position: int
    eta_s: float | None
    unet_evaluations: int


@dataclass(slots=True)
class _Job:
    """A chunk on its way."""

    work: str
    task: ChunkTask
    cost: float
    result: asyncio.Future[ChunkResult]
    attempts: int = 0


@dataclass(slots=True)
class _Live:
    """A work that is led here."""

    order: WorkOrder
    began_at: float
    state: State = "queued"
    announced: list[tuple[str, float]] = field(default_factory=list)
    addresses: frozenset[str] = frozenset()
    """Of all frames that are placed."""
    unet_evaluations: int = 0
    num_rendered: int = 0
    renderer_seconds: float = 0.0
    task: asyncio.Task[None] | None = None
    drawing: set[asyncio.Task[None]] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def request(self) -> WalkRequest:
        """What is rendered."""
        return self.order.request

    def change(self) -> None:
        """Wakes all who wait for news."""
        self.changed.set()
        self.changed = asyncio.Event()


class Conductor:
    """One of perhaps several on a bucket; runs in one event loop."""

    def __init__(
        self,
        store: Store,
        crew: Crew,
        config: ConductorConfig | None = None,
        *,
        admission: AdmissionConfig | None = None,
        release: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._crew, self._clock = store, crew, clock
        self._config = config or ConductorConfig()
        self._admission = Admission(admission or AdmissionConfig(), clock)
        self._shelf = Shelf(crew)
        self._ledger = Ledger(store, clock)
        self._generations = Generations(store, release)
        self.records = Records(store)
        self._leases = Leases(store, secrets.token_hex(8), patience_s=self._config.patience_s)
        self._queue: FairQueue[_Job] = FairQueue()
        self._live: dict[str, _Live] = {}
        self._num_given = 0
        self._background: list[asyncio.Task[None]] = []
        self._is_ready = False
        self._metrics = Metrics()
        self._moderator: Moderator | None = None
        self._retention = RetentionConfig()
        self._has_successor = False
        self._is_stopping = False
        self._seconds_per_evaluation: float | None = None

    async def take_config(
        self,
        models: Sequence[ServedModel],
        admission: AdmissionConfig | None = None,
        moderator: Moderator | None = None,
        retention: RetentionConfig | None = None,
    ) -> None:
        """Serves these models, takes on as much, keeps things as long, from now on; the moderator sees every frame
        before anybody does.

        Raises ConfigError or ModelError for models that cannot be served; all stays as it was then.
        """
        try:
            await self._shelf.put(models)
        except MomalisaError:
            self._metrics.refused_configs.inc()
            raise
        if admission is not None:
            self._admission.config = admission
        self._moderator, self._retention = moderator, retention or RetentionConfig()

    def start(self) -> None:
        """Takes up what nobody leads, now and from then on; draws a picture, and is ready then."""
        self._background = [
            asyncio.create_task(each)
            for each in (self._look_out(), self._draw_canary(), self._watch_releases(), self._sweep())
        ]

    async def admit(self, request: WalkRequest, owner: Owner, *, idempotency_key: str | None = None) -> WalkRecord:
        """A new walk, or that of the same idempotency key. Raises as `Walks.submit`."""
        if idempotency_key is not None:
            before = await asyncio.to_thread(self.records.remembered, owner.name, idempotency_key)
            if before is not None:
                return _same(before, request)
        if self._has_successor:
            raise HandoverError("a newer release serves")
        model, facts = self._shelf.find(request.model)
        rendered = await asyncio.to_thread(fit_pictures, self._store, request, facts)
        work = walk_id(rendered, facts.rendition(rendered))
        is_done = isinstance(await asyncio.to_thread(self.records.outcome, work), Manifest)
        await self._check(owner, is_new=not is_done and work not in self._live)
        record = WalkRecord(id=new_id(), work=work, owner=owner.name, created_at=self._clock(), request=request)
        order = WorkOrder(request=rendered, model=model, facts=facts, owner=owner.name)
        await asyncio.to_thread(partial(self.records.create_walk, record, order, is_done=is_done))
        if idempotency_key is not None:
            first = await asyncio.to_thread(self.records.remember, owner.name, idempotency_key, record.id)
            if first != record.id:  # the same request came twice at the same moment
                await asyncio.to_thread(self.records.delete_walk, record)
                return _same(await asyncio.to_thread(self.records.walk, first), request)
        if not is_done:
            self.take_up(work, order)
        return record

    async def withdraw(self, record: WalkRecord) -> None:
        """A walk is wanted no more; nor is its work, unless another walk wants it."""
        await asyncio.to_thread(self.records.unwant, record)
        if not await asyncio.to_thread(self.records.wanted_by, record.work):
            await asyncio.to_thread(self.records.give_up, record.work)
            self.give_up(record.work)

    async def is_ready(self) -> bool:
        """As `Walks`."""
        return self._is_ready

    async def has_successor(self) -> bool:
        """Whether a newer release serves: clients are to go there."""
        return self._has_successor

    async def models(self) -> tuple[ModelInfo, ...]:
        """As `Walks`."""
        return self._shelf.infos()

    async def metrics(self) -> str:
        """As `Walks`."""
        self._metrics.renderer_slots.set(self._crew.num_slots)
        self._metrics.queued_chunks.set(len(self._queue))
        self._metrics.live_works.set(len(self._live))
        return self._metrics.text(await asyncio.to_thread(self._ledger.totals))

    async def quota(self, owner: Owner) -> Quota:
        """As `Walks`."""
        limits = self._admission.config
        return Quota(
            running=self.num_running(owner.name),
            max_running=limits.max_running_per_owner,
            today=await asyncio.to_thread(self.records.num_since, owner.name, self._admission.midnight()),
            max_a_day=limits.max_a_day_per_owner,
        )

    async def draw(self, request: ImageRequest, owner: Owner) -> bytes:
        """As `Walks`."""
        self._admission.check_capacity(len(self._live))
        self._admission.check_owner(self.num_running(owner.name), 0)
        model, _ = self._shelf.find(request.model)
        return await self._crew.draw_image(request, model)

    async def animate(self, work: str, kind: Format) -> None:
        """Another kind of animation of a work that is done."""
        outcome = await asyncio.to_thread(self.records.outcome, work)
        if not isinstance(outcome, Manifest):
            raise ConflictError("this walk is not done yet: wait for it")
        await self._crew.animate(work, outcome, kind)

    def num_running(self, owner: str) -> int:
        """Works of an owner that are not ended."""
        return sum(1 for live in self._live.values() if live.order.owner == owner)

    async def _check(self, owner: Owner, *, is_new: bool) -> None:
        today = await asyncio.to_thread(self.records.num_since, owner.name, self._admission.midnight())
        self._admission.check_owner(self.num_running(owner.name) if is_new else 0, today)
        if is_new:
            self._admission.check_capacity(len(self._live))

    async def stop(self) -> None:
        """Gives all works back."""
        self._is_stopping = True
        tasks = [live.task for live in self._live.values() if live.task is not None]
        for task in [*tasks, *self._background]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def take_up(self, work: str, order: WorkOrder) -> None:
        """A work that waits in the bucket; one that is led here already goes on."""
        if not (self._is_stopping or self._has_successor or work in self._live):
            self._live[work] = live = _Live(order, self._clock())
            self._queue.open(work, order.owner)
            live.task = asyncio.create_task(self._lead(work, live))

    def give_up(self, work: str) -> None:
        """A work that nobody wants any more: a chunk that is being drawn is the last of it."""
        live = self._live.get(work)
        if live is not None and live.task is not None:
            live.state = "cancelled"
            live.task.cancel()

    def snapshot(self, work: str) -> Snapshot | None:
        """None for a work that is not led here."""
        live = self._live.get(work)
        if live is None:
            return None
        return Snapshot(
            state=live.state,
            announced=tuple(live.announced),
            num_frames=live.request.plan.num_frames,
            queue_position=self._queue.ahead_of(work) if live.state == "queued" else 0,
            eta_s=self._eta_s(live),
            unet_evaluations=live.unet_evaluations,
        )

    async def news(self, work: str, known: Snapshot | None, timeout_s: float) -> Snapshot | None:
        """The work as it is once it differs from what is known, or once the time is over."""
        live = self._live.get(work)
        if live is not None and not _has_changed(known, self.snapshot(work)):
            with suppress(TimeoutError):
                await asyncio.wait_for(live.changed.wait(), timeout_s)
        return self.snapshot(work)

    async def _draw_canary(self) -> None:
        while not self._is_ready:
            try:
                model = self._shelf.infos()[0].id
                await self._crew.draw_image(replace(CANARY, model=model), self._shelf.find(model)[0])
                await asyncio.to_thread(self._generations.enter)
            except MomalisaError as e:
                _LOGGER.warning("no picture could be drawn yet: %s", e)
                await asyncio.sleep(self._config.look_out_s)
            else:
                self._is_ready = True

    async def _watch_releases(self) -> None:
        while not self._has_successor:
            await asyncio.sleep(self._config.renew_s)
            try:
                self._has_successor = await asyncio.to_thread(self._generations.has_successor)
            except StorageError as e:
                _LOGGER.warning("the releases in the bucket cannot be read: %s", e)
        _LOGGER.info("a newer release serves: no new work is taken up here")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._retention.every_s)
            try:
                await self._sweep_once()
            except StorageError as e:
                _LOGGER.warning("the bucket could not be swept: %s", e)

    async def _sweep_once(self) -> None:
        lease = await asyncio.to_thread(self._leases.claim, LEASE)
        if lease is None:
            return
        swept = await asyncio.to_thread(Retention(self._store, self._retention, self._clock).sweep, self._frames_in_use)
        self._metrics.swept_objects.inc(swept.num_objects)
        await asyncio.to_thread(lease.release)

    def _frames_in_use(self) -> set[str]:
        return {address for live in list(self._live.values()) for address in live.addresses}

    async def _look_out(self) -> None:
        while True:
            try:
                for work in await asyncio.to_thread(self.records.waiting_works):
                    if work not in self._live:
                        with suppress(ObjectNotFoundError):  # it ended between the one look and the other
                            self.take_up(work, await asyncio.to_thread(self.records.waiting_work, work))
            except StorageError as e:
                _LOGGER.warning("the queue in the bucket cannot be read: %s", e)
            await asyncio.sleep(self._config.look_out_s)

    async def _lead(self, work: str, live: _Live) -> None:
        """From the claim to the manifest. What fails for a reason of its own is written down as that."""
        lease: Lease | None = None
        try:
            lease = await asyncio.to_thread(self._leases.claim, work)
            if lease is None:
                return
            renewing = asyncio.create_task(self._renew(work, lease))
            try:
                outcome = await self._work(work, live)
            finally:
                renewing.cancel()
            if outcome is not None:
                live.state = "done" if isinstance(outcome, Manifest) else "failed"
                self._metrics.work_seconds.observe(self._clock() - live.began_at)
                await asyncio.to_thread(self.records.end_work, work, outcome)
                await asyncio.to_thread(self._ledger.enter_end, work, live.state)
        except asyncio.CancelledError:
            if live.state == "cancelled":
                with suppress(StorageError):
                    await asyncio.to_thread(self._ledger.enter_end, work, live.state)
        except (StorageError, LostError) as e:
            _LOGGER.warning("work %s is given back: %s", work, e)
        finally:
            self._queue.close(work)
            for drawing in live.drawing:
                drawing.cancel()
            del self._live[work]
            live.change()
            if lease is not None:
                self._admission.ended(was_busy=len(self._queue) > 0)
                with suppress(StorageError):
                    await asyncio.to_thread(lease.release)

    async def _work(self, work: str, live: _Live) -> Manifest | Failure | None:
        try:
            if await asyncio.to_thread(self._is_over, work):
                await asyncio.to_thread(self.records.give_up, work)
                return None
            walk = await self._render(work, live)
            live.state = "assembling"
            live.change()
            began = self._clock()
            assembled = await self._crew.assemble(work, walk, live.order.facts)
            self._metrics.stage_seconds.labels("assemble").observe(self._clock() - began)
            return _manifest(live, walk, dict(assembled.report), self._clock())
        except (StorageError, LostError):
            raise
        except RefusedError as e:
            return Failure(code="refused", detail=str(e), ended_at=self._clock())
        except ModelChangedError as e:
            return Failure(code="model_changed", detail=str(e), ended_at=self._clock())
        except MomalisaError as e:
            return Failure(code="render_failed", detail=str(e), ended_at=self._clock())

    def _is_over(self, work: str) -> bool:
        return not self.records.wanted_by(work) or self.records.outcome(work) is not None

    async def _render(self, work: str, live: _Live) -> Walk:
        facts = live.order.facts
        rendition = facts.rendition(live.request)
        chunk_size = facts.chunk_size(rendition.height, rendition.width)
        course = Course(live.request, rendition, chunk_size=chunk_size, first_alone=True)
        journal = StoredJournal(self._store.child(f"works/{work}/placements"))
        while chunks := await asyncio.to_thread(course.advance, journal):
            live.addresses = frozenset(chunks[0].addresses.values())
            jobs = [self._job(work, live.order, chunk) for chunk in chunks]
            self._queue.put(work, [(job, job.cost) for job in jobs])
            self._give_out()
            for job in jobs:
                result = await job.result
                await self._look_at(job.task.chunk)
                course.seen(result.sketches)
                self._announce(live, job.task.chunk, result)
        return course.walk(num_rendered=live.num_rendered, num_evaluations=live.unet_evaluations)

    async def _look_at(self, chunk: Chunk) -> None:
        """Raises RefusedError for a frame that is not to be shown."""
        if self._moderator is None:
            return
        for frame in chunk.frames:
            png = await asyncio.to_thread(self._store.read_bytes, f"frames/{chunk.addresses[frame.index]}.png")
            await self._moderator.check_picture(png)

    def _job(self, work: str, order: WorkOrder, chunk: Chunk) -> _Job:
        cost = order.request.plan.cost(chunk.frames).unet_evaluations + len(chunk.frames)
        task = ChunkTask(work=work, request=order.request, model=order.model, facts=order.facts, chunk=chunk)
        return _Job(work, task, float(cost), asyncio.get_running_loop().create_future())

    def _give_out(self) -> None:
        while (
            not self._is_stopping
            and self._num_given < self._crew.num_slots
            and (taken := self._queue.take()) is not None
        ):
            self._num_given += 1
            live = self._live[taken[0]]
            if live.state == "queued":
                live.state = "running"
                live.change()
            drawing = asyncio.create_task(self._draw(taken[1]))
            live.drawing.add(drawing)
            drawing.add_done_callback(partial(self._take_back, live))

    def _take_back(self, live: _Live, drawing: asyncio.Task[None]) -> None:
        """A chunk is drawn, lost or called off."""
        live.drawing.discard(drawing)
        self._num_given -= 1
        self._give_out()

    async def _draw(self, job: _Job) -> None:
        try:
            result = await self._crew.draw(replace(job.task, num_queued=len(self._queue)))
            if not job.result.done():
                job.result.set_result(result)
        except LostError as e:
            self._try_again(job, e)
        except MomalisaError as e:
            if not job.result.done():
                job.result.set_exception(e)

    def _try_again(self, job: _Job, reason: LostError) -> None:
        job.attempts += 1
        self._metrics.lost_chunks.inc()
        if job.result.done() or job.work not in self._live:
            return
        if job.attempts >= self._config.max_attempts:
            job.result.set_exception(reason)
        else:
            self._queue.put_back(job.work, job, job.cost)

    def _announce(self, live: _Live, chunk: Chunk, result: ChunkResult) -> None:
        end = live.request.plan.num_grid_steps
        live.announced += [(chunk.addresses[frame.index], frame.index / end) for frame in chunk.frames]
        live.unet_evaluations += result.unet_evaluations
        live.num_rendered += result.num_rendered
        live.renderer_seconds += result.seconds
        self._count(live, chunk, result)
        if result.unet_evaluations:
            now = result.seconds / result.unet_evaluations
            before = self._seconds_per_evaluation
            self._seconds_per_evaluation = now if before is None else 0.8 * before + 0.2 * now
        live.change()

    def _count(self, live: _Live, chunk: Chunk, result: ChunkResult) -> None:
        self._metrics.found_frames.inc(max(0, len(chunk.frames) - result.num_rendered))
        self._metrics.stage_seconds.labels("draw").observe(result.seconds)
        if len(live.announced) == len(chunk.frames):
            self._metrics.first_frame_seconds.observe(self._clock() - live.began_at)

    async def _renew(self, work: str, lease: Lease) -> None:
        while True:
            await asyncio.sleep(self._config.renew_s)
            try:
                await asyncio.to_thread(lease.renew)
            except ConflictError:
                _LOGGER.warning("work %s was taken over by somebody else", work)
                task = self._live[work].task
                if task is not None:
                    task.cancel()  # not given up: it goes on elsewhere
                return
            except StorageError as e:
                _LOGGER.warning("the lease of work %s could not be renewed: %s", work, e)

    def _eta_s(self, live: _Live) -> float | None:
        if self._seconds_per_evaluation is None:
            return None
        plan = live.request.plan
        left = max(0, plan.num_frames - len(live.announced)) / plan.num_frames
        return left * plan.bound.unet_evaluations * self._seconds_per_evaluation / max(1, self._crew.num_slots)


def _has_changed(known: Snapshot | None, now: Snapshot | None) -> bool:
    if known is None or now is None:
        return known is not now
    return known.state != now.state or len(known.announced) != len(now.announced)


def _same(before: WalkRecord, request: WalkRequest) -> WalkRecord:
    if before.request != request:
        raise AlreadyExistsError("this idempotency key came with another request before: take a new one")
    return before


def _manifest(live: _Live, walk: Walk, report: dict[str, Any], ended_at: float) -> Manifest:
    return Manifest(
        addresses=tuple(walk.shown),
        announced=tuple(live.announced),
        durations_s=tuple(walk.durations_s),
        num_rendered=live.num_rendered,
        unet_evaluations=live.unet_evaluations,
        renderer_seconds=live.renderer_seconds,
        ended_at=ended_at,
        report=report,
    )
