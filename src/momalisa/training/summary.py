"""`summary.json`: how a run ended, in one typed record."""

import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from momalisa import __version__
from momalisa.training.verdict import Verdict

SUMMARY_FILE = "summary.json"

_PACKAGES = ("torch", "diffusers", "transformers", "peft", "deepspeed", "ray", "numpy")


class RunSummary(BaseModel):
    """What `summary.json` holds. Paths are keys in the run's folder, by label."""

    # JSON has no NaN: it becomes the string "NaN", and is read back as the number.
    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="strings")

    schema_version: Literal[1] = 1
    name: str
    ended: Literal["completed", "patience", "stopped"]
    step: int
    """Optimizer steps done."""
    max_steps: int
    verdict: Verdict | None
    """None where the run was stopped before its end."""
    wall_seconds: float
    """Of the last attempt, with all that is around its steps."""
    train_seconds: float
    """Of the steps alone, over all attempts."""
    images_per_s: float
    """Training pictures over the time of the training steps alone."""
    num_workers: int
    versions: dict[str, str]
    git_commit: str | None
    dataset_fingerprint: str
    model_fingerprints: dict[str, str]
    """SHA-256 of the base model's weights, by part."""
    warnings: tuple[str, ...] = ()
    """What was warned of while it ran."""
    export_digest: str | None = None
    """Of the exported model that this verdict is of, by its manifest; None where there is none."""
    paths: dict[str, str] = {}
    """For example `loss curve`: `loss.png`."""

    def in_words(self) -> str:
        """A paragraph for a terminal."""
        why = {"completed": "", "patience": " (stopped early by patience)", "stopped": " (stopped on request)"}
        pace = f"{self.step} steps in {self.wall_seconds / 60:.1f} min, {self.images_per_s:.1f} images/s"
        head = f"verdict: {self.verdict.outcome}" if self.verdict else "verdict: none yet"
        body = f"\n{self.verdict.in_words()}" if self.verdict else ""
        return f"{head}{body}\n{pace}{why[self.ended]}"


def versions() -> dict[str, str]:
    """Versions of Python, momalisa and the libraries that decide a result; absent ones are left out."""
    found = {"python": platform.python_version(), "momalisa": __version__}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def git_commit(folder: Path | None = None) -> str | None:
    """The commit of this code's checkout, with `-dirty` where tracked files differ; None outside of one."""
    where = folder or Path(__file__).parent
    commit = _git(where, "rev-parse", "HEAD")
    if not commit:
        return None
    return f"{commit}-dirty" if _git(where, "status", "--porcelain", "--untracked-files=no") else commit


def _git(folder: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
