"""Which request a line of the log belongs to."""

import logging
import re
import uuid
from contextvars import ContextVar

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


class RequestIdFilter(logging.Filter):
    """Gives every record a `request_id`, for the formatter."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Lets everything through."""
        record.request_id = request_id.get()
        return True


def accept(given: str | None) -> str:
    """The id that a client or a proxy gave, where it is sane; else a new one."""
    return given if given is not None and is_sane(given.encode("latin-1")) else uuid.uuid4().hex


def is_sane(given: bytes) -> bool:
    """Whether it can stand in a log: short, in one line, of plain characters."""
    return _SANE.fullmatch(given) is not None
