"""Which request is which, for clients, proxies and the log."""

import re
import uuid

_SANE = re.compile(rb"[A-Za-z0-9._-]{1,64}")


def accept(given: str | None) -> str:
    """The id that a client or a proxy gave, where it is sane; else a new one."""
    return given if given is not None and is_sane(given.encode("latin-1")) else uuid.uuid4().hex


def is_sane(given: bytes) -> bool:
    """Whether it can stand in a log: short, in one line, of plain characters."""
    return _SANE.fullmatch(given) is not None
