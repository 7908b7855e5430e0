"""`summary.json`: how a run ended, for machines and, by `in_words`, for people."""

import textwrap
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

SUMMARY_FILE = "summary.json"


class RunSummary(BaseModel):
    """What a run came to."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: int = 1
    name: str
    ended: Literal["completed", "patience", "stopped"]
    step: int
    outcome: str | None = None
    """The verdict's one word; None for a run that was stopped."""
    sentence: str = ""
    advice: str = ""
    figures: dict[str, Any] = {}
    """Losses before and after, relative changes with their intervals, style score, weight change."""
    warnings: tuple[str, ...] = ()
    seconds: float
    images_per_s: float | None = None
    dataset_fingerprint: str
    model_fingerprints: dict[str, str]
    versions: dict[str, str]
    git_commit: str | None
    paths: dict[str, str] = {}
    """What is where in the run's folder."""

    def in_words(self) -> str:
        """The verdict as a paragraph for a terminal."""
        return textwrap.fill(f"{self.sentence} {self.advice}", 96)
