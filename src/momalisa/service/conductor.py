"""Takes works on, and has them led from request to animation; tells what is served, and what is used of it.

All of it can be lost at any moment: rounds, frames and results are in the bucket, and a work that stops being led is
taken up again by whoever looks out next.
"""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial

from momalisa.errors import AlreadyExistsError, ConflictError, MomalisaError
from momalisa.service.admission import Admission, AdmissionConfig
from momalisa.service.conductor_config import ConductorConfig
from momalisa.service.crew import Crew, draw_image
from momalisa.service.duties import kept_up
from momalisa.service.generations import Generations
from momalisa.service.leases import Leases, held
from momalisa.service.ledger import Ledger
from momalisa.service.log_ids import note
from momalisa.service.metrics import Metrics
from momalisa.service.models import ServedModel, Shelf
from momalisa.service.moderation import Moderator
from momalisa.service.pictures import fit_pictures
from momalisa.service.port import Derived, ImageRequest, ModelInfo, Owner, Quota
from momalisa.service.progress import Snapshot
from momalisa.service.readiness import Readiness
from momalisa.service.records import Manifest, Records, WalkRecord, WorkOrder, new_id
from momalisa.service.retention import LEASE, Retention, RetentionConfig
from momalisa.service.works import Works
from momalisa.storage import Store
from momalisa.walk.course import walk_id
from momalisa.walk.request import WalkRequest

