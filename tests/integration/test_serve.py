"""The service on a real Ray Serve, asked over HTTP by its own client."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from PIL import Image

from momalisa.client import Client
from momalisa.service import command
from tests.support.collector import Collector, collector
from tests.support.served import Served, served
from tests.support.small_sd import save_small_sd

PARTS = ("POST /v1/walks", "conductor", "text_encoder", "renderer", "assembler")
SETTINGS = {"num_frames": 12, "num_inference_steps": 6}


@pytest.fixture(scope="module")
def spans() -> Iterator[Collector]:
    with collector() as running:
        yield running


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, spans: Collector) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    model = save_small_sd(folder / "small")
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": spans.url, "OTEL_BSP_SCHEDULE_DELAY": "200"}
    with served(folder, "--model", f"small={model}", "--open", "--traces", environment=environment) as running:
        yield running


def test_two_prompts_become_an_animation(service: Served, tmp_path: Path) -> None:
    client = Client(service.url)
    progress: list[float] = []
    walk = client.walk("dots", "waves", on_progress=lambda made: progress.append(made.frames_done), **SETTINGS)
    for kind in ("gif", "mp4", "webp"):
        walk.save(tmp_path / f"walk.{kind}")
    with Image.open(tmp_path / "walk.gif") as gif:
        assert gif.n_frames >= 12
    assert progress
    assert httpx.get(f"{service.url}/readyz").json()["status"] == "ready"
    assert [model.id for model in client.models()] == ["small"]


def test_the_page_and_the_first_versions_way_of_asking(service: Served) -> None:
    page = httpx.get(service.url)
    assert page.status_code == 200
    assert "default-src 'none'" in page.headers["content-security-policy"]
    answer = httpx.get(f"{service.url}/predict", params={"word1": "dots", "word2": "waves"}, timeout=120)
    assert answer.headers["content-type"] == "image/gif"
    assert Image.open(io.BytesIO(answer.content)).size == (32, 32)


def test_a_port_that_is_taken_is_named(service: Served, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    port = service.url.rpartition(":")[2]
    assert command.main(["--state", str(tmp_path), "--port", port]) == 2
    assert "take another --port" in capsys.readouterr().err


def test_a_cancelled_walk_frees_the_renderers_within_a_chunk(service: Served) -> None:
    client = Client(service.url)
    walk = client.walk("dots", "a long way", wait=False, num_frames=200, num_inference_steps=20)
    while service.metrics()["momalisa_live_works"] < 1:
        time.sleep(0.05)
    walk.cancel()
    time.sleep(3.0)
    first = service.metrics()["momalisa_rendered_frames_total"]
    time.sleep(2.0)
    assert service.metrics()["momalisa_rendered_frames_total"] == first
    assert service.metrics()["momalisa_queued_chunks"] == 0


def test_every_part_logs_what_it_did_for_a_walk(service: Served, tmp_path: Path) -> None:
    walk = Client(service.url).walk("dots", "waves in a log", **SETTINGS)
    of_walk = [line for line in service.log_lines() if line.get("walk_id") == walk.id]
    assert {line["deployment"].rpartition("_")[2] for line in of_walk} >= {
        "gateway",
        "conductor",
        "encoder",
        "renderer",
        "assembler",
    }
    assert {"work_id", "request_id", "levelname", "message"} <= next(
        line for line in of_walk if "drawn now" in line["message"]
    ).keys()


def test_a_request_is_traced_through_every_part(service: Served, spans: Collector) -> None:
    walk = Client(service.url).walk("dots", "waves in a trace", **SETTINGS)
    until = time.monotonic() + 30
    while (parts := _parts_traced(spans, walk.id)) != set(PARTS):
        assert time.monotonic() < until, parts
        time.sleep(0.2)


def _parts_traced(spans: Collector, walk_id: str) -> set[str]:
    """Parts with a span in the trace of the request that asked for a walk."""
    of_walk = [span for span in spans.received if span.attributes.get("momalisa.walk_id") == walk_id]
    traces = {span.trace_id for span in of_walk if "momalisa.work_id" in span.attributes}
    assert len(traces) <= 1
    return {name for span in spans.received if span.trace_id in traces for name in PARTS if name in span.name}
