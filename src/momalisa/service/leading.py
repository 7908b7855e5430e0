"""One work, from its order to its manifest."""

import asyncio
import logging
import time
from collections.abc import Callable

from momalisa.errors import MomalisaError, RefusedError, StorageError
from momalisa.service.crew import ChunkResult, ChunkTask, Crew, LostError, ModelChangedError
from momalisa.service.dealer import Dealer
from momalisa.service.log_ids import ids, note
from momalisa.service.metrics import Metrics
from momalisa.service.moderation import Moderator
from momalisa.service.progress import Live, Pace
from momalisa.service.records import Failure, Manifest, Records
from momalisa.storage import Store
from momalisa.walk.course import Chunk, Course, Walk
from momalisa.walk.placement import StoredJournal
from momalisa.walk.texts import Texts, prompts_of

_LOGGER = logging.getLogger(__name__)


class Leading:
    """How works are led; the same for all of them."""

    def __init__(
        self,
        store: Store,
        crew: Crew,
        dealer: Dealer,
        metrics: Metrics,
        *,
        moderator: Callable[[], Moderator | None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store, self._crew, self._dealer, self._metrics = store, crew, dealer, metrics
        self._moderator, self._clock = moderator, clock
        self._records = Records(store)
        self.pace = Pace()

    async def lead(self, live: Live) -> Manifest | Failure | None:
        """What became of a work; None for one that is over already, or that nobody wants.

        Raises StorageError and LostError, after which it can be led again: what is drawn is found.
        """
        try:
            wanted_by = await asyncio.to_thread(self._records.wanted_by, live.work)
            if not wanted_by or await asyncio.to_thread(self._records.outcome, live.work) is not None:
                await asyncio.to_thread(self._records.give_up, live.work)
                return None
            note(**{"walk_id": wanted_by[0], **ids()})
            walk = await self._render(live)
            return await self._assemble(live, walk)
        except (StorageError, LostError):
            raise
        except RefusedError as e:
            return self._failure("refused", str(e))
        except ModelChangedError as e:
            return self._failure("model_changed", str(e))
        except MomalisaError as e:
            return self._failure("render_failed", str(e))
        except Exception:
            _LOGGER.exception("work %s failed", live.work)
            return self._failure("internal", "a part of the service failed; its log says why")

    def _failure(self, code: str, detail: str) -> Failure:
        return Failure(code=code, detail=detail, ended_at=self._clock())

    async def _render(self, live: Live) -> Walk:
        facts = live.order.facts
        rendition = facts.rendition(live.request)
        chunk_size = facts.chunk_size(rendition.height, rendition.width)
        course = Course(live.request, rendition, chunk_size=chunk_size, first_alone=True)
        journal = StoredJournal(self._store.child(f"works/{live.work}/placements"))
        began = self._clock()
        texts = await self._crew.encode(prompts_of(live.request), live.order.model, facts)
        self._metrics.stage_seconds.labels("encode").observe(self._clock() - began)
        while chunks := await asyncio.to_thread(course.advance, journal):
            live.addresses = frozenset(chunks[0].addresses.values())
            results = self._dealer.deal(live.work, [_task(live, texts, chunk) for chunk in chunks])
            for chunk, drawing in zip(chunks, results, strict=True):
                result = await drawing
                await self._look_at(chunk)
                course.seen(result.sketches)
                self._count(live, chunk, result)
                live.announce(chunk, result)
        return course.walk(num_rendered=live.num_rendered, num_evaluations=live.unet_evaluations)

    async def _look_at(self, chunk: Chunk) -> None:
        """Raises RefusedError for a frame that is not to be shown."""
        moderator = self._moderator()
        if moderator is None:
            return
        for frame in chunk.frames:
            png = await asyncio.to_thread(self._store.read_bytes, f"frames/{chunk.addresses[frame.index]}.png")
            await moderator.check_picture(png)

    def _count(self, live: Live, chunk: Chunk, result: ChunkResult) -> None:
        self.pace.saw(result)
        self._metrics.found_frames.inc(max(0, len(chunk.frames) - result.num_rendered))
        self._metrics.stage_seconds.labels("draw").observe(result.seconds)
        if not live.announced:
            self._metrics.first_frame_seconds.observe(self._clock() - live.began_at)

    async def _assemble(self, live: Live, walk: Walk) -> Manifest:
        live.change("assembling")
        began = self._clock()
        assembled = await self._crew.assemble(live.work, walk, live.order.facts)
        self._metrics.stage_seconds.labels("assemble").observe(self._clock() - began)
        return live.manifest(walk, dict(assembled.report), self._clock())


def _task(live: Live, texts: Texts, chunk: Chunk) -> ChunkTask:
    order = live.order
    return ChunkTask(
        work=live.work, request=order.request, model=order.model, facts=order.facts, texts=texts, chunk=chunk
    )
