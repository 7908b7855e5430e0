"""Which frames a walk has, written down round by round: once committed, no other measurement can move one."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from momalisa.errors import AlreadyExistsError, ConfigError
from momalisa.storage import Store
from momalisa.walk.plan import Frame, Plan


class Journal(Protocol):
    """Where the rounds of a placement are committed."""

    def commit(self, number: int, frames: Sequence[Frame]) -> tuple[Frame, ...]:
        """The frames of a round: these, or those that were committed before."""


class MemoryJournal:
    """For a walk that is not gone on with elsewhere."""

    def commit(self, number: int, frames: Sequence[Frame]) -> tuple[Frame, ...]:  # noqa: ARG002
        """As `Journal`."""
        return tuple(frames)


class StoredJournal:
    """Rounds as objects that are created once: who comes second takes what is there."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def commit(self, number: int, frames: Sequence[Frame]) -> tuple[Frame, ...]:
        """As `Journal`."""
        key = f"round-{number:02d}.json"
        try:
            self._store.create(key, json.dumps(to_json(frames)).encode())
        except AlreadyExistsError:
            return from_json(json.loads(self._store.read_bytes(key)))
        return tuple(frames)


def to_json(frames: Sequence[Frame]) -> list[list[int]]:
    """Frames as [index] or [index, start step] or [index, start step, left parent, right parent]."""
    return [[frame.index, frame.start_step, *(frame.parents or ())] for frame in frames]


def from_json(rows: Any) -> tuple[Frame, ...]:
    """What `to_json` wrote. Raises ConfigError for anything else."""
    frames = []
    try:
        for index, start_step, *parents in rows:
            left_right = (int(parents[0]), int(parents[1])) if parents else None
            frames.append(Frame(int(index), left_right, int(start_step)))
    except (TypeError, ValueError, IndexError) as e:
        raise ConfigError(f"this is no placement of frames: {e}") from e
    return tuple(frames)


def rounds_of(plan: Plan, frames: Sequence[Frame]) -> Iterator[tuple[Frame, ...]]:
    """A whole placement in rounds, parents before their children.

    Raises ConfigError for a placement that is not one of this plan: indices off the grid, parents that are missing,
    begin later or do not lie on either side.
    """
    remaining = {frame.index: frame for frame in frames}
    last = plan.num_grid_steps - (plan.path.shape == "loop")
    if len(remaining) != len(frames) or not all(0 <= index <= last for index in remaining):
        raise ConfigError("the placement has frames that are doubled or off the grid: it belongs to another request")
    done: dict[int, Frame] = {}
    while remaining:
        ready = tuple(frame for frame in remaining.values() if all(p in done for p in frame.parents or ()))
        if not ready or not all(_follows(plan, frame, done) for frame in ready):
            raise ConfigError("the placement has frames whose parents do not fit: it belongs to another request")
        yield ready
        done.update({frame.index: frame for frame in ready})
        for frame in ready:
            del remaining[frame.index]


def _follows(plan: Plan, frame: Frame, done: dict[int, Frame]) -> bool:
    if frame.parents is None:
        return frame.start_step == 0 or frame in plan.stops()
    left, right = frame.parents
    between = left < frame.index < (right or plan.num_grid_steps)
    return between and frame.start_step in plan.start_steps and _begins_late_enough(frame, done)


def _begins_late_enough(frame: Frame, done: dict[int, Frame]) -> bool:
    assert frame.parents is not None
    return all(done[parent].start_step <= frame.start_step for parent in frame.parents)
