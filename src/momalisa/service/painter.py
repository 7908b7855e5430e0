"""What a renderer does: models in memory, chunks drawn from the bucket into it."""

import time
from collections import OrderedDict
from threading import Lock

from momalisa.diffusion.sampling import draw
from momalisa.service.crew import ChunkResult, ChunkTask, ModelChangedError
from momalisa.service.ledger import Ledger
from momalisa.service.models import ServedModel
from momalisa.service.pictures import load_pictures
from momalisa.service.port import ImageRequest
from momalisa.storage import Store
from momalisa.walk.frames import StoredFrames, to_png
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.render import Renderer, facts_of
from momalisa.walk.settings import Settings
from momalisa.walk.studio import Studio
from momalisa.walk.walk import draw_chunk

_FRAMES_S = 3600.0
"""So long frames are remembered: well below the grace after which retention removes what nobody refers to."""
_MAX_RENDERERS = 8
"""Walks whose texts and noise are kept; a few MiB each."""


class Painter:
    """Draws one chunk at a time, in whatever thread. Models that were not used for longest go first."""

    def __init__(
        self,
        store: Store,
        *,
        settings: Settings | None = None,
        max_models: int = 1,
    ) -> None:
        self._store = store
        self._settings, self._max_models = settings or Settings(), max_models
        self._studios: OrderedDict[tuple[str, str | None], Studio] = OrderedDict()
        self._renderers: OrderedDict[str, Renderer] = OrderedDict()
        self._frames, self._frames_since = StoredFrames(store.child("frames")), time.monotonic()
        self._ledger = Ledger(store)
        self._turn = Lock()

    def describe(self, model: ServedModel) -> ModelFacts:
        """Loads a model where it is not there. Raises ModelError for one that cannot be."""
        with self._turn:
            return self._facts(model)

    def draw(self, task: ChunkTask) -> ChunkResult:
        """Draws a chunk and keeps its frames. Raises ModelChangedError."""
        with self._turn:
            return self._draw(task)

    def draw_image(self, request: ImageRequest, model: ServedModel) -> bytes:
        """One picture as PNG. Raises ConfigError for a size that the model cannot draw."""
        with self._turn:
            height, width = request.height, request.width
            facts = self._facts(model)
            facts.latent_shape(height or facts.default_size, width or facts.default_size)
            (pixels,) = draw(
                self._studio(model).components,
                [request.prompt],
                seeds=[request.seed],
                num_inference_steps=request.num_inference_steps,
                guidance_scale=request.guidance_scale,
                negative_prompt=request.negative_prompt,
                height=height,
                width=width,
            )
            return to_png(pixels)

    def _draw(self, task: ChunkTask) -> ChunkResult:
        began = time.monotonic()
        if began - self._frames_since > _FRAMES_S:
            self._frames, self._frames_since = StoredFrames(self._store.child("frames")), began
        renderer = self._renderer(task)
        before = renderer.num_evaluations
        drawn, num_rendered = draw_chunk(renderer, task.chunk, self._frames)
        num_evaluations, seconds = renderer.num_evaluations - before, time.monotonic() - began
        if num_rendered:
            self._ledger.enter_chunk(task.work, num_rendered, num_evaluations, seconds)
        return ChunkResult(
            sketches={frame.index: one.sketch for frame, one in zip(task.chunk.frames, drawn, strict=True)},
            num_rendered=num_rendered,
            unet_evaluations=num_evaluations,
            seconds=seconds,
        )

    def _renderer(self, task: ChunkTask) -> Renderer:
        if self._facts(task.model) != task.facts:
            raise ModelChangedError(f"the model {task.model.id} has changed since this walk was planned")
        if task.work not in self._renderers:
            self._renderers[task.work] = self._new_renderer(task)
        self._renderers.move_to_end(task.work)
        while len(self._renderers) > _MAX_RENDERERS:
            self._renderers.popitem(last=False)
        return self._renderers[task.work]

    def _facts(self, model: ServedModel) -> ModelFacts:
        studio = self._studio(model)
        return facts_of(studio.components, studio.sketcher)

    def _new_renderer(self, task: ChunkTask) -> Renderer:
        studio, request = self._studio(task.model), task.request
        return Renderer(
            studio.components, request, pictures=load_pictures(self._store, request), sketcher=studio.sketcher
        )

    def _studio(self, model: ServedModel) -> Studio:
        key = model.uri, model.revision
        if key not in self._studios:
            while len(self._studios) >= self._max_models:
                self._studios.popitem(last=False)
                self._renderers.clear()  # they hold the model
            self._studios[key] = Studio(model.uri, model.revision, self._settings)
        self._studios.move_to_end(key)
        return self._studios[key]
