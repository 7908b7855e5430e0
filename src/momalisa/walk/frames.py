"""Rendered frames by their addresses, in memory or at a URI, with the states that others start from.

At a URI a frame is `{address}.safetensors` (sketch and states) and then `{address}.png`: where the picture is, all is.
"""

import hashlib
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load, save

from momalisa.errors import AlreadyExistsError, ObjectNotFoundError
from momalisa.storage import Store
from momalisa.storage.backend import run_parallel

Pixels = NDArray[np.uint8]
Sketch = NDArray[np.float16]
"""What of a picture its distances to others are taken of."""
_PNG_LEVEL = 1
"""zlib's fastest: a tenth larger, several times as fast."""


@dataclass(frozen=True, slots=True)
class State:
    """A frame's latents (C, h, w) before a step, and what they were last predicted to become; float16.

    Before the step after the last one they are the frame's own latents.
    """

    latents: NDArray[np.float16]
    denoised: NDArray[np.float16]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A rendered frame: pixels (H, W, 3), the features that distances are taken of, and its states by step."""

    address: str
    pixels: Pixels
    sketch: Sketch
    states: Mapping[int, State]

    @property
    def num_bytes(self) -> int:
        """In memory."""
        states = sum(state.latents.nbytes + state.denoised.nbytes for state in self.states.values())
        return self.pixels.nbytes + self.sketch.nbytes + states


class Frames(Protocol):
    """Where rendered frames are kept. One that is kept again has the states of both times: its pixels are the same."""

    def missing(self, wanted: Mapping[str, Collection[int]]) -> set[str]:
        """Those of the addresses at which there is no frame, or not with the states of these steps."""

    def keep(self, drawn: Sequence[Drawn]) -> int:
        """Keeps frames for good, before it returns; how many of them somebody else had kept meanwhile."""

    def load(self, address: str) -> Drawn:
        """Raises ObjectNotFoundError for a frame that is not there."""

    def pixels(self, address: str) -> Pixels:
        """A frame's picture alone; raises ObjectNotFoundError."""


class MemoryFrames:
    """Frames of this process."""

    def __init__(self) -> None:
        self._drawn: dict[str, Drawn] = {}

    def missing(self, wanted: Mapping[str, Collection[int]]) -> set[str]:
        """As `Frames`."""
        return {
            address
            for address, steps in wanted.items()
            if address not in self._drawn or not set(steps) <= self._drawn[address].states.keys()
        }

    def keep(self, drawn: Sequence[Drawn]) -> int:
        """As `Frames`; nobody else does here."""
        for one in drawn:
            self._drawn[one.address] = _with_states_of(self._drawn.get(one.address), one)
        return 0

    def load(self, address: str) -> Drawn:
        """As `Frames`."""
        if address not in self._drawn:
            raise ObjectNotFoundError(f"no frame {address} was rendered")
        return self._drawn[address]

    def pixels(self, address: str) -> Pixels:
        """As `Frames`."""
        return self.load(address).pixels


