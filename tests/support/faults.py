"""What a fault proxy does to the requests that pass it. Nothing here knows HTTP libraries."""

import random
import threading
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

# refused before the bucket sees the request
REFUSALS = ("503", "429")
# done by the bucket, but the answer is lost, cut short, or never ends
LOSSES = ("lost", "reset", "truncated", "stall")
KINDS = REFUSALS + LOSSES


@dataclass(kw_only=True)
class FaultSettings:
    """share: of all requests that fail. kinds: which ways, equally often. seed: of the choice.

    latency_s: before every answer. stall_s: how long a stalled answer hangs. deny: every request gets a 403.
    max_writes_per_s: to one object; more get a 429, as Cloud Storage does it at one a second.
    """

    share: float = 0.0
    kinds: tuple[str, ...] = KINDS
    seed: int = 0
    latency_s: float = 0.0
    stall_s: float = 30.0
    deny: bool = False
    max_writes_per_s: float | None = None

    def __post_init__(self) -> None:
        self.kinds = tuple(self.kinds)
        if unknown := set(self.kinds) - set(KINDS):
            raise ValueError(f"unknown kinds of fault {sorted(unknown)}: known are {KINDS}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass
class FaultPlan:
    """Decides over each request and counts what it decided."""

    settings: FaultSettings = field(default_factory=FaultSettings)
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._random = random.Random(self.settings.seed)

    def reset(self, settings: FaultSettings) -> None:
        with self._lock:
            self.settings = settings
            self.counts = Counter()
            self._random = random.Random(settings.seed)

    def next(self) -> str | None:
        """The fault of the next request, "403", or None."""
        with self._lock:
            self.counts["requests"] += 1
            fault = "403" if self.settings.deny else self._draw()
            if fault:
                self.counts[fault] += 1
            return fault

    def refuse(self, kind: str) -> None:
        """Counts a refusal that was not drawn."""
        with self._lock:
            self.counts[kind] += 1

    def _draw(self) -> str | None:
        if self._random.random() >= self.settings.share:
            return None
        return self._random.choice(self.settings.kinds)
