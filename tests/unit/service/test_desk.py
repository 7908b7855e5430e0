"""The whole service in one process: REST at one end, a model at the other."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest
from PIL import Image

from momalisa.service.app import create_app
from momalisa.service.conductor import Conductor
from momalisa.service.conductor_config import ConductorConfig
from momalisa.service.config import EdgeConfig
from momalisa.service.desk import Desk
from momalisa.service.models import ServedModel
from momalisa.storage import open_store
from tests.support.local_crew import LocalCrew
from tests.support.small_sd import save_small_sd

BODY = {"waypoints": [{"prompt": "dots"}, {"prompt": "waves"}], "num_frames": 6, "num_inference_steps": 4}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[ServedModel, ...]:
    folder = save_small_sd(tmp_path_factory.mktemp("small"))
    return (ServedModel(id="small", uri=str(folder), title="Small"),)


def run(
    folder: Path, models: tuple[ServedModel, ...], play: Callable[[httpx.AsyncClient, LocalCrew], Awaitable[None]]
) -> None:
    async def act() -> None:
        store = open_store(folder)
        crew = LocalCrew(store)
        conductor = Conductor(store, crew, ConductorConfig(look_out_s=0.02))
        await conductor.take_config(models)
        desk = Desk(store, conductor)
        app = create_app(desk, EdgeConfig(is_open=True, has_visitors=False))
        conductor.start()
        try:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://service", timeout=60) as client:
                await asyncio.wait_for(play(client, crew), 60)
        finally:
            await conductor.stop()

    asyncio.run(act())


def events_of(text: str) -> list[tuple[str, str | None, dict[str, object]]]:
    """Name, id and data of each event of a stream."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line and not line.startswith(":"))
        if "event" in fields:
            found.append((fields["event"], fields.get("id"), json.loads(fields["data"])))
    return found


def test_from_two_prompts_to_a_gif(tmp_path: Path, models: tuple[ServedModel, ...]) -> None:
    async def play(client: httpx.AsyncClient, crew: LocalCrew) -> None:
        answer = await client.post("/v1/walks", json=BODY)
        assert answer.status_code == 202, answer.text
        walk = answer.json()
        stream = events_of((await client.get(walk["links"]["events"])).text)
        frames = [data for name, _, data in stream if name == "frame"]
        assert [data["number"] for data in frames] == list(range(1, len(frames) + 1))
        assert stream[-1][0] == "end"
        done = stream[-1][2]
        assert done["state"] == "done"
        resumed = events_of((await client.get(walk["links"]["events"], headers={"Last-Event-ID": "4"})).text)
        assert [number for name, number, _ in resumed if name == "frame"] == ["5", "6", "7"][: len(frames) - 4]
        for kind in ("gif", "webp", "mp4"):
            animation = await client.get(walk["links"][kind])
            assert animation.status_code == 200, animation.text
            (tmp_path / f"walk.{kind}").write_bytes(animation.content)
        with Image.open(tmp_path / "walk.gif") as gif:
            assert gif.size == (32, 32)
            assert gif.n_frames == done["num_frames"]
        for path in ("frames/0.png", "previews/1.png", "report", "report.png"):
            assert (await client.get(f"{walk['links']['self']}/{path}")).status_code == 200
        assert (await client.get(f"{walk['links']['self']}/frames/99.png")).status_code == 404
        again = await client.post("/v1/walks", json={**BODY, "seed": walk["request"]["seed"]})
        assert again.json()["state"] == "done"
        assert crew.num_rendered == len(frames)
        metrics = (await client.get("/metrics")).text
        assert f"momalisa_rendered_frames_total {len(frames)}.0" in metrics
        assert 'momalisa_works_total{state="done"} 1.0' in metrics
        assert "momalisa_oldest_work_seconds 0.0" in metrics
        assert "momalisa_oldest_queued_seconds 0.0" in metrics

    run(tmp_path / "bucket", models, play)


def test_one_picture_and_readiness(tmp_path: Path, models: tuple[ServedModel, ...]) -> None:
    async def play(client: httpx.AsyncClient, _crew: LocalCrew) -> None:
        answer = await client.post("/v1/images", json={"prompt": "dots", "num_inference_steps": 2})
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "image/png"
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.01)
        assert (await client.get("/predict?word1=a&word2=b")).headers["content-type"] == "image/gif"

    run(tmp_path, models, play)
