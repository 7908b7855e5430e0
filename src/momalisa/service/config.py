"""What the edge is told when it starts: whom it lets in, how much it takes, what it shows."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from momalisa.walk.request import MAX_FRAMES, MAX_SIDE, MAX_STEPS

MIN_SECRET_BYTES = 32
MAX_REQUEST_BYTES = 64 << 20
QUICK_NUM_FRAMES = 30


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much one request, one visitor and one process of the edge may ask for."""

    max_waypoints: int = 8
    max_frames: int = 300
    max_num_inference_steps: int = 50
    max_side: int = 1024
    max_prompt_length: int = 500
    max_upload_bytes: int = 10_000_000
    max_upload_pixels: int = 50_000_000
    """Of a visitor's picture, by its header: phones make 50 megapixels, bombs more."""
    max_kept_side: int = 2048
    """Larger pictures are kept smaller: no model draws as large."""
    max_body_bytes: int = 256 << 10
    """Of everything but pictures."""
    max_url_bytes: int = 4096
    max_header_bytes: int = 16 << 10
    """Of all headers together."""
    max_instances: int = 4
    """Of a Vertex AI request; each is a walk."""
    max_streams: int = 1000
    """Event streams that one process holds open."""
    max_streams_per_owner: int = 16
    """A museum's visitors come by one address, but each with a session of their own."""
    request_timeout_s: float = 60.0
    """For everything but event streams."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: take more than 0")
        for name, most in (("max_frames", MAX_FRAMES), ("max_num_inference_steps", MAX_STEPS), ("max_side", MAX_SIDE)):
            if getattr(self, name) > most:
                raise ValueError(f"{name} is {getattr(self, name)}: no walk can have more than {most}")
        if max(self.max_upload_bytes, self.max_body_bytes) > MAX_REQUEST_BYTES:
            raise ValueError(f"bodies are held in memory: take at most {MAX_REQUEST_BYTES} bytes")


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamConfig:
    """How event streams behave."""

    heartbeat_s: float = 10.0
    """Below the idle time of every proxy on the way."""
    progress_interval_s: float = 0.5
    max_duration_s: float = 3600.0
    """Then the client connects anew and resumes: a client that reads nothing holds its seat no longer."""
    retry_ms: int = 2000
    handover_retry_ms: int = 500

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}: take more than 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModerationConfig:
    """What is refused. Set by whoever runs the service; nothing of it comes from a request."""

    languages: tuple[str, ...] = ("en", "es", "de", "fr", "it")
    """Of the lists of refused words that are bundled; none: no list."""
    endpoint: str | None = None
    """A URL that judges prompts and pictures; see `moderation.py`."""
    timeout_s: float = 3.0
    when_unreachable: Literal["refuse", "allow"] = "refuse"

    def __post_init__(self) -> None:
        if self.endpoint is not None and not self.endpoint.startswith(("http://", "https://")):
            raise ValueError(f"the moderation endpoint {self.endpoint!r} is no URL: begin it with https://")
        if not self.timeout_s > 0:
            raise ValueError(f"timeout_s is {self.timeout_s}: take more than 0")


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
    """The first signs, all are accepted: put a new one first, and drop the last one 90 days later."""
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
        if self.has_visitors and not self.session_secrets:
            raise ValueError("visitors' sessions need a secret: give session_secrets, or set has_visitors to False")
        if any(len(secret.encode()) < MIN_SECRET_BYTES for secret in self.session_secrets):
            raise ValueError(f"a session secret is too short to be safe: take {MIN_SECRET_BYTES} random bytes or more")
        if not 2 <= self.quick_num_frames <= self.limits.max_frames:
            raise ValueError(f"quick_num_frames is {self.quick_num_frames}: take 2 to {self.limits.max_frames}")
