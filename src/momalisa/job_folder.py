"""`job/` in a run's folder: what is left of a job when its cluster is gone.

job/
  job.json                    config and manifest, as submitted
  logs/driver/000000.log      what the driver said, in parts, since buckets cannot append
  logs/rank-0/000000.log      what a training worker said
  errors/rank-0.json          the exception that ended a rank
  exit.json                   how the last attempt ended; absent while one runs
"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from momalisa.errors import ObjectNotFoundError
from momalisa.storage import Store, open_store

JOB_FOLDER_VARIABLE = "MOMALISA_JOB_FOLDER"
"""Tells what runs inside a job where `job/` is."""
FOLDER = "job"
JOB_FILE = "job.json"
EXIT_FILE = "exit.json"
ERRORS = "errors"
DRIVER = "driver"

_PART = re.compile(r"(\d{6,})\.log")


class RankError(BaseModel):
    """The exception that ended a training worker."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    rank: int
    time: datetime
    exception: str
    """Its last line: `ValueError: …`."""
    traceback: str
    node: str = ""
    """The pod's name."""


class ExitRecord(BaseModel):
    """How an attempt's entrypoint ended."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    schema_version: int = 1
    exit_code: int
    """As a shell gives it: 128 + the signal's number where one ended it."""
    started_at: datetime
    ended_at: datetime
    command: tuple[str, ...]
    signalled: str | None = None
    """The signal by which Ray or the kubelet asked the driver to end."""
    error: RankError | None = None
    """Of the rank that failed first."""
    last_lines: tuple[str, ...] = ()
    """Of the driver."""


class JobFolder:
    """Reads `job/`. Every method may raise StorageError."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @classmethod
    def of_run(cls, output_uri: str) -> "JobFolder":
        """Of a run's output folder."""
        return cls(open_store(output_uri).child(FOLDER))

    def job(self) -> dict[str, Any] | None:
        """What was submitted; None where nobody wrote it."""
        content = self._read(JOB_FILE)
        return None if content is None else dict(json.loads(content))

    def exit(self) -> ExitRecord | None:
        """How the last attempt ended; None while one runs, or where it was killed before it could say."""
        content = self._read(EXIT_FILE)
        return None if content is None else ExitRecord.model_validate_json(content)

    def errors(self, since: datetime) -> list[RankError]:
        """Of an attempt that began then, the first failure first: the others are often its consequences."""
        found = []
        for entry in self.store.list(ERRORS):
            try:
                found.append(RankError.model_validate_json(self.store.read_bytes(entry.key)))
            except (ObjectNotFoundError, ValidationError):
                continue  # it was replaced, or written by another version
        return sorted((error for error in found if error.time >= since), key=lambda error: error.time)

    def sources(self) -> list[str]:
        """Whose logs there are: `driver`, `rank-0`, …"""
        names = {entry.key.split("/")[1] for entry in self.store.list("logs") if entry.key.count("/") == 2}
        return sorted(names, key=lambda name: (name != DRIVER, len(name), name))

    def parts(self, source: str) -> list[str]:
        """Keys of a source's parts, in order."""
        return [key for key, _ in self._parts(source)]

    def read_log(self, source: str, start: int = 0) -> Iterator[bytes]:
        """A source's log from a byte on, part by part; those before it are not read."""
        for key, num_bytes in self._parts(source):
            if start < num_bytes:
                yield self.store.read_bytes(key, start)
            start = max(0, start - num_bytes)

    def _parts(self, source: str) -> list[tuple[str, int]]:
        """Keys and sizes."""
        numbered = [(part_number(entry.key), entry) for entry in self.store.list(f"logs/{source}")]
        found = sorted((number, entry.key, entry.num_bytes) for number, entry in numbered if number is not None)
        return [(key, num_bytes) for _, key, num_bytes in found]

    def _read(self, key: str) -> bytes | None:
        try:
            return self.store.read_bytes(key)
        except ObjectNotFoundError:
            return None


def error_key(rank: int) -> str:
    """Where a rank's exception is."""
    return f"{ERRORS}/rank-{rank}.json"


def part_key(source: str, number: int) -> str:
    """Where a part of a log is."""
    return f"logs/{source}/{number:06d}.log"


def part_number(key: str) -> int | None:
    """Which part it is; None for something else."""
    match = _PART.fullmatch(key.rsplit("/", 1)[-1])
    return int(match.group(1)) if match else None


def now() -> datetime:
    """In UTC."""
    return datetime.now(UTC)
