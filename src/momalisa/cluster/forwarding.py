"""A port of this machine whose connections are carried somewhere else, each through a stream of its own."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

from momalisa.errors import ClusterError

_ACCEPT_S = 0.5


@contextlib.contextmanager
def forwarding(open_stream: Callable[[], Any]) -> Iterator[int]:
    """The port, for as long as the block lasts; `open_stream` gives a socket for each connection."""
    ended = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(_ACCEPT_S)
        thread = threading.Thread(target=_accept, args=(listener, open_stream, ended), name="forward", daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def _accept(listener: socket.socket, open_stream: Callable[[], Any], ended: threading.Event) -> None:
    while not ended.is_set():
        try:
            near, _ = listener.accept()
        except TimeoutError:
            continue
        near.settimeout(None)
        threading.Thread(target=_carry, args=(near, open_stream), name="forwarded", daemon=True).start()


def _carry(near: socket.socket, open_stream: Callable[[], Any]) -> None:
    with near:
        try:
            far = open_stream()
        except ClusterError:
            return  # whoever connected sees the connection close, as with a port where nobody listens
        back = threading.Thread(target=_pump, args=(far, near), name="forwarded-back", daemon=True)
        back.start()
        _pump(near, far)
        back.join()


def _pump(source: Any, target: Any) -> None:
    """Carries bytes until one side ends; then both ends are closed, so that the other direction ends too."""
    with contextlib.suppress(OSError):
        while data := source.recv(2**16):
            target.sendall(data)
    for each in (source, target):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
