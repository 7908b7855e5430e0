"""An upgrade: two releases of the service on one bucket, each with a Ray of its own."""

import http.client
import shutil
import signal
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import pytest

from momalisa.client import Client, FrameDrawn, Patience, WalkEnded
from momalisa.service.ledger import Ledger
from momalisa.storage import open_store
from tests.support.forwarder import forwarder, target_of
from tests.support.served import CHUNK_SIZE, Served, served
from tests.support.small_sd import save_small_sd

pytestmark = pytest.mark.slow

_NUM_LIVE = 3
_LONG = {"num_frames": 120, "num_inference_steps": 40}
_SHORT = {"num_frames": 2, "num_inference_steps": 1, "seed": 1}


@pytest.mark.timeout(600)
def test_a_new_release_takes_over_without_a_frame_lost_or_drawn_twice(tmp_path: Path) -> None:
    model, bucket = save_small_sd(tmp_path / "small"), tmp_path / "bucket"

    def start(release: str) -> Served:
        folder = tmp_path / release
        folder.mkdir()
        if release != "blue":  # as a Kubernetes Secret is the same to both
            shutil.copy(tmp_path / "blue" / "session-secrets", folder)
        flags = ("--model", f"small={model}", "--open", "--bucket", str(bucket), "--release", release)
        return stack.enter_context(served(folder, *flags))

    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        blue = start("blue")
        service = stack.enter_context(forwarder(blue.url))
        kept_alive = stack.enter_context(closing(http.client.HTTPConnection(*target_of(blue.url), timeout=60)))
        assert closes(kept_alive) is False
        watches: dict[str, Future[list[int]]] = {}
        coming = pool.submit(start, "green")
        while not coming.done():  # at any moment some walks are under way
            if sum(not watch.done() for watch in watches.values()) < _NUM_LIVE:
                walk_id, watch = watched(pool, service.url, len(watches))
                watches[walk_id] = watch
            time.sleep(0.1)
        green = coming.result()
        (renderer,) = blue.replicas("renderer")
        renderer.suspend()  # what is under way now stays so, however quick this machine is
        service.target = target_of(green.url)
        assert httpx.get(f"{service.url}/v1/models", timeout=60).status_code == 200  # its first visitor
        walk_id = next(walk_id for walk_id, watch in watches.items() if not watch.done())
        stream = last_words(blue, walk_id)
        late = until_closed(blue)
        while not closes(kept_alive):
            time.sleep(0.5)
        assert stream.splitlines()[-2:] == ["retry: 500", ""]
        num_under_way = sum(not watch.done() for watch in watches.values())
        assert num_under_way > 0
        renderer.resume()
        blue.process.send_signal(signal.SIGTERM)
        print(f"{num_under_way} of {len(watches)} walks go on at the new release")
        for watch in watches.values():
            assert watch.result(timeout=240) == list(range(1, len(watch.result()) + 1))
        Client(service.url, patience=Patience(deadline_s=300)).get(late).wait(timeout_s=240)
        store = open_store(bucket)
        num_stored = sum(entry.key.endswith(".png") for entry in store.list("frames"))
        assert num_stored - CHUNK_SIZE <= Ledger(store).totals().num_rendered <= num_stored


def watched(pool: ThreadPoolExecutor, url: str, number: int) -> tuple[str, Future[list[int]]]:
    """A walk's id, and the numbers of its frames as its events tell them, once it is done."""
    client = Client(url, patience=Patience(deadline_s=300))
    walk = client.walk("dots", f"waves {number}", wait=False, **_LONG)

    def watch() -> list[int]:
        events = list(walk.events())
        assert isinstance(events[-1], WalkEnded)
        assert events[-1].walk.state == "done"
        return [event.number for event in events if isinstance(event, FrameDrawn)]

    return walk.id, pool.submit(watch)


def last_words(service: Served, walk_id: str) -> str:
    """All of an event stream that the service ends by itself."""
    return httpx.get(f"{service.url}/v1/walks/{walk_id}/events", timeout=60).text


def until_closed(service: Served) -> str:
    """The id of a walk that is taken all the same, once answers say that they are a connection's last."""
    until = time.monotonic() + 30
    body = {"waypoints": [{"prompt": "dots"}, {"prompt": "late waves"}], **_SHORT}
    while (answer := httpx.post(f"{service.url}/v1/walks", json=body, timeout=60)).headers.get("connection") != "close":
        assert answer.status_code == 202, answer.text
        assert time.monotonic() < until, answer.text
        time.sleep(0.5)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def closes(connection: http.client.HTTPConnection) -> bool:
    """Whether an answer by a connection says that it is the last one."""
    connection.request("GET", "/healthz")
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200
    return answer.getheader("connection") == "close"
