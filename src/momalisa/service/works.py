"""Works that are led here: claimed where nobody leads them, told of while they go on, ended or given back."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from momalisa.errors import ConfigError, ObjectNotFoundError, StorageError
from momalisa.service.admission import Admission
from momalisa.service.conductor_config import ConductorConfig
from momalisa.service.crew import Crew, LostError
from momalisa.service.dealer import Dealer
from momalisa.service.leading import Leading
from momalisa.service.leases import Leases, held
from momalisa.service.ledger import End, Ledger
from momalisa.service.log_ids import apart, note
from momalisa.service.metrics import Metrics
from momalisa.service.moderation import Moderator
from momalisa.service.progress import Live, Snapshot, in_use
from momalisa.service.records import Failure, Manifest, Records, WorkOrder
from momalisa.service.retention import LEASE
from momalisa.storage import Store

_LOGGER = logging.getLogger(__name__)


class Works:
    """Of one conductor; runs in its event loop."""

    def __init__(
        self,
        store: Store,
        crew: Crew,
        config: ConductorConfig,
        *,
        leases: Leases,
        ledger: Ledger,
        admission: Admission,
        metrics: Metrics,
        moderator: Callable[[], Moderator | None],
        may_lead: Callable[[], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`may_lead` says whether it is for this release to take up works."""
        self._crew, self._config, self._clock = crew, config, clock
        self._leases, self._ledger, self._admission, self._metrics = leases, ledger, admission, metrics
        self._may_lead = may_lead
        self._records = Records(store)
        self._dealer = Dealer(crew, metrics, max_attempts=config.max_attempts)
        self._leading = Leading(store, crew, self._dealer, metrics, moderator=moderator, clock=clock)
        self._live: dict[str, Live] = {}
        self._num_losses: Counter[str] = Counter()
        self._is_stopping = False

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, work: str) -> bool:
        return work in self._live

    def num_of(self, owner: str) -> int:
        """Those of an owner."""
        return sum(1 for live in self._live.values() if live.order.owner == owner)

    def frames_in_use(self) -> set[str]:
        """Addresses of all frames that they refer to. May be asked in another thread."""
        return in_use(list(self._live.values()))

    def measure(self) -> None:
        """Their figures as of now."""
        self._metrics.queued_chunks.set(len(self._dealer))
        self._metrics.live_works.set(len(self._live))
        self._metrics.oldest_queued_seconds.set(self._oldest_s(lambda live: not live.announced))
        self._metrics.oldest_work_seconds.set(self._oldest_s(lambda _: True))

    def _oldest_s(self, is_meant: Callable[[Live], bool]) -> float:
        return max((self._clock() - live.began_at for live in self._live.values() if is_meant(live)), default=0.0)

    def take_up(self, work: str, order: WorkOrder) -> None:
        """A work that waits in the bucket; one that is led here already goes on."""
        if self._may_lead() and not self._is_stopping and work not in self._live:
            self._live[work] = live = Live(work, order, self._clock())
            self._dealer.open(work, order.owner, live.begin)
            live.task = asyncio.create_task(self._lead(live), context=apart())

    def give_up(self, work: str) -> None:
        """A work that nobody wants any more: a chunk that is being drawn is the last of it."""
        live = self._live.get(work)
        if live is not None and live.task is not None:
            live.is_given_up = True
            live.task.cancel()

    def snapshot(self, work: str) -> Snapshot | None:
        """None for a work that is not led here."""
        live = self._live.get(work)
        if live is None:
            return None
        eta_s = self._leading.pace.eta_s(live, self._crew.num_slots)
        return live.snapshot(num_ahead=self._dealer.num_ahead(work), eta_s=eta_s)

    async def news(self, work: str, known: Snapshot | None, timeout_s: float) -> Snapshot | None:
        """The work as it is once it differs from what is known, or once the time is over."""
        if (live := self._live.get(work)) is not None:
            await live.wait(known, timeout_s)
        return self.snapshot(work)

    async def finish(self) -> None:
        """Takes nothing up any more, and waits for the chunks that are with the crew: whoever takes a work up would
        have them drawn again."""
        self._is_stopping = True
        await self._dealer.stop(self._config.finish_s)

    async def give_back(self) -> None:
        """All of them, for others to take up."""
        tasks = [live.task for live in self._live.values() if live.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def look_out(self) -> None:
        """Looks for ever for works that nobody leads, and takes them up."""
        while True:
            try:
                waiting = await asyncio.to_thread(self._records.waiting_works)
                for work in waiting:
                    await self._take_up_if_led_by_nobody(work)
                self._leases.forget_all_but([*waiting, LEASE])
            except StorageError as e:
                _LOGGER.warning("the queue in the bucket cannot be read: %s", e)
            self._dealer.give_out()  # there may be more renderers by now
            await asyncio.sleep(self._config.look_out_s)

    async def _take_up_if_led_by_nobody(self, work: str) -> None:
        if work in self._live:
            return
        try:
            self.take_up(work, await asyncio.to_thread(self._records.waiting_work, work))
        except ObjectNotFoundError:
            return  # it ended between the one look and the other
        except ConfigError as e:
            _LOGGER.error("work %s cannot be read, and waits: %s", work, e)

    async def _lead(self, live: Live) -> None:
        """From the claim to the manifest."""
        note(work_id=live.work)
        is_mine = False
        try:
            async with held(self._leases, live.work, renew_s=self._config.renew_s) as is_mine:
                if is_mine and (outcome := await self._outcome(live)) is not None:
                    await self._end(live, outcome)
                self._let_go(live)  # and then of the lease: whoever waits is told at once
        except asyncio.CancelledError:
            if live.is_given_up:
                self._num_losses.pop(live.work, None)
                with suppress(StorageError):
                    await asyncio.to_thread(self._ledger.enter_end, live.work, "cancelled")
        except (StorageError, LostError) as e:
            _LOGGER.warning("work %s is given back: %s", live.work, e)
        finally:
            self._let_go(live)
            if is_mine:
                self._admission.ended(was_busy=len(self._dealer) > 0)

    def _let_go(self, live: Live) -> None:
        """A work that is led here no more."""
        if self._live.get(live.work) is live:
            self._dealer.close(live.work)
            del self._live[live.work]
            live.change()

    async def _outcome(self, live: Live) -> Manifest | Failure | None:
        """As `Leading.lead`; a work over which renderers die again and again has failed."""
        try:
            return await self._leading.lead(live)
        except LostError as e:
            self._num_losses[live.work] += 1
            if self._num_losses[live.work] < self._config.max_losses:
                raise
            return Failure(code="render_failed", detail=f"given up after many tries: {e}", ended_at=self._clock())

    async def _end(self, live: Live, outcome: Manifest | Failure) -> None:
        """Says what became of a work."""
        self._num_losses.pop(live.work, None)
        self._metrics.work_seconds.observe(self._clock() - live.began_at)
        await asyncio.to_thread(self._records.end_work, live.work, outcome)
        state: End = "done" if isinstance(outcome, Manifest) else "failed"
        seconds = self._clock() - live.began_at
        _LOGGER.info("%s: %d frames", state, len(live.announced), extra={"seconds": round(seconds, 3)})
        await asyncio.to_thread(self._ledger.enter_end, live.work, state)
