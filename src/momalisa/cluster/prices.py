"""What an hour costs: a table with a default, which a file can replace.

The defaults are list prices without discounts of Google Cloud's us-central1, rounded, as of autumn 2025: good enough to
tell a dollar from a thousand. `--prices FILE` (YAML or JSON, the fields below) gives your own.
"""

from dataclasses import dataclass, field
from pathlib import Path

import yaml

from momalisa.cluster.config import JobConfig, PodResources
from momalisa.config import from_dict
from momalisa.errors import ConfigError

_GPU_HOUR = {
    "nvidia-tesla-t4": 0.35,
    "nvidia-l4": 0.56,
    "nvidia-tesla-p100": 1.46,
    "nvidia-tesla-v100": 2.48,
    "nvidia-tesla-a100": 2.93,
    "nvidia-a100-80gb": 3.93,
    "nvidia-h100-80gb": 9.80,
    "nvidia-h200-141gb": 10.60,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Prices:
    """For one hour each."""

    currency: str = "USD"
    gpu: dict[str, float] = field(default_factory=lambda: dict(_GPU_HOUR))
    """By the GPU's type, as nodes are labelled with it."""
    cpu: float = 0.025
    memory_gib: float = 0.0034
    spot_share: float = 0.35
    """What spot nodes cost of the full price."""

    def __post_init__(self) -> None:
        if min([self.cpu, self.memory_gib, self.spot_share, *self.gpu.values()]) < 0:
            raise ValueError("a price cannot be below 0")

    @classmethod
    def load(cls, file: Path | None) -> "Prices":
        """The default, or a file's. Raises ConfigError."""
        if file is None:
            return cls()
        try:
            loaded = yaml.safe_load(file.read_text())
        except OSError as e:
            raise ConfigError(f"the price table {file} cannot be read ({e.strerror}): check --prices") from e
        except yaml.YAMLError as e:
            raise ConfigError(f"the price table {file} is neither YAML nor JSON: {e}") from e
        if not isinstance(loaded, dict):
            raise ConfigError(f"the price table {file} holds no settings such as `gpu: {{nvidia-l4: 0.56}}`")
        return from_dict(cls, loaded)

    def per_hour(self, config: JobConfig) -> float | None:
        """Of a whole job while all of it runs; None where the GPU's price is not known."""
        workers = self._pod(config.worker, config.gpu_type)
        if workers is None:
            return None
        head = self._pod(config.head, None) or 0.0
        return head + config.num_workers * workers * (self.spot_share if config.spot else 1.0)

    def _pod(self, resources: PodResources, gpu_type: str | None) -> float | None:
        machine = resources.cpus * self.cpu + resources.memory_gib * self.memory_gib
        if not resources.gpus:
            return machine
        price = self.gpu.get(gpu_type or "")
        return None if price is None else machine + resources.gpus * price
