"""What the edge is told when it starts: whom it lets in, how much it takes, what it shows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from momalisa.bounds import Bounds, Pattern, check_bounds
from momalisa.walk.request import MAX_FRAMES, MAX_SIDE, MAX_STEPS

MIN_SECRET_BYTES = 32
MAX_REQUEST_BYTES = 64 << 20
QUICK_NUM_FRAMES = 30
LEAST_FRAMES = 2

Language = Literal["de", "en", "es", "fr", "it"]
"""Those of the lists of refused words that come along."""
_Positive = Annotated[int, Bounds(above=0)]
_PositiveFloat = Annotated[float, Bounds(above=0)]
_Bytes = Annotated[int, Bounds(above=0, most=MAX_REQUEST_BYTES)]
"""Bodies are held in memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much one request, one visitor and one process of the edge may ask for."""

    max_waypoints: _Positive = 8
    max_frames: Annotated[int, Bounds(least=LEAST_FRAMES, most=MAX_FRAMES)] = 300
    max_num_inference_steps: Annotated[int, Bounds(above=0, most=MAX_STEPS)] = 50
    max_side: Annotated[int, Bounds(above=0, most=MAX_SIDE)] = 1024
    max_prompt_length: _Positive = 500
    max_upload_bytes: _Bytes = 10_000_000
    max_upload_pixels: _Positive = 50_000_000
    """Of a visitor's picture, by its header: phones make 50 megapixels, bombs more."""
    max_kept_side: _Positive = 2048
    """Larger pictures are kept smaller: no model draws as large."""
    max_body_bytes: _Bytes = 256 << 10
    """Of everything but pictures."""
    max_url_bytes: _Positive = 4096
    max_header_bytes: _Positive = 16 << 10
    """Of all headers together."""
    max_instances: _Positive = 4
    """Of a Vertex AI request; each is a walk."""
    max_streams: _Positive = 1000
    """Event streams that one process holds open."""
    max_streams_per_owner: _Positive = 16
    """A museum's visitors come by one address, but each with a session of their own."""
    request_timeout_s: _PositiveFloat = 60.0
    """For everything but event streams."""

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamConfig:
    """How event streams behave."""

    heartbeat_s: _PositiveFloat = 10.0
    """Below the idle time of every proxy on the way."""
    progress_interval_s: _PositiveFloat = 0.5
    max_duration_s: _PositiveFloat = 3600.0
    """Then the client connects anew and resumes: a client that reads nothing holds its seat no longer."""
    retry_ms: _Positive = 2000
    handover_retry_ms: _Positive = 500

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModerationConfig:
    """What is refused. Set by whoever runs the service; nothing of it comes from a request."""

    languages: tuple[Language, ...] = ("en", "es", "de", "fr", "it")
    """Of the lists of refused words that are bundled; none: no list."""
    endpoint: Annotated[str, Pattern(pattern=r"https?://.+", fix="begin it with https://")] | None = None
    """A URL that judges prompts and pictures; see `moderation.py`."""
    timeout_s: _PositiveFloat = 3.0
    when_unreachable: Literal["refuse", "allow"] = "refuse"

    def __post_init__(self) -> None:
        check_bounds(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class VertexRoutes:
    """Where Vertex AI calls: what it gives as AIP_HEALTH_ROUTE and AIP_PREDICT_ROUTE."""

    health: str
    predict: str

    def __post_init__(self) -> None:
        for route in (self.health, self.predict):
            if not route.startswith("/") or "{" in route:
                raise ValueError(f"the Vertex AI route {route!r} must be a path that begins with /")


@dataclass(frozen=True, kw_only=True, slots=True)
class EdgeConfig:
    """Everything that the edge is told."""

    is_open: bool = False
    """Whether anybody may ask for walks, without key or session."""
    has_visitors: bool = True
    """Whether browsers get a session, which may ask for walks."""
    session_secrets: tuple[str, ...] = field(default=(), repr=False)
    """The first signs, all are accepted."""
    session_secrets_file: Path | None = None
    """In their place: one a line, read anew when it changes."""
    keys_file: Path | None = None
    web_folder: Path | None = None
    """The page: `index.html`, `kiosk.html` and what they load."""
    serves_metrics: bool = True
    vertex: VertexRoutes | None = None
    quick_num_frames: int = QUICK_NUM_FRAMES
    """Of walks that are answered at once: `/predict` and Vertex AI."""
    limits: Limits = field(default_factory=Limits)
    streams: StreamConfig = field(default_factory=StreamConfig)
    moderation: ModerationConfig = field(default_factory=ModerationConfig)

    def __post_init__(self) -> None:
        if self.has_visitors and not (self.session_secrets or self.session_secrets_file):
            raise ValueError("visitors' sessions need secrets: give some or their file, or set has_visitors to False")
        if any(len(secret.encode()) < MIN_SECRET_BYTES for secret in self.session_secrets):
            raise ValueError(f"a session secret is too short to be safe: take {MIN_SECRET_BYTES} random bytes or more")
        if not LEAST_FRAMES <= self.quick_num_frames <= self.limits.max_frames:
            raise ValueError(
                f"quick_num_frames is {self.quick_num_frames}: take {LEAST_FRAMES} to {self.limits.max_frames}"
            )
