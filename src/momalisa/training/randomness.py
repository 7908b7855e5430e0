"""What is random about a sample: a function of (seed, epoch, sample index, purpose), and of nothing else.

So no generator's state has to be kept, and a sample's noise does not depend on the batch or the worker
that it fell to. Each purpose has a Philox stream (Salmon et al. 2011) of its own.
"""

import hashlib
from functools import lru_cache
from typing import Any

import numpy as np


class SampleRandom:
    """The randomness of one sample in one epoch."""

    __slots__ = ("_position", "_prefix")

    def __init__(self, seed: int, *, epoch: int, index: int, purpose_prefix: str = "") -> None:
        self._position = (seed & (2**64 - 1), epoch, index)
        self._prefix = purpose_prefix

    def normal(self, purpose: str, shape: tuple[int, ...]) -> "np.ndarray[Any, np.dtype[np.float32]]":
        """Standard normal float32 values."""
        return self._generator(purpose).standard_normal(shape, dtype=np.float32)

    def integer(self, purpose: str, stop: int) -> int:
        """An integer of [0, stop)."""
        return int(self._generator(purpose).integers(stop))

    def uniform(self, purpose: str) -> float:
        """A number of [0, 1)."""
        return float(self._generator(purpose).random())

    def _generator(self, purpose: str) -> np.random.Generator:
        seed, epoch, index = self._position
        key = _key(self._prefix + purpose, seed)
        # Four counter words: the lowest counts within the stream, the upper ones say whose stream it is.
        return np.random.Generator(np.random.Philox(key=key, counter=[0, 0, index, epoch]))


@lru_cache(maxsize=256)
def _key(purpose: str, seed: int) -> int:
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:16], "little")
