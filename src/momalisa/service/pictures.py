"""Visitors' pictures as waypoints: kept as they were sent, and once more at each size that a walk draws them at."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import replace

from PIL import Image

from momalisa.errors import ConfigError, ObjectNotFoundError
from momalisa.storage import Store
from momalisa.walk.frames import Pixels, from_png, to_png
from momalisa.walk.model_facts import ModelFacts
from momalisa.walk.pictures import fit_picture
from momalisa.walk.request import WalkRequest, Waypoint


def keep_picture(store: Store, png: bytes) -> str:
    """A picture that was checked and stripped; gives the id that a waypoint names it by."""
    name = hashlib.sha256(png).hexdigest()
    store.write_bytes(f"pictures/{name}.png", png)
    return name


def fit_pictures(store: Store, request: WalkRequest, facts: ModelFacts) -> WalkRequest:
    """The request with each picture at the walk's size, named by its hash there.

    Raises ConfigError for one that is missing.
    """
    height, width = facts.size(request)
    fitted: dict[str, str] = {}
    for waypoint in request.waypoints:
        if waypoint.picture_sha256 is not None and waypoint.picture_sha256 not in fitted:
            fitted[waypoint.picture_sha256] = _fit(store, waypoint.picture_sha256, height, width)
    return replace(request, waypoints=tuple(_renamed(waypoint, fitted) for waypoint in request.waypoints))


def load_pictures(store: Store, request: WalkRequest) -> dict[str, Pixels]:
    """The pictures of a request that has gone through `fit_pictures`."""
    names = {waypoint.picture_sha256 for waypoint in request.waypoints if waypoint.picture_sha256 is not None}
    return {name: from_png(store.read_bytes(f"pictures/{name}.png")) for name in sorted(names)}


def _fit(store: Store, name: str, height: int, width: int) -> str:
    try:
        data = store.read_bytes(f"pictures/{name}.png")
    except ObjectNotFoundError as e:
        raise ConfigError(f"there is no picture {name}: send it first") from e
    with Image.open(io.BytesIO(data), formats=["PNG"]) as picture:
        sha256, pixels = fit_picture(picture.convert("RGB"), height, width)
    store.write_bytes(f"pictures/{sha256}.png", to_png(pixels))
    return sha256


def _renamed(waypoint: Waypoint, names: Mapping[str, str]) -> Waypoint:
    if waypoint.picture_sha256 is None:
        return waypoint
    return replace(waypoint, picture_sha256=names[waypoint.picture_sha256])
