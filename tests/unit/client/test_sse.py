"""Server-sent events, whatever the pieces they come in."""

import pytest

from momalisa.client.sse import EventParser, ServerEvent

SENT = (
    "\ufeff: a comment\nretry: 2000\n\n"
    'event: frame\r\nid: 1\r\ndata: {"a":\r\ndata:  1}\r\n\r\n'
    "data\ndata: é\u2028ü\n\n"
    "event: nothing\n\n"
    "retry: soon\nid: 2\0\nunknown: field\rdata:x\r\r"
    "data: never ended\n"
).encode()
EVENTS = [
    ServerEvent("frame", '{"a":\n 1}', "1"),
    ServerEvent("message", "\né\u2028ü", None),
    ServerEvent("message", "x", None),
]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_pieces_of_any_size(size: int) -> None:
    parser = EventParser()
    events = [event for i in range(0, len(SENT), size) for event in parser.feed(SENT[i : i + size])]
    assert events == EVENTS
    assert parser.retry_s == 2


def test_a_long_line_in_many_pieces_is_read_in_time() -> None:
    parser = EventParser()
    for _ in range(1000):
        assert parser.feed(b"x" * 100) == []
    assert parser.feed(b"\ndata: y\n\n") == [ServerEvent("message", "y", None)]
