"""What Ray Serve makes replicas of."""

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from momalisa.config import from_dict
from momalisa.errors import MomalisaError
from momalisa.service.app import create_app
from momalisa.service.assembly import assemble, derive
from momalisa.service.conductor import Conductor
from momalisa.service.configuring import Configuring
from momalisa.service.crew import AssemblyResult, ChunkResult, ChunkTask
from momalisa.service.desk import Desk
from momalisa.service.duties import kept_up
from momalisa.service.events import Seats
from momalisa.service.last_good import LastGood
from momalisa.service.models import ServedModel
from momalisa.service.on_ray.front import Front
from momalisa.service.on_ray.handles import CHUNKS_PER_RENDERER, ServeCrew, ServeLeader
from momalisa.service.on_ray.scaling import QUEUED
from momalisa.service.on_ray.telemetry import log_as_serve_does, with_ids
from momalisa.service.port import Derived, ImageRequest, ModelInfo, Owner, Quota
from momalisa.service.progress import Snapshot
from momalisa.service.records import Manifest, WalkRecord
from momalisa.service.structure import GatewayLife, Structure
from momalisa.storage import open_store
from momalisa.walk.course import Walk
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.request import WalkRequest
from momalisa.walk.texts import Texts

GATEWAY = "gateway"
_FORGET_S = 10.0
"""So long a renderer that draws nothing goes on telling how long the queue was."""
_WATCH_S = 3.0
_CANARY_S = 0.5
_LOGGER = logging.getLogger(__name__)


class TextEncoderDeployment:
    """Encodes prompts, so that renderers have their memory for drawing."""

    def __init__(self, structure: Structure) -> None:
        from momalisa.service.text_encoder import TextEncoder  # torch

        log_as_serve_does()
        self._encoder = TextEncoder(settings=structure.encoding, max_models=structure.max_models_per_text_encoder)

    @with_ids
    async def encode(self, prompts: Sequence[tuple[str, str]], model: ServedModel, facts: ModelFacts) -> Texts:
        """As `Crew`."""
        return await asyncio.to_thread(self._encoder.encode, prompts, model, facts)


class RendererDeployment:
    """Draws one chunk at a time."""

    def __init__(self, structure: Structure) -> None:
        from momalisa.service.painter import Painter  # torch

        log_as_serve_does()
        self._painter = Painter(
            open_store(structure.bucket),
            settings=structure.drawing,
            max_models=structure.max_models_per_renderer,
        )
        self._turn = asyncio.Lock()
        self._threads = ThreadPoolExecutor(CHUNKS_PER_RENDERER + 1, thread_name_prefix="momalisa-drawing")
        self._num_queued, self._heard_at = 0, 0.0

    @with_ids
    async def describe(self, model: ServedModel) -> ModelFacts:
        """As `Crew`."""
        async with self._turn:
            return await asyncio.to_thread(self._painter.describe, model)

    @with_ids
    async def draw(self, task: ChunkTask) -> ChunkResult:
        """As `Crew`. A chunk that is called off while it waits for its turn is not drawn; one whose frames are on their
        way to the bucket has had its turn."""
        self._num_queued, self._heard_at = task.num_queued, time.monotonic()
        loop, give_back = asyncio.get_running_loop(), _once(self._turn.release)

        def had_turn(_: object = None) -> None:
            loop.call_soon_threadsafe(give_back)

        await self._turn.acquire()
        # A thread's own future: when it is called off the thread goes on, and has its turn until it is done.
        drawing = self._threads.submit(copy_context().run, partial(self._painter.draw, task, on_rendered=had_turn))
        drawing.add_done_callback(had_turn)
        return await asyncio.wrap_future(drawing)

    @with_ids
    async def draw_image(self, request: ImageRequest, model: ServedModel, texts: Texts) -> bytes:
        """As `Crew`."""
        async with self._turn:
            return await asyncio.to_thread(self._painter.draw_image, request, model, texts)

    def record_autoscaling_stats(self) -> dict[str, float]:
        """What Ray Serve's controller asks of every replica: the conductor's queue, as of the last chunk."""
        is_news = self._turn.locked() or time.monotonic() - self._heard_at < _FORGET_S
        return {QUEUED: float(self._num_queued if is_news else 0)}


class AssemblerDeployment:
    """Writes animations and reports."""

    def __init__(self, structure: Structure) -> None:
        log_as_serve_does()
        self._store = open_store(structure.bucket)

    @with_ids
    async def assemble(self, work: str, walk: Walk, facts: ModelFacts) -> AssemblyResult:
        """As `Crew`."""
        return await asyncio.to_thread(assemble, self._store, work, walk, facts)

    @with_ids
    async def derive(self, work: str, manifest: Manifest, file: Derived) -> None:
        """As `Crew`."""
        await asyncio.to_thread(derive, self._store, work, manifest, file)


