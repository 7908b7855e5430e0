"""What a renderer does: models in memory, chunks drawn from the bucket into it."""

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from momalisa.diffusion.sampling import draw
from momalisa.errors import ConfigError, ServiceError
from momalisa.service.crew import ChunkResult, ChunkTask
from momalisa.service.pictures import load_pictures
from momalisa.service.port import ImageRequest
from momalisa.storage import Store
from momalisa.walk.frames import StoredFrames, to_png
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.render import Renderer, facts_of
from momalisa.walk.request import WalkRequest
from momalisa.walk.studio import Settings, Studio
from momalisa.walk.walk import draw_chunk

_MAX_RENDERERS = 8
"""Walks whose texts and noise are kept; a few MiB each."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ServedModel:
    """A model by the id that requests name it by."""

    id: str
    uri: str
    """A hub id, folder, URI, or `tiny`. Set by whoever runs the service, never by a request."""
    revision: str | None = None


class ModelChangedError(ServiceError):
    """The model here is not the one that a walk was planned with."""


class Painter:
    """Draws one chunk at a time, in whatever thread. Models that were not used for longest go first."""

    def __init__(
        self,
        store: Store,
        models: Mapping[str, ServedModel],
        *,
        settings: Settings | None = None,
        max_models: int = 1,
    ) -> None:
        self._store, self._models = store, dict(models)
        self._settings, self._max_models = settings or Settings(), max_models
        self._studios: OrderedDict[str, Studio] = OrderedDict()
        self._renderers: OrderedDict[str, Renderer] = OrderedDict()
        self._frames = StoredFrames(store.child("frames"))
        self._turn = Lock()

    def describe(self, model: str) -> ModelFacts:
        """Loads a model where it is not there. Raises ConfigError for one that is not served."""
        with self._turn:
            return self._facts(model)

    def draw(self, task: ChunkTask) -> ChunkResult:
        """Draws a chunk and keeps its frames. Raises ModelChangedError."""
        with self._turn:
            return self._draw(task)

    def draw_image(self, request: ImageRequest) -> bytes:
        """One picture as PNG. Raises ConfigError for a size that the model cannot draw."""
        with self._turn:
            height, width = request.height, request.width
            facts = self._facts(request.model)
            facts.latent_shape(height or facts.default_size, width or facts.default_size)
            (pixels,) = draw(
                self._studio(request.model).components,
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
        renderer = self._renderer(task)
        before = renderer.num_evaluations
        drawn, num_rendered = draw_chunk(renderer, task.chunk, self._frames)
        return ChunkResult(
            sketches={frame.index: one.sketch for frame, one in zip(task.chunk.frames, drawn, strict=True)},
            num_rendered=num_rendered,
            unet_evaluations=renderer.num_evaluations - before,
            seconds=time.monotonic() - began,
        )

    def _renderer(self, task: ChunkTask) -> Renderer:
        if self._facts(task.request.model) != task.facts:
            raise ModelChangedError(f"the model {task.request.model} has changed since this walk was planned")
        if task.work not in self._renderers:
            self._renderers[task.work] = self._new_renderer(task.request)
        self._renderers.move_to_end(task.work)
        while len(self._renderers) > _MAX_RENDERERS:
            self._renderers.popitem(last=False)
        return self._renderers[task.work]

    def _facts(self, model: str) -> ModelFacts:
        studio = self._studio(model)
        return facts_of(studio.components, studio.sketcher)

    def _new_renderer(self, request: WalkRequest) -> Renderer:
        studio = self._studio(request.model)
        return Renderer(
            studio.components, request, pictures=load_pictures(self._store, request), sketcher=studio.sketcher
        )

    def _studio(self, model: str) -> Studio:
        if model not in self._models:
            raise ConfigError(f"no model {model!r} is served: take one of {', '.join(self._models)}")
        if model not in self._studios:
            while len(self._studios) >= self._max_models:
                self._studios.popitem(last=False)
                self._renderers.clear()  # they hold the model
            served = self._models[model]
            self._studios[model] = Studio(served.uri, served.revision, self._settings)
        self._studios.move_to_end(model)
        return self._studios[model]
