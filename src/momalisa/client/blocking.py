"""The client for programs that wait."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from momalisa.client.asking import Asker, Patience
from momalisa.client.core import ClientCore, ImageSettings, Listing, WalkSettings, WaypointLike
from momalisa.client.face import WalkFace
from momalisa.client.pictures import Picture, PictureLike
from momalisa.client.progress import OnProgress
from momalisa.client.views import Account, Event, ModelInfo
from momalisa.client.wire import BlockingWire, iterate, run

if TYPE_CHECKING:
    import httpx
    from PIL import Image


class Client:
    """A momalisa service, for a program by its `key`, for a visitor without one.

        Client("https://walks.example.org").walk("blue dots", "red lines").save("walk.gif")

    What may pass (no capacity, a connection that breaks) is asked again for as long as `patience` says. Raises
    momalisa's errors, the same that the service raised on its side: InputError (FieldsError where it names fields),
    RefusedError, TooLargeError, UnsupportedMediaError, UnauthorizedError, ForbiddenError, ObjectNotFoundError,
    ConflictError, GoneError; BusyError and UnavailableError once the patience is used up; WalkError for a walk that
    failed or was cancelled; ServiceError for all else. May be shared by threads.

    transport, sleep, clock: replaced by tests.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        patience: Patience | None = None,
        transport: "httpx.BaseTransport | None" = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._wire = BlockingWire(url, key, transport, sleep, clock)
        self._core = ClientCore(Asker(self._wire, patience or Patience(), is_known=key is not None))

    def walk(
        self,
        *waypoints: WaypointLike,
        wait: bool = True,
        timeout_s: float | None = None,
        on_progress: OnProgress | None = None,
        **settings: Unpack[WalkSettings],
    ) -> "Walk":
        """A new walk from waypoint to waypoint.

        waypoints: prompts; pictures (Pillow's, paths, `Picture`s); or dicts of `prompt`, `picture`, `negative_prompt`,
            `guidance_scale`, `seed` and `hold_s`.
        wait: until it is done, with a bar on a terminal; `on_progress` takes the `Progress` instead.
        timeout_s: how long to wait at most (to some 10 s); then ServiceError, and the walk goes on.
        """
        return Walk(
            run(self._core.walk(waypoints, settings, wait=wait, timeout_s=timeout_s, on_progress=on_progress)),
        )

    def get(self, walk_id: str) -> "Walk":
        """A walk that was made before."""
        return Walk(run(self._core.get(walk_id)))

    def walks(self, listing: Listing = "mine", *, page_size: int = 24) -> Iterator["Walk"]:
        """Walks, newest first; asked for page by page, as far as they are looked at."""
        for core in iterate(self._core.walks(listing, page_size)):
            yield Walk(core)

    def image(self, prompt: str, **settings: Unpack[ImageSettings]) -> Picture:
        """One picture."""
        return run(self._core.image(prompt, settings))

    def models(self) -> tuple[ModelInfo, ...]:
        """Those that are served."""
        return run(self._core.models())

    def me(self) -> Account:
        """Who the service takes this client for, and what it may."""
        return run(self._core.me())

    def upload(self, picture: "PictureLike | Image.Image") -> str:
        """The id by which a waypoint names the picture: `{"picture": id, "prompt": …}`."""
        return run(self._core.upload(picture))

    def close(self) -> None:
        """Lets go of all connections."""
        self._wire.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Walk(WalkFace):
    """A walk of a service. What needs it done waits for it, with a bar on a terminal or `on_progress`."""

    def refresh(self) -> Self:
        """Asks how it is now."""
        run(self._core.refresh())
        return self

    def wait(self, timeout_s: float | None = None, on_progress: OnProgress | None = None) -> Self:
        """Until it is done. Raises WalkError when it failed or was cancelled, ServiceError when the time is up."""
        run(self._core.wait(timeout_s, on_progress))
        return self

    def events(self, after: int = 0) -> Iterator[Event]:
        """What happens to it until it has ended, from frame `after` + 1 on; goes on over broken connections."""
        return iterate(self._core.events(after))

    def save(self, path: str | Path, on_progress: OnProgress | None = None) -> Path:
        """Writes the animation: a GIF, MP4 or WebP by the path's suffix."""
        return run(self._core.save(path, on_progress))

    def frames(self, on_progress: OnProgress | None = None) -> Iterator[Picture]:
        """The animation's frames in order, each asked for when its turn comes."""
        return iterate(self._core.frames(on_progress))

    def preview(self, number: int) -> Picture:
        """The frame of a `FrameDrawn` event; there before the walk is done."""
        return run(self._core.preview(number))

    def report(self, on_progress: OnProgress | None = None) -> dict[str, Any]:
        """How smooth it is."""
        return run(self._core.report(on_progress))

    def cancel(self) -> Self:
        """Stops it, or leaves it as it is where it has ended."""
        run(self._core.cancel())
        return self

    def delete(self) -> None:
        """Removes it for good, and stops it before where it runs."""
        run(self._core.delete())
