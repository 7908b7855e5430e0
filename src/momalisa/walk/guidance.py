"""Which steps are guided, and at which of them the UNet is also asked without the prompt."""

from collections.abc import Sequence
from dataclasses import dataclass

from momalisa.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Guidance:
    """Classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598) from one step up to another, by their numbers.

    What guidance adds changes slowly from step to step, so it is found at every `stride`-th guided step and given
    again at those between (as in Castillo et al. 2023, arXiv:2312.12487).
    """

    begin: int
    end: int
    stride: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.begin <= self.end or self.stride < 1:
            raise ConfigError(f"guidance from step {self.begin} to {self.end}, every {self.stride}: that cannot be")

    def guides(self, step: int) -> bool:
        """Whether a step is guided."""
        return self.begin <= step < self.end

    def found_at(self, steps: Sequence[int]) -> frozenset[int]:
        """Those of the steps that a batch takes, one after the other, at which guidance is found anew: the first guided
        one always. Each has two evaluations of the UNet."""
        guided = [step for step in steps if self.guides(step)]
        return frozenset(step for step in guided if step == guided[0] or (step - self.begin) % self.stride == 0)
