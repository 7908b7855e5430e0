"""A TCP port of this machine that leads to another one, and may be pointed elsewhere: as a Kubernetes Service does it,
what is open stays where it is, and what is opened from then on goes to the new target."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Forwarder:
    """url: what clients use. target: host and port that new connections go to."""

    def __init__(self, listener: socket.socket, target: tuple[str, int]) -> None:
        self._listener, self.target = listener, target
        self.url = f"http://localhost:{listener.getsockname()[1]}"

    def serve(self) -> None:
        """Until the listener is closed."""
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client:
            with suppress(OSError), socket.create_connection(self.target) as server:
                back = threading.Thread(target=_pump, args=(server, client), daemon=True)
                back.start()
                _pump(client, server)
                back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def forwarder(url: str) -> Iterator[Forwarder]:
    """One that leads to this address at first."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        made = Forwarder(listener, target_of(url))
        threading.Thread(target=made.serve, daemon=True).start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)


def target_of(url: str) -> tuple[str, int]:
    """Host and port of an address."""
    host, port = url.removeprefix("http://").split(":")
    return host, int(port)
