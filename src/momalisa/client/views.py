"""What the service tells, typed. Read tolerantly: a newer service may tell more, and leave out what has a default."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, TypeVar

from momalisa.errors import ServiceError

T = TypeVar("T")

ENDED = frozenset({"done", "failed", "cancelled"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a walk is."""

    frames_done: int = 0
    frames_total: int = 0
    """May grow: frames are added where a step stands out."""
    queue_position: int = 0
    """Walks that are ahead; 0 once it runs."""
    eta_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """What a walk takes."""

    unet_evaluations_bound: int = 0
    unet_evaluations: int = 0
    seconds_estimated: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Failure:
    """Why a walk failed: a code for programs, a sentence for people."""

    code: str = "unknown"
    detail: str = "the service does not say why"


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkView:
    """A walk as it was when the service told of it."""

    id: str
    state: str
    """queued, running, assembling, done, failed or cancelled."""
    created_at: datetime | None = None
    ended_at: datetime | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    """As settled: with the model, the seed and all else filled in."""
    progress: Progress = Progress()
    cost: Cost = Cost()
    error: Failure | None = None
    is_mine: bool = False
    is_featured: bool = False
    num_frames: int | None = None
    """In the animation, once done."""
    duration_s: float | None = None
    links: Mapping[str, str] = field(default_factory=dict)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it by itself."""
        return self.state in ENDED or self.ended_at is not None


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkPage:
    """Some of many walks."""

    walks: tuple[WalkView, ...]
    next_cursor: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ProgressMade:
    """A walk went on."""

    state: str
    progress: Progress = Progress()


@dataclass(frozen=True, kw_only=True, slots=True)
class FrameDrawn:
    """A frame can be seen: they come coarse to fine."""

    number: int
    """From 1, in an order that never changes."""
    position: float = 0.0
    """From 0 to 1 along the path: a loop's ends where it began, a boomerang's is the way there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WalkEnded:
    """It is done, failed or cancelled. The last event."""

    walk: WalkView


Event = ProgressMade | FrameDrawn | WalkEnded


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelInfo:
    """A model that is served."""

    id: str
    title: str = ""
    description: str = ""
    size: int | None = None
    """Of its pictures, pixels."""
    is_default: bool = False
    suggestions: tuple[str, ...] = ()
    """Prompts that it knows how to draw."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelList:
    """Those that are served."""

    models: tuple[ModelInfo, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class UploadedPicture:
    """A picture that a waypoint may name."""

    id: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Who asks, what they may, and what they have used of it: each figure by its name in the contract."""

    kind: str
    is_staff: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict)
    quota: Mapping[str, Any] = field(default_factory=dict)


def parse(kind: type[T], data: Any) -> T:
    """Raises ServiceError for what no service of ours would tell."""
    try:
        return _dataclass(kind, data)
    except (KeyError, TypeError, ValueError) as e:
        raise ServiceError(
            f"the service's answer is no {kind.__name__} ({type(e).__name__}: {e}): is it a momalisa service, and "
            "this client not too old for it?"
        ) from e


def _dataclass(kind: type[T], data: Any) -> T:
    if not isinstance(data, Mapping):
        raise TypeError(f"{data!r} is no object")
    told = {}
    for each, hint in _fields(typing.cast(Any, kind)):
        value = data.get(each.name)
        if value is not None:
            told[each.name] = _value(hint, value)
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise KeyError(each.name)
    return kind(**told)


@cache
def _fields(kind: Any) -> list[tuple["dataclasses.Field[Any]", Any]]:
    hints = typing.get_type_hints(kind)
    return [(each, hints[each.name]) for each in dataclasses.fields(kind)]


def _value(hint: Any, value: Any) -> Any:
    if isinstance(hint, types.UnionType):  # X | None; None itself was seen to
        hint = typing.get_args(hint)[0]
    origin = typing.get_origin(hint)
    if dataclasses.is_dataclass(hint):
        return _dataclass(typing.cast(type, hint), value)
    if origin is tuple:
        return tuple(_value(typing.get_args(hint)[0], each) for each in value)
    if hint is datetime:
        return datetime.fromisoformat(value)
    if hint is float:
        return float(value)
    if not isinstance(value, origin or hint):
        raise TypeError(f"{value!r} is no {(origin or hint).__name__}")
    return value
