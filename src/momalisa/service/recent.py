"""Things that are dear to make and to keep: those that were used last, and no more."""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """At most so many; the one that was not used for longest goes before a new one is made. Not for threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        """Those that are there."""
        return len(self._values)

    def get(self, key: K, make: Callable[[], V]) -> V:
        """The value of a key, made where it is not there."""
        if key not in self._values:
            while len(self._values) >= self._most:
                self._values.popitem(last=False)
            self._values[key] = make()
        self._values.move_to_end(key)
        return self._values[key]

    def drop(self, key: K) -> None:
        """Forgets one; one that is not there is fine."""
        self._values.pop(key, None)

    def clear(self) -> None:
        """Forgets all."""
        self._values.clear()
