"""What of walks and works is in the bucket. Plain objects, each written seldom; nothing is only in memory."""

import hashlib
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from momalisa.config import from_dict, to_dict
from momalisa.errors import AlreadyExistsError, ConfigError, ConflictError, GoneError, ObjectNotFoundError
from momalisa.service.models import ServedModel
from momalisa.storage import Store
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.request import WalkRequest

_ID_BYTES = 16
_FAR = 10**13
"""Milliseconds beyond any time: subtracted from, so that the newest come first by name."""
_MAX_SWAPS = 8


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkRecord:
    """A walk as its owner has it; times are seconds since 1970."""

    id: str
    work: str
    owner: str
    created_at: float
    request: WalkRequest
    cancelled_at: float | None = None
    is_featured: bool = False
    is_taken_down: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkOrder:
    """What is rendered, and with what."""

    request: WalkRequest
    """With its pictures at the size of the walk."""
    model: ServedModel
    facts: ModelFacts
    """Of the model as the work was planned with it."""
    owner: str
    """For whom it was asked first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a work became: enough to show it, and to make it again."""

    addresses: tuple[str, ...]
    """Of the frames, in the order in which they are shown."""
    announced: tuple[tuple[str, float], ...]
    """Address and place of each rendered frame, in the order in which they were announced."""
    durations_s: tuple[float, ...]
    num_rendered: int
    """Frames that were not there already."""
    unet_evaluations: int
    renderer_seconds: float
    ended_at: float
    distances: tuple[float, ...] = ()
    """From each shown frame to the next, those that placed them."""
    report: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a work was given up."""

    code: str
    detail: str
    ended_at: float


def new_id() -> str:
    """One that nobody guesses: 128 bits of chance."""
    return secrets.token_urlsafe(_ID_BYTES).replace("-", "x").replace("_", "y")


class Records:
    """Walks and works in a bucket. Methods that take an id raise ObjectNotFoundError for one that is not there."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create_walk(self, record: WalkRecord, order: WorkOrder, *, is_done: bool) -> None:
        """A new walk, and its work unless that is done.

        Whatever is cut off in the middle leaves nothing to be seen.
        """
        _create(self._store, f"works/{record.work}/walks/{record.id}", {})
        if not is_done:
            self._store.delete(f"works/{record.work}/failure.json")
            _create(self._store, f"works/{record.work}/order.json", to_dict(order))
            _create(self._store, f"queue/{record.work}", {})
        _create(self._store, f"owners/{record.owner}/{_stamp(record)}", {})
        self._store.create(_walk_key(record.id), json.dumps(to_dict(record)).encode())

    def walk_even_if_taken_down(self, walk_id: str) -> WalkRecord:
        """As `walk`, for whoever cleans up."""
        return from_dict(WalkRecord, json.loads(self._store.read_bytes(_walk_key(walk_id))))

    def walk(self, walk_id: str) -> WalkRecord:
        """Raises GoneError for one that was taken down."""
        record = self.walk_even_if_taken_down(walk_id)
        if record.is_taken_down:
            raise GoneError("this walk was taken down")
        return record

    def change_walk(self, walk_id: str, **changes: Any) -> WalkRecord:
        """Changes a walk, whoever else changes it at the same time. Raises ConflictError if they never stop."""
        for _ in range(_MAX_SWAPS):
            data, version = self._store.read_versioned(_walk_key(walk_id))
            record = replace(from_dict(WalkRecord, json.loads(data)), **changes)
            try:
                self._store.compare_and_swap(_walk_key(walk_id), json.dumps(to_dict(record)).encode(), version)
            except ConflictError:
                continue
            return record
        raise ConflictError(f"the walk {walk_id} is being changed all the time: try again")

    def unwant(self, record: WalkRecord) -> None:
        """A walk that is cancelled or deleted: its work is wanted by one less."""
        self._store.delete(f"works/{record.work}/walks/{record.id}")

    def delete_walk(self, record: WalkRecord) -> None:
        """Removes a walk and its places in lists; its work is left to retention."""
        self.unwant(record)
        self._store.delete(f"owners/{record.owner}/{_stamp(record)}")
        self._store.delete(f"gallery/{_stamp(record)}")
        self._store.delete(_walk_key(record.id))

    def set_featured(self, record: WalkRecord, featured: bool) -> WalkRecord:
        """Shows a walk in the gallery, or no more."""
        if featured:
            self._store.write_bytes(f"gallery/{_stamp(record)}", b"")
        else:
            self._store.delete(f"gallery/{_stamp(record)}")
        return self.change_walk(record.id, is_featured=featured)

    def take_down(self, record: WalkRecord) -> None:
        """Removes a walk from sight."""
        self._store.delete(f"gallery/{_stamp(record)}")
        self.change_walk(record.id, is_taken_down=True, is_featured=False)

    def page(self, folder: str, limit: int, cursor: str | None) -> tuple[list[str], str | None]:
        """Ids of walks in a list, newest first, from after the cursor on, and the next cursor."""
        if cursor is not None and not cursor.replace("-", "").isalnum():
            raise ConfigError(f"the cursor {cursor!r} is none: take the one that the last page gave")
        names = [entry.key.rpartition("/")[2] for entry in self._store.list(folder)]
        later = [name for name in names if cursor is None or name > cursor]
        more = later[limit - 1] if len(later) > limit else None
        return [name.partition("-")[2] for name in later[:limit]], more

    def num_since(self, owner: str, since: float) -> int:
        """Walks of an owner that were asked for since then."""
        newest = _FAR - round(since * 1000)
        names = (entry.key.rpartition("/")[2] for entry in self._store.list(f"owners/{owner}"))
        return sum(1 for name in names if int(name.partition("-")[0]) <= newest)

    def asked_before(self, time_s: float) -> list[str]:
        """Ids of walks, of all owners, that were asked for before then."""
        oldest = _FAR - round(time_s * 1000)
        names = (entry.key.rpartition("/")[2] for entry in self._store.list("owners"))
        return [name.partition("-")[2] for name in names if int(name.partition("-")[0]) > oldest]

    def pictures_of(self, work: str) -> set[str]:
        """Hashes of the pictures that a work and its walks refer to."""
        try:
            requests = [self.waiting_work(work).request]
            requests += [self.walk_even_if_taken_down(walk_id).request for walk_id in self.wanted_by(work)]
        except ObjectNotFoundError:  # being written, or deleted
            return set()
        return {w.picture_sha256 for request in requests for w in request.waypoints if w.picture_sha256 is not None}

    def forget_outcome(self, work: str) -> None:
        """A work is as if it had never ended."""
        for name in ("manifest", "failure"):
            self._store.delete(f"works/{work}/{name}.json")

    def wait_again(self, work: str) -> None:
        """A work is to be done anew."""
        _create(self._store, f"queue/{work}", {})

    def waiting_works(self) -> list[str]:
        """Works that are not ended."""
        return [entry.key.rpartition("/")[2] for entry in self._store.list("queue")]

    def waiting_work(self, work: str) -> WorkOrder:
        """What is to be rendered."""
        return from_dict(WorkOrder, json.loads(self._store.read_bytes(f"works/{work}/order.json")))

    def wanted_by(self, work: str) -> list[str]:
        """Ids of the walks that are not cancelled."""
        return [entry.key.rpartition("/")[2] for entry in self._store.list(f"works/{work}/walks")]

    def end_work(self, work: str, outcome: Manifest | Failure) -> None:
        """Says what became of a work. Who comes second changes nothing."""
        name = "manifest" if isinstance(outcome, Manifest) else "failure"
        _create(self._store, f"works/{work}/{name}.json", to_dict(outcome))
        self._store.delete(f"queue/{work}")

    def give_up(self, work: str) -> None:
        """A work that nobody wants any more, or that is over; one that is wanted in this very moment is done anew."""
        self._store.delete(f"queue/{work}")
        if self.wanted_by(work) and self.outcome(work) is None:
            self.wait_again(work)

    def outcome(self, work: str) -> Manifest | Failure | None:
        """What became of a work; None while it goes on."""
        manifest = self._read(f"works/{work}/manifest.json")
        if manifest is not None:
            return from_dict(Manifest, manifest)
        failure = self._read(f"works/{work}/failure.json")
        return None if failure is None else from_dict(Failure, failure)

    def _read(self, key: str) -> Any:
        try:
            return json.loads(self._store.read_bytes(key))
        except ObjectNotFoundError:
            return None

    def remember(self, owner: str, idempotency_key: str, walk_id: str) -> str:
        """The walk that an idempotency key stands for: this one, or that of the first time."""
        key = _idempotency_key(owner, idempotency_key)
        try:
            self._store.create(key, walk_id.encode())
        except AlreadyExistsError:
            return self._store.read_bytes(key).decode()
        return walk_id

    def remembered(self, owner: str, idempotency_key: str) -> WalkRecord | None:
        """The walk that was made for an idempotency key, where there is one."""
        try:
            return self.walk(self._store.read_bytes(_idempotency_key(owner, idempotency_key)).decode())
        except ObjectNotFoundError:
            return None


def _walk_key(walk_id: str) -> str:
    return f"walks/{walk_id}/walk.json"


def _idempotency_key(owner: str, key: str) -> str:
    return f"idempotency/{owner}/{hashlib.sha256(key.encode()).hexdigest()}"


def _stamp(record: WalkRecord) -> str:
    return f"{_FAR - round(record.created_at * 1000):013d}-{record.id}"


def _create(store: Store, key: str, content: Mapping[str, Any] | Sequence[Any]) -> None:
    try:
        store.create(key, json.dumps(content).encode())
    except AlreadyExistsError:
        return
