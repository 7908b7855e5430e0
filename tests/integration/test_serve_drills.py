"""The service under blows: kills at any moment, more walks than it takes, a bucket that fails, two renderers."""

import hashlib
import json
import random
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

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

_PATIENCE = Patience(deadline_s=300)
_DEPLOYMENTS = ("renderer", "conductor", "gateway", "assembler")
_NUM_KILLS = 20
_NUM_WALKS = 200
_CAPACITY = 40


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"small={save_small_sd(tmp_path_factory.mktemp('model') / 'small')}"


def life(folder: Path, **admission: Any) -> Path:
    path = folder / "life.json"
    path.write_text(
        json.dumps(
            {"conductor": {"admission": {"max_running_per_owner": 1000, "max_a_day_per_owner": 10_000} | admission}}
        )
    )
    return path


def frames_of(store: Store) -> dict[str, str]:
    """Hashes of all frames, by their addresses."""
    keys = [entry.key for entry in store.list("frames") if entry.key.endswith(".png")]
    return {key: hashlib.sha256(store.read_bytes(key)).hexdigest() for key in keys}


def all_is_accounted_for(service: Served, store: Store, *, num_deaths: int = 0) -> None:
    """Metrics and ledger agree with the frames in the bucket, but for those that a renderer died over."""
    num_stored = len(frames_of(store))
    least = num_stored - num_deaths * CHUNK_SIZE
    until = time.monotonic() + 30
    while (told := service.metrics()["momalisa_rendered_frames_total"]) < least and time.monotonic() < until:
        time.sleep(0.2)
    assert told == Ledger(store).totals().num_rendered
    assert least <= told <= num_stored


def test_whatever_is_killed_every_walk_ends_and_no_frame_is_drawn_twice(model: str, tmp_path: Path) -> None:
    rng = random.Random(20)
    with served(tmp_path, "--model", model, "--open", "--config", str(life(tmp_path))) as service:
        for number in range(_NUM_KILLS):
            walk = Client(service.url, patience=_PATIENCE).walk(
                "dots", f"waves {number}", wait=False, num_frames=30, num_inference_steps=8
            )
            time.sleep(rng.uniform(0.0, 2.0))
            service.kill(_DEPLOYMENTS[number % len(_DEPLOYMENTS)])
            walk.wait()
        num_deaths = -(-_NUM_KILLS // len(_DEPLOYMENTS))
        all_is_accounted_for(service, open_store(service.bucket), num_deaths=num_deaths)


def test_a_service_that_is_killed_as_a_whole_goes_on_after_its_start(model: str, tmp_path: Path) -> None:
    flags = ("--model", model, "--open")
    with served(tmp_path, *flags) as service:
        walk = Client(service.url).walk("dots", "waves", wait=False, num_frames=120, num_inference_steps=10)
        while not open_store(service.bucket).list("frames"):
            time.sleep(0.05)
        family = psutil.Process(service.process.pid).children(recursive=True)
        for process in [service.process, *family]:
            process.kill()
    with served(tmp_path, *flags) as service:
        until = time.monotonic() + 120
        while (state := httpx.get(f"{service.url}/v1/walks/{walk.id}").json()["state"]) != "done":
            assert time.monotonic() < until, state
            time.sleep(0.5)
        all_is_accounted_for(service, open_store(service.bucket), num_deaths=1)


def test_more_walks_than_it_takes_are_refused_cleanly_and_done_in_the_end(model: str, tmp_path: Path) -> None:
    refused: list[float] = []
    with served(tmp_path, "--model", model, "--open", "--config", str(life(tmp_path, max_works=_CAPACITY))) as service:
        memory = _memory_of(service)
        barrier = threading.Barrier(_NUM_WALKS)

        def ask(number: int) -> str:
            body = {"waypoints": [{"prompt": "dots"}, {"prompt": f"waves {number}"}], "num_frames": 6}
            body |= {"num_inference_steps": 4}
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
        client = Client(service.url, patience=_PATIENCE)
        for walk_id in ids:
            client.get(walk_id).wait()
        assert len(set(ids)) == _NUM_WALKS
        assert len(refused) > 0
        assert service.metrics()['momalisa_works_total{state="done"}'] == _NUM_WALKS
        all_is_accounted_for(service, open_store(service.bucket))
        assert _memory_of(service) < 1.5 * memory


def test_two_renderers_draw_what_one_draws(model: str, tmp_path: Path) -> None:
    drawn = []
    for num_renderers in (1, 2):
        folder = tmp_path / str(num_renderers)
        folder.mkdir()
        flags = ("--model", model, "--open", "--renderers", str(num_renderers))
        with served(folder, *flags, environment={"OMP_NUM_THREADS": "1"}) as service:  # sums go by the threads
            Client(service.url).walk("dots", "waves", seed=3, num_frames=60, num_inference_steps=8)
            drawn.append(frames_of(open_store(service.bucket)))
    assert drawn[0] == drawn[1]


def test_a_bucket_that_fails_costs_nothing_but_time(model: str, tmp_path: Path, faulty_gcs: GcsEmulator) -> None:
    faulty_gcs.set_faults(share=0.1, stall_s=1.0, seed=1, max_writes_per_s=1.0)
    bucket = faulty_gcs.create_bucket("served")
    with served(
        tmp_path, "--model", model, "--open", "--bucket", bucket, environment=faulty_gcs.environment
    ) as service:
        client = Client(service.url, patience=_PATIENCE)
        for number in range(4):
            client.walk("dots", f"waves {number}", num_frames=12, num_inference_steps=6).save(
                tmp_path / f"{number}.gif"
            )
        assert faulty_gcs.num_faults() > 0
        all_is_accounted_for(service, open_store(bucket))


def test_a_new_configuration_is_taken_and_a_bad_one_is_not(model: str, tmp_path: Path) -> None:
    uri = model.partition("=")[2]
    path = tmp_path / "life.json"

    def write(*models: dict[str, str]) -> None:
        path.write_text(json.dumps({"conductor": {"models": models}}))

    write({"id": "first", "uri": uri})
    with served(tmp_path, "--open", "--config", str(path)) as service:
        replica = service.replicas("conductor")[0].pid
        write({"id": "second", "uri": uri}, {"id": "first", "uri": uri})
        service.process.send_signal(signal.SIGHUP)
        _until_models_are(service, ["second", "first"])
        write({"id": "none", "uri": str(tmp_path / "nowhere")})
        service.process.send_signal(signal.SIGHUP)
        until = time.monotonic() + 60
        while service.metrics()["momalisa_refused_configs_total"] < 1:
            assert time.monotonic() < until
            time.sleep(0.3)
        _until_models_are(service, ["second", "first"])
        assert service.replicas("conductor")[0].pid == replica


def _until_models_are(service: Served, ids: list[str]) -> None:
    until = time.monotonic() + 30
    while (found := [m["id"] for m in httpx.get(f"{service.url}/v1/models").json()["models"]]) != ids:
        assert time.monotonic() < until, found
        time.sleep(0.3)


def _memory_of(service: Served) -> int:
    return sum(process.memory_info().rss for name in ("conductor", "gateway") for process in service.replicas(name))
