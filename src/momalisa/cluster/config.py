"""All that decides a job's manifests. Deployment facts come from flags; GPUs, CPUs and memory from the recipe."""

import getpass
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Literal

from momalisa.config import override
from momalisa.errors import ConfigError
from momalisa.recipes import recipe
from momalisa.training.config import ResourcesConfig, TrainConfig

JobKind = Literal["train", "prepare", "walk"]
KINDS: tuple[JobKind, ...] = ("train", "prepare", "walk")

MAX_NAME = 47
"""KubeRay's limit: what it makes of a job's name must still be a name."""
_NAME = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRETIVE = ("TOKEN", "KEY", "SECRET", "PASSWORD")
_SECRET_KEY = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[-._a-zA-Z0-9]+")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True, kw_only=True, slots=True)
class PodResources:
    """What one pod gets."""

    cpus: float = 1.0
    memory_gib: float = 8.0
    gpus: int = 0

    def __post_init__(self) -> None:
        _require(self.cpus > 0, f"a pod with {self.cpus:g} CPUs cannot be: give it some")
        _require(self.memory_gib >= 0.5, f"{self.memory_gib:g} GiB are too few for Ray: give at least 0.5")
        _require(self.gpus >= 0, f"{self.gpus} GPUs cannot be: give 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class JobConfig:
    """A job: what runs where, with how much, for how long."""

    kind: JobKind
    name: str
    """Of the RayJob, and the run's id."""
    output_uri: str
    """The run's folder."""
    data_uri: str
    """What it reads: a dataset (train), artworks (prepare), requests (walk)."""
    image: str
    recipe: str | None = None
    """Of a training."""
    arguments: tuple[str, ...] = ()
    """For the job's script, behind what is said here already."""
    namespace: str = "momalisa"
    service_account: str = "momalisa-job"
    image_pull_policy: Literal["IfNotPresent", "Always", "Never"] = "IfNotPresent"
    num_workers: int = 1
    min_workers: int | None = None
    """With how many it still goes on; only an autoscaled cluster starts with as few."""
    worker: PodResources = field(default_factory=PodResources)
    head: PodResources = field(default_factory=lambda: PodResources(cpus=2.0, memory_gib=8.0))
    cpu_overcommit: float = 1.0
    """CPUs that a pod may use for each that it asks of the scheduler; above 1 for small machines only."""
    gpu_type: str | None = None
    """As nodes are labelled on GKE (`cloud.google.com/gke-accelerator`): nvidia-l4, nvidia-tesla-a100, …"""
    spot: bool = False
    """Workers on spot nodes (GKE). The head stays off them: its loss is the whole cluster's."""
    autoscale: bool = False
    """Ray's autoscaler v2 adds workers as the run asks for them."""
    queue: str | None = None
    """A Kueue LocalQueue: the job is created suspended, and admitted whole."""
    priority_class: str | None = None
    deadline_s: int = 24 * 3600
    """For one attempt, from its start."""
    pre_running_deadline_s: int = 1800
    """To be running: nodes, images, Ray."""
    backoff_limit: int = 2
    """Whole new clusters after failures; each goes on from the last checkpoint."""
    keep_cluster_s: int = 300
    """For how long the head is kept after the end, without its workers: logs and dashboard. See `head_stays_s`."""
    keep_job_s: int = 7 * 24 * 3600
    """For how long the RayJob itself is kept after the end."""
    env: dict[str, str] = field(default_factory=dict)
    """In plain text in the RayJob and in the run's folder."""
    secret_env: dict[str, str] = field(default_factory=dict)
    """Variables from Secrets that the namespace allows: `HF_TOKEN` → `secret/key`."""
    owner: str = "unknown"
    ray_version: str = ""
    checkpoint_every_steps: int | None = None
    """Of a training: the most that a lost node costs."""
    max_steps: int | None = None

    def __post_init__(self) -> None:
        _require(
            bool(_NAME.fullmatch(self.name)) and len(self.name) <= MAX_NAME,
            f"{self.name!r} cannot name a job: at most {MAX_NAME} lower-case letters, digits and '-', beginning with a "
            "letter, not ending with '-'; give another --name",
        )
        _require(bool(self.image), "no image: give --image, or set MOMALISA_IMAGE")
        _require(self.kind != "train" or self.recipe is not None, "a training needs a recipe: --recipe")
        _require(self.num_workers >= 1, f"{self.num_workers} workers cannot be: --num-workers 1 or more")
        _require(
            self.min_workers is None or 1 <= self.min_workers <= self.num_workers,
            f"min_workers {self.min_workers} must be between 1 and num_workers {self.num_workers}",
        )
        _require(self.cpu_overcommit >= 1, "cpu_overcommit must be at least 1")
        _require(not (self.queue and self.autoscale), "a queue admits a job whole: drop --queue or --autoscale")
        _require(self.deadline_s > 0, "the deadline must be above 0 s: --deadline 24h, for example")
        _require(
            0 < self.pre_running_deadline_s <= self.deadline_s,
            f"the time to start ({self.pre_running_deadline_s} s) must be above 0 and within the deadline "
            f"({self.deadline_s} s): --start-deadline",
        )
        _require(self.backoff_limit >= 0, "backoff_limit must be 0 or more: --retries")
        _require(
            0 <= self.keep_cluster_s <= self.keep_job_s,
            "keep_cluster_s must be between 0 and keep_job_s: --keep-cluster",
        )
        _require(
            bool(_LABEL_VALUE.fullmatch(self.owner)), f"{self.owner!r} cannot be a label's value: give another --owner"
        )
        self._check_environment()

    def _check_environment(self) -> None:
        for name in self.env:
            _require(
                not name.upper().endswith(_SECRETIVE),
                f"{name} sounds like a secret, and --env is stored for all to read: --secret-env {name}=SECRET/KEY",
            )
        for name in (*self.env, *self.secret_env):
            _require(bool(_VARIABLE.fullmatch(name)), f"{name!r} is no variable's name: --env NAME=VALUE")
        for name, source in self.secret_env.items():
            _require(
                bool(_SECRET_KEY.fullmatch(source)), f"{source!r} is no key of a Secret: --secret-env {name}=SECRET/KEY"
            )
        both = self.env.keys() & self.secret_env.keys()
        _require(not both, f"{', '.join(sorted(both))}: given by --env and by --secret-env; drop one")

    @property
    def least_workers(self) -> int:
        """With how many workers it still goes on."""
        return self.min_workers or self.num_workers

    @property
    def num_gpus(self) -> int:
        """Of all workers."""
        return self.num_workers * self.worker.gpus

    @property
    def is_elastic(self) -> bool:
        """Whether the number of workers may change."""
        return self.least_workers < self.num_workers

    @property
    def head_stays_s(self) -> int:
        """For how long the head really stays: not where it would hold GPUs.

        Of a cluster that scales itself KubeRay deletes no workers, and its autoscaler keeps the least number.
        """
        return 0 if self.autoscale and self.is_elastic else self.keep_cluster_s


def train_config(name: str, assignments: Sequence[str], num_workers: int | None) -> TrainConfig:
    """The config that the cluster's `jobs/train.py` will make of these flags: a typo fails here.

    Raises ConfigError.
    """
    more = [] if num_workers is None else [f"resources.num_workers={num_workers}"]
    return override(recipe(name), [*assignments, *more])


def train_model(config: JobConfig) -> str:
    """The URI of the model that a training job starts from. Raises ConfigError."""
    given = zip(config.arguments, config.arguments[1:], strict=False)
    assignments = [value for flag, value in given if flag == "--set"]
    return train_config(config.recipe or "", assignments, config.num_workers).model.uri


def worker_of(resources: ResourcesConfig, *, gpus: int | None, memory_gib: float | None) -> PodResources:
    """A pod for one training worker; GPUs or memory may be given otherwise.

    Raises ConfigError for fewer GPUs than the recipe needs: its workers would never be placed.
    """
    if resources.use_gpu and gpus == 0:
        raise ConfigError(
            "this recipe's workers need a GPU: drop --gpus-per-worker 0, or --set resources.use_gpu=false"
        )
    return PodResources(
        cpus=resources.cpus_per_worker,
        memory_gib=resources.memory_gib_per_worker if memory_gib is None else memory_gib,
        gpus=int(resources.use_gpu) if gpus is None else gpus,
    )


def name_from(output_uri: str) -> str:
    """A job's name from its run's folder. Raises ConfigError where nothing of it could be a name."""
    if not output_uri:
        raise ConfigError("no output: give the run's folder, --output gs://bucket/folder")
    last = output_uri.rstrip("/").rsplit("/", 1)[-1].lower()
    name = re.sub(r"[^a-z0-9]+", "-", last).strip("-")[:MAX_NAME].rstrip("-")
    if name and name[0].isdigit():
        name = f"run-{name}"[:MAX_NAME].rstrip("-")
    if not name:
        raise ConfigError(f"{output_uri} ends with nothing that could name a job: give --name")
    return name


def this_owner() -> str:
    """Who is at this machine, as a label's value."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = ""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", user).strip("-._")[:63] or "unknown"


def installed_ray() -> str:
    """The version of Ray that is installed here, which the image's lock file has as well."""
    return version("ray")


DURATIONS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def parse_duration(text: str) -> int:
    """Seconds of `90`, `90s`, `30m`, `24h`, `7d`. Raises ConfigError."""
    match = re.fullmatch(r"(\d+)([smhd]?)", text.strip())
    if match is None:
        raise ConfigError(f"{text!r} is no duration: write 90s, 30m, 24h or 7d")
    return int(match.group(1)) * DURATIONS[match.group(2) or "s"]
