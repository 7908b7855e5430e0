"""`metrics.jsonl`: one JSON object a line, `{"step": …, "time": …, "metrics": {name: value}}`.

JSON has no NaN and no infinity: such a value is null.
"""

import json
import math
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

METRICS_FILE = "metrics.jsonl"


class Metric(StrEnum):
    """The names that plots and trackers know; the part before the slash groups them."""

    LOSS = "train/loss"
    """The mean of the steps since the line before."""
    LEARNING_RATE = "train/learning_rate"
    GRADIENT_NORM = "train/gradient_norm"
    IMAGES_PER_S = "train/images_per_s"
    DATA_WAIT = "train/data_wait"
    """Share of the time that rank 0 waited for its data."""
    VALIDATION_LOSS = "validation/loss"
    VALIDATION_LOSS_LOW = "validation/loss_low"
    VALIDATION_LOSS_HIGH = "validation/loss_high"
    VALIDATION_CHANGE = "validation/relative_change"
    FORGETTING = "forgetting/relative_change"
    WEIGHT_CHANGE = "weights/relative_change"


class MetricsFile:
    """Appends lines, each whole and on disk before the next."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = None

    def append(self, step: int, time_s: float, metrics: Mapping[str, float]) -> None:
        """One line; `time_s` is Unix time."""
        line = {"step": step, "time": round(time_s, 3), "metrics": {k: _finite(v) for k, v in metrics.items()}}
        if self._file is None:
            _end_torn_line(self._path)
            self._file = self._path.open("a", encoding="utf-8")
        self._file.write(json.dumps(line, allow_nan=False) + "\n")
        self._file.flush()

    def truncate_after(self, step: int) -> None:
        """Drops the lines of later steps: a resumed run goes through them again."""
        self.close()
        kept = [row for row in read_metrics(self._path) if row["step"] <= step]
        partial = self._path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in kept), encoding="utf-8")
        partial.replace(self._path)

    def close(self) -> None:
        """Closes the file; the next append opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines in order; none where there is no file. A last line cut short by a kill is left out."""
    if not path.exists():
        return []
    rows = []
    lines = path.read_text(encoding="utf-8").split("\n")
    for number, line in enumerate(lines):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if number < len(lines) - 1:
                raise
    return rows


def _finite(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _end_torn_line(path: Path) -> None:
    """Cuts what a kill left of a line, so that the next does not continue it."""
    if not path.exists():
        return
    content = path.read_bytes()
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)
