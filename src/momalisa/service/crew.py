"""Who does the work: what a conductor asks of renderers and assemblers, wherever they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from momalisa.errors import ServiceError
from momalisa.service.models import ServedModel
from momalisa.service.port import Derived, ImageRequest
from momalisa.service.records import Manifest
from momalisa.walk.course import Chunk, Walk
from momalisa.walk.frames import Sketch
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.request import WalkRequest
from momalisa.walk.texts import Texts


class LostError(ServiceError):
    """Whoever did it died: give it to somebody else."""


class ModelChangedError(ServiceError):
    """The model is not the one that a walk was planned with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkTask:
    """A chunk to be drawn and kept in the bucket."""

    work: str
    request: WalkRequest
    model: ServedModel
    facts: ModelFacts
    """Of the model as it was planned with: a renderer that has another one refuses."""
    texts: Texts
    """Of the request's waypoints."""
    chunk: Chunk
    num_queued: int = 0
    """Chunks that wait behind it: what renderers are scaled by."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkResult:
    """What became of it."""

    sketches: Mapping[int, Sketch]
    """Of the chunk's frames, by their grid points."""
    num_rendered: int
    """Frames that were not in the bucket already."""
    unet_evaluations: int
    seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class AssemblyResult:
    """A walk's animation is in the bucket."""

    report: Mapping[str, float]


class Crew(Protocol):
    """Every method raises LostError where whoever did it died, and MomalisaError where it cannot be done."""

    @property
    def num_slots(self) -> int:
        """Chunks that may be given out at once: enough for no renderer to wait, and few, so that the order is ours."""

    async def describe(self, model: ServedModel) -> ModelFacts:
        """Of a model. Raises ModelError for one that cannot be loaded."""

    async def draw(self, task: ChunkTask) -> ChunkResult:
        """Draws a chunk; its frames are in the bucket then."""

    async def encode(self, prompts: Sequence[tuple[str, str]], model: ServedModel, facts: ModelFacts) -> Texts:
        """Prompts, each with what it is guided away from. Raises ModelChangedError."""

    async def draw_image(self, request: ImageRequest, model: ServedModel, texts: Texts) -> bytes:
        """One picture as PNG, of its encoded prompt."""

    async def derive(self, work: str, manifest: Manifest, file: Derived) -> None:
        """Writes another animation or picture of a work that is done into the bucket."""

    async def assemble(self, work: str, walk: Walk, facts: ModelFacts) -> AssemblyResult:
        """Writes a walk's GIF and the figures of its report into the bucket."""


async def draw_image(crew: Crew, request: ImageRequest, model: ServedModel, facts: ModelFacts) -> bytes:
    """One picture as PNG, from its prompt."""
    texts = await crew.encode([(request.prompt, request.negative_prompt)], model, facts)
    return await crew.draw_image(request, model, texts)
