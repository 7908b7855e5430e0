"""Randomness of a sample: a function of (seed, epoch, sample index, purpose) and of nothing else.

So no generator's state has to be kept, and neither the batch that a sample is in nor the number of
workers changes what it sees. Each purpose (`noise`, `timestep`, …) has an independent stream.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import numpy as np

FloatArray = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True, slots=True)
class SampleRandom:
    """The draws of one sample in one epoch."""

    seed: int
    epoch: int
    index: int
    purpose_prefix: str = ""

    def normal(self, purpose: str, shape: tuple[int, ...]) -> FloatArray:
        """Standard normal float32 values, by Philox (Salmon et al. 2011) keyed with the sample's hash."""
        return generator(*self._key(purpose)).standard_normal(shape, dtype=np.float32)

    def uniform(self, purpose: str) -> float:
        """A value in [0, 1)."""
        return (self._bits(purpose) >> 11) * 2.0**-53

    def integer(self, purpose: str, stop: int) -> int:
        """A value in [0, stop)."""
        return (self._bits(purpose) * stop) >> 64

    def _bits(self, purpose: str) -> int:
        return int.from_bytes(_digest(*self._key(purpose))[:8], "little")

    def _key(self, purpose: str) -> tuple[int | str, ...]:
        return self.seed, self.epoch, self.index, f"{self.purpose_prefix}:{purpose}"


def generator(*key: int | str) -> np.random.Generator:
    """A generator that is a function of its key alone."""
    words = np.frombuffer(_digest(*key), dtype="<u8").astype(np.uint64)
    return np.random.Generator(np.random.Philox(key=words))


def _digest(*key: int | str) -> bytes:
    return hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
