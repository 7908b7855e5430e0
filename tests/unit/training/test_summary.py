import math
import subprocess
from pathlib import Path
from typing import Any

from momalisa.training.estimates import Difference, LossEstimate, WeightChange
from momalisa.training.summary import RunSummary, git_commit, versions
from momalisa.training.verdict import Evidence, judge


def make_summary(**changes: Any) -> RunSummary:
    verdict = judge(
        Evidence(
            validation_before=LossEstimate(0.2, 0.1, 0.3, 8),
            validation_after=LossEstimate(0.15, math.nan, math.nan, 1),
            validation=Difference(0.2, 0.15, -0.05, -0.06, -0.04, 8),
            weight_change=WeightChange(0.05, {"unet.mid_block": 0.05}),
            learning_rate=1e-4,
            steps=240,
        )
    )
    values: dict[str, Any] = {
        "name": "demo",
        "ended": "completed",
        "step": 240,
        "max_steps": 240,
        "verdict": verdict,
        "wall_seconds": 180.0,
        "train_seconds": 120.0,
        "images_per_s": 21.5,
        "num_workers": 2,
        "versions": versions(),
        "git_commit": None,
        "dataset_fingerprint": "d" * 64,
        "model_fingerprints": {"unet": "u" * 64},
        "paths": {"loss curve": "loss.png"},
    }
    return RunSummary(**{**values, **changes})


def test_a_summary_survives_json_even_with_numbers_that_json_lacks() -> None:
    summary = make_summary()
    read = RunSummary.model_validate_json(summary.model_dump_json(indent=1))
    assert read.verdict is not None
    assert math.isnan(read.verdict.evidence.validation_after.low)
    assert read.model_dump_json() == summary.model_dump_json()


def test_a_summary_tells_the_verdict_and_the_pace() -> None:
    text = make_summary().in_words()
    assert text.startswith("verdict: learned\nIt learned")
    assert "240 steps in 3.0 min, 21.5 images/s" in text
    assert "by patience" in make_summary(ended="patience").in_words()
    assert "verdict: none yet" in make_summary(ended="stopped", verdict=None).in_words()


def test_versions_name_what_decides_a_result() -> None:
    assert {"python", "momalisa", "torch", "diffusers"} <= versions().keys()


def test_the_commit_of_a_checkout_and_of_none(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.org")
        done = subprocess.run(
            ["git", "-C", str(tmp_path), *identity, *arguments], check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    assert git_commit(tmp_path) is None
    git("init", "--quiet")
    (tmp_path / "a.txt").write_text("a")
    git("add", "a.txt")
    git("commit", "--quiet", "--no-gpg-sign", "-m", "a")
    commit = git("rev-parse", "HEAD")
    assert git_commit(tmp_path) == commit
    (tmp_path / "a.txt").write_text("b")
    assert git_commit(tmp_path) == f"{commit}-dirty"
