"""What the routes ask of the rest of the service: no HTTP on this side, no Ray on the other."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from momalisa.walk.animation import Format
from momalisa.walk.request import WalkRequest

State = Literal["queued", "running", "assembling", "done", "failed", "cancelled"]
ENDED: frozenset[State] = frozenset({"done", "failed", "cancelled"})
OwnerKind = Literal["key", "visitor", "anybody"]
Derived = Literal["animation.gif", "animation.mp4", "animation.webp", "report.png"]
"""What a walk that is done can be turned into."""
Listing = Literal["featured", "mine"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Owner:
    """Who asks: a program by its key, a visitor by the session."""

    kind: OwnerKind
    name: str
    """Unique among all kinds, of letters, digits, dots and dashes."""
    is_staff: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkStatus:
    """A walk as it is now."""

    id: str
    owner: str
    """Its owner's name."""
    state: State
    created_at: datetime
    ended_at: datetime | None = None
    request: WalkRequest
    num_frames_done: int = 0
    num_frames_total: int = 0
    """Known for good once the walk is done: frames may be added where a step stands out."""
    queue_position: int = 0
    """Works that are ahead; 0 once it runs."""
    eta_s: float | None = None
    unet_evaluations: int = 0
    unet_evaluations_bound: int = 0
    seconds_estimated: float | None = None
    num_frames_shown: int | None = None
    """Frames in the animation, once done."""
    duration_s: float | None = None
    error_code: str | None = None
    error_detail: str | None = None
    is_featured: bool = False

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in ENDED


@dataclass(frozen=True, slots=True)
class PreviewFrame:
    """A frame that is rendered: its number, from 1, in an order that never changes (coarse to fine), and its place."""

    number: int
    position: float
    """From 0 to 1 along the path: a loop's ends where it began, a boomerang's is the way there."""


@dataclass(frozen=True, slots=True)
class Update:
    """What has happened to a walk since the update before."""

    status: WalkStatus
    frames: tuple[PreviewFrame, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Page:
    """Walks, newest first."""

    walks: tuple[WalkStatus, ...]
    next_cursor: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """A model that is served."""

    id: str
    title: str
    description: str = ""
    size: int
    """Of its pictures, pixels."""
    is_default: bool = False
    suggestions: tuple[str, ...] = ()
    """Prompts that it knows how to draw, for "surprise me"."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Quota:
    """What an owner has used of what it may."""

    running: int
    max_running: int
    today: int
    max_a_day: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageRequest:
    """One picture."""

    prompt: str
    model: str
    negative_prompt: str = ""
    guidance_scale: float = 5.0
    num_inference_steps: int = 25
    seed: int = 0
    height: int | None = None
    width: int | None = None


class Walks(Protocol):
    """Every method may raise UnavailableError; those that take a walk's id ObjectNotFoundError and GoneError."""

    async def submit(self, request: WalkRequest, owner: Owner, *, idempotency_key: str | None = None) -> WalkStatus:
        """A new walk, or that of the same idempotency key.

        A waypoint's `picture_sha256` is, here and in every status, the id that `keep_picture` gave.

        Raises BusyError (no capacity, or the owner's quota is used up), AlreadyExistsError (the idempotency key came
        with another request), ConfigError (a model that is not served, a picture that is not there).
        """

    async def status(self, walk_id: str) -> WalkStatus:
        """A walk as it is now."""

    def updates(self, walk_id: str, after: int = 0) -> AsyncIterator[Update]:
        """Frames from number `after` + 1 on: what is there at once, then as it comes; ends with an ended status.

        Raises HandoverError when a newer release serves.
        """

    async def cancel(self, walk_id: str, owner: Owner) -> WalkStatus:
        """Cancels a walk that runs, deletes one that has ended. Raises ForbiddenError for another's walk."""

    async def set_featured(self, walk_id: str, featured: bool) -> WalkStatus:
        """Shows a walk that is done in the gallery, or no more. Raises ConflictError for one that is not done."""

    async def take_down(self, walk_id: str) -> None:
        """Removes a walk from sight for everybody."""

    async def page(self, listing: Listing, owner: Owner, *, limit: int, cursor: str | None = None) -> Page:
        """Raises ConfigError for a cursor that is none."""

    async def animation(self, walk_id: str, kind: Format) -> bytes:
        """Raises ConflictError while the walk is not done."""

    async def frame(self, walk_id: str, number: int) -> bytes:
        """A PNG, of the animation's frames from 0. Raises ConflictError while the walk is not done."""

    async def preview(self, walk_id: str, number: int) -> bytes:
        """A PNG, of the frames in the order in which they were announced, from 1."""

    async def report(self, walk_id: str, kind: Literal["json", "png"]) -> bytes:
        """How smooth the walk is. Raises ConflictError while it is not done."""

    async def keep_picture(self, png: bytes) -> str:
        """Keeps a visitor's picture; its id, by which a waypoint names it."""

    async def draw(self, request: ImageRequest, owner: Owner) -> bytes:
        """One picture as PNG. Raises BusyError, ConfigError."""

    async def models(self) -> Sequence[ModelInfo]:
        """Those that are served, the default one first."""

    async def quota(self, owner: Owner) -> Quota:
        """What is used."""

    async def is_ready(self) -> bool:
        """Whether a model has drawn a picture since the service started."""

    async def metrics(self) -> str:
        """In Prometheus's text format."""
