"""A crew and a leader in other processes, reached by Ray Serve's handles."""

import asyncio
import logging
from collections.abc import Sequence
from typing import TypeVar

from ray import serve
from ray.exceptions import ObjectLostError, RayActorError, RayError, RayTaskError
from ray.serve.exceptions import RayServeException, RequestCancelledError
from ray.serve.handle import DeploymentHandle, DeploymentResponse

from momalisa.errors import MomalisaError, ServiceError, UnavailableError
from momalisa.service.crew import AssemblyResult, ChunkResult, ChunkTask, LostError
from momalisa.service.log_ids import ids
from momalisa.service.models import ServedModel
from momalisa.service.port import Derived, ImageRequest, ModelInfo, Owner, Quota
from momalisa.service.progress import Snapshot
from momalisa.service.records import Manifest, WalkRecord
from momalisa.walk.course import Walk
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.request import WalkRequest
from momalisa.walk.texts import Texts

T = TypeVar("T")

CHUNKS_PER_RENDERER = 2
"""One is drawn, the next one waits beside it: no renderer waits for an answer's way there and back."""
RENDERER = "renderer"
_COUNT_S = 1.0
_LOST = (RayActorError, ObjectLostError, RayServeException)
_LOGGER = logging.getLogger(__name__)


class ServeCrew:
    """Implements `Crew` with handles."""

    def __init__(self, text_encoder: DeploymentHandle, renderer: DeploymentHandle, assembler: DeploymentHandle) -> None:
        self._text_encoder, self._renderer, self._assembler = text_encoder, renderer, assembler
        self._num_renderers = 1

    @property
    def num_slots(self) -> int:
        """As `Crew`. Where all renderers sleep, what is given out wakes one."""
        return CHUNKS_PER_RENDERER * max(1, self._num_renderers)

    async def count(self) -> None:
        """Looks for ever how many renderers run."""
        name = serve.get_replica_context().app_name
        while True:
            try:
                status = await asyncio.to_thread(serve.status)
                renderer = status.applications[name].deployments[RENDERER]
                self._num_renderers = renderer.replica_states.get("RUNNING", 0)
            except (KeyError, RayError) as e:
                _LOGGER.warning("the renderers cannot be counted now: %s", e)
            await asyncio.sleep(_COUNT_S)

    async def describe(self, model: ServedModel) -> ModelFacts:
        """As `Crew`."""
        return await _given(self._renderer.describe.remote(ids(), model))

    async def draw(self, task: ChunkTask) -> ChunkResult:
        """As `Crew`."""
        return await _given(self._renderer.draw.remote(ids(), task))

    async def encode(self, prompts: Sequence[tuple[str, str]], model: ServedModel, facts: ModelFacts) -> Texts:
        """As `Crew`."""
        return await _given(self._text_encoder.encode.remote(ids(), prompts, model, facts))

    async def draw_image(self, request: ImageRequest, model: ServedModel, texts: Texts) -> bytes:
        """As `Crew`."""
        return await _given(self._renderer.draw_image.remote(ids(), request, model, texts))

    async def assemble(self, work: str, walk: Walk, facts: ModelFacts) -> AssemblyResult:
        """As `Crew`."""
        return await _given(self._assembler.assemble.remote(ids(), work, walk, facts))

    async def derive(self, work: str, manifest: Manifest, file: Derived) -> None:
        """As `Crew`."""
        await _given(self._assembler.derive.remote(ids(), work, manifest, file))


class ServeLeader:
    """Implements `Leader` with a handle. Raises UnavailableError while the conductor starts anew."""

    def __init__(self, conductor: DeploymentHandle) -> None:
        self._conductor = conductor

    async def admit(self, request: WalkRequest, owner: Owner, *, idempotency_key: str | None = None) -> WalkRecord:
        """As `Leader`."""
        return await _asked(self._conductor.admit.remote(ids(), request, owner, idempotency_key=idempotency_key))

    async def withdraw(self, record: WalkRecord) -> None:
        """As `Leader`."""
        await _asked(self._conductor.withdraw.remote(ids(), record))

    async def news(self, work: str, known: Snapshot | None, timeout_s: float) -> Snapshot | None:
        """As `Leader`. None while nobody answers: the work is in the bucket, and will be taken up again."""
        try:
            return await _asked(self._conductor.news.remote(ids(), work, known, timeout_s))
        except UnavailableError:
            return None

    async def quota(self, owner: Owner) -> Quota:
        """As `Leader`."""
        return await _asked(self._conductor.quota.remote(ids(), owner))

    async def draw(self, request: ImageRequest, owner: Owner) -> bytes:
        """As `Leader`."""
        return await _asked(self._conductor.draw.remote(ids(), request, owner))

    async def derive(self, work: str, file: Derived) -> None:
        """As `Leader`."""
        await _asked(self._conductor.derive.remote(ids(), work, file))

    async def models(self) -> tuple[ModelInfo, ...]:
        """As `Leader`."""
        return await _asked(self._conductor.models.remote(ids()))

    async def take_over(self) -> None:
        """As `Leader`."""
        await _asked(self._conductor.take_over.remote(ids()))

    async def note_config(self, part: str, *, is_refused: bool, teller: str, is_new: bool) -> None:
        """As `Leader`."""
        said = self._conductor.note_config.remote(ids(), part, is_refused=is_refused, teller=teller, is_new=is_new)
        await _asked(said)

    async def has_successor(self) -> bool:
        """As `Leader`. Not as far as anybody knows, while nobody answers."""
        try:
            return await _asked(self._conductor.has_successor.remote(ids()))
        except UnavailableError:
            return False

    async def is_ready(self) -> bool:
        """As `Leader`."""
        return await _asked(self._conductor.is_ready.remote(ids()))

    async def metrics(self) -> str:
        """As `Leader`."""
        return await _asked(self._conductor.metrics.remote(ids()))


async def _given(response: DeploymentResponse[T]) -> T:
    """What a crew's replica answers. Raises LostError where it died, MomalisaErrors as it raised them itself, and
    ServiceError for all else."""
    try:
        return await _answer(response)
    except _LOST as e:
        raise LostError(f"whoever did it died: {e}") from e


async def _asked(response: DeploymentResponse[T]) -> T:
    """What the conductor answers."""
    try:
        return await _answer(response)
    except _LOST as e:
        raise UnavailableError("the service starts anew: try again in a moment") from e


async def _answer(response: DeploymentResponse[T]) -> T:
    try:
        answer: T = await response
    except asyncio.CancelledError:
        waiting = asyncio.current_task()
        if waiting is not None and not waiting.cancelling():
            raise RequestCancelledError from None  # by Ray Serve, and not by whoever waits
        response.cancel()
        raise
    except RayTaskError as e:
        if isinstance(e.cause, MomalisaError):
            raise e.cause from None
        _LOGGER.error("a replica failed: %s", e)
        raise ServiceError("a part of the service failed; its log says why") from e
    except _LOST:
        raise
    except RayError as e:
        _LOGGER.error("Ray failed: %s", e)
        raise ServiceError("a part of the service failed; its log says why") from e
    return answer
