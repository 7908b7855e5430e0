"""The client for programs of asyncio: `Client` with `await` before what asks the service."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from momalisa.client.asking import Asker, Patience
from momalisa.client.core import ClientCore, ImageSettings, Listing, WalkSettings, WaypointLike
from momalisa.client.face import WalkFace
from momalisa.client.pictures import Picture, PictureLike
from momalisa.client.progress import OnProgress
from momalisa.client.views import Account, Event, ModelInfo
from momalisa.client.wire import AsyncWire

if TYPE_CHECKING:
    import httpx
    from PIL import Image


class AsyncClient:
    """`Client`, for asyncio.

    async with AsyncClient("https://walks.example.org") as client:
        walk = await client.walk("blue dots", "red lines")
        await walk.save("walk.gif")
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        patience: Patience | None = None,
        transport: "httpx.AsyncBaseTransport | None" = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = AsyncWire(url, key, transport, sleep, clock)
        self._core = ClientCore(Asker(self._wire, patience or Patience(), is_known=key is not None))

    async def walk(
        self,
        *waypoints: WaypointLike,
        wait: bool = True,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
        **settings: Unpack[WalkSettings],
    ) -> "AsyncWalk":
        """As `Client.walk`."""
        return AsyncWalk(
            await self._core.walk(waypoints, settings, wait=wait, timeout_s=timeout_s, on_progress=on_progress)
        )

    async def get(self, walk_id: str) -> "AsyncWalk":
        """As `Client.get`."""
        return AsyncWalk(await self._core.get(walk_id))

    async def walks(self, listing: Listing = "mine", *, page_size: int = 24) -> AsyncGenerator["AsyncWalk", None]:
        """As `Client.walks`."""
        async for core in self._core.walks(listing, page_size):
            yield AsyncWalk(core)

    async def image(self, prompt: str, **settings: Unpack[ImageSettings]) -> Picture:
        """As `Client.image`."""
        return await self._core.image(prompt, settings)

    async def models(self) -> tuple[ModelInfo, ...]:
        """As `Client.models`."""
        return await self._core.models()

    async def me(self) -> Account:
        """As `Client.me`."""
        return await self._core.me()

    async def upload(self, picture: "PictureLike | Image.Image") -> str:
        """As `Client.upload`."""
        return await self._core.upload(picture)

    async def close(self) -> None:
        """Lets go of all connections."""
        await self._wire.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


class AsyncWalk(WalkFace):
    """`Walk`, for asyncio."""

    async def refresh(self) -> Self:
        """As `Walk.refresh`."""
        await self._core.refresh()
        return self

    async def wait(self, timeout_s: float | None = None, on_progress: OnProgress | None = None) -> Self:
        """As `Walk.wait`."""
        await self._core.wait(timeout_s, on_progress)
        return self

    def events(self, after: int = 0) -> AsyncGenerator[Event, None]:
        """As `Walk.events`. Whoever leaves it early closes it: `contextlib.aclosing`."""
        return self._core.events(after)

    async def save(self, path: str | Path, on_progress: OnProgress | None = None) -> Path:
        """As `Walk.save`."""
        return await self._core.save(path, on_progress)

    def frames(self, on_progress: OnProgress | None = None) -> AsyncGenerator[Picture, None]:
        """As `Walk.frames`."""
        return self._core.frames(on_progress)

    async def preview(self, number: int) -> Picture:
        """As `Walk.preview`."""
        return await self._core.preview(number)

    async def report(self, on_progress: OnProgress | None = None) -> dict[str, Any]:
        """As `Walk.report`."""
        return await self._core.report(on_progress)

    async def cancel(self) -> Self:
        """As `Walk.cancel`."""
        await self._core.cancel()
        return self

    async def delete(self) -> None:
        """As `Walk.delete`."""
        await self._core.delete()
