"""A walk of the service, written once: `Walk` and `AsyncWalk` are its faces."""

import json
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from momalisa.client.asking import Asker
from momalisa.client.pictures import Picture, write_file
from momalisa.client.progress import OnProgress, reporting
from momalisa.client.sse import EventParser, ServerEvent
from momalisa.client.views import Event, FrameDrawn, ProgressMade, WalkEnded, WalkView, parse
from momalisa.client.wire import DisconnectedError, Request
from momalisa.errors import (
    GoneError,
    InputError,
    ObjectNotFoundError,
    ServiceError,
    UnavailableError,
    WalkError,
)

FORMATS = (".gif", ".mp4", ".webp")

_LOGGER = logging.getLogger(__name__)
_HEARTBEATS_MISSED_S = 30.0  # there is one every 10 s
_RETRY_S = 2.0
_MAX_RETRY_S = 60.0
_MAX_DELETES = 3


class WalkCore:
    """A walk, as `Walk` documents it."""

    def __init__(self, asker: Asker, view: WalkView) -> None:
        self._asker = asker
        self.view = view
        """As it was last heard of."""

    async def refresh(self) -> None:
        self.view = await fetch_view(self._asker, self.view.id)

    async def wait(self, timeout_s: float | None, on_progress: OnProgress | None) -> None:
        if not self.view.has_ended:
            until = None if timeout_s is None else self._asker.wire.clock() + timeout_s
            with reporting(on_progress) as report:
                async with aclosing(self.events(0, until)) as events:
                    async for _ in events:
                        report(self.view.progress)
        if self.view.state == "done":
            return
        failure = self.view.error
        why = f"{failure.detail} ({failure.code})" if failure else f"it is {self.view.state}"
        raise WalkError(f"walk {self.view.id} came to nothing: {why}")

    async def events(self, after: int, until: float | None = None) -> AsyncGenerator[Event, None]:
        last = after
        num_fruitless = 0
        while True:
            parser = EventParser()
            num_fruitless += 1
            async with aclosing(self._connection(parser, last, until)) as events:
                async for event in events:
                    num_fruitless = 0
                    if isinstance(event, FrameDrawn):
                        last = event.number
                    self._note(event)
                    yield event
                    if isinstance(event, WalkEnded):
                        return
            if num_fruitless:  # something on the way holds events back: asking for the walk itself gets through
                await self.refresh()
                event = self._as_event()
                yield event
                if isinstance(event, WalkEnded):
                    return
            retry_s = _RETRY_S if parser.retry_s is None else min(parser.retry_s, _MAX_RETRY_S)
            await self._asker.pause(retry_s, num_fruitless + 1)
            self._refuse_after(until)

    async def save(self, path: str | Path, on_progress: OnProgress | None) -> Path:
        target = Path(path)
        if target.suffix.lower() not in FORMATS:
            raise InputError(f"no animation is a {target.suffix or target.name!r}: take one of {', '.join(FORMATS)}")
        if not target.parent.is_dir():
            raise InputError(f"there is no folder {target.parent} to save to: make it first")
        await self.wait(None, on_progress)
        content = await self._asker.ask(Request(path=f"{self._path}/animation{target.suffix.lower()}"))
        return await self._asker.wire.do(partial(write_file, target, content))

    async def frames(self, on_progress: OnProgress | None) -> AsyncGenerator[Picture, None]:
        await self.wait(None, on_progress)
        if self.view.num_frames is None:  # known of it is only that it went on until it was done
            await self.refresh()
        if self.view.num_frames is None:
            raise ServiceError(f"the service does not say how many frames walk {self.view.id} has")
        for number in range(self.view.num_frames):
            yield Picture(await self._asker.ask(Request(path=f"{self._path}/frames/{number}.png")))

    async def preview(self, number: int) -> Picture:
        return Picture(await self._asker.ask(Request(path=f"{self._path}/previews/{number}.png")))

    async def report(self, on_progress: OnProgress | None) -> dict[str, Any]:
        await self.wait(None, on_progress)
        report = await self._asker.ask_json(Request(path=f"{self._path}/report"))
        if not isinstance(report, dict):
            raise ServiceError(f"the report of walk {self.view.id} is none")
        return report

    async def cancel(self) -> None:
        await self.refresh()
        if self.view.has_ended:
            return
        try:
            # Seen twice, the second would delete what the first has cancelled.
            await self._delete_once(is_repeatable=False)
        except UnavailableError:
            await self.refresh()
            if not self.view.has_ended:
                raise

    async def delete(self) -> None:
        await self.refresh()
        for _ in range(_MAX_DELETES):  # the first may but cancel it
            try:
                await self._delete_once(is_repeatable=True)
            except (ObjectNotFoundError, GoneError):
                return
        raise ServiceError(f"walk {self.view.id} is still there after it was deleted")

    async def _connection(
        self, parser: EventParser, last: int, until: float | None
    ) -> AsyncGenerator[ProgressMade | FrameDrawn | WalkEnded, None]:
        """Events of one connection, for as long as it holds."""
        headers = {"Last-Event-ID": str(last)} if last else {}
        request = Request(path=f"{self._path}/events", headers=headers, silence_s=_HEARTBEATS_MISSED_S)
        stream = await self._asker.stream(request)
        try:
            while chunk := await stream.chunk():
                for sent in parser.feed(chunk):
                    event = _event(sent)
                    if isinstance(event, FrameDrawn):
                        if event.number <= last:
                            continue  # seen before the connection broke
                        last = event.number
                    if event is not None:
                        yield event
                self._refuse_after(until)
        except DisconnectedError as e:
            _LOGGER.info("%s: %s; resumed after frame %d", request, e, last)
        finally:
            await stream.close()

    def _note(self, event: Event) -> None:
        if isinstance(event, ProgressMade):
            self.view = replace(self.view, state=event.state, progress=event.progress)
        elif isinstance(event, WalkEnded):
            self.view = event.walk

    def _as_event(self) -> Event:
        if self.view.has_ended:
            return WalkEnded(walk=self.view)
        return ProgressMade(state=self.view.state, progress=self.view.progress)

    def _refuse_after(self, until: float | None) -> None:
        if until is not None and self._asker.wire.clock() > until:
            raise ServiceError(f"walk {self.view.id} is still {self.view.state}: wait longer, or cancel it")

    async def _delete_once(self, *, is_repeatable: bool) -> None:
        request = Request(method="DELETE", path=self._path, is_repeatable=is_repeatable)
        self.view = parse(WalkView, await self._asker.ask_json(request))

    @property
    def _path(self) -> str:
        return _path(self.view.id)


async def fetch_view(asker: Asker, walk_id: str) -> WalkView:
    """A walk as it is now."""
    return parse(WalkView, await asker.ask_json(Request(path=_path(walk_id))))


def _path(walk_id: str) -> str:
    return f"/v1/walks/{quote(walk_id, safe='')}"


def _event(sent: ServerEvent) -> Event | None:
    try:
        data = json.loads(sent.data)
    except ValueError as e:
        raise ServiceError(f"an event of the service is no JSON: {sent.data[:100]!r}") from e
    if sent.name == "progress":
        return parse(ProgressMade, data)
    if sent.name == "frame":
        return parse(FrameDrawn, data)
    if sent.name == "end":
        return WalkEnded(walk=parse(WalkView, data))
    return None  # from a newer service
