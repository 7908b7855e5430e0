"""Visitors of a release while something happens to it: they ask, order walks and watch them, and never ask twice.

The one exception is an event stream, which comes again with the last id that it has seen, as browsers do.
"""

import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
from PIL import Image

_PATHS = ("/healthz", "/v1/models", "/", "/v1/walks?listing=featured")
_SHORT = {"num_frames": 3, "num_inference_steps": 2}
_LONG = {"num_frames": 40, "num_inference_steps": 20}
_ANSWER_S = 60.0
_WALK_S = 300.0
_BETWEEN_LOOKS_S = 0.5
_BETWEEN_WALKS_S = 0.5
_NUM_LOOKERS = 4  # of them half keep their connections
_NUM_WALKERS = 2
_NUM_WATCHERS = 5
"""Of each long walk, of which there is one at any moment."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What somebody got who should have got something else."""

    at: float
    what: str


@dataclass(slots=True)
class Tally:
    """What all visitors together have seen. Times are those of `time.monotonic`."""

    num_kept_alive: int = 0
    """Requests over connections that were kept."""
    num_fresh: int = 0
    num_streams: int = 0
    """Streams, each to its end, however often it came again."""
    num_resumed: int = 0
    """Times that a stream came again."""
    walks: list[str] = field(default_factory=list)
    """Ids of all that were taken on."""
    num_done: int = 0
    failures: list[Failure] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    """When a request was answered as it should be."""

    def num_requests(self) -> int:
        """All, walks' own not counted."""
        return self.num_kept_alive + self.num_fresh

    def outage_s(self) -> float:
        """The longest time in which nothing was answered, of all in which something failed; 0 where nothing did."""
        longest = 0.0
        times = sorted(self.answered)
        for failure in self.failures:
            before = max((at for at in times if at < failure.at), default=failure.at)
            after = min((at for at in times if at > failure.at), default=failure.at)
            longest = max(longest, after - before)
        return longest

    def in_words(self) -> str:
        """A line for people."""
        return (
            f"{self.num_kept_alive} requests over kept connections, {self.num_fresh} over new ones; {len(self.walks)} "
            f"walks, {self.num_done} done; {self.num_streams} streams, resumed {self.num_resumed} times; "
            f"{len(self.failures)} failures, nothing answered for {self.outage_s():.1f} s at most"
        )


