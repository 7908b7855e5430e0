"""A Redis outside of the cluster, on this machine: Debian's, unpacked."""

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.cluster.waiting import wait_for
from tests.support.debian import unpack

_BRIDGE = "10.123.0.1"
_PACKAGES = ("redis-tools", "libatomic1", "libjemalloc2", "liblua5.1-0", "liblzf1")
_SERVER = "usr/bin/redis-check-rdb"
"""The server by another name: Debian has it in the package of the tools."""


@dataclass(frozen=True, slots=True)
class Redis:
    """address: for pods."""

    address: str
    password: str

    def num_keys(self) -> int:
        """Of all tables of all clusters."""
        return int(self._ask("DBSIZE"))

    def _ask(self, command: str) -> str:
        host, _, port = self.address.partition(":")
        with socket.create_connection((host, int(port)), timeout=5) as connection, connection.makefile("rw") as line:
            line.write(f"AUTH {self.password}\r\n{command}\r\n")
            line.flush()
            assert line.readline().startswith("+OK")
            return line.readline().strip().lstrip(":")


@contextmanager
def redis(folder: Path) -> Iterator[Redis]:
    """One that answers on the pods' bridge, for as long as the block."""
    folder.mkdir()
    root = unpack(_PACKAGES, folder)
    server = folder / "redis-server"  # by its name it knows what to be
    server.symlink_to(root / _SERVER)
    libraries = ":".join(str(path.parent) for path in root.glob("usr/lib/*/liblua5.1.so.0"))
    with socket.socket() as probe:
        probe.bind((_BRIDGE, 0))
        port = probe.getsockname()[1]
    found = Redis(f"{_BRIDGE}:{port}", secrets.token_hex(8))
    command = [str(server), "--bind", _BRIDGE, "--port", str(port), "--requirepass", found.password]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--save", "", "--dir", str(folder)],
            stdout=log,
            stderr=log,
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
        )
    try:
        wait_for("Redis answers", lambda: _answers(found), deadline_s=30)
        yield found
    finally:
        process.terminate()
        process.wait(30)


def _answers(redis: Redis) -> bool:
    try:
        return redis.num_keys() >= 0
    except OSError:
        return False
