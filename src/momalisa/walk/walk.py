"""A walk from request to frames: round by round, each decided by the pictures of those before."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from momalisa.config import to_dict
from momalisa.walk.addresses import Rendition, frame_addresses
from momalisa.walk.frames import Drawn, Frames, Pixels
from momalisa.walk.placement import Journal, MemoryJournal, check_rounds
from momalisa.walk.plan import Frame, Plan
from momalisa.walk.render import Renderer, chunks
from momalisa.walk.request import WalkRequest
from momalisa.walk.rounds import first_round, next_round, repair_round
from momalisa.walk.sketches import Sketch, distance


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


def render_walk(
    renderer: Renderer,
    request: WalkRequest,
    frames: Frames,
    *,
    journal: Journal | None = None,
    rounds: Sequence[Sequence[Frame]] | None = None,
    on_chunk: Callable[[list[Drawn]], None] | None = None,
) -> Walk:
    """Renders what is not in `frames` yet, and keeps it there.

    `rounds`, of an earlier walk of the same request, decide the frames in place of what is seen. `on_chunk` is given
    each chunk, those that were there already too: the whole walk coarsely, then finer. Raises ConfigError for rounds of
    another request.
    """
    run = _Run(renderer, request, frames, on_chunk)
    if rounds is not None:
        check_rounds(request.plan, rounds)
        for round_ in rounds:
            run.render(round_)
    else:
        run.render_all(journal or MemoryJournal())
    return run.result()


def walk_id(request: WalkRequest, rendition: Rendition) -> str:
    """One for each request and what it is rendered with: a placement belongs to both."""
    content = {"request": to_dict(request), "rendition": to_dict(rendition)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


class _Run:
    """What is rendered so far."""

    def __init__(
        self,
        renderer: Renderer,
        request: WalkRequest,
        frames: Frames,
        on_chunk: Callable[[list[Drawn]], None] | None,
    ) -> None:
        self._renderer = renderer
        self._request = request
        self._plan: Plan = request.plan
        self._frames = frames
        self._on_chunk = on_chunk
        self._rounds: list[tuple[Frame, ...]] = []
        self._placed: list[Frame] = []
        self._addresses: dict[int, str] = {}
        self._sketches: dict[int, Sketch] = {}
        self._num_rendered = 0

    def render_all(self, journal: Journal) -> None:
        """Round by round, until all frames are there; then once more where a step stands out."""
        number, planned = 0, first_round(self._plan)
        while planned:
            self.render(journal.commit(number, planned))
            number += 1
            planned = next_round(self._plan, self._placed, self._distances())
        if self._plan.mode == "hybrid":
            self.render(journal.commit(number, repair_round(self._plan, self._placed, self._distances())))

    def render(self, round_: Sequence[Frame]) -> None:
        """One round, whose parents are there."""
        if not round_:
            return
        self._rounds.append(tuple(round_))
        self._placed = sorted([*self._placed, *round_], key=lambda frame: frame.index)
        self._addresses = frame_addresses(self._request, self._renderer.rendition, self._plan, self._placed)
        for chunk in chunks(round_, self._renderer.chunk_size):
            self._render_chunk(chunk)

    def result(self) -> Walk:
        """The walk, once all rounds are rendered."""
        return Walk(
            request=self._request,
            rounds=tuple(self._rounds),
            placement=tuple(self._placed),
            addresses=tuple(self._addresses[frame.index] for frame in self._placed),
            distances=tuple(self._distances()),
            num_rendered=self._num_rendered,
            num_evaluations=self._renderer.num_evaluations,
        )

    def _render_chunk(self, chunk: Sequence[Frame]) -> None:
        missing = self._missing(chunk)
        drawn = {}
        # By address: a loop of two waypoints has every frame twice.
        if absent := {self._addresses[f.index]: f for f in chunk if self._addresses[f.index] in missing}:
            self._restore_parents(list(absent.values()))
            rendered = self._renderer.render(list(absent.values()), self._addresses, self._frames)
            self._frames.keep(rendered)
            self._num_rendered += len(rendered)
            drawn = {one.address: one for one in rendered}
        addresses = [self._addresses[frame.index] for frame in chunk]
        done = [drawn.get(address) or self._frames.load(address) for address in addresses]
        self._sketches.update({frame.index: one.sketch for frame, one in zip(chunk, done, strict=True)})
        if self._on_chunk is not None:
            self._on_chunk(done)

    def _missing(self, chunk: Sequence[Frame]) -> set[str]:
        steps = self._plan.start_steps
        return self._frames.missing({self._addresses[f.index]: [s for s in steps if s >= f.start_step] for f in chunk})

    def _restore_parents(self, chunk: Sequence[Frame]) -> None:
        """Somebody else may have removed a parent since, or kept it without the states that are needed here."""
        by_index = {frame.index: frame for frame in self._placed}
        parents = [by_index[index] for index in {i for frame in chunk for i in frame.parents or ()}]
        missing = self._missing(parents) if parents else set()
        for again in chunks([p for p in parents if self._addresses[p.index] in missing], self._renderer.chunk_size):
            self._render_chunk(again)

    def _distances(self) -> list[float]:
        sketches = [self._sketches[frame.index] for frame in self._placed]
        if self._plan.path.shape == "loop":
            sketches.append(sketches[0])
        return [distance(a, b) for a, b in pairwise(sketches)]
