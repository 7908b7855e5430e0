"""A run's loss curve as a PNG, drawn without matplotlib's global state."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from momalisa.training.tracking.metrics import Metric

_INK, _FAINT, _BLUE, _ORANGE, _GREEN = "#222222", "#c9d3e0", "#2f5d8c", "#d9772b", "#3b8f5a"
_DPI = 120
_SMOOTHED_SHARE = 0.05
"""Of the points, the span of the smoothing."""

Rows = Sequence[Mapping[str, Any]]


def plot_loss(rows: Rows, path: Path, *, title: str = "") -> None:
    """Writes the training loss (raw and smoothed), the validation loss with its interval, and the learning rate.

    `rows` are those of `metrics.jsonl`; the step of the lowest validation loss is marked.
    """
    figure = Figure(figsize=(9, 5.6), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    losses, rates = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [4, 1]})
    _draw_losses(losses, rows)
    _draw_learning_rate(rates, rows)
    for axes in (losses, rates):
        _tidy(axes)
    if title:
        losses.set_title(title, loc="left", color=_INK, fontsize=11)
    rates.set_xlabel("step")
    figure.savefig(path, metadata={"Software": None})


def _draw_losses(axes: Axes, rows: Rows) -> None:
    steps, losses = _series(rows, Metric.LOSS)
    if steps:
        axes.plot(steps, losses, color=_FAINT, linewidth=0.9, label="training")
        axes.plot(steps, _smoothed(losses), color=_BLUE, linewidth=1.8, label="training, smoothed")
    val_steps, val_losses = _series(rows, Metric.VALIDATION_LOSS)
    if val_steps:
        _draw_validation(axes, rows, val_steps, val_losses)
    _frame(axes, losses, val_losses)
    axes.set_ylabel("loss")
    if steps or val_steps:
        axes.legend(frameon=False, fontsize=9, loc="upper right")


def _draw_validation(axes: Axes, rows: Rows, steps: list[int], losses: list[float]) -> None:
    low_steps, low = _series(rows, Metric.VALIDATION_LOSS_LOW)
    high_steps, high = _series(rows, Metric.VALIDATION_LOSS_HIGH)
    if low_steps == high_steps == steps:
        axes.fill_between(steps, low, high, color=_ORANGE, alpha=0.15, linewidth=0, label="validation, 95 % interval")
    axes.plot(steps, losses, color=_ORANGE, linewidth=1.8, marker="o", markersize=4, label="validation")
    best = min(range(len(losses)), key=losses.__getitem__)
    axes.axvline(steps[best], color=_ORANGE, linewidth=0.9, linestyle=":")
    right_of_middle = steps[best] > (min(steps) + max(steps)) / 2
    axes.annotate(
        f"best {losses[best]:.4f} at step {steps[best]}",
        (steps[best], 0.03),
        xycoords=("data", "axes fraction"),
        xytext=(-5 if right_of_middle else 5, 0),
        textcoords="offset points",
        ha="right" if right_of_middle else "left",
        color=_ORANGE,
        fontsize=9,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
    )


def _draw_learning_rate(axes: Axes, rows: Rows) -> None:
    steps, rates = _series(rows, Metric.LEARNING_RATE)
    if steps:
        axes.plot(steps, rates, color=_GREEN, linewidth=1.4)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("learning rate")
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0), useMathText=True)


def _frame(axes: Axes, losses: Sequence[float], validation: Sequence[float]) -> None:
    """Keeps single high losses from pressing the curves flat: they leave the picture at the top."""
    if not losses:
        return
    ordered = sorted(losses)
    high = ordered[min(len(ordered) - 1, int(0.98 * len(ordered)))]
    low = min([ordered[0], *validation])
    top = max([high, *validation])
    margin = 0.15 * (top - low) or 0.1 * abs(top) or 1.0
    axes.set_ylim(low - margin, top + margin)


def _tidy(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#888888")
    axes.tick_params(colors="#555555", labelsize=9)
    axes.grid(visible=True, axis="y", color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


def _series(rows: Rows, name: str) -> tuple[list[int], list[float]]:
    pairs = [(row["step"], row["metrics"].get(name)) for row in rows]
    finite = [(step, value) for step, value in pairs if value is not None and math.isfinite(value)]
    return [step for step, _ in finite], [value for _, value in finite]


def _smoothed(values: Sequence[float]) -> list[float]:
    """An exponential mean, corrected for its start."""
    decay = 1 - 1 / max(3.0, _SMOOTHED_SHARE * len(values))
    smoothed, mean, weight = [], 0.0, 0.0
    for value in values:
        mean = decay * mean + (1 - decay) * value
        weight = decay * weight + (1 - decay)
        smoothed.append(mean / weight)
    return smoothed
