"""A loaded model that makes walks, one after the other, and writes them down."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from momalisa.diffusion.loading import ALL_PARTS, Components, Part, load_components
from momalisa.errors import ConfigError
from momalisa.lora.adapters import Adapters
from momalisa.storage import Store
from momalisa.terminal import counted
from momalisa.walk.addresses import Rendition
from momalisa.walk.animation import Animation, write_animation
from momalisa.walk.course import Walk, walk_id
from momalisa.walk.frames import Drawn, Frames, MemoryFrames, Pixels
from momalisa.walk.lpips import LpipsSketcher
from momalisa.walk.placement import StoredJournal
from momalisa.walk.plan import Frame
from momalisa.walk.provenance import Provenance, provenance_of
from momalisa.walk.render import Renderer
from momalisa.walk.report import WalkReport, report_of
from momalisa.walk.request import WalkRequest
from momalisa.walk.settings import Settings
from momalisa.walk.sketches import Sketcher, sketcher_for
from momalisa.walk.walk import render_walk

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
_SHORT_OF_MEMORY_BYTES = 6 * 2**30
"""Of free GPU memory: below it the VAE decodes one picture at a time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Made:
    """A rendered walk with all that is known of it."""

    walk: Walk
    rendition: Rendition
    report: WalkReport
    provenance: Provenance
    frames: Frames

    def animation(self, *, enlarge: int = 1) -> Animation:
        """The walk as it is written to a file."""
        return Animation(
            frames=partial(self.walk.pictures, self.frames),
            durations_s=self.walk.durations_s,
            text=self.provenance.to_text(),
            enlarge=enlarge,
        )


class Studio:
    """One model, loaded once. Raises ModelError where it cannot be, ConfigError for a device that is not there."""

    def __init__(
        self,
        model: str,
        revision: str | None = None,
        settings: Settings | None = None,
        *,
        parts: Sequence[Part] = ALL_PARTS,
    ) -> None:
        settings = settings or Settings()
        device, dtype = placed(settings)
        components = load_components(model, revision=revision, parts=parts, dtype=dtype)
        self.components = prepare(components, device, settings)
        self.sketcher: Sketcher = LpipsSketcher(settings.lpips) if settings.lpips else sketcher_for(self.components)

    def make(
        self,
        request: WalkRequest,
        frames: Frames,
        *,
        pictures: Mapping[str, Pixels] | None = None,
        placements: Store | None = None,
        rounds: Sequence[Sequence[Frame]] | None = None,
        on_chunk: Callable[[list[Drawn]], None] | None = None,
    ) -> Made:
        """Renders what is not in `frames`, and measures the walk. The request's model is not looked at.

        Where the frames lie is committed in `placements`, so that an interrupted walk goes on with the same; `rounds`
        are those of an earlier walk. Raises ConfigError where the GPU's memory is too small.
        """
        began = time.monotonic()
        uris = sorted({uri for waypoint in request.waypoints for uri in waypoint.adapters})
        adapters = Adapters(self.components, uris)
        try:
            renderer = Renderer(self.components, request, adapters=adapters, pictures=pictures, sketcher=self.sketcher)
            journal = None
            if placements is not None:
                journal = StoredJournal(placements.child(walk_id(request, renderer.rendition)))
            walk = render_walk(renderer, request, frames, journal=journal, rounds=rounds, on_chunk=on_chunk)
        except torch.OutOfMemoryError as e:
            raise ConfigError("the GPU's memory is too small: take a smaller size, or --dtype float16") from e
        finally:
            adapters.unload()
        return Made(
            walk=walk,
            rendition=renderer.rendition,
            report=report_of(walk, frames, seconds=time.monotonic() - began),
            provenance=provenance_of(walk, renderer.rendition, walk.pictures(frames)),
            frames=frames,
        )


def make_gif(request: WalkRequest, path: Path, *, enlarge: int = 1) -> WalkReport:
    """A walk of the request's own model, as a GIF; shows its progress."""
    studio = Studio(request.model, request.revision)
    with counted("frames of a walk", request.plan.num_frames) as advance:
        made = studio.make(request, MemoryFrames(), on_chunk=lambda chunk: advance(len(chunk)))
    write_animation(made.animation(enlarge=enlarge), path)
    return made.report


def placed(settings: Settings) -> tuple[torch.device, torch.dtype]:
    """Where a model is, and in which precision. Raises ConfigError for a device that is not there."""
    device = _device(settings.device)
    return device, DTYPES[settings.dtype or ("float16" if device.type == "cuda" else "float32")]


def prepare(components: Components, device: torch.device, settings: Settings) -> Components:
    """Moves a model to its device and makes it fast there."""
    components.to(device)
    components.unet.to(memory_format=torch.channels_last)
    components.vae.to(memory_format=torch.channels_last)
    slicing = settings.vae_slicing
    if slicing is None:
        # The decoder's maps of one picture fit a processor's caches: one by one is twice as fast as many together.
        slicing = device.type != "cuda" or torch.cuda.mem_get_info(device)[0] < _SHORT_OF_MEMORY_BYTES
    if slicing:
        components.vae.enable_slicing()
    if settings.compile:
        components.unet.compile(dynamic=True)  # rounds end with chunks of any size
    return components


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as e:
        raise ConfigError(f"no device {name!r}: take cpu, cuda or cuda:0") from e
    if device.type not in ("cpu", "cuda") or (
        device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    ):
        raise ConfigError(f"no device {name!r} here: take cpu, or install torch with CUDA on a machine with a GPU")
    return device
