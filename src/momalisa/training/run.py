"""A run: what it is made from, where its things are, and who it reports to.

OUTPUT/
  run.json                 config, data, model and dataset identity, every attempt with versions and git commit
  checkpoints/             see `checkpoint.py`
  base/                    what the base model drew before the first step
  grids/step-00000250.png  the validation prompts
  metrics.jsonl, loss.png, before_after.png, summary.json, samples and trackers' files
  export/                  a diffusers folder, or LoRA weights
  control/stop             its presence asks the run to checkpoint and end
  control/owner.json       the driver that writes here
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from momalisa.config import from_dict, to_dict
from momalisa.storage import Store, open_store
from momalisa.training.config import TrainConfig
from momalisa.training.progress import ProgressUpdate

RUN_FILE = "run.json"
STOP_KEY = "control/stop"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSpec:
    """Everything a worker needs to know; it crosses to it as plain JSON."""

    name: str
    config: TrainConfig
    data_uri: str
    output_uri: str

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {
            "name": self.name,
            "config": to_dict(self.config),
            "data_uri": self.data_uri,
            "output_uri": self.output_uri,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "RunSpec":
        """What `to_json` gave."""
        return cls(
            name=data["name"],
            config=from_dict(TrainConfig, data["config"]),
            data_uri=data["data_uri"],
            output_uri=data["output_uri"],
        )

    @property
    def output(self) -> Store:
        """The run's folder."""
        return open_store(self.output_uri)


class Attempt(BaseModel):
    """One start of a run: its beginning, or a resume."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    started_at: datetime
    from_step: int
    changes: dict[str, tuple[Any, Any]]
    """Dotted settings that are others than at the attempt before, each with its old and new value."""
    versions: dict[str, str]
    git_commit: str | None


class RunRecord(BaseModel):
    """`run.json`: written when a run begins, and compared when it resumes. Its config is the newest attempt's."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    name: str
    config: dict[str, Any]
    data_uri: str
    dataset_fingerprint: str
    model_fingerprints: dict[str, str]
    attempts: tuple[Attempt, ...]
    """From the first to the newest."""

    @property
    def newest(self) -> Attempt:
        """The attempt that runs, or ran last."""
        return self.attempts[-1]


class Host(Protocol):
    """Who runs the ranks: Ray Train, or a test. Every method is called by every rank equally often."""

    def report(self, metrics: dict[str, Any]) -> None:
        """The step of a checkpoint that was begun, and its folder's name."""

    def preemption_imminent(self) -> bool:
        """Whether a node of this run is about to go; the same on every rank."""

    def show(self, update: ProgressUpdate) -> None:
        """Progress, for a person; may be dropped. Called by rank 0 alone."""
