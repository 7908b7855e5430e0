"""An exponential moving average of the fp32 master weights, kept on whatever partition this rank owns.

So it costs a rank one copy of its own partition and works under every ZeRO stage, where a moving
average of the model's parameters would see them partitioned away.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


class PartitionedEma:
    """Averages of `masters`, tensor by tensor, in fp32 on the same devices."""

    def __init__(self, masters: Sequence[Tensor], decay: float) -> None:
        self.decay = decay
        self._masters = list(masters)
        self._averages = [master.detach().clone() for master in self._masters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """After optimizer step `step` (from 1): `avg += (1 - d) (w - avg)`, `d = min(decay, (1 + n) / (10 + n))`.

        The ramp keeps the random start out of the average (as in Abadi et al.'s ExponentialMovingAverage).
        """
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self._averages, [m.detach() for m in self._masters], 1 - decay)

    @contextmanager
    def in_place_of_masters(self) -> Iterator[None]:
        """Within it the master partitions hold the averages, so that they can be gathered or set by name."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for master, average in zip(self._masters, self._averages, strict=True):
            held = master.detach().clone()
            master.copy_(average)
            average.copy_(held)
