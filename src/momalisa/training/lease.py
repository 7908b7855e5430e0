"""One driver at a time writes to a run's folder: `control/owner.json`.

It is taken, renewed and given back by compare-and-swap, each time at the version that its owner knows. So a driver that
was silent for so long that another took over learns it at its next renewal, and neither then nor in the end does it
harm the other's.
"""

import contextlib
import os
import platform
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import NoReturn

from pydantic import BaseModel, ConfigDict, ValidationError

from momalisa.errors import (
    AlreadyExistsError,
    ConfigError,
    ConflictError,
    ObjectNotFoundError,
    StorageError,
    TrainingError,
    UnsupportedOperationError,
)
from momalisa.storage import Store
from momalisa.storage.backend import Version

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
    """Unix time; 0 where it was given back."""

    @property
    def is_gone(self) -> bool:
        """Certainly: its process has ended here, or it is silent for too long."""
        if self.node == platform.node() and not _is_alive(self.pid):
            return True
        return time.time() - self.renewed > _STALE_AFTER_S


@contextlib.contextmanager
def owning(
    output: Store, *, patience_s: float = 0.0, say: Callable[[str], None] | None = None
) -> Iterator[Future[NoReturn]]:
    """Owns a run's folder for a block. Raises ConfigError naming the other driver where one is at work there.

    With patience it waits for the other to end, or to be silent for so long that it must be gone: a driver whose node
    was lost leaves its mark behind. What it gives fails with TrainingError once another driver has taken the folder
    over: then the block must end.
    """
    lease = _Lease(output)
    _take_patiently(lease, patience_s, say)
    ended = threading.Event()
    lost: Future[NoReturn] = Future()
    thread = threading.Thread(target=_renew, args=(lease, ended, lost), name="lease", daemon=True)
    thread.start()
    try:
        yield lost
    finally:
        ended.set()
        thread.join()
        with contextlib.suppress(StorageError):
            lease.give_back()


def _take_patiently(lease: "_Lease", patience_s: float, say: Callable[[str], None] | None) -> None:
    until = time.time() + patience_s
    while True:
        try:
            return lease.take()
        except ConfigError as e:
            if time.time() >= until:
                raise
            if say is not None:
                say(f"waiting for up to {patience_s:.0f} s until it is gone: {e}")
                say = None
        time.sleep(min(_LOOK_EVERY_S, max(0.0, until - time.time())))


class _Lease:
    """A driver's own."""

    def __init__(self, output: Store) -> None:
        self.output = output
        self._token = secrets.token_hex(8)
        self._version: Version | None = None
        """None where the store knows no versions: there nobody can be the sole owner."""

    def take(self) -> None:
        """Raises ConfigError where another has it."""
        try:
            self._version = self.output.create(OWNER_KEY, self._content())
        except AlreadyExistsError:
            self._version = self._take_over()
        except UnsupportedOperationError:
            self.output.write_bytes(OWNER_KEY, self._content())

    def renew(self) -> None:
        """Raises ConflictError where another has it by now."""
        self._replace(self._content())

    def give_back(self) -> None:
        """Not deleted: that could not be kept from deleting another's. Raises ConflictError where another has it."""
        self._replace(self._content(renewed=0.0))

    def _take_over(self) -> Version:
        try:
            data, version = self.output.read_versioned(OWNER_KEY)
            owner = _parse(data)
            if owner is not None and not owner.is_gone:
                raise ConfigError(
                    f"another run writes to {self.output.uri} (process {owner.pid} on {owner.node}, heard of "
                    f"{time.time() - owner.renewed:.0f} s ago): stop that one, or choose another --output"
                )
            return self.output.compare_and_swap(OWNER_KEY, self._content(), version)
        except (ConflictError, ObjectNotFoundError) as e:
            raise ConfigError(f"another run has just begun in {self.output.uri}: choose another --output") from e

    def _replace(self, content: bytes) -> None:
        if self._version is None:
            self.output.write_bytes(OWNER_KEY, content)
            return
        try:
            self._version = self.output.compare_and_swap(OWNER_KEY, content, self._version)
        except ConflictError:
            # Perhaps by this driver itself: a write may arrive though its answer, and all retries' answers, did not.
            data, version = self.output.read_versioned(OWNER_KEY)
            owner = _parse(data)
            if owner is None or owner.token != self._token:
                raise
            self._version = self.output.compare_and_swap(OWNER_KEY, content, version)

    def _content(self, renewed: float | None = None) -> bytes:
        owner = Owner(
            token=self._token,
            node=platform.node(),
            pid=os.getpid(),
            renewed=time.time() if renewed is None else renewed,
        )
        return owner.model_dump_json().encode()


def _renew(lease: _Lease, ended: threading.Event, lost: Future[NoReturn]) -> None:
    while not ended.wait(_RENEW_EVERY_S):
        try:
            lease.renew()
        except ConflictError:
            lost.set_exception(TrainingError(_lost_in_words(lease.output)))
            return
        except StorageError:
            continue  # the bucket is away; the next renewal will tell


def _lost_in_words(output: Store) -> str:
    return (
        f"this run's lease of {output.uri} is lost: nothing was heard of this driver for {_STALE_AFTER_S:.0f} s, and "
        f"another took over ({output.uri_of(OWNER_KEY)} names it). That one goes on with the run; this one ends"
    )


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
