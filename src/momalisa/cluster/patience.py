"""An API server that is away for a while: said once, borne for so long, and said when it is back."""

from collections.abc import Callable

from momalisa.errors import ClusterUnreachableError
from momalisa.training.progress import format_duration


class Patience:
    """Of whoever looks again and again."""

    def __init__(
        self, patience_s: float, *, clock: Callable[[], float], say: Callable[[str], None], what: str = "job"
    ) -> None:
        self._patience_s, self._clock, self._say, self._what = patience_s, clock, say, what
        self._away_since: float | None = None

    def away(self, error: ClusterUnreachableError) -> None:
        """It did not answer. Raises the error where that has been so for too long."""
        now = self._clock()
        if self._away_since is None:
            self._away_since = now
            self._say(f"the API server does not answer; the {self._what} does not mind, and it is asked again")
        if now - self._away_since > self._patience_s:
            raise error

    def back(self) -> None:
        """It answered."""
        if self._away_since is not None:
            self._say(f"the API server answers again, after {format_duration(self._clock() - self._away_since)}")
            self._away_since = None