class Crowd:
    """Comes with `visiting`; what it sees is in `tally`."""

    def __init__(self, url: str) -> None:
        self.tally = Tally()
        self._url = url
        self._lock = threading.Lock()
        self._number = 0

    def look(self, is_over: threading.Event, *, keeps: bool) -> None:
        """One visitor, who looks at something every now and then."""
        with self._client() as kept:
            while not is_over.wait(_BETWEEN_LOOKS_S):
                path = _PATHS[self._next() % len(_PATHS)]
                with self._noting(f"GET {path}"):
                    if keeps:
                        kept.get(path).raise_for_status()
                    else:
                        with self._client() as fresh:
                            fresh.get(path, headers={"Connection": "close"}).raise_for_status()
                    self._count(num_kept_alive=keeps, num_fresh=not keeps)

    def walk(self, is_over: threading.Event) -> None:
        """One visitor, who has one short walk after the other and takes its GIF home."""
        with self._client() as client:
            while not is_over.wait(_BETWEEN_WALKS_S):
                if (walk_id := self._order(client, _SHORT)) is None:
                    continue
                self._watch(walk_id)
                self._take_home(client, walk_id)

    def watch_long_walks(self, is_over: threading.Event) -> None:
        """Some visitors before one long walk, and then before the next."""
        with self._client() as client, ThreadPoolExecutor(_NUM_WATCHERS) as pool:
            while not is_over.wait(_BETWEEN_WALKS_S):
                if (walk_id := self._order(client, _LONG)) is None:
                    continue
                list(pool.map(self._watch, [walk_id] * _NUM_WATCHERS))
                self._take_home(client, walk_id)

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, timeout=_ANSWER_S, trust_env=False)

    def _next(self) -> int:
        with self._lock:
            self._number += 1
            return self._number

    def _count(self, **more: int) -> None:
        with self._lock:
            for name, number in more.items():
                setattr(self.tally, name, getattr(self.tally, name) + number)

    @contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        """One request: when it was answered, or what became of it."""
        began = time.monotonic()
        try:
            yield
        except httpx.HTTPError as e:
            said = e.response.text[:300] if isinstance(e, httpx.HTTPStatusError) else ""
            took = time.monotonic() - began
            with self._lock:
                self.tally.failures.append(Failure(time.monotonic(), f"{what} after {took:.1f} s: {e!r} {said}"))
        else:
            with self._lock:
                self.tally.answered.append(time.monotonic())

    def _order(self, client: httpx.Client, settings: dict[str, int]) -> str | None:
        waypoints = [{"prompt": "blue dots"}, {"prompt": "red stripes on white"}]
        with self._noting("POST /v1/walks"):
            answer = client.post("/v1/walks", json={"waypoints": waypoints, "seed": self._next(), **settings})
            answer.raise_for_status()
            walk_id = str(answer.json()["id"])
            with self._lock:
                self.tally.walks.append(walk_id)
            return walk_id
        return None

    def _watch(self, walk_id: str) -> None:
        """An event stream to the walk's end."""
        stream = _Stream(f"/v1/walks/{walk_id}/events")
        until = time.monotonic() + _WALK_S
        while stream.end is None and time.monotonic() < until:
            with self._noting(f"GET {stream.path}"), self._client() as client:
                stream.read(client)
            if stream.end is None:
                self._count(num_resumed=1)
                time.sleep(stream.retry_s)
        end = stream.end or {"state": "without an end", "progress": {"frames_total": 0}}
        # Where a step was too large, frames are added.
        num_frames = end["progress"]["frames_total"]
        if end["state"] != "done" or stream.frames != list(range(1, num_frames + 1)):
            what = f"stream of {walk_id}: {end['state']}, frames {stream.frames} of {num_frames}"
            with self._lock:
                self.tally.failures.append(Failure(time.monotonic(), what))
        self._count(num_streams=1)

    def _take_home(self, client: httpx.Client, walk_id: str) -> None:
        with self._noting(f"GET the GIF of {walk_id}"):
            answer = client.get(f"/v1/walks/{walk_id}/animation.gif").raise_for_status()
            with Image.open(io.BytesIO(answer.content)) as picture:
                assert getattr(picture, "n_frames", 1) > 1
            self._count(num_done=1)


class _Stream:
    def __init__(self, path: str) -> None:
        self.path = path
        self.frames: list[int] = []
        self.end: dict[str, Any] | None = None
        self.retry_s = 1.0
        self._last_id = ""

    def read(self, client: httpx.Client) -> None:
        """Until the service ends it, or the walk ends."""
        headers = {"Last-Event-ID": self._last_id} if self._last_id else {}
        event = ""
        with client.stream("GET", self.path, headers=headers) as answer:
            if answer.is_error:
                answer.read()
            answer.raise_for_status()
            for line in answer.iter_lines():
                name, _, value = line.partition(": ")
                if name == "retry":
                    self.retry_s = int(value) / 1000
                elif name == "event":
                    event = value
                elif name == "id":
                    self._last_id = value
                elif name == "data" and event == "frame":
                    self.frames.append(json.loads(value)["number"])
                elif name == "data" and event == "end":
                    self.end = json.loads(value)
                    return


@contextmanager
def visiting(url: str) -> Iterator[Crowd]:
    """A crowd for as long as the block; at its end everybody finishes what they began."""
    crowd, is_over = Crowd(url), threading.Event()
    keepers = [lambda: crowd.look(is_over, keeps=True)] * (_NUM_LOOKERS // 2)
    others = [lambda: crowd.look(is_over, keeps=False)] * (_NUM_LOOKERS // 2)
    walkers: list[Callable[[], None]] = [lambda: crowd.walk(is_over)] * _NUM_WALKERS
    with ThreadPoolExecutor(_NUM_LOOKERS + _NUM_WALKERS + 1) as pool:
        going = [pool.submit(each) for each in (*keepers, *others, *walkers)]
        going.append(pool.submit(crowd.watch_long_walks, is_over))
        try:
            yield crowd
        finally:
            is_over.set()
            for each in going:
                each.result(_WALK_S)
