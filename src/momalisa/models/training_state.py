"""The training of small helper models (the VAE, the style classifier): a loop that goes on where it was."""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

from momalisa.errors import ConfigError

_MOMENTS = ("exp_avg", "exp_avg_sq")
_REPORT_EVERY = 50

Report = Callable[[int, Mapping[str, float]], None]
"""Told the step and its figures, the seconds of a step and those that are left among them."""


def remember_settings(path: Path, settings: Any) -> None:
    """Writes a dataclass of settings as JSON. Raises ConfigError where other ones are already there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    now = dataclasses.asdict(settings)
    if path.is_file() and (before := json.loads(path.read_text())) != now:
        changed = ", ".join(key for key in now if now[key] != before.get(key))
        raise ConfigError(
            f"{path.parent} was begun with other settings of {changed}: give another folder or the old settings"
        )
    path.write_text(json.dumps(now, indent=2) + "\n")


@dataclass(slots=True)
class TrainingState:
    """Modules, AdamW's moments of one of them, the steps done and the seconds they took, in one safetensors file."""

    path: Path
    modules: Mapping[str, nn.Module]
    trained: nn.Module
    optimizer: torch.optim.Optimizer
    _began: float = field(default_factory=time.monotonic)
    _seconds_before: float = 0.0

    @property
    def seconds(self) -> float:
        """Spent so far, over all attempts."""
        return self._seconds_before + time.monotonic() - self._began

    def save(self, step: int) -> None:
        """Replaces the file whole, so that an interruption leaves the previous state."""
        tensors = {
            f"{prefix}.{name}": value
            for prefix, module in self.modules.items()
            for name, value in module.state_dict().items()
        }
        for name, parameter in self.trained.named_parameters():
            for moment in _MOMENTS:
                tensors[f"{moment}.{name}"] = self.optimizer.state[parameter][moment]
        partial = self.path.with_suffix(".partial")
        # safetensors takes no channels-last tensors.
        metadata = {"step": str(step), "seconds": f"{self.seconds:.0f}"}
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, partial, metadata=metadata)
        partial.replace(self.path)

    def load(self) -> int:
        """Sets everything from the file; gives the step to go on from, 0 where nothing is saved."""
        if not self.path.is_file():
            return 0
        with safe_open(self.path, framework="pt") as file:
            step, self._seconds_before = int(file.metadata()["step"]), float(file.metadata()["seconds"])
            for prefix, module in self.modules.items():
                module.load_state_dict({name: file.get_tensor(f"{prefix}.{name}") for name in module.state_dict()})
            for name, parameter in self.trained.named_parameters():
                self.optimizer.state[parameter] = {
                    "step": torch.tensor(float(step)),
                    **{moment: file.get_tensor(f"{moment}.{name}") for moment in _MOMENTS},
                }
        return step


def run_steps(
    state: TrainingState,
    take_step: Callable[[int], Mapping[str, float]],
    *,
    num_steps: int,
    num_warmup_steps: int,
    learning_rate: float,
    save_every: int,
    report: Report | None,
) -> None:
    """Takes the steps from where `state` is to the last, by `learning_rate_at`, and saves now and then."""
    first = state.load()
    started = time.monotonic()
    for step in range(first, num_steps):
        for group in state.optimizer.param_groups:
            group["lr"] = learning_rate_at(step, learning_rate, num_steps=num_steps, num_warmup_steps=num_warmup_steps)
        figures = take_step(step)
        if report and (step + 1) % _REPORT_EVERY == 0:
            seconds = (time.monotonic() - started) / (step + 1 - first)
            report(step + 1, {**figures, "seconds_per_step": seconds, "eta_s": seconds * (num_steps - step - 1)})
        if (step + 1) % save_every == 0 or step + 1 == num_steps:
            state.save(step + 1)


def learning_rate_at(step: int, peak: float, *, num_steps: int, num_warmup_steps: int) -> float:
    """Linear warm-up, then a cosine to zero."""
    return peak * min(1.0, (step + 1) / num_warmup_steps) * 0.5 * (1 + math.cos(math.pi * step / num_steps))


def hours_of(path: Path) -> float:
    """What the training whose state this is has taken so far."""
    with safe_open(path, framework="pt") as file:
        return float(file.metadata()["seconds"]) / 3600
