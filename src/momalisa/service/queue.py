"""Whose turn it is: a queue of chunks that is fair between owners, and between the works of one owner.

Start-time fair queueing (Goyal, Vin & Cheng 1996) on two levels: everybody has a clock that goes on by the cost of what
it was given, and whoever's clock is behind comes next. Who comes anew begins at the present, so that waiting earns no
credit and a hundred works of one owner do not hold up another's first.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Work(Generic[T]):
    owner: str
    arrival: int
    clock: float
    waiting: deque[tuple[T, float]] = field(default_factory=deque)


class FairQueue(Generic[T]):
    """Items of works of owners, each with a cost. Not for threads."""

    def __init__(self) -> None:
        self._works: dict[str, _Work[T]] = {}
        self._owner_clocks: dict[str, float] = {}
        self._arrivals = count()
        self._now = 0.0

    def __len__(self) -> int:
        """Items that wait."""
        return sum(len(work.waiting) for work in self._works.values())

    def open(self, work: str, owner: str) -> None:
        """A work that will have items; it is known until it is closed. Again is fine."""
        if work in self._works:
            return
        alike = [other.clock for other in self._works.values() if other.owner == owner]
        if not alike:
            self._owner_clocks[owner] = max(self._now, self._owner_clocks.get(owner, 0.0))
        self._works[work] = _Work(owner, next(self._arrivals), min(alike, default=0.0))

    def close(self, work: str) -> list[T]:
        """Forgets a work; gives what still waited of it. An unknown one is fine."""
        gone = self._works.pop(work, None)
        if gone is None:
            return []
        if all(other.owner != gone.owner for other in self._works.values()) and (
            self._owner_clocks[gone.owner] <= self._now
        ):
            del self._owner_clocks[gone.owner]
        return [item for item, _ in gone.waiting]

    def put(self, work: str, items: Iterable[tuple[T, float]]) -> None:
        """Items and their costs, to be given in this order. Raises KeyError for a work that is not open."""
        self._works[work].waiting.extend(items)

    def put_back(self, work: str, item: T, cost: float) -> None:
        """An item that was given and not done: it comes first of its work, and is not counted twice."""
        found = self._works[work]
        found.waiting.appendleft((item, cost))
        found.clock -= cost
        self._owner_clocks[found.owner] -= cost

    def take(self) -> tuple[str, T, float] | None:
        """The next work, item and cost; None where there is none."""
        ready = [(name, work) for name, work in self._works.items() if work.waiting]
        if not ready:
            return None
        name, work = min(ready, key=lambda each: self._turn(each[1]))
        item, cost = work.waiting.popleft()
        self._now = max(self._now, self._owner_clocks[work.owner])
        self._owner_clocks[work.owner] += cost
        work.clock += cost
        return name, item, cost

    def ahead_of(self, work: str) -> int:
        """Works that wait and whose turn comes before this one's."""
        turn = self._turn(self._works[work])
        return sum(
            1 for name, other in self._works.items() if name != work and other.waiting and self._turn(other) < turn
        )

    def _turn(self, work: _Work[T]) -> tuple[float, float, int]:
        return self._owner_clocks[work.owner], work.clock, work.arrival
