"""The shape of an answer to "what is it doing, and what is to be done?", of jobs and of releases alike."""

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from momalisa.cluster.troubles import Cause


class ExitCode:
    """Of commands that follow or wait. Make turns whatever is not 0 into a 2 of its own."""

    SUCCEEDED = 0
    FAILED = 1
    WRONG_INPUT = 2
    STOPPED = 3
    DEADLINE = 4
    UNKNOWN = 5
    DETACHED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What something is doing, or why it failed and what to do."""

    state: StrEnum
    headline: str
    fix: str | None = None
    details: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    """Which objects said so, and what."""
    cause: Cause | None = None
    exit_code: int | None = None
    """None while it is not over."""
    unknown: tuple[str, ...] = ()
    """What could not be looked at."""

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen."""
        return self.exit_code is not None

    def as_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**asdict(self), "is_over": self.is_over}
