"""What REST gives. The OpenAPI document comes from here and from `schemas.py`."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from momalisa.service.port import OwnerKind, State
from momalisa.service.schemas import PICTURE_PATTERN
from momalisa.walk.path import Easing
from momalisa.walk.plan import Mode
from momalisa.walk.request import Shape


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class VertexAnswer(_Given):
    """For each instance its frames as PNG in base64, in order."""

    predictions: list[list[str]]


class Progress(_Given):
    """How far a walk is."""

    frames_done: int
    frames_total: int
    queue_position: int = Field(description="walks that are ahead")
    eta_s: float | None


class Cost(_Given):
    """What a walk takes."""

    unet_evaluations_bound: int = Field(description="at most, known before it runs")
    unet_evaluations: int = Field(description="so far")
    seconds_estimated: float | None


class WalkFailure(_Given):
    """Why there is no animation."""

    code: str
    detail: str


class Links(_Given):
    """Where everything of a walk is."""

    self: str
    events: str
    gif: str
    mp4: str
    webp: str
    report: str
    report_picture: str
    frame: str = Field(description="with {n} for the frame's number, from 0")
    page: str


class SettledWaypoint(_Given):
    """A waypoint as it was asked for."""

    prompt: str
    picture: str | None
    negative_prompt: str | None
    guidance_scale: float | None
    seed: int | None
    hold_s: float


class SettledWalk(_Given):
    """A walk as it was asked for, with what the service chose."""

    waypoints: list[SettledWaypoint]
    model: str
    num_frames: int
    shape: Shape
    easing: Easing
    mode: Mode
    num_inference_steps: int
    guidance_scale: float
    negative_prompt: str
    seed: int
    strength: float
    frames_per_second: float
    height: int | None
    width: int | None


class WalkView(_Given):
    """A walk as it is now."""

    id: str
    state: State
    created_at: datetime
    ended_at: datetime | None
    request: SettledWalk
    progress: Progress
    cost: Cost
    error: WalkFailure | None
    is_mine: bool
    is_featured: bool
    num_frames: int | None = Field(description="in the animation, once it is done")
    duration_s: float | None
    links: Links


class WalkList(_Given):
    """Walks, newest first."""

    walks: list[WalkView]
    next_cursor: str | None = Field(description="for the next page; null: this was the last")


class PictureView(_Given):
    """A visitor's picture, as it is kept."""

    id: str = Field(pattern=PICTURE_PATTERN)
    width: int
    height: int


class ModelView(_Given):
    """A model that is served."""

    id: str
    title: str
    description: str
    size: int = Field(description="of its pictures, pixels")
    is_default: bool
    suggestions: list[str]


class ModelList(_Given):
    """Models that are served, the default one first."""

    models: list[ModelView]


class LimitsView(_Given):
    """What one request may ask for."""

    max_waypoints: int
    max_frames: int
    max_prompt_length: int
    max_upload_bytes: int
    max_num_inference_steps: int


class QuotaView(_Given):
    """What is used of what the one who asks may use."""

    running: int
    max_running: int
    today: int
    max_a_day: int


class MeView(_Given):
    """Who asks, and what they may."""

    kind: OwnerKind
    is_staff: bool
    limits: LimitsView
    quota: QuotaView


class HealthView(_Given):
    """That it is there."""

    status: Literal["ok", "ready"]


class FieldProblem(_Given):
    """What is wrong with a field."""

    field: str
    message: str


class Problem(BaseModel):
    """Every error (RFC 9457). `detail` is for people, `code` for programs."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["about:blank"]
    title: str
    status: int
    detail: str
    code: Literal[
        "invalid_request",
        "refused_words",
        "unauthorized",
        "forbidden",
        "not_found",
        "method_not_allowed",
        "conflict",
        "gone",
        "too_large",
        "unsupported_media",
        "range_not_satisfiable",
        "too_many_requests",
        "unavailable",
        "internal_error",
    ]
    errors: list[FieldProblem] = Field(default=[], description="of `invalid_request`")
    retry_after_s: float = Field(default=0, description="of `too_many_requests` and `unavailable`")
