"""Which frames a walk has, written down round by round: once committed, no other measurement can move one."""

import json
from collections.abc import Sequence
from typing import Any, Protocol

from momalisa.errors import AlreadyExistsError, ConfigError
from momalisa.storage import Store
from momalisa.walk.plan import MAX_REPAIRS, Frame, Plan


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
    except (TypeError, ValueError, IndexError, OverflowError) as e:
        raise ConfigError(f"this is no placement of frames: {e}") from e
    return tuple(frames)


def check_rounds(plan: Plan, rounds: Sequence[Sequence[Frame]]) -> None:
    """Raises ConfigError for rounds that are not of this plan.

    Such as lack a stop or frames, have indices off the grid, or parents that are missing, begin later or do not lie on
    either side.
    """
    frames = [frame for round_ in rounds for frame in round_]
    last = plan.num_grid_steps - (plan.path.shape == "loop")
    if len({frame.index for frame in frames}) != len(frames) or not all(0 <= frame.index <= last for frame in frames):
        raise ConfigError("the placement has frames that are doubled or off the grid: it belongs to another request")
    most = plan.num_frames + max(1, round(plan.num_frames * MAX_REPAIRS))
    if not set(plan.stops()) <= set(frames) or not plan.num_frames <= len(frames) <= most:
        raise ConfigError("the placement has too few or too many frames: it belongs to another request")
    done: dict[int, Frame] = {}
    for round_ in rounds:
        if not all(_follows(plan, frame, done) for frame in round_):
            raise ConfigError("the placement has frames whose parents do not fit: it belongs to another request")
        done.update({frame.index: frame for frame in round_})


def _follows(plan: Plan, frame: Frame, done: dict[int, Frame]) -> bool:
    if frame.parents is None:
        return frame.start_step == 0 or frame in plan.stops()
    left, right = frame.parents
    if not all(parent in done and done[parent].start_step <= frame.start_step for parent in frame.parents):
        return False
    return left < frame.index < (right or plan.num_grid_steps) and frame.start_step in plan.start_steps
