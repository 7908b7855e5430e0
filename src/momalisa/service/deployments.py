"""The service on Ray Serve: gateway, conductor, renderers and assemblers as deployments of one application.

The only module that imports Ray Serve. What it makes replicas of is tested without it.
"""

import asyncio
import logging
from typing import Any

import ray
from ray import serve
from ray.serve.exceptions import DeploymentUnavailableError, ReplicaUnavailableError
from ray.serve.handle import DeploymentHandle

from momalisa.service.assembly import assemble
from momalisa.service.conductor import Conductor, Snapshot
from momalisa.service.crew import AssemblyResult, ChunkResult, ChunkTask, LostError
from momalisa.service.painter import Painter
from momalisa.service.port import Owner
from momalisa.service.records import WalkRecord
from momalisa.service.structure import LifeConfig, Structure
from momalisa.storage import open_store
from momalisa.walk.course import Walk
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.request import WalkRequest

CHUNKS_PER_RENDERER = 2
"""One is drawn, the next one waits beside it: no renderer waits for an answer's way there and back."""
_COUNT_S = 1.0
_LOST = (ray.exceptions.RayActorError, ReplicaUnavailableError, DeploymentUnavailableError)
_LOGGER = logging.getLogger(__name__)


@serve.deployment(name="renderer", max_ongoing_requests=CHUNKS_PER_RENDERER)
class RendererDeployment:
    """Draws one chunk at a time."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._painter: Painter | None = None
        self._turn = asyncio.Lock()

    async def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Takes new models; the old ones stay where the new ones cannot be loaded."""
        life = LifeConfig.model_validate(user_config)
        painter = Painter(
            open_store(self._structure.bucket),
            {model.id: model.served() for model in life.models},
            max_models=self._structure.max_models_per_renderer,
        )
        await asyncio.to_thread(painter.describe, life.models[0].id)
        async with self._turn:
            self._painter = painter

    async def describe(self, model: str) -> ModelFacts:
        """As `Crew`."""
        async with self._turn:
            return await asyncio.to_thread(self._ready.describe, model)

    async def draw(self, task: ChunkTask) -> ChunkResult:
        """As `Crew`. A chunk that is taken back while it waits for its turn is not drawn."""
        async with self._turn:
            return await asyncio.to_thread(self._ready.draw, task)

    @property
    def _ready(self) -> Painter:
        assert self._painter is not None, "Ray Serve configures a replica before it gives it work"
        return self._painter


@serve.deployment(name="assembler", max_ongoing_requests=2)
class AssemblerDeployment:
    """Writes animations and reports."""

    def __init__(self, structure: Structure) -> None:
        self._store = open_store(structure.bucket)

    async def assemble(self, work: str, walk: Walk, facts: ModelFacts) -> AssemblyResult:
        """As `Crew`."""
        return await asyncio.to_thread(assemble, self._store, work, walk, facts)


class ServeCrew:
    """Implements `Crew` with handles."""

    def __init__(self, renderer: DeploymentHandle, assembler: DeploymentHandle) -> None:
        self._renderer, self._assembler = renderer, assembler
        self._num_renderers = 1

    @property
    def num_slots(self) -> int:
        """As `Crew`."""
        return CHUNKS_PER_RENDERER * max(1, self._num_renderers)

    async def count(self) -> None:
        """Looks for ever how many renderers run."""
        while True:
            status = await asyncio.to_thread(serve.status)
            for application in status.applications.values():
                if (renderer := application.deployments.get("renderer")) is not None:
                    self._num_renderers = renderer.replica_states.get("RUNNING", 0)
            await asyncio.sleep(_COUNT_S)

    async def describe(self, model: str) -> ModelFacts:
        """As `Crew`."""
        return await _answer(self._renderer.describe.remote(model))

    async def draw(self, task: ChunkTask) -> ChunkResult:
        """As `Crew`."""
        return await _answer(self._renderer.draw.remote(task))

    async def assemble(self, work: str, walk: Walk, facts: ModelFacts) -> AssemblyResult:
        """As `Crew`."""
        return await _answer(self._assembler.assemble.remote(work, walk, facts))


@serve.deployment(name="conductor", num_replicas=1, max_ongoing_requests=10_000)
class ConductorDeployment:
    """Leads works; one replica, which begins anew from the bucket whenever it dies."""

    def __init__(self, structure: Structure, renderer: DeploymentHandle, assembler: DeploymentHandle) -> None:
        self._crew = ServeCrew(renderer, assembler)
        self._conductor = Conductor(open_store(structure.bucket), self._crew)
        self._conductor.start()
        self._counting = asyncio.get_running_loop().create_task(self._crew.count())

    async def admit(self, request: WalkRequest, owner: Owner, idempotency_key: str | None) -> WalkRecord:
        """As `Leader`."""
        return await self._conductor.admit(request, owner, idempotency_key=idempotency_key)

    async def withdraw(self, record: WalkRecord) -> None:
        """As `Leader`."""
        await self._conductor.withdraw(record)

    async def news(self, work: str, known: Snapshot | None, timeout_s: float) -> Snapshot | None:
        """As `Leader`."""
        return await self._conductor.news(work, known, timeout_s)


async def _answer(response: Any) -> Any:
    try:
        return await response
    except _LOST as e:
        raise LostError(str(e)) from e
