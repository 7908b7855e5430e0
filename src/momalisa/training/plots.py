"""The loss curves as a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_TRAINING, _VALIDATION, _FAINT = "#7a8fa6", "#c0392b", "#d9dee4"


def plot_loss(rows: Sequence[dict[str, Any]], path: Path, title: str) -> None:
    """From the rows of metrics.jsonl: training loss, validation loss with its interval, learning rate."""
    figure = Figure(figsize=(9, 5.4), layout="constrained")
    FigureCanvasAgg(figure)
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    steps, values = _column(rows, "train/loss")
    if len(steps):
        losses.plot(steps, values, color=_FAINT, linewidth=1)
        losses.plot(steps, _smoothed(values), color=_TRAINING, linewidth=2, label="training (smoothed)")
    steps, values = _column(rows, "validation/loss")
    if len(steps):
        _, low = _column(rows, "validation/loss_low")
        _, high = _column(rows, "validation/loss_high")
        losses.fill_between(steps, low, high, color=_VALIDATION, alpha=0.12, linewidth=0)
        losses.plot(steps, values, color=_VALIDATION, marker="o", markersize=4, label="validation (95 % interval)")
        best = int(np.argmin(values))
        losses.annotate(
            f"best: step {int(steps[best])}", (steps[best], values[best]), xytext=(0, -16), textcoords="offset points",
            ha="center", color=_VALIDATION, fontsize=9,
        )  # fmt: skip
    losses.set_title(title, loc="left", fontsize=12)
    losses.set_ylabel("loss")
    losses.legend(frameon=False)
    steps, values = _column(rows, "train/learning_rate")
    rates.plot(steps, values, color=_TRAINING, linewidth=1.5)
    rates.set_ylabel("learning\nrate")
    rates.set_xlabel("optimizer step")
    for axes in (losses, rates):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#eef0f2")
    figure.savefig(path, dpi=110)


def _column(rows: Sequence[dict[str, Any]], name: str) -> tuple[Any, Any]:
    pairs = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
    return np.array([step for step, _ in pairs]), np.array([value for _, value in pairs])


def _smoothed(values: Any, weight: float = 0.9) -> Any:
    """Exponential, corrected for its start."""
    result, average = [], 0.0
    for count, value in enumerate(values, start=1):
        average = weight * average + (1 - weight) * value
        result.append(average / (1 - weight**count))
    return np.array(result)