_SILENT_S = 15.0
_LOGGER = logging.getLogger(__name__)


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
        self._metrics = Metrics()
        self._admission = Admission(admission or AdmissionConfig(), clock)
        self._shelf = Shelf(crew)
        self._ledger = Ledger(store, clock)
        self._moderator: Moderator | None = None
        self._retention = RetentionConfig()
        self.records = Records(store)
        self._leases = Leases(store, secrets.token_hex(8), patience_s=self._config.patience_s)
        generations = Generations(store, release, patience_s=self._config.patience_s)
        self._readiness = Readiness(crew, self._shelf, generations)
        self._works = Works(
            store,
            crew,
            self._config,
            leases=self._leases,
            ledger=self._ledger,
            admission=self._admission,
            metrics=self._metrics,
            moderator=lambda: self._moderator,
            may_lead=lambda: self._readiness.may_lead,
            clock=clock,
        )
        self._background: list[asyncio.Task[None]] = []
        self._refusals: dict[tuple[str, str], float] = {}

    async def take_config(
        self,
        models: Sequence[ServedModel],
        admission: AdmissionConfig | None = None,
        moderator: Moderator | None = None,
        retention: RetentionConfig | None = None,
    ) -> None:
        """Serves these models, takes on as much, keeps things as long, from now on; the moderator sees every frame
        before anybody does.

        Once it has started, a picture is drawn first with each model that is new. Raises MomalisaError for models that
        cannot be served; all stays as it was then.
        """
        await self._shelf.put(models, prove=self._readiness.draw if self._background else None)
        if admission is not None:
            self._admission.config = admission
        self._moderator, self._retention = moderator, retention or RetentionConfig()

    def note_trial(self, *, is_pending: bool) -> None:
        """Whether a configuration is being tried, which a renderer may have to wake for."""
        self._metrics.is_config_pending.set(is_pending)

    def note_config(self, part: str, *, is_refused: bool, teller: str = "", is_new: bool = True) -> None:
        """Whether a part of the service (`conductor`, `gateway`) refused its newest configuration, so that the one
        before it holds.

        teller: one of several replicas, which says so again and again; one that has fallen silent counts no more.
        is_new: it did so just now.
        """
        if is_refused and is_new:
            self._metrics.refused_configs.inc()
        now = time.monotonic()
        told = {each: at for each, at in self._refusals.items() if not each[1] or now - at < _SILENT_S}
        told.pop((part, teller), None)
        self._refusals = told | ({(part, teller): now} if is_refused else {})
        self._metrics.is_config_refused.labels(part).set(any(each == part for each, _ in self._refusals))

    def start(self) -> None:
        """Draws a picture, and is ready then; takes up what nobody leads, as long as no other release serves."""
        self._background = [
            asyncio.create_task(kept_up(duty))
            for duty in (
                self._works.look_out,
                partial(self._readiness.draw_canary, retry_s=self._config.look_out_s),
                partial(self._readiness.watch_releases, every_s=self._config.renew_s),
                self._sweep,
            )
        ]

    async def admit(self, request: WalkRequest, owner: Owner, *, idempotency_key: str | None = None) -> WalkRecord:
        """A new walk, or that of the same idempotency key; where a newer release serves, for that one to take up.

        Raises as `Walks.submit`.
        """
        if idempotency_key is not None:
            before = await asyncio.to_thread(self.records.remembered, owner.name, idempotency_key)
            if before is not None:
                return _same(before, request)
        model, facts = self._shelf.find(request.model)
        rendered = await asyncio.to_thread(fit_pictures, self._store, request, facts)
        work = walk_id(rendered, facts.rendition(rendered))
        is_done = isinstance(await asyncio.to_thread(self.records.outcome, work), Manifest)
        await self._check(owner, is_new=not is_done and work not in self._works)
        record = WalkRecord(id=new_id(), work=work, owner=owner.name, created_at=self._clock(), request=request)
        note(walk_id=record.id, work_id=work)
        order = WorkOrder(request=rendered, model=model, facts=facts, owner=owner.name)
        await asyncio.to_thread(partial(self.records.create_walk, record, order, is_done=is_done))
        if idempotency_key is not None:
            first = await asyncio.to_thread(self.records.remember, owner.name, idempotency_key, record.id)
            if first != record.id:  # the same request came twice at the same moment
                await asyncio.to_thread(self.records.delete_walk, record)
                return _same(await asyncio.to_thread(self.records.walk, first), request)
        _LOGGER.info("taken on: %d frames with %s", request.num_frames, request.model, extra={"is_done": is_done})
        if not is_done:
            self._works.take_up(work, order)
        return record

    async def withdraw(self, record: WalkRecord) -> None:
        """A walk is wanted no more; nor is its work, unless another walk wants it."""
        await asyncio.to_thread(self.records.unwant, record)
        if not await asyncio.to_thread(self.records.wanted_by, record.work):
            await asyncio.to_thread(self.records.give_up, record.work)
            self._works.give_up(record.work)

    async def settled(self, *, within_s: float, max_failures: int) -> None:
        """Once a picture has been drawn; see `Readiness`."""
        await self._readiness.settled(within_s=within_s, max_failures=max_failures)

    async def is_ready(self) -> bool:
        """As `Walks`."""
        return self._readiness.is_ready

    async def take_over(self) -> None:
        """This release has visitors: it serves, and the one before it no more."""
        await self._readiness.take_over()

    async def has_successor(self) -> bool:
        """Whether a newer release serves: clients are to go there."""
        return self._readiness.has_successor

    async def models(self) -> tuple[ModelInfo, ...]:
        """As `Walks`."""
        return self._shelf.infos()

    async def metrics(self) -> str:
        """As `Walks`."""
        self._metrics.renderer_slots.set(self._crew.num_slots)
        self._works.measure()
        self._metrics.is_ready.set(self._readiness.is_ready)
        return self._metrics.text(await asyncio.to_thread(self._ledger.totals))

    async def quota(self, owner: Owner) -> Quota:
        """As `Walks`."""
        limits = self._admission.config
        return Quota(
            running=self._works.num_of(owner.name),
            max_running=limits.max_running_per_owner,
            today=await asyncio.to_thread(self.records.num_since, owner.name, self._admission.midnight()),
            max_a_day=limits.max_a_day_per_owner,
        )

    async def draw(self, request: ImageRequest, owner: Owner) -> bytes:
        """As `Walks`."""
        self._admission.check_capacity(len(self._works))
        self._admission.check_owner(self._works.num_of(owner.name), 0)
        return await draw_image(self._crew, request, *self._shelf.find(request.model))

    def snapshot(self, work: str) -> Snapshot | None:
        """How far a work is; None for one that is not led here."""
        return self._works.snapshot(work)

    async def news(self, work: str, known: Snapshot | None, timeout_s: float) -> Snapshot | None:
        """The work as it is once it differs from what is known, or once the time is over."""
        return await self._works.news(work, known, timeout_s)

    async def derive(self, work: str, file: Derived) -> None:
        """Another animation or picture of a work that is done."""
        outcome = await asyncio.to_thread(self.records.outcome, work)
        if not isinstance(outcome, Manifest):
            raise ConflictError("this walk is not done yet: wait for it")
        await self._crew.derive(work, outcome, file)

    async def _check(self, owner: Owner, *, is_new: bool) -> None:
        today = await asyncio.to_thread(self.records.num_since, owner.name, self._admission.midnight())
        self._admission.check_owner(self._works.num_of(owner.name) if is_new else 0, today)
        if is_new:
            self._admission.check_capacity(len(self._works))

    async def stop(self) -> None:
        """Gives all works back, once the chunks that are with the crew are drawn: whoever takes a work up would have
        them drawn again."""
        await self._works.finish()
        for task in self._background:
            task.cancel()
        await self._works.give_back()
        await self._readiness.leave()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._retention.every_s)
            try:
                async with held(self._leases, LEASE, renew_s=self._config.renew_s) as is_mine:
                    if is_mine:
                        await self._sweep_once()
            except MomalisaError as e:
                _LOGGER.warning("the bucket could not be swept: %s", e)

    async def _sweep_once(self) -> None:
        retention = Retention(self._store, self._retention, self._clock)
        swept = await asyncio.to_thread(retention.sweep, self._works.frames_in_use)
        self._metrics.swept_objects.inc(swept.num_objects)


def _same(before: WalkRecord, request: WalkRequest) -> WalkRecord:
    if before.request != request:
        raise AlreadyExistsError("this idempotency key came with another request before: take a new one")
    return before
