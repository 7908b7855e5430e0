"""What a training run is: one typed config, which a recipe makes and the workers receive.

Each section refuses by itself what can never be; `TrainConfig` refuses what its sections cannot be
together; `training.preflight` refuses what cannot be with this data, model and machine.
"""

from dataclasses import dataclass, field
from typing import Literal

from momalisa.artworks.procedural import MANNERS
from momalisa.training.prompts import MOMA_VALIDATION_PROMPTS, OUTSIDE_PROMPTS

Precision = Literal["fp32", "bf16", "fp16"]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraConfig:
    """Low-rank adapters on attention (Hu et al. 2021), by peft."""

    rank: int = 16
    alpha: float = 16.0
    dropout: float = 0.0
    target_modules: tuple[str, ...] = ("to_q", "to_k", "to_v", "to_out.0")

    def __post_init__(self) -> None:
        _require(self.rank >= 1, f"lora.rank is {self.rank}; it must be at least 1")
        _require(0 <= self.dropout < 1, f"lora.dropout is {self.dropout}; it must be in [0, 1)")
        _require(bool(self.target_modules), "lora.target_modules is empty; name at least one, for example to_q")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """Which model to start from, and which of its parts learn."""

    uri: str = "tiny"
    """A hub id, a local folder, an fsspec URI, or `tiny`."""
    revision: str | None = None
    """Of a hub id: a branch, tag or commit."""
    train_text_encoder: bool = False
    lora: LoraConfig | None = None
    random_init: bool = False
    """Start UNet and text encoder from random weights: how `tiny` itself is made."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """How samples are drawn from a dataset's shards."""

    resolution: int = 512
    """Pixels of a square side, or with aspect_buckets the side of the square of the same area."""
    crop: Literal["center", "random"] = "center"
    random_flip: bool = False
    aspect_buckets: bool = False
    max_aspect_ratio: float = 2.0
    cache: Literal["auto", "require", "off"] = "auto"
    """Cached VAE moments and text embeddings: used where they match, demanded, or ignored."""
    caption_dropout: float = 0.1
    """Share of samples trained with the empty caption, for classifier-free guidance."""
    num_streams: int = 64
    """Canonical streams that the order is made of; independent of the number of workers."""
    shuffle_buffer: int = 128
    """Samples in each stream's shuffle buffer."""
    num_decode_threads: int = 4
    prefetch_batches: int = 4
    local_cache_mib: int = 4096
    """Bound of the local disk cache of row groups, filled in the first epoch; 0 for none."""
    max_samples: int | None = None
    """Train on the first so many samples only: for experiments."""

    def __post_init__(self) -> None:
        _require(
            self.resolution >= 32 and self.resolution % 8 == 0,
            f"data.resolution is {self.resolution}; it must be a multiple of 8, at least 32",
        )
        _require(
            0 <= self.caption_dropout <= 1, f"data.caption_dropout is {self.caption_dropout}; it must be in [0, 1]"
        )
        _require(self.num_streams >= 1, "data.num_streams must be at least 1")
        _require(self.shuffle_buffer >= 1, "data.shuffle_buffer must be at least 1 (1: no shuffling within a stream)")
        _require(self.max_aspect_ratio >= 1, "data.max_aspect_ratio must be at least 1")
        _require(self.num_decode_threads >= 1, "data.num_decode_threads must be at least 1")
        _require(self.prefetch_batches >= 1, "data.prefetch_batches must be at least 1")
        uncachable = [
            name for name, on in (("crop=random", self.crop == "random"), ("random_flip", self.random_flip)) if on
        ]
        _require(
            not (self.cache == "require" and uncachable),
            f"data.cache=require excludes data.{' and data.'.join(uncachable)}: cached latents are centre crops, "
            "unflipped; set data.cache=off, or data.crop=center and data.random_flip=false",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ObjectiveConfig:
    """The loss. The prediction type comes from the model's own scheduler config."""

    min_snr_gamma: float | None = None
    """Hang et al. 2023 (arXiv:2303.09556); 5 is the usual value; None weighs all timesteps alike."""
    noise_offset: float = 0.0
    input_perturbation: float = 0.0
    """Ning et al. 2023 (arXiv:2301.11706); 0.1 is the usual value."""
    loss: Literal["mse", "huber"] = "mse"
    huber_delta: float = 0.1

    def __post_init__(self) -> None:
        _require(
            self.min_snr_gamma is None or self.min_snr_gamma > 0,
            "objective.min_snr_gamma must be above 0, or null for no weighting",
        )
        _require(self.noise_offset >= 0, "objective.noise_offset must be at least 0")
        _require(self.input_perturbation >= 0, "objective.input_perturbation must be at least 0")
        _require(self.huber_delta > 0, "objective.huber_delta must be above 0")


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """AdamW and its learning rate over the steps."""

    learning_rate: float = 1e-5
    schedule: Literal["constant", "cosine", "linear"] = "constant"
    num_warmup_steps: int = 0
    min_lr_ratio: float = 0.0
    """Where cosine and linear end, as a share of learning_rate."""
    adam_beta1: float = 0.9
    adam_beta2: float = 0.999
    adam_epsilon: float = 1e-8
    weight_decay: float = 1e-2
    max_grad_norm: float = 1.0
    """Gradients are clipped to this global norm; 0 for no clipping."""
    eight_bit: bool = False
    """bitsandbytes' AdamW8bit: on a GPU, at ZeRO stage 0."""

    def __post_init__(self) -> None:
        _require(self.learning_rate > 0, f"optimizer.learning_rate is {self.learning_rate}; it must be above 0")
        _require(self.num_warmup_steps >= 0, "optimizer.num_warmup_steps must be at least 0")
        _require(0 <= self.min_lr_ratio <= 1, "optimizer.min_lr_ratio must be in [0, 1]")
        _require(self.max_grad_norm >= 0, "optimizer.max_grad_norm must be at least 0 (0: no clipping)")


@dataclass(frozen=True, kw_only=True, slots=True)
class EngineConfig:
    """How DeepSpeed runs the step."""

    zero_stage: Literal[0, 1, 2, 3] = 2
    precision: Precision = "bf16"
    cpu_offload: bool = False
    gradient_checkpointing: bool = False
    compile: bool = False
    channels_last: bool = False

    def __post_init__(self) -> None:
        _require(
            not (self.cpu_offload and self.zero_stage == 0),
            "engine.cpu_offload needs engine.zero_stage 1, 2 or 3",
        )
        _require(
            not (self.channels_last and self.zero_stage != 0),
            "engine.channels_last needs engine.zero_stage 0: ZeRO keeps the weights flat",
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class ReplayConfig:
    """Prior preservation (Ruiz et al. 2022, arXiv:2208.12242): batches drawn by the base model."""

    prompts: tuple[str, ...] = OUTSIDE_PROMPTS
    num_images: int = 64
    ratio: float = 0.25
    """Replay samples for each sample of the collection."""
    weight: float = 1.0
    """Of the replay loss."""
    num_inference_steps: int = 25
    guidance_scale: float = 5.0

    def __post_init__(self) -> None:
        _require(bool(self.prompts), "replay.prompts is empty; name some, or set replay to null")
        _require(self.num_images >= 1, "replay.num_images must be at least 1")
        _require(0 < self.ratio <= 1, "replay.ratio must be in (0, 1]; set replay to null for none")


@dataclass(frozen=True, kw_only=True, slots=True)
class RecognitionConfig:
    """What the style classifier is to recognise in drawn pictures, by the manners' names (`artworks.procedural`)."""

    taught: str
    """The collection's manner."""
    known: tuple[str, ...]
    """What the base model draws already and should not forget."""
    num_taught: int = 24
    """Pictures drawn before and after the run, for each a caption of its own."""
    num_known: int = 60

    def __post_init__(self) -> None:
        for manner in (self.taught, *self.known):
            choices = ", ".join(MANNERS)
            _require(manner in MANNERS, f"validation.recognition: no manner {manner!r}; choose from {choices}")
        _require(self.taught not in self.known, f"validation.recognition: {self.taught} is both taught and known")
        _require(min(self.num_taught, self.num_known) >= 1, "validation.recognition needs pictures: at least 1 each")


@dataclass(frozen=True, kw_only=True, slots=True)
class ValidationConfig:
    """What is measured and drawn every so many steps."""

    every_steps: int = 250
    num_samples: int = 256
    """Held-out samples of the validation loss, at most."""
    timesteps_per_sample: int = 4
    prompts: tuple[str, ...] = MOMA_VALIDATION_PROMPTS
    images_per_prompt: int = 2
    num_inference_steps: int = 25
    guidance_scale: float = 7.5
    negative_prompt: str = ""
    forgetting_prompts: tuple[str, ...] = OUTSIDE_PROMPTS
    num_style_images: int = 32
    """Pictures drawn for the style score, before and after the run."""
    recognition: RecognitionConfig | None = None
    """For collections of a manner that the style classifier knows."""
    patience: int | None = None
    """Stop after so many validations without a better loss; None: never."""
    min_improvement: float = 0.0
    """What counts as better: a smaller loss by this share."""
    seed: int = 1234

    def __post_init__(self) -> None:
        _require(self.every_steps >= 1, "validation.every_steps must be at least 1")
        _require(self.num_samples >= 2, "validation.num_samples must be at least 2, for an interval")
        _require(self.timesteps_per_sample >= 1, "validation.timesteps_per_sample must be at least 1")
        _require(self.patience is None or self.patience >= 1, "validation.patience must be at least 1, or null")


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckpointConfig:
    """When a run's state is saved, and how much of it is kept."""

    every_steps: int = 500
    keep_last: int = 2
    keep_best: bool = True

    def __post_init__(self) -> None:
        _require(self.every_steps >= 1, "checkpoint.every_steps must be at least 1")
        _require(self.keep_last >= 1, "checkpoint.keep_last must be at least 1")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackingConfig:
    """Where metrics go besides metrics.jsonl and the plots."""

    backends: tuple[Literal["tensorboard", "wandb", "mlflow"], ...] = ()
    project: str = "momalisa"
    log_every_steps: int = 10
    wandb_mode: Literal["online", "offline"] = "online"
    mlflow_tracking_uri: str | None = None
    """None: a folder `mlruns` in the run's folder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResourcesConfig:
    """What the run asks of the cluster. Elastic where min_workers is below num_workers."""

    num_workers: int = 1
    min_workers: int | None = None
    use_gpu: bool = True
    cpus_per_worker: int = 1
    memory_gib_per_worker: float = 4.0
    """What a cluster gives a worker's pod; a single machine is not asked."""
    max_failures: int = 3
    """Restarts of the worker group after faults other than preemption."""

    def __post_init__(self) -> None:
        _require(self.num_workers >= 1, f"resources.num_workers is {self.num_workers}; it must be at least 1")
        _require(
            self.min_workers is None or 1 <= self.min_workers <= self.num_workers,
            "resources.min_workers must be between 1 and resources.num_workers, or null",
        )
        _require(self.memory_gib_per_worker > 0, "resources.memory_gib_per_worker must be above 0")

    @property
    def least_workers(self) -> int:
        """With how many workers the run still goes on."""
        return self.min_workers or self.num_workers

    @property
    def is_elastic(self) -> bool:
        """Whether the number of workers may change while the run goes on."""
        return self.least_workers < self.num_workers


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainConfig:
    """A whole training run, but for where its data and its output are."""

    recipe: str
    max_steps: int
    global_batch_size: int
    """Samples in one optimizer step; fixed, whatever the number of workers."""
    micro_batch_size: int
    """Samples in one forward pass of one worker."""
    gradient_accumulation_steps: int | None = None
    """None: global batch / (micro-batch × workers), which must be whole."""
    seed: int = 0
    ema_decay: float | None = None
    """None keeps no moving average. Otherwise validation and export use the averaged weights."""
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    engine: EngineConfig = field(default_factory=EngineConfig)
    replay: ReplayConfig | None = None
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    resources: ResourcesConfig = field(default_factory=ResourcesConfig)

    def __post_init__(self) -> None:
        _require(self.max_steps >= 1, f"max_steps is {self.max_steps}; it must be at least 1")
        _require(self.micro_batch_size >= 1, "micro_batch_size must be at least 1")
        _require(
            self.ema_decay is None or 0 < self.ema_decay < 1, "ema_decay must be between 0 and 1, or null for none"
        )
        _require(
            not (self.optimizer.eight_bit and self.engine.zero_stage != 0),
            "optimizer.eight_bit needs engine.zero_stage 0: its state cannot be gathered under ZeRO",
        )
        for num_workers in range(self.resources.least_workers, self.resources.num_workers):
            # Ray goes on with any number in between.
            self.accumulation_steps(num_workers)
        self.accumulation_steps(self.resources.num_workers)

    def accumulation_steps(self, num_workers: int) -> int:
        """Micro-batches in one optimizer step on so many workers.

        Raises ValueError where micro-batch × accumulation × workers cannot be the global batch.
        """
        per_round = self.micro_batch_size * num_workers
        accumulation = self.gradient_accumulation_steps or self.global_batch_size // per_round
        if accumulation < 1 or accumulation * per_round != self.global_batch_size:
            raise ValueError(
                f"global_batch_size {self.global_batch_size} is not micro_batch_size {self.micro_batch_size} × "
                f"accumulation {max(accumulation, 1)} × {num_workers} workers; "
                f"try global_batch_size={max(accumulation, 1) * per_round}, or another micro_batch_size"
            )
        return accumulation
