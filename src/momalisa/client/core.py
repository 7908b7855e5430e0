"""The client of a service, written once: `Client` and `AsyncClient` are its faces."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict
from uuid import uuid4

from momalisa.client.asking import Asker
from momalisa.client.pictures import Picture, PictureLike, encode, is_picture
from momalisa.client.progress import OnProgress
from momalisa.client.views import Account, ModelInfo, ModelList, UploadedPicture, WalkPage, WalkView, parse
from momalisa.client.walk_core import WalkCore, fetch_view
from momalisa.client.wire import Request
from momalisa.errors import InputError

if TYPE_CHECKING:
    from PIL import Image

WaypointLike: TypeAlias = "str | Mapping[str, Any] | Picture | bytes | Path | Image.Image"
"""A prompt; a picture; or a dict of `prompt`, `picture` (an uploaded one's id, or a picture), `negative_prompt`,
`guidance_scale`, `seed`, `hold_s`."""
Listing = Literal["featured", "mine"]

_DRAWING_S = 300.0


class WalkSettings(TypedDict, total=False):
    """What a walk may be told; the service has a default for everything."""

    model: str
    num_frames: int
    shape: str
    easing: str
    mode: str
    num_inference_steps: int
    guidance_scale: float
    negative_prompt: str
    seed: int
    strength: float
    frames_per_second: float
    height: int
    width: int


class ImageSettings(TypedDict, total=False):
    """What a picture may be told; the service has a default for everything."""

    model: str
    negative_prompt: str
    guidance_scale: float
    num_inference_steps: int
    seed: int
    height: int
    width: int


class ClientCore:
    """A service, as `Client` documents it."""

    def __init__(self, asker: Asker) -> None:
        self.asker = asker

    async def walk(
        self,
        waypoints: Sequence[Any],
        settings: WalkSettings,
        *,
        wait: bool,
        timeout_s: float | None,
        on_progress: OnProgress | None,
    ) -> WalkCore:
        body = {"waypoints": [await self._waypoint(waypoint) for waypoint in waypoints], **settings}
        # By its key the service knows a request that it has seen, so one that is repeated makes no second walk.
        headers = {"Idempotency-Key": uuid4().hex}
        request = Request(method="POST", path="/v1/walks", json=body, headers=headers)
        walk = WalkCore(self.asker, parse(WalkView, await self.asker.ask_json(request)))
        if wait:
            await walk.wait(timeout_s, on_progress)
        return walk

    async def get(self, walk_id: str) -> WalkCore:
        return WalkCore(self.asker, await fetch_view(self.asker, walk_id))

    async def walks(self, listing: Listing, page_size: int) -> AsyncGenerator[WalkCore, None]:
        params: dict[str, str | int] = {"list": listing, "limit": page_size}
        while True:
            page = parse(WalkPage, await self.asker.ask_json(Request(path="/v1/walks", params=params)))
            for view in page.walks:
                yield WalkCore(self.asker, view)
            if page.next_cursor is None:
                return
            params["cursor"] = page.next_cursor

    async def image(self, prompt: str, settings: ImageSettings) -> Picture:
        request = Request(
            method="POST",
            path="/v1/images",
            json={"prompt": prompt, **settings},
            silence_s=_DRAWING_S,
            is_repeatable=False,  # it would be drawn, and counted, twice
        )
        return Picture(await self.asker.ask(request))

    async def models(self) -> tuple[ModelInfo, ...]:
        return parse(ModelList, await self.asker.ask_json(Request(path="/v1/models"))).models

    async def me(self) -> Account:
        return parse(Account, await self.asker.ask_json(Request(path="/v1/me")))

    async def upload(self, picture: "PictureLike | Image.Image") -> str:
        content, media_type = await self.asker.wire.do(partial(encode, picture))
        headers = {"Content-Type": media_type}
        request = Request(method="POST", path="/v1/pictures", content=content, headers=headers)
        return parse(UploadedPicture, await self.asker.ask_json(request)).id

    async def _waypoint(self, waypoint: Any) -> dict[str, Any]:
        if isinstance(waypoint, str):
            return {"prompt": waypoint}
        if isinstance(waypoint, Mapping):
            picture = waypoint.get("picture")
            if picture is None or isinstance(picture, str):
                return dict(waypoint)
            return {**waypoint, "picture": await self.upload(picture)}
        if is_picture(waypoint):
            return {"picture": await self.upload(waypoint)}
        raise InputError(
            f"a waypoint cannot be a {type(waypoint).__name__}: take a prompt, a picture (also its pathlib.Path) or "
            "a dict of both"
        )
