"""How a walk was made, as a text inside its animation, and how it is made again from that."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import momalisa
from momalisa.config import from_dict, to_dict
from momalisa.errors import InputError
from momalisa.walk.addresses import Rendition
from momalisa.walk.frames import Pixels, pixels_sha256
from momalisa.walk.placement import from_json, to_json
from momalisa.walk.plan import Frame
from momalisa.walk.request import WalkRequest

if TYPE_CHECKING:
    from momalisa.walk.course import Walk

_HASH_LENGTH = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Request and rounds decide every frame; fingerprints and hashes tell whether they are the same again."""

    version: str
    request: WalkRequest
    rounds: tuple[tuple[Frame, ...], ...]
    dtype: str
    fingerprints: Mapping[str, str]
    """Of the model's and the adapters' weights."""
    frames: tuple[str, ...]
    """The beginnings of the SHA-256 of the shown frames' pixels."""

    def to_text(self) -> str:
        """As JSON, in ASCII."""
        content = {
            "momalisa": self.version,
            "request": to_dict(self.request),
            "rounds": [to_json(round_) for round_ in self.rounds],
            "dtype": self.dtype,
            "fingerprints": dict(self.fingerprints),
            "frames": list(self.frames),
        }
        return json.dumps(content, separators=(",", ":"))


def provenance_of(walk: "Walk", rendition: Rendition, shown: Iterable[Pixels]) -> Provenance:
    """Of a walk that is rendered."""
    return Provenance(
        version=momalisa.__version__,
        request=walk.request,
        rounds=walk.rounds,
        dtype=rendition.dtype,
        fingerprints=fingerprints_of(rendition),
        frames=tuple(pixels_hash(pixels) for pixels in shown),
    )


def fingerprints_of(rendition: Rendition) -> dict[str, str]:
    """Of everything with weights."""
    return {**rendition.model_fingerprints, **rendition.adapter_fingerprints}


def pixels_hash(pixels: Pixels) -> str:
    """The beginning of the SHA-256 of a picture's pixels and size."""
    return pixels_sha256(pixels)[:_HASH_LENGTH]


def read_provenance(text: str) -> Provenance:
    """What `to_text` wrote. Raises InputError for anything else."""
    if not text:
        raise InputError("this animation does not say how it was made: it has lost its metadata, or is none of ours")
    try:
        content: dict[str, Any] = json.loads(text)
        return Provenance(
            version=str(content["momalisa"]),
            request=from_dict(WalkRequest, content["request"]),
            rounds=tuple(from_json(round_) for round_ in content["rounds"]),
            dtype=str(content["dtype"]),
            fingerprints=dict(content["fingerprints"]),
            frames=tuple(content["frames"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as e:
        raise InputError(f"what this animation says of its making cannot be understood: {e}") from e
