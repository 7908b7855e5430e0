"""Renderers, a text encoder and an assembler in this process, that die when they are told to."""

import asyncio
from collections import Counter
from collections.abc import Sequence

from momalisa.service.assembly import assemble, derive
from momalisa.service.crew import AssemblyResult, ChunkResult, ChunkTask, LostError
from momalisa.service.models import ServedModel
from momalisa.service.painter import Painter
from momalisa.service.port import Derived, ImageRequest
from momalisa.service.records import Manifest
from momalisa.service.text_encoder import TextEncoder
from momalisa.storage import Store
from momalisa.walk.course import Walk
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.texts import Texts


class LocalCrew:
    """Implements `Crew`."""

    def __init__(self, store: Store, *, num_renderers: int = 1) -> None:
        self._store = store
        self._painters = [Painter(store) for _ in range(num_renderers)]
        self._text_encoder = TextEncoder()
        self._idle = list(self._painters)
        self._has_idle = asyncio.Semaphore(num_renderers)
        self.num_slots = num_renderers
        self.drawn: Counter[str] = Counter()
        """How often each frame was given to a renderer."""
        self.num_rendered = 0
        self.dies_after: list[int] = []
        """Draws, counted from now, at which a renderer dies after it has drawn, before it says so."""
        self.in_hand = 0

    async def describe(self, model: ServedModel) -> ModelFacts:
        return await asyncio.to_thread(self._painters[0].describe, model)

    async def draw(self, task: ChunkTask) -> ChunkResult:
        async with self._has_idle:
            painter = self._idle.pop()
            self.in_hand += 1
            try:
                result = await asyncio.to_thread(painter.draw, task)
            finally:
                self.in_hand -= 1
                self._idle.append(painter)
        self.drawn.update(task.chunk.addresses[frame.index] for frame in task.chunk.frames)
        self.num_rendered += result.num_rendered
        self.dies_after = [left - 1 for left in self.dies_after]
        if 0 in self.dies_after:
            raise LostError("the renderer died")
        return result

    async def encode(self, prompts: Sequence[tuple[str, str]], model: ServedModel, facts: ModelFacts) -> Texts:
        return await asyncio.to_thread(self._text_encoder.encode, prompts, model, facts)

    async def draw_image(self, request: ImageRequest, model: ServedModel, texts: Texts) -> bytes:
        return await asyncio.to_thread(self._painters[0].draw_image, request, model, texts)

    async def derive(self, work: str, manifest: Manifest, file: Derived) -> None:
        await asyncio.to_thread(derive, self._store, work, manifest, file)

    async def assemble(self, work: str, walk: Walk, facts: ModelFacts) -> AssemblyResult:
        return await asyncio.to_thread(assemble, self._store, work, walk, facts)
