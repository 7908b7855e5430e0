"""How a walk was made, as a text inside its animation, and how it is made again from that."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import momalisa
from momalisa.config import from_dict, to_dict
from momalisa.errors import ConfigError, InputError
from momalisa.walk.addresses import Rendition
from momalisa.walk.frames import Pixels
from momalisa.walk.placement import from_json, to_json
from momalisa.walk.plan import Frame
from momalisa.walk.request import WalkRequest

if TYPE_CHECKING:
    from momalisa.walk.walk import Walk

_HASH_LENGTH = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Request and placement decide every frame; fingerprints and hashes tell whether they are the same again."""

    version: str
    request: WalkRequest
    placement: tuple[Frame, ...]
    fingerprints: Mapping[str, str]
    """Of the model's and the adapters' weights."""
    frames: tuple[str, ...]
    """The beginnings of the SHA-256 of the shown frames' pixels."""

    def to_text(self) -> str:
        """As JSON, in ASCII."""
        content = {
            "momalisa": self.version,
            "request": to_dict(self.request),
            "placement": to_json(self.placement),
            "fingerprints": dict(self.fingerprints),
            "frames": list(self.frames),
        }
        return json.dumps(content, separators=(",", ":"))


def provenance_of(walk: "Walk", rendition: Rendition, shown: Iterable[Pixels]) -> Provenance:
    """Of a walk that is rendered."""
    return Provenance(
        version=momalisa.__version__,
        request=walk.request,
        placement=walk.placement,
        fingerprints=fingerprints_of(rendition),
        frames=tuple(pixels_hash(pixels) for pixels in shown),
    )


def fingerprints_of(rendition: Rendition) -> dict[str, str]:
    """Of everything with weights."""
    return {**rendition.model_fingerprints, **rendition.adapter_fingerprints}


def pixels_hash(pixels: Pixels) -> str:
    """The beginning of the SHA-256 of a picture's pixels and size."""
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()[:_HASH_LENGTH]


def read_provenance(text: str) -> Provenance:
    """What `to_text` wrote. Raises InputError for anything else."""
    if not text:
        raise InputError("this animation does not say how it was made: it has lost its metadata, or is none of ours")
    try:
        content: dict[str, Any] = json.loads(text)
        return Provenance(
            version=str(content["momalisa"]),
            request=from_dict(WalkRequest, content["request"]),
            placement=from_json(content["placement"]),
            fingerprints=dict(content["fingerprints"]),
            frames=tuple(content["frames"]),
        )
    except (json.JSONDecodeError, KeyError, TypeError, ConfigError) as e:
        raise InputError(f"what this animation says of its making cannot be understood: {e}") from e
