"""One driver at a time writes to a run's folder: `control/owner.json`, taken by compare-and-swap and renewed."""

import contextlib
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator

from pydantic import BaseModel, ConfigDict, ValidationError

from momalisa.errors import (
    AlreadyExistsError,
    ConfigError,
    ConflictError,
    ObjectNotFoundError,
    StorageError,
    UnsupportedOperationError,
)
from momalisa.storage import Store

OWNER_KEY = "control/owner.json"
_RENEW_EVERY_S = 20.0
_STALE_AFTER_S = 120.0
PATIENCE_S = _STALE_AFTER_S + _RENEW_EVERY_S
"""Long enough for a driver that is certainly gone."""
_LOOK_EVERY_S = 5.0


class Owner(BaseModel):
    """Who writes to the folder, and since when nothing was heard of it."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    token: str
    node: str
    pid: int
    renewed: float
    """Unix time."""

    @property
    def is_gone(self) -> bool:
        """Certainly: its process has ended here, or it is silent for too long."""
        if self.node == platform.node() and not _is_alive(self.pid):
            return True
        return time.time() - self.renewed > _STALE_AFTER_S


@contextlib.contextmanager
def owning(output: Store, *, patience_s: float = 0.0, say: Callable[[str], None] | None = None) -> Iterator[None]:
    """Owns a run's folder for a block. Raises ConfigError naming the other driver where one is at work there.

    With patience it waits for the other to end, or to be silent for so long that it must be gone: a driver whose node
    was lost leaves its mark behind.
    """
    token = secrets.token_hex(8)
    _take_patiently(output, token, patience_s, say)
    ended = threading.Event()
    thread = threading.Thread(target=_renew, args=(output, token, ended), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(StorageError):
            output.delete(OWNER_KEY)


def _take_patiently(output: Store, token: str, patience_s: float, say: Callable[[str], None] | None) -> None:
    until = time.time() + patience_s
    while True:
        try:
            return _take(output, token)
        except ConfigError as e:
            if time.time() >= until:
                raise
            if say is not None:
                say(f"waiting for up to {patience_s:.0f} s until it is gone: {e}")
                say = None
        time.sleep(min(_LOOK_EVERY_S, max(0.0, until - time.time())))


def _take(output: Store, token: str) -> None:
    try:
        output.create(OWNER_KEY, _content(token))
        return
    except AlreadyExistsError:
        pass
    except UnsupportedOperationError:
        output.write_bytes(OWNER_KEY, _content(token))  # Of such a store nobody can be the sole owner.
        return
    try:
        data, version = output.read_versioned(OWNER_KEY)
        owner = _parse(data)
        if owner is not None and not owner.is_gone:
            raise ConfigError(
                f"another run writes to {output.uri} (process {owner.pid} on {owner.node}, heard of "
                f"{time.time() - owner.renewed:.0f} s ago): stop that one, or choose another --output"
            )
        output.compare_and_swap(OWNER_KEY, _content(token), version)
    except (ConflictError, ObjectNotFoundError) as e:
        raise ConfigError(f"another run has just begun in {output.uri}: choose another --output") from e


def _renew(output: Store, token: str, ended: threading.Event) -> None:
    while not ended.wait(_RENEW_EVERY_S):
        with contextlib.suppress(StorageError):
            output.write_bytes(OWNER_KEY, _content(token))


def _content(token: str) -> bytes:
    owner = Owner(token=token, node=platform.node(), pid=os.getpid(), renewed=time.time())
    return owner.model_dump_json().encode()


def _parse(data: bytes) -> Owner | None:
    try:
        return Owner.model_validate_json(data)
    except ValidationError:
        return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
