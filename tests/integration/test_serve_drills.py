"""The service under blows: kills at any moment, more walks than it takes, a bucket that fails, two renderers."""

import hashlib
import json
import random
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import psutil
import pytest

from momalisa.client import Client, Patience
from momalisa.service.ledger import Ledger
from momalisa.storage import Store, open_store
from tests.support.gcs_emulator import GcsEmulator
from tests.support.served import CHUNK_SIZE, Served, served
from tests.support.small_sd import save_small_sd

pytestmark = pytest.mark.slow

_LIFE = "life.json"
_PATIENCE = Patience(deadline_s=300, max_disconnects=100)
_DEPLOYMENTS = ("renderer", "conductor", "gateway", "text_encoder", "assembler")
_NUM_KILLS = 20
_NUM_WALKS = 200
_CAPACITY = 40
_PROMPT_TAKEOVERS = (
    *("--set", "leading.look_out_s=0.5"),
    *("--set", "leading.renew_s=0.5"),
    *("--set", "leading.patience_s=2.5"),
)
"""What is 2, 3 and 10 s by default."""
_RENDERED = "momalisa_rendered_frames_total"
_DONE = 'momalisa_works_total{state="done"}'
_REFUSED_CONFIGS = "momalisa_refused_configs_total"
_ONE_THREAD = {"OMP_NUM_THREADS": "1"}
"""Sums go by the threads: two renderers have one each."""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_sd(tmp_path_factory.mktemp("model") / "small")


