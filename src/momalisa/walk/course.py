"""A walk's course: which frames it has, round by round, and which chunks of them come next. No model in it."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from momalisa.config import to_dict
from momalisa.walk.addresses import Rendition, frame_addresses
from momalisa.walk.frames import Frames, Pixels, Sketch, distance
from momalisa.walk.placement import Journal, check_rounds
from momalisa.walk.plan import Frame, Plan
from momalisa.walk.request import WalkRequest
from momalisa.walk.rounds import first_round, next_round, repair_round


@dataclass(frozen=True, kw_only=True, slots=True)
class Walk:
    """The frames of a walk, in order, and how they came about."""

    request: WalkRequest
    rounds: tuple[tuple[Frame, ...], ...]
    """What was rendered, round by round."""
    placement: tuple[Frame, ...]
    """The same in the path's order."""
    addresses: tuple[str, ...]
    """Of the placement's frames."""
    distances: tuple[float, ...]
    """From each of the placement's frames to its next, of a loop from the last to the first too."""
    num_rendered: int
    """Frames that were not there already."""
    num_evaluations: int
    """Latents that went through the UNet for them."""

    @property
    def shown(self) -> list[str]:
        """Addresses in the order in which they are shown: a boomerang shows most frames twice."""
        return [self.addresses[i] for i in self.request.shown(len(self.addresses))]

    @property
    def shown_distances(self) -> list[float]:
        """From each shown frame to the next; of what repeats, from the last to the first too."""
        order = self.request.shown(len(self.placement))
        if self.request.shape == "loop":
            return list(self.distances)
        pairs = pairwise(order if self.request.shape == "open" else [*order, order[0]])
        return [sum(self.distances[min(pair) : max(pair)]) for pair in pairs]

    @property
    def durations_s(self) -> list[float]:
        """How long each shown frame stands."""
        plan = self.request.plan
        stop_of = {stop.index: waypoint for stop, waypoint in zip(plan.stops(), plan.path.stops, strict=False)}
        usual = 1 / self.request.frames_per_second
        durations = []
        for i in self.request.shown(len(self.placement)):
            waypoint = stop_of.get(self.placement[i].index)
            held = 0.0 if waypoint is None else self.request.waypoints[waypoint].hold_s
            durations.append(usual + held)
        return durations

    @property
    def num_repairs(self) -> int:
        """Frames that were added beyond those asked for, where a step stood out."""
        return len(self.placement) - self.request.plan.num_frames

    def pictures(self, frames: Frames) -> Iterator[Pixels]:
        """The shown frames, one after the other."""
        return (frames.pixels(address) for address in self.shown)


@dataclass(frozen=True, kw_only=True, slots=True)
class Chunk:
    """Frames that take the same steps and are drawn together, with what their drawing needs to know of the walk."""

    frames: tuple[Frame, ...]
    placed: tuple[Frame, ...]
    """All frames of the walk so far, in the path's order, these among them."""
    addresses: Mapping[int, str]
    """Of the placed frames."""


class Course:
    """The rounds of one walk: each is decided by the pictures of those before, or by an earlier walk's `rounds`.

    `first_alone`: the first frame is a chunk of its own, so that somebody who waits sees it soon.
    Raises ConfigError for rounds of another request.
    """

    def __init__(
        self,
        request: WalkRequest,
        rendition: Rendition,
        *,
        chunk_size: int,
        rounds: Sequence[Sequence[Frame]] | None = None,
        first_alone: bool = False,
    ) -> None:
        self._request, self._plan, self._rendition = request, request.plan, rendition
        self._chunk_size, self._first_alone = chunk_size, first_alone
        if rounds is not None:
            check_rounds(self._plan, rounds)
        self._given = None if rounds is None else [tuple(round_) for round_ in rounds]
        self._rounds: list[tuple[Frame, ...]] = []
        self._placed: tuple[Frame, ...] = ()
        self._addresses: dict[int, str] = {}
        self._sketches: dict[int, Sketch] = {}
        self._has_ended = False

    def advance(self, journal: Journal) -> list[Chunk]:
        """Commits the next round and gives its chunks; none once all frames are placed.

        The pictures of all rounds before must have been `seen`.
        """
        round_ = () if self._has_ended else self._next_round(journal)
        if not round_:
            self._has_ended = True
            return []
        self._rounds.append(round_)
        self._placed = tuple(sorted([*self._placed, *round_], key=lambda frame: frame.index))
        self._addresses = frame_addresses(self._request, self._rendition, self._plan, self._placed)
        parts = list(chunks(self._plan, round_, self._chunk_size))
        if self._first_alone and len(self._rounds) == 1 and len(parts[0]) > 1:
            parts[:1] = [parts[0][:1], parts[0][1:]]
        return [Chunk(frames=tuple(frames), placed=self._placed, addresses=self._addresses) for frames in parts]

    def seen(self, sketches: Mapping[int, Sketch]) -> None:
        """Takes the sketches of frames that are drawn, by their grid points."""
        self._sketches.update(sketches)

    def walk(self, *, num_rendered: int, num_evaluations: int) -> Walk:
        """The walk, once all rounds are drawn."""
        return Walk(
            request=self._request,
            rounds=tuple(self._rounds),
            placement=self._placed,
            addresses=tuple(self._addresses[frame.index] for frame in self._placed),
            distances=tuple(self._distances()),
            num_rendered=num_rendered,
            num_evaluations=num_evaluations,
        )

    def _next_round(self, journal: Journal) -> tuple[Frame, ...]:
        number = len(self._rounds)
        if self._given is not None:
            return self._given[number] if number < len(self._given) else ()
        if number == 0:
            return journal.commit(number, first_round(self._plan))
        if planned := next_round(self._plan, self._placed, self._distances()):
            return journal.commit(number, planned)
        if self._plan.mode != "hybrid" or len(self._placed) > self._plan.num_frames:
            return ()
        return journal.commit(number, repair_round(self._plan, self._placed, self._distances()))

    def _distances(self) -> list[float]:
        sketches = [self._sketches[frame.index] for frame in self._placed]
        if self._plan.path.shape == "loop":
            sketches.append(sketches[0])
        return [distance(a, b) for a, b in pairwise(sketches)]


def chunks(plan: Plan, frames: Sequence[Frame], size: int) -> Iterator[list[Frame]]:
    """Frames that take the same steps, in order, so many together; those from noise first."""
    in_order = sorted(frames, key=lambda frame: (frame.start_step, not plan.takes_every_step(frame), frame.index))
    for _, group in groupby(in_order, key=plan.steps):
        alike = list(group)
        for start in range(0, len(alike), size):
            yield alike[start : start + size]


def walk_id(request: WalkRequest, rendition: Rendition) -> str:
    """One for each request and what it is rendered with: a placement belongs to both."""
    content = {"request": to_dict(request), "rendition": to_dict(rendition)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]
