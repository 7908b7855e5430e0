import math
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from momalisa.training.plots import plot_loss


def _rows(num_steps: int = 200) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    rows: list[dict[str, Any]] = []
    for step in range(1, num_steps + 1):
        loss = 0.2 + 0.3 * math.exp(-step / 40) + random.normal(0, 0.03)
        rows.append({"step": step, "metrics": {"train/loss": loss, "train/learning_rate": 1e-4 * min(1, step / 20)}})
        if step % 40 == 0:
            value = 0.25 + 0.2 * math.exp(-step / 40) + (0.04 if step > 150 else 0)
            names = ("validation/loss", "validation/loss_low", "validation/loss_high")
            values = (value, value - 0.02, value + 0.02)
            rows.append({"step": step, "metrics": dict(zip(names, values, strict=True))})
    return rows


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    plot_loss(_rows(), tmp_path / "loss.png", title="demo")
    with Image.open(tmp_path / "loss.png") as picture:
        colours = {tuple(c) for c in np.asarray(picture.convert("RGB")).reshape(-1, 3)}
    for name, colour in {"smoothed": (47, 93, 140), "validation": (217, 119, 43), "rate": (59, 143, 90)}.items():
        assert colour in colours, name


def test_the_same_rows_give_the_same_file(tmp_path: Path) -> None:
    plot_loss(_rows(), tmp_path / "a.png")
    plot_loss(_rows(), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"step": 1, "metrics": {"train/loss": 0.5}}],
        [{"step": 1, "metrics": {"train/loss": None}}, {"step": 2, "metrics": {"validation/loss": 0.5}}],
    ],
)
def test_runs_with_next_to_nothing_have_a_plot_too(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    plot_loss(rows, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 1000


def test_no_figure_stays_in_matplotlibs_global_state(tmp_path: Path) -> None:
    plot_loss(_rows(), tmp_path / "loss.png")
    assert plt.get_fignums() == []
