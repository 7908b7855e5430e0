"""What a renderer does: models in memory, chunks drawn from the bucket into it."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Condition

import torch

from momalisa.diffusion.loading import ALL_PARTS
from momalisa.diffusion.sampling import draw_encoded
from momalisa.service.crew import ChunkResult, ChunkTask, ModelChangedError
from momalisa.service.ledger import Ledger
from momalisa.service.models import ServedModel
from momalisa.service.pictures import load_pictures
from momalisa.service.port import ImageRequest
from momalisa.service.recent import Recent
from momalisa.service.torch_thread import TorchThread
from momalisa.storage import Store
from momalisa.walk.course import Chunk
from momalisa.walk.frames import Pixels, StoredFrames, to_png
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.render import Renderer, facts_of
from momalisa.walk.settings import Settings
from momalisa.walk.studio import Studio
from momalisa.walk.texts import Texts
from momalisa.walk.walk import Rendered, render_chunk

_LOGGER = logging.getLogger(__name__)
_FRAMES_S = 3600.0
"""So long frames are remembered: well below the grace after which retention removes what nobody refers to."""
_MAX_RENDERERS = 8
"""Walks whose texts and noise are kept; a few MiB each."""
_PARTS = tuple(part for part in ALL_PARTS if part != "text_encoder")
"""Prompts come encoded."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Painted:
    """A chunk that has been drawn, whose frames are to be kept."""

    frames: StoredFrames
    rendered: Rendered
    num_evaluations: int
    seconds: float

    @property
    def new(self) -> set[str]:
        return {one.address for one in self.rendered.new}


class Painter:
    """Draws one chunk at a time, whatever thread asks. Models that were not used for longest go first."""

    def __init__(
        self,
        store: Store,
        *,
        settings: Settings | None = None,
        max_models: int = 1,
    ) -> None:
        self._store = store
        self._settings = settings or Settings()
        self._studios: Recent[tuple[str, str | None], Studio] = Recent(max_models)
        self._renderers: Recent[str, Renderer] = Recent(_MAX_RENDERERS)
        self._frames, self._frames_since = StoredFrames(store.child("frames")), time.monotonic()
        self._ledger = Ledger(store)
        self._torch, self._kept = TorchThread(), Condition()
        self._being_kept: set[str] = set()

    def describe(self, model: ServedModel) -> ModelFacts:
        """Loads a model where it is not there. Raises ModelError for one that cannot be."""
        return self._torch.run(self._facts, model)

    def draw(self, task: ChunkTask, *, on_rendered: Callable[[], object] = lambda: None) -> ChunkResult:
        """Draws a chunk and keeps its frames; `on_rendered` is called before they are kept, when the next chunk can be
        drawn. Raises ModelChangedError."""
        painted = self._torch.run(self._paint, task)
        on_rendered()
        num_twice = self._keep(painted)
        rendered, seconds = painted.rendered, painted.seconds
        if rendered.num_rendered:
            self._ledger.enter_chunk(
                task.work,
                num_rendered=rendered.num_rendered,
                num_drawn_twice=num_twice,
                unet_evaluations=painted.num_evaluations,
                seconds=seconds,
            )
        figures = {"seconds": round(seconds, 3), "unet_evaluations": painted.num_evaluations}
        _LOGGER.info("%d frames, %d of them drawn now", len(rendered.drawn), rendered.num_rendered, extra=figures)
        return ChunkResult(
            sketches={f.index: one.sketch for f, one in zip(task.chunk.frames, rendered.drawn, strict=True)},
            num_rendered=rendered.num_rendered,
            unet_evaluations=painted.num_evaluations,
            seconds=seconds,
        )

    def draw_image(self, request: ImageRequest, model: ServedModel, texts: Texts) -> bytes:
        """One picture as PNG. Raises ConfigError for a size that the model cannot draw."""
        return to_png(self._torch.run(self._paint_image, request, model, texts))

    def _paint(self, task: ChunkTask) -> _Painted:
        wanted = _own_and_parents(task.chunk)
        with self._kept:  # by another chunk that has just been drawn
            self._kept.wait_for(lambda: self._being_kept.isdisjoint(wanted))
        began = time.monotonic()
        if began - self._frames_since > _FRAMES_S:
            self._frames, self._frames_since = StoredFrames(self._store.child("frames")), began
        frames, renderer = self._frames, self._renderer(task)
        before = renderer.num_evaluations
        rendered = render_chunk(renderer, task.chunk, frames)
        painted = _Painted(
            frames=frames,
            rendered=rendered,
            num_evaluations=renderer.num_evaluations - before,
            seconds=time.monotonic() - began,
        )
        with self._kept:
            self._being_kept |= painted.new
        return painted

    def _keep(self, painted: _Painted) -> int:
        """How many of the frames somebody else had kept meanwhile."""
        try:
            return painted.frames.keep(painted.rendered.new)
        finally:
            with self._kept:
                self._being_kept -= painted.new
                self._kept.notify_all()

    def _paint_image(self, request: ImageRequest, model: ServedModel, texts: Texts) -> Pixels:
        height, width = request.height, request.width
        facts = self._facts(model)
        facts.latent_shape(height or facts.default_size, width or facts.default_size)
        pixels: Pixels = draw_encoded(
            self._studio(model).components,
            torch.from_numpy(texts.prompts),
            torch.from_numpy(texts.negative_prompts),
            seeds=[request.seed],
            num_inference_steps=request.num_inference_steps,
            guidance_scale=request.guidance_scale,
            height=height,
            width=width,
        )[0]
        return pixels

    def _renderer(self, task: ChunkTask) -> Renderer:
        if self._facts(task.model) != task.facts:
            raise ModelChangedError(f"the model {task.model.id} has changed since this walk was planned")
        return self._renderers.get(task.work, lambda: self._new_renderer(task))

    def _facts(self, model: ServedModel) -> ModelFacts:
        studio = self._studio(model)
        return facts_of(studio.components, studio.sketcher)

    def _new_renderer(self, task: ChunkTask) -> Renderer:
        studio, request = self._studio(task.model), task.request
        return Renderer(
            studio.components,
            request,
            pictures=load_pictures(self._store, request),
            sketcher=studio.sketcher,
            texts=task.texts,
        )

    def _studio(self, model: ServedModel) -> Studio:
        return self._studios.get((model.uri, model.revision), lambda: self._load(model))

    def _load(self, model: ServedModel) -> Studio:
        self._renderers.clear()  # they hold the model that has just gone
        return Studio(model.uri, model.revision, self._settings, parts=_PARTS)


def _own_and_parents(chunk: Chunk) -> set[str]:
    """Addresses of the frames that must not be on their way to the bucket while a chunk is drawn."""
    indices = {frame.index for frame in chunk.frames} | {i for frame in chunk.frames for i in frame.parents or ()}
    return {chunk.addresses[index] for index in indices}
