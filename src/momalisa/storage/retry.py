"""Retries with exponential back-off and full jitter.

One policy rules every request: a backend turns what may pass (429, 5xx, a reset, a truncated body, a stall) into
`TransientError`; everything else leaves at once.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from momalisa.errors import UnavailableError

T = TypeVar("T")

# The system's randomness: jitter must never move a generator that an experiment has seeded.
_JITTER = random.SystemRandom()


class TransientError(Exception):
    """One attempt failed in a way that may pass. Never leaves this package: it becomes UnavailableError.

    after_s: the wait that the server asked for (Retry-After), 0 where it did not.
    """

    def __init__(self, reason: str, *, after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.after_s = after_s


@dataclass(frozen=True, kw_only=True, slots=True)
class RetryPolicy:
    """How long to insist.

    max_attempts: attempts per request (not per file: a large file is many requests).
    base_delay_s, max_delay_s: before retry n the wait is uniform in [0, min(max, base · 2^(n-1))] ("full jitter"), or
        what the server asked for, if that is more, but at most max_delay_s.
    deadline_s: no attempt starts later than this after the first one.
    attempt_timeout_s: the longest that one attempt may take.
    stall_timeout_s: the longest that an attempt may go without connecting or without receiving a byte.
    sleep, clock: replaced by tests, so that they need not wait.
    """

    max_attempts: int = 10
    base_delay_s: float = 0.25
    max_delay_s: float = 20.0
    deadline_s: float = 300.0
    attempt_timeout_s: float = 120.0
    stall_timeout_s: float = 20.0
    sleep: Callable[[float], None] = field(default=time.sleep, repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ValueError(f"max_attempts is {self.max_attempts}: at least 1 (which means no retry)")
        for name in ("base_delay_s", "max_delay_s"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}: at least 0")
        for name in ("deadline_s", "attempt_timeout_s", "stall_timeout_s"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: more than 0 seconds")

    def call(self, attempt: Callable[[], T], doing: str) -> T:
        """Run `attempt` until it returns or raises anything but TransientError.

        doing: what it does, for the message, as in "reading gs://bucket/key".
        Raises UnavailableError when the attempts or the time are used up.
        """
        started = self.clock()
        for number in range(1, self.max_attempts + 1):
            try:
                return attempt()
            except TransientError as e:
                delay_s = self._delay_s(number, e.after_s)
                elapsed_s = self.clock() - started
                if number == self.max_attempts or elapsed_s + delay_s > self.deadline_s:
                    raise UnavailableError(
                        f"{doing}: still failing after {number} attempts in {elapsed_s:.0f} s ({e}). "
                        "The storage or the way to it is down or overloaded: try again later"
                    ) from e
            self.sleep(delay_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _delay_s(self, number: int, after_s: float) -> float:
        # 2.0**1024 would overflow; no one waits for 2^60 times anything.
        ceiling_s = min(self.max_delay_s, self.base_delay_s * 2.0 ** min(number - 1, 60))
        return max(_JITTER.uniform(0, ceiling_s), min(after_s, self.max_delay_s))
