"""Walks from request to frames, drawn in this process."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from momalisa.walk.course import Chunk, Course, Walk, chunks
from momalisa.walk.frames import Drawn, Frames
from momalisa.walk.placement import Journal, MemoryJournal
from momalisa.walk.plan import Frame
from momalisa.walk.render import Renderer
from momalisa.walk.request import WalkRequest


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
    course = Course(request, renderer.rendition, chunk_size=renderer.chunk_size, rounds=rounds)
    journal, num_rendered = journal or MemoryJournal(), 0
    while waiting := course.advance(journal):
        for chunk in waiting:
            drawn, num_new = draw_chunk(renderer, chunk, frames)
            num_rendered += num_new
            course.seen({frame.index: one.sketch for frame, one in zip(chunk.frames, drawn, strict=True)})
            if on_chunk is not None:
                on_chunk(drawn)
    return course.walk(num_rendered=num_rendered, num_evaluations=renderer.num_evaluations)


def draw_chunk(renderer: Renderer, chunk: Chunk, frames: Frames) -> tuple[list[Drawn], int]:
    """A chunk's frames, and how many frames had to be rendered for them: what is there is not rendered again."""
    rendered = render_chunk(renderer, chunk, frames)
    frames.keep(rendered.new)
    return rendered.drawn, rendered.num_rendered


@dataclass(frozen=True, kw_only=True, slots=True)
class Rendered:
    """A chunk's frames, of which the new ones are still to be kept."""

    drawn: list[Drawn]
    new: list[Drawn]
    num_parents: int
    """Frames of earlier chunks that had to be rendered, too; they are kept."""

    @property
    def num_rendered(self) -> int:
        """Frames that were not there already."""
        return len(self.new) + self.num_parents


def render_chunk(renderer: Renderer, chunk: Chunk, frames: Frames) -> Rendered:
    """A chunk's frames: those that are there are loaded, the others rendered, and not kept yet.

    Parents that somebody else has removed since, or kept without the states that are needed here, are rendered too.
    """
    missing = _missing(renderer, chunk, frames)
    # By address: a loop of two waypoints has every frame twice.
    absent = {chunk.addresses[f.index]: f for f in chunk.frames if chunk.addresses[f.index] in missing}
    new: list[Drawn] = []
    num_parents = 0
    if absent:
        num_parents = _restore_parents(renderer, chunk, list(absent.values()), frames)
        new = renderer.render(list(absent.values()), chunk.addresses, frames)
    by_address = {one.address: one for one in new}
    addresses = [chunk.addresses[frame.index] for frame in chunk.frames]
    drawn = [by_address.get(address) or frames.load(address) for address in addresses]
    return Rendered(drawn=drawn, new=new, num_parents=num_parents)


def _missing(renderer: Renderer, chunk: Chunk, frames: Frames) -> set[str]:
    steps = renderer.start_steps
    return frames.missing({chunk.addresses[f.index]: [s for s in steps if s >= f.start_step] for f in chunk.frames})


def _restore_parents(renderer: Renderer, chunk: Chunk, absent: Sequence[Frame], frames: Frames) -> int:
    by_index = {frame.index: frame for frame in chunk.placed}
    parents = [by_index[index] for index in {i for frame in absent for i in frame.parents or ()}]
    if not parents:
        return 0
    missing = _missing(renderer, replace(chunk, frames=tuple(parents)), frames)
    again = [parent for parent in parents if chunk.addresses[parent.index] in missing]
    return sum(
        draw_chunk(renderer, replace(chunk, frames=tuple(part)), frames)[1]
        for part in chunks(renderer.plan, again, renderer.chunk_size)
    )
