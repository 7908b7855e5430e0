"""How works are led."""

from dataclasses import dataclass
from typing import Annotated

from momalisa.bounds import Bounds, check_bounds

_Seconds = Annotated[float, Bounds(above=0)]
_Times = Annotated[int, Bounds(least=1)]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConductorConfig:
    """How works are led."""

    look_out_s: _Seconds = 2.0
    """So often it looks for works that nobody leads."""
    renew_s: _Seconds = 3.0
    """So often leases are renewed."""
    patience_s: _Seconds = 10.0
    """A lease that stands still for so long is taken over."""
    finish_s: Annotated[float, Bounds(least=0)] = 15.0
    """So long the chunks that are being drawn may take when it is stopped; below Ray Serve's own patience of 20 s."""
    max_attempts: _Times = 5
    """Of a chunk whose renderer died."""
    max_losses: _Times = 3
    """Of a work: so often all attempts of a chunk, or whoever else had it, may be lost."""

    def __post_init__(self) -> None:
        check_bounds(self)
        if not 2 * self.renew_s < self.patience_s:
            raise ValueError(f"renew_s {self.renew_s}: take less than half of patience_s, {self.patience_s}")
