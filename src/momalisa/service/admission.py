"""Who is let in: how many works may wait, and what an owner may have. What is refused is told when to come back."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

from momalisa.bounds import Bounds, check_bounds
from momalisa.errors import BusyError

_DAY_S = 86_400
_Positive = Annotated[int, Bounds(above=0)]
_PositiveFloat = Annotated[float, Bounds(above=0)]


@dataclass(frozen=True, kw_only=True, slots=True)
class AdmissionConfig:
    """How much is taken on."""

    max_works: _Positive = 100
    """That are not ended, of all owners."""
    max_running_per_owner: _Positive = 4
    max_a_day_per_owner: _Positive = 200
    seconds_per_work: _PositiveFloat = 10.0
    """What is believed of a work before one has been measured."""
    max_retry_after_s: _PositiveFloat = 30.0
    """Nobody is sent away for longer: by then more is known."""

    def __post_init__(self) -> None:
        check_bounds(self)


class Admission:
    """Counts promises, so that those who are told to come back do not all come at once, in vain."""

    def __init__(self, config: AdmissionConfig, clock: Callable[[], float] = time.time) -> None:
        self.config, self._clock = config, clock
        self._seconds_per_work: float | None = None
        self._last_end: float | None = None
        self._promised = 0.0

    def ended(self, *, was_busy: bool) -> None:
        """A work has ended. While others wait, the time since the one before is what a place costs."""
        now = self._clock()
        if was_busy and self._last_end is not None:
            seconds, before = now - self._last_end, self._seconds_per_work
            self._seconds_per_work = seconds if before is None else 0.8 * before + 0.2 * seconds
        self._last_end = now

    def check_capacity(self, num_works: int) -> None:
        """Raises BusyError when as many works are there as may be."""
        if num_works < self.config.max_works:
            return
        now = self._clock()
        self._promised = max(self._promised, now) + self.seconds_per_work
        self._promised = min(self._promised, now + self.config.max_retry_after_s)
        raise BusyError("as many walks are waiting as can be taken on: come back later", self._promised - now)

    def check_owner(self, num_running: int, num_today: int) -> None:
        """Raises BusyError when an owner has used what it may have."""
        if num_today >= self.config.max_a_day_per_owner:
            until_midnight = _DAY_S - self._clock() % _DAY_S
            raise BusyError(
                f"you have asked for {num_today} walks today: more can be had tomorrow (UTC)", until_midnight
            )
        if num_running >= self.config.max_running_per_owner:
            raise BusyError(f"{num_running} of your walks are not ended: wait for one of them", self.seconds_per_work)

    @property
    def seconds_per_work(self) -> float:
        """Between the ends of two works, while there is always another one."""
        return self.config.seconds_per_work if self._seconds_per_work is None else self._seconds_per_work

    def midnight(self) -> float:
        """When today began (UTC), seconds since 1970."""
        now = self._clock()
        return now - now % _DAY_S
