"""What the desk asks of a conductor, wherever that is."""

from collections.abc import Sequence
from typing import Protocol

from momalisa.service.port import Derived, ImageRequest, ModelInfo, Owner, Quota
from momalisa.service.progress import Snapshot
from momalisa.service.records import WalkRecord
from momalisa.walk.request import WalkRequest


class Leader(Protocol):
    """The conductor, in this process or another one."""

    async def admit(self, request: WalkRequest, owner: Owner, *, idempotency_key: str | None = None) -> WalkRecord:
        """As `Walks.submit`."""

    async def withdraw(self, record: WalkRecord) -> None:
        """A walk is wanted no more."""

    async def news(self, work: str, known: Snapshot | None, timeout_s: float) -> Snapshot | None:
        """How far a work is, once it differs from what is known, or once the time is over."""

    async def quota(self, owner: Owner) -> Quota:
        """What is used."""

    async def draw(self, request: ImageRequest, owner: Owner) -> bytes:
        """One picture as PNG."""

    async def derive(self, work: str, file: Derived) -> None:
        """Writes another animation or picture of a work that is done into the bucket."""

    async def take_over(self) -> None:
        """This release has visitors: it serves, and the one before it no more."""

    async def note_config(self, part: str, *, is_refused: bool, teller: str, is_new: bool) -> None:
        """Whether a replica of a part of the service refused its newest configuration; to be said every few seconds."""

    async def has_successor(self) -> bool:
        """Whether a newer release serves."""

    async def models(self) -> Sequence[ModelInfo]:
        """Those that are served, the default one first."""

    async def is_ready(self) -> bool:
        """Whether a model has drawn a picture since the service started."""

    async def metrics(self) -> str:
        """In Prometheus's text format."""
