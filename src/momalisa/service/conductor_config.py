"""How works are led."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class ConductorConfig:
    """How works are led."""

    look_out_s: float = 2.0
    """So often it looks for works that nobody leads."""
    renew_s: float = 3.0
    """So often leases are renewed."""
    patience_s: float = 10.0
    """A lease that stands still for so long is taken over."""
    finish_s: float = 15.0
    """So long the chunks that are being drawn may take when it is stopped; below Ray Serve's own patience of 20 s."""
    max_attempts: int = 5
    """Of a chunk whose renderer died."""
    max_losses: int = 3
    """Of a work: so often all attempts of a chunk, or whoever else had it, may be lost."""

    def __post_init__(self) -> None:
        if not 0 < 2 * self.renew_s < self.patience_s:
            raise ValueError(f"renew_s {self.renew_s}: take less than half of patience_s, {self.patience_s}")
        if self.look_out_s <= 0 or min(self.max_attempts, self.max_losses) < 1:
            raise ValueError("look_out_s must be above 0, max_attempts and max_losses at least 1")