class StoredFrames:
    """Frames in a folder or bucket, shared by all walks; so many MiB of those that came last stay in memory."""

    def __init__(self, store: Store, *, cache_mib: int = 256) -> None:
        self._store = store
        self._cache_bytes = cache_mib * 2**20
        self._cache: dict[str, Drawn] = {}
        self._incomplete: dict[str, Drawn] = {}
        self._pictures: dict[str, Pixels] = {}
        self._lock = Lock()

    def missing(self, wanted: Mapping[str, Collection[int]]) -> set[str]:
        """As `Frames`."""
        absent: set[str] = set()

        def look(address: str, steps: Collection[int]) -> None:
            found = self._cache.get(address) or self._find(address)
            if found is not None and set(steps) <= found.states.keys():
                self._remember(found)
                return
            absent.add(address)
            if found is not None:
                self._incomplete[address] = found

        run_parallel([partial(look, address, steps) for address, steps in wanted.items()])
        return absent

    def keep(self, drawn: Sequence[Drawn]) -> int:
        """As `Frames`."""
        twice: list[str] = []
        incomplete = {one.address: self._incomplete.pop(one.address, None) for one in drawn}
        drawn = [_with_states_of(incomplete[one.address], one) for one in drawn]
        run_parallel([partial(self._store.write_bytes, _states_key(one.address), pack(one)) for one in drawn])
        run_parallel([partial(self._keep_picture, one, twice) for one in drawn])
        for one in drawn:
            self._remember(one)
        return sum(1 for address in twice if incomplete[address] is None)

    def load(self, address: str) -> Drawn:
        """As `Frames`."""
        found = self._cache.get(address) or self._find(address)
        if found is None:
            raise ObjectNotFoundError(f"no frame {address} in {self._store.uri}")
        self._remember(found)
        return found

    def pixels(self, address: str) -> Pixels:
        """As `Frames`."""
        if (cached := self._cache.get(address)) is not None:
            return cached.pixels
        if address not in self._pictures:
            self._remember_picture(address, from_png(self._store.read_bytes(picture_key(address))))
        return self._pictures[address]

    def _keep_picture(self, drawn: Drawn, twice: list[str]) -> None:
        key, png = picture_key(drawn.address), to_png(drawn.pixels)
        try:
            self._store.create(key, png)
        except AlreadyExistsError:
            self._store.write_bytes(key, png)  # the one that is there may be damaged
            twice.append(drawn.address)

    def _find(self, address: str) -> Drawn | None:
        """None also for one that is damaged: it is rendered again."""
        try:
            picture = self._store.read_bytes(picture_key(address))
            states = self._store.read_bytes(_states_key(address))
            return unpack(address, from_png(picture), states)
        except (ObjectNotFoundError, SafetensorError, OSError, KeyError, ValueError):
            return None

    def _remember_picture(self, address: str, pixels: Pixels) -> None:
        with self._lock:
            self._pictures[address] = pixels
            while len(self._pictures) > 1 and sum(one.nbytes for one in self._pictures.values()) > self._cache_bytes:
                del self._pictures[next(iter(self._pictures))]

    def _remember(self, drawn: Drawn) -> None:
        with self._lock:
            self._cache[drawn.address] = drawn
            while len(self._cache) > 1 and sum(one.num_bytes for one in self._cache.values()) > self._cache_bytes:
                del self._cache[next(iter(self._cache))]


def distance(a: Sketch, b: Sketch) -> float:
    """How far two pictures are apart."""
    return float(np.linalg.norm(a.astype(np.float32) - b.astype(np.float32)))


def pixels_sha256(pixels: Pixels) -> str:
    """By which a waypoint names its picture: of its size and pixels."""
    return hashlib.sha256(f"{pixels.shape}".encode() + pixels.tobytes()).hexdigest()


def pack(drawn: Drawn) -> bytes:
    """Sketch and states as safetensors."""
    tensors: dict[str, NDArray[Any]] = {"sketch": drawn.sketch}
    for step, state in drawn.states.items():
        tensors[f"latents.{step}"] = np.ascontiguousarray(state.latents)
        tensors[f"denoised.{step}"] = np.ascontiguousarray(state.denoised)
    return save(tensors)


def unpack(address: str, pixels: Pixels, states: bytes) -> Drawn:
    """What `pack` wrote. Raises SafetensorError or KeyError for other bytes."""
    tensors = load(states)
    steps = [int(name.removeprefix("latents.")) for name in tensors if name.startswith("latents.")]
    return Drawn(
        address,
        pixels,
        tensors["sketch"],
        {step: State(tensors[f"latents.{step}"], tensors[f"denoised.{step}"]) for step in steps},
    )


def to_png(pixels: Pixels) -> bytes:
    """A picture (H, W, 3) without loss."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=_PNG_LEVEL)
    return file.getvalue()


def from_png(data: bytes) -> Pixels:
    """The pixels (H, W, 3) of a PNG; raises OSError for other bytes."""
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        return np.asarray(picture.convert("RGB"))


def picture_key(address: str) -> str:
    """Of a frame's picture in its folder."""
    return f"{address}.png"


def _with_states_of(before: Drawn | None, drawn: Drawn) -> Drawn:
    return drawn if before is None else replace(drawn, states={**before.states, **drawn.states})


def _states_key(address: str) -> str:
    return f"{address}.safetensors"