@pytest.fixture(scope="module")
def service(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One for the drills that need no other one; the last of them takes it down."""
    folder = tmp_path_factory.mktemp("served")
    write_life(folder, {"small": model})
    with drilled(folder) as running:
        yield running


def drilled(folder: Path) -> AbstractContextManager[Served]:
    """The service with what the folder has."""
    return served(folder, "--open", "--config", str(folder / _LIFE), *_PROMPT_TAKEOVERS, environment=_ONE_THREAD)


def write_life(folder: Path, models: Mapping[str, Path]) -> None:
    admission = {"max_works": _CAPACITY, "max_running_per_owner": 1000, "max_a_day_per_owner": 10_000}
    admission |= {"seconds_per_work": 1, "max_retry_after_s": 5}
    served_models = [{"id": name, "uri": str(uri)} for name, uri in models.items()]
    (folder / _LIFE).write_text(json.dumps({"conductor": {"models": served_models, "admission": admission}}))


def frames_of(store: Store) -> dict[str, str]:
    """Hashes of all frames, by their addresses."""
    keys = [entry.key for entry in store.list("frames") if entry.key.endswith(".png")]
    return {key: hashlib.sha256(store.read_bytes(key)).hexdigest() for key in keys}


def num_unaccounted(service: Served, store: Store, *, at_most: int) -> int:
    """Frames in the bucket that neither metrics nor ledger, which agree, tell of: those that a renderer died over."""
    num_stored = len(frames_of(store))
    until = time.monotonic() + 30
    while (told := service.metrics()[_RENDERED]) < num_stored - at_most and time.monotonic() < until:
        time.sleep(0.2)
    totals = Ledger(store).totals()
    assert told == totals.num_rendered
    assert totals.num_drawn_twice == 0
    assert num_stored - at_most <= told <= num_stored
    return num_stored - int(told)


def test_two_renderers_draw_what_one_draws(service: Served, model: Path, tmp_path: Path) -> None:
    flags = ("--model", f"small={model}", "--open", "--renderers", "2")
    drawn = []
    with served(tmp_path, *flags, environment=_ONE_THREAD) as two:
        for each in (service, two):
            Client(each.url).walk("dots", "waves", seed=3, num_frames=60, num_inference_steps=8)
            drawn.append(frames_of(open_store(each.bucket)))
    assert len(drawn[1]) >= 60
    assert drawn[1].items() <= drawn[0].items()


def test_whatever_is_killed_every_walk_ends_and_no_frame_is_drawn_twice(service: Served) -> None:
    """Some are killed while others, and the walks of before, still recover."""
    rng = random.Random(20)
    walks, began = [], time.monotonic()
    for number in range(_NUM_KILLS):
        victim = _DEPLOYMENTS[number % len(_DEPLOYMENTS)]
        client = Client(service.url, patience=_PATIENCE, sleep=_doze)
        walks.append(client.walk("dots", f"waves {number}", wait=False, num_frames=30, num_inference_steps=8))
        time.sleep(rng.uniform(0.0, 2.0))
        while not service.replicas(victim):
            time.sleep(0.05)
        service.kill(victim)
        print(f"{time.monotonic() - began:5.1f} s: {victim} killed")
    for walk in walks:
        walk.wait()
    print(f"{time.monotonic() - began:5.1f} s: all walks are done")
    num_deaths = -(-_NUM_KILLS // len(_DEPLOYMENTS))
    num_unaccounted(service, open_store(service.bucket), at_most=num_deaths * CHUNK_SIZE)


def test_more_walks_than_it_takes_are_refused_cleanly_and_done_in_the_end(service: Served) -> None:
    refused: list[float] = []
    store = open_store(service.bucket)
    done, lost = service.metrics()[_DONE], num_unaccounted(service, store, at_most=10_000)
    memory, began = _memory_of(service), time.monotonic()
    barrier = threading.Barrier(_NUM_WALKS)

    def ask(number: int) -> str:
        body = {"waypoints": [{"prompt": "dots"}, {"prompt": f"crowd {number}"}], "num_frames": 2}
        body |= {"num_inference_steps": 1}  # most of it is assembling
        barrier.wait()
        while True:
            answer = httpx.post(f"{service.url}/v1/walks", json=body, timeout=120)
            if answer.status_code == httpx.codes.ACCEPTED:
                return str(answer.json()["id"])
            assert answer.status_code == httpx.codes.TOO_MANY_REQUESTS, answer.text
            refused.append(float(answer.headers["retry-after"]))
            time.sleep(refused[-1])

    with ThreadPoolExecutor(_NUM_WALKS) as pool:
        ids = list(pool.map(ask, range(_NUM_WALKS)))
    print(f"{time.monotonic() - began:5.1f} s: all walks are taken, {len(refused)} times one was refused")
    client = Client(service.url, patience=_PATIENCE, sleep=_doze)
    for walk_id in ids:
        client.get(walk_id).wait()
    print(f"{time.monotonic() - began:5.1f} s: all walks are done; {_stages(service)}")
    assert len(set(ids)) == _NUM_WALKS
    assert len(refused) > 0
    assert service.metrics()[_DONE] == done + _NUM_WALKS
    assert num_unaccounted(service, store, at_most=lost) == lost
    assert _memory_of(service) < 1.5 * memory


def test_a_new_configuration_is_taken_and_a_bad_one_is_not(service: Served, model: Path, tmp_path: Path) -> None:
    folder, replica = service.bucket.parent, service.replicas("conductor")[0].pid
    refused = service.metrics()[_REFUSED_CONFIGS]
    write_life(folder, {"second": model, "first": model})
    service.process.send_signal(signal.SIGHUP)
    _until_models_are(service, ["second", "first"])
    write_life(folder, {"none": tmp_path / "nowhere"})
    service.process.send_signal(signal.SIGHUP)
    until = time.monotonic() + 60
    while service.metrics()[_REFUSED_CONFIGS] < refused + 1:
        assert time.monotonic() < until
        time.sleep(0.3)
    _until_models_are(service, ["second", "first"])
    assert service.replicas("conductor")[0].pid == replica
    write_life(folder, {"small": model})
    service.process.send_signal(signal.SIGHUP)
    _until_models_are(service, ["small"])


def test_a_service_that_is_killed_as_a_whole_goes_on_after_its_start(service: Served) -> None:
    store = open_store(service.bucket)
    lost, before = num_unaccounted(service, store, at_most=10_000), len(store.list("frames"))
    walk = Client(service.url).walk("dots", "a long way", wait=False, num_frames=120, num_inference_steps=10)
    while len(store.list("frames")) == before:
        time.sleep(0.05)
    family = psutil.Process(service.process.pid).children(recursive=True)
    for process in [service.process, *family]:
        process.kill()
    with drilled(service.bucket.parent) as again:
        until = time.monotonic() + 120
        while (state := httpx.get(f"{again.url}/v1/walks/{walk.id}").json()["state"]) != "done":
            assert time.monotonic() < until, state
            time.sleep(0.5)
        num_unaccounted(again, store, at_most=lost + CHUNK_SIZE)


def test_a_bucket_that_fails_costs_nothing_but_time(model: Path, tmp_path: Path, faulty_gcs: GcsEmulator) -> None:
    faulty_gcs.set_faults(share=0.1, stall_s=1.0, seed=1, max_writes_per_s=1.0)
    bucket = faulty_gcs.create_bucket("served")
    flags = ("--model", f"small={model}", "--open", "--bucket", bucket)
    with served(tmp_path, *flags, environment=faulty_gcs.environment) as service:
        client = Client(service.url, patience=_PATIENCE)
        for number in range(3):
            walk = client.walk("dots", f"waves {number}", num_frames=12, num_inference_steps=2)
            walk.save(tmp_path / f"{number}.gif")
        assert faulty_gcs.num_faults() > 0
        num_unaccounted(service, open_store(bucket), at_most=0)


def _doze(duration_s: float) -> None:
    """A client that asks again sooner than it should."""
    time.sleep(min(duration_s, 0.5))


def _until_models_are(service: Served, ids: list[str]) -> None:
    until = time.monotonic() + 30
    while (found := [m["id"] for m in httpx.get(f"{service.url}/v1/models").json()["models"]]) != ids:
        assert time.monotonic() < until, found
        time.sleep(0.3)


def _memory_of(service: Served) -> int:
    return sum(process.memory_info().rss for name in ("conductor", "gateway") for process in service.replicas(name))


def _stages(service: Served) -> str:
    """Seconds of all works since the conductor began."""
    figures = service.metrics()
    stages = {name: figures[f'momalisa_stage_seconds_sum{{stage="{name}"}}'] for name in ("draw", "assemble")}
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in stages.items())
