"""How the service is built: what its deployments are, and what of them may change while it lives.

`Structure` is the application's `args`: another one restarts every deployment. `ConductorLife` and `GatewayLife` are
the deployments' `user_config`: Ray Serve hands a new one to replicas that run.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from momalisa.bounds import Bounds, check_bounds
from momalisa.errors import ConfigError
from momalisa.service.admission import AdmissionConfig
from momalisa.service.conductor_config import ConductorConfig
from momalisa.service.config import QUICK_NUM_FRAMES, EdgeConfig, Limits, ModerationConfig, StreamConfig, VertexRoutes
from momalisa.service.models import TINY, ServedModel
from momalisa.service.retention import RetentionConfig
from momalisa.walk.settings import Settings


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """How many replicas of a deployment there are, and what each has."""

    min_replicas: int = 1
    max_replicas: int = 1
    num_cpus: float = 1.0
    num_gpus: float = 0.0
    upscale_delay_s: float = 5.0
    downscale_delay_s: float = 300.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            raise ValueError(f"{self.min_replicas} to {self.max_replicas} replicas: take at least one at most")
        if min(self.upscale_delay_s, self.downscale_delay_s) < 0:
            raise ValueError("upscale_delay_s and downscale_delay_s are waits: take 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Structure:
    """What `build_app` is told."""

    bucket: str
    """A folder or gs:// URI; everything that must not be lost is there."""
    release: str = ""
    """Of two releases on one bucket the one whose first visitor came later serves, and the other sends its clients on.
    On KubeRay the Ray cluster's name, where none is given."""
    gateway: Scale = field(default_factory=lambda: Scale(num_cpus=0.5))
    text_encoder: Scale = field(default_factory=lambda: Scale(num_cpus=0.5))
    """Without a GPU it takes a tenth of a second for a prompt of Stable Diffusion 1.x."""
    renderer: Scale = field(default_factory=Scale)
    """`min_replicas` may be 0: the first chunk wakes one."""
    assembler: Scale = field(default_factory=Scale)
    max_models_per_renderer: Annotated[int, Bounds(least=1)] = 1
    """In memory at once; the one that was not used for longest goes first."""
    max_models_per_text_encoder: Annotated[int, Bounds(least=1)] = 4
    drawing: Settings = field(default_factory=Settings)
    """Of the renderers."""
    encoding: Settings = field(default_factory=Settings)
    """Of the text encoders."""
    leading: ConductorConfig = field(default_factory=ConductorConfig)
    """How often a conductor looks for works and renews its leases, and when it takes over those of a lost one."""
    max_open_requests: Annotated[int, Bounds(least=1)] = 2000
    """Of one gateway, event streams among them."""
    is_open: bool = False
    has_visitors: bool = True
    session_secrets_file: Path | None = None
    """A secret a line; the first one signs. Read anew when it changes."""
    keys_file: Path | None = None
    web_folder: Path | None = None
    serves_metrics: bool = True
    log_encoding: Literal["JSON", "TEXT"] = "JSON"
    """Of the replicas' logs, which tell the request, walk and work that each line is of."""
    log_folder: Path | None = None
    """None: Ray's own."""
    vertex: VertexRoutes | None = None

    def __post_init__(self) -> None:
        if any(scale.min_replicas < 1 for scale in (self.gateway, self.text_encoder, self.assembler)):
            raise ValueError("gateway, text_encoder and assembler need at least one replica: only renderers can sleep")
        check_bounds(self)

    def edge(self, life: "GatewayLife") -> EdgeConfig:
        """What a gateway is told. Raises ConfigError for more event streams than leave room for anything else."""
        if life.limits.max_streams >= self.max_open_requests:
            raise ConfigError(
                f"max_streams is {life.limits.max_streams}: take fewer than max_open_requests, which is "
                f"{self.max_open_requests}, or event streams keep everything else out"
            )
        return EdgeConfig(
            is_open=self.is_open,
            has_visitors=self.has_visitors,
            session_secrets_file=self.session_secrets_file,
            keys_file=self.keys_file,
            web_folder=self.web_folder,
            serves_metrics=self.serves_metrics,
            vertex=self.vertex,
            quick_num_frames=min(QUICK_NUM_FRAMES, life.limits.max_frames),
            limits=life.limits,
            streams=life.streams,
            moderation=life.moderation,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ConductorLife:
    """What may change of the conductor."""

    models: tuple[ServedModel, ...] = (TINY,)
    """The first one is the default."""
    admission: AdmissionConfig = field(default_factory=AdmissionConfig)
    moderation: ModerationConfig = field(default_factory=ModerationConfig)
    """Of frames, before anybody sees them: by its endpoint, where it has one."""
    retention: RetentionConfig = field(default_factory=RetentionConfig)


@dataclass(frozen=True, kw_only=True, slots=True)
class GatewayLife:
    """What may change of the gateways."""

    limits: Limits = field(default_factory=Limits)
    streams: StreamConfig = field(default_factory=StreamConfig)
    moderation: ModerationConfig = field(default_factory=ModerationConfig)
    """Of prompts, visitors' pictures and single pictures."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Life:
    """All that may change, as the file of `serve/app.py --config` has it."""

    conductor: ConductorLife = field(default_factory=ConductorLife)
    gateway: GatewayLife = field(default_factory=GatewayLife)
