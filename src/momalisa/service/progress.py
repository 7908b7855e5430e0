"""How far works are: what is known of those that are led here, and what is told of it."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from momalisa.service.crew import ChunkResult
from momalisa.service.port import State
from momalisa.service.records import Manifest, WorkOrder
from momalisa.walk.course import Chunk, Walk
from momalisa.walk.request import WalkRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """How far a work is; `announced` are address and place of its frames so far, in an order that never changes."""

    state: State
    announced: tuple[tuple[str, float], ...]
    num_frames: int
    queue_position: int
    eta_s: float | None
    unet_evaluations: int


@dataclass(slots=True)
class Live:
    """A work that is led here."""

    work: str
    order: WorkOrder
    began_at: float
    state: State = "queued"
    announced: list[tuple[str, float]] = field(default_factory=list)
    addresses: frozenset[str] = frozenset()
    """Of all frames that are placed."""
    unet_evaluations: int = 0
    num_rendered: int = 0
    renderer_seconds: float = 0.0
    is_given_up: bool = False
    """Nobody wants it any more."""
    task: asyncio.Task[None] | None = None
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def request(self) -> WalkRequest:
        """What is rendered."""
        return self.order.request

    def change(self, state: State | None = None) -> None:
        """Wakes all who wait for news."""
        self.state = state or self.state
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait(self, known: Snapshot | None, timeout_s: float) -> None:
        """Until there is news for somebody who knows as much, or the time is over."""
        if known is None or known.state != self.state or len(known.announced) != len(self.announced):
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)

    def begin(self) -> None:
        """The first of it is with a renderer."""
        if self.state == "queued":
            self.change("running")

    def announce(self, chunk: Chunk, result: ChunkResult) -> None:
        """Frames that may be shown."""
        end = self.request.plan.num_grid_steps
        self.announced += [(chunk.addresses[frame.index], frame.index / end) for frame in chunk.frames]
        self.unet_evaluations += result.unet_evaluations
        self.num_rendered += result.num_rendered
        self.renderer_seconds += result.seconds
        self.change()

    def snapshot(self, *, num_ahead: int, eta_s: float | None) -> Snapshot:
        """As it is now, with so many works before it."""
        return Snapshot(
            state=self.state,
            announced=tuple(self.announced),
            num_frames=self.request.plan.num_frames,
            queue_position=num_ahead if self.state == "queued" else 0,
            eta_s=eta_s,
            unet_evaluations=self.unet_evaluations,
        )

    def manifest(self, walk: Walk, report: dict[str, Any], ended_at: float) -> Manifest:
        """What became of it."""
        return Manifest(
            addresses=tuple(walk.shown),
            announced=tuple(self.announced),
            durations_s=tuple(walk.durations_s),
            distances=tuple(walk.shown_distances),
            num_rendered=self.num_rendered,
            unet_evaluations=self.unet_evaluations,
            renderer_seconds=self.renderer_seconds,
            ended_at=ended_at,
            report=report,
        )


class Pace:
    """How long works take, by those that were drawn."""

    def __init__(self) -> None:
        self._seconds_per_evaluation: float | None = None

    def saw(self, result: ChunkResult) -> None:
        """A chunk that was drawn."""
        if result.unet_evaluations:
            now = result.seconds / result.unet_evaluations
            before = self._seconds_per_evaluation
            self._seconds_per_evaluation = now if before is None else 0.8 * before + 0.2 * now

    def eta_s(self, live: Live, num_slots: int) -> float | None:
        """Seconds until a work is drawn, were it alone; None before anything has been."""
        if self._seconds_per_evaluation is None:
            return None
        plan = live.request.plan
        left = max(0, plan.num_frames - len(live.announced)) / plan.num_frames
        return left * plan.bound.unet_evaluations * self._seconds_per_evaluation / max(1, num_slots)


def in_use(works: Sequence[Live]) -> set[str]:
    """Addresses of all frames that these works refer to."""
    return {address for live in works for address in live.addresses}
