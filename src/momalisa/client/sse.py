"""Server-sent events out of bytes, as https://html.spec.whatwg.org/multipage/server-sent-events.html parses them."""

import codecs
import re
from dataclasses import dataclass

_LINE = re.compile(r"([^\r\n]*+)(?:\r\n|\n|\r(?!\Z))")  # a CR at the very end may be half of a CR LF


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event as it was sent."""

    name: str
    data: str
    id: str | None
    """None: it has none, so it cannot be resumed from."""


class EventParser:
    """Of one connection: bytes in pieces of any size, events out."""

    def __init__(self) -> None:
        self.retry_s: float | None = None
        """How long to wait before connecting anew, where the service said so."""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._text = ""
        self._name = ""
        self._id: str | None = None
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """The events that these bytes complete."""
        self._text += self._decoder.decode(chunk)
        events = []
        end = 0
        while (line := _LINE.match(self._text, end)) is not None:
            end = line.end()
            if line[1]:
                self._take(line[1])
            elif (event := self._dispatched()) is not None:
                events.append(event)
        self._text = self._text[end:]
        return events

    def _take(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000

    def _dispatched(self) -> ServerEvent | None:
        event = ServerEvent(self._name or "message", "\n".join(self._data), self._id) if self._data else None
        self._name, self._id, self._data = "", None, []
        return event
