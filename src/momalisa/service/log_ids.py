"""What a line of the log is of: which request, walk and work. The ids travel with calls from replica to replica."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, ContextVar
from types import MappingProxyType

from opentelemetry import trace
from opentelemetry.context import attach, get_current

_IDS: ContextVar[Mapping[str, str]] = ContextVar("momalisa_log_ids", default=MappingProxyType({}))


def ids() -> dict[str, str]:
    """Those of this task: `request_id`, `walk_id`, `work_id`, as far as they are known."""
    return dict(_IDS.get())


def note(**more: str) -> None:
    """From here on lines of this task are of these, too; so is the span of a trace that is recorded."""
    _IDS.set({**_IDS.get(), **more})
    _mark(more)


@contextmanager
def noted(**more: str) -> Iterator[None]:
    """Within the block lines are of these, too; so is the span of a trace that is recorded."""
    token = _IDS.set({**_IDS.get(), **more})
    _mark(more)
    try:
        yield
    finally:
        _IDS.reset(token)


def apart() -> Context:
    """A context for a task that outlives the request which begins it: it keeps the ids and the trace, and nothing else.

    What belongs to a request, Ray Serve calls off when the request's client leaves.
    """
    fresh, kept, trace_context = Context(), _IDS.get(), get_current()
    fresh.run(_IDS.set, kept)
    fresh.run(attach, trace_context)
    return fresh


class IdsFilter(logging.Filter):
    """For handlers: gives every record the ids that are known, for the formatter."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets everything through."""
        for name, value in _IDS.get().items():
            setattr(record, name, value)
        return True


def _mark(more: Mapping[str, str]) -> None:
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes({f"momalisa.{name}": value for name, value in more.items()})