class ConductorDeployment:
    """Leads works; one replica, which begins anew from the bucket whenever it dies."""

    def __init__(
        self,
        structure: Structure,
        text_encoder: DeploymentHandle,
        renderer: DeploymentHandle,
        assembler: DeploymentHandle,
    ) -> None:
        log_as_serve_does()
        self._crew = ServeCrew(text_encoder, renderer, assembler)
        store = open_store(structure.bucket)
        self._conductor = Conductor(store, self._crew, structure.leading, release=structure.release)
        self._configuring = Configuring(self._conductor, LastGood(store, structure.release))
        self._counting: asyncio.Task[None] | None = None

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Takes models and limits. One that is not good changes nothing; the first one of a release must be good.

        The first one is taken once a picture has been drawn with it: until then Ray Serve keeps the conductor of
        before, or calls the application deploying. Later ones are tried beside what goes on: Ray Serve sends a replica
        no requests before this returns, and a renderer that sleeps, which models are tried with, may be minutes away.
        """
        if self._counting is None:
            self._counting = asyncio.create_task(kept_up(self._crew.count))
        await self._configuring.take(user_config)

    @with_ids
    async def admit(self, request: WalkRequest, owner: Owner, *, idempotency_key: str | None = None) -> WalkRecord:
        """As `Leader`."""
        return await self._conductor.admit(request, owner, idempotency_key=idempotency_key)

    @with_ids
    async def withdraw(self, record: WalkRecord) -> None:
        """As `Leader`."""
        await self._conductor.withdraw(record)

    @with_ids
    async def news(self, work: str, known: Snapshot | None, timeout_s: float) -> Snapshot | None:
        """As `Leader`."""
        return await self._conductor.news(work, known, timeout_s)

    @with_ids
    async def quota(self, owner: Owner) -> Quota:
        """As `Leader`."""
        return await self._conductor.quota(owner)

    @with_ids
    async def draw(self, request: ImageRequest, owner: Owner) -> bytes:
        """As `Leader`."""
        return await self._conductor.draw(request, owner)

    @with_ids
    async def derive(self, work: str, file: Derived) -> None:
        """As `Leader`."""
        await self._conductor.derive(work, file)

    @with_ids
    async def models(self) -> tuple[ModelInfo, ...]:
        """As `Leader`."""
        return await self._conductor.models()

    @with_ids
    async def is_ready(self) -> bool:
        """As `Leader`."""
        return await self._conductor.is_ready()

    @with_ids
    async def take_over(self) -> None:
        """As `Leader`."""
        await self._conductor.take_over()

    @with_ids
    async def has_successor(self) -> bool:
        """As `Leader`."""
        return await self._conductor.has_successor()

    @with_ids
    async def note_config(self, part: str, *, is_refused: bool, teller: str, is_new: bool) -> None:
        """As `Leader`."""
        self._conductor.note_config(part, is_refused=is_refused, teller=teller, is_new=is_new)

    @with_ids
    async def metrics(self) -> str:
        """As `Leader`."""
        return await self._conductor.metrics()

    async def __del__(self) -> None:
        """Ray Serve calls it before it ends a replica: works are given back at once."""
        await self._conductor.stop()


def _once(act: Callable[[], None]) -> Callable[[], None]:
    """Does it at the first call only."""
    left = [act]
    return lambda: left.pop()() if left else None


@serve.ingress()
class GatewayDeployment:
    """REST, and the page."""

    def __init__(self, structure: Structure, conductor: DeploymentHandle) -> None:
        log_as_serve_does()
        self._structure, self._leader = structure, ServeLeader(conductor)
        self._desk = Desk(open_store(structure.bucket), self._leader)
        self._front, self._seats = Front(self._leader.take_over), Seats()
        self._watching: asyncio.Task[None] | None = None
        self._is_refused, self._name = False, serve.get_replica_context().replica_tag

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._front

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Takes limits. The first ones must be good; later ones that are not change nothing."""
        try:
            config = self._structure.edge(from_dict(GatewayLife, user_config))
            self._front.app = create_app(self._desk, config, seats=self._seats)
        except (MomalisaError, ValueError) as e:
            if self._front.app is None:
                raise
            _LOGGER.error("the configuration stays as it was: %s", e)
            self._is_refused = True
            await self._note(is_new=True)
        else:
            self._is_refused = False
        if self._watching is None:
            await self._until_ready()
            self._watching = asyncio.create_task(kept_up(self._watch))

    async def _note(self, *, is_new: bool = False) -> None:
        """Again and again: a conductor that began anew knows nothing of it, and gateways go without a word."""
        with suppress(MomalisaError):  # whoever counts it is away: the log has it
            await self._leader.note_config(GATEWAY, is_refused=self._is_refused, teller=self._name, is_new=is_new)

    async def _until_ready(self) -> None:
        """Ray Serve gives a replica no requests before its first configuration is taken, and calls the application
        running only then; KubeRay switches to what is running. So a release that cannot draw gets no visitors."""
        while True:
            try:
                if await self._leader.is_ready():
                    return
            except MomalisaError as e:
                _LOGGER.warning("whether a picture has been drawn cannot be asked now: %s", e)
            await asyncio.sleep(_CANARY_S)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                self._front.is_leaving = await self._leader.has_successor()
                await self._note()
            except MomalisaError as e:
                _LOGGER.warning("whether a newer release serves cannot be asked now: %s", e)
