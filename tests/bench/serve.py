"""The service against the same walks in this process: what HTTP, Serve and the bucket cost.

    python tests/bench/serve.py [--rounds 5] [--frames 60] [--threads 2] [--json FILE]

What the keys mean: tests/bench/README.md.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))  # the folder of `tests`, when this file is run by itself

from momalisa.client import Client, FrameDrawn
from momalisa.terminal import counted
from momalisa.walk.animation import write_animation
from momalisa.walk.course import Course
from momalisa.walk.frames import MemoryFrames
from momalisa.walk.placement import MemoryJournal
from momalisa.walk.render import Renderer
from momalisa.walk.request import WalkRequest, Waypoint
from momalisa.walk.settings import Settings
from momalisa.walk.studio import Studio
from momalisa.walk.walk import draw_chunk
from tests.support.served import Served, served

_PROMPTS = ("blue dots on a yellow ground", "white stripes on a red ground")
_MOST_OVERHEAD = 0.05
_FIRST_SHARE, _FIRST_EXTRA_S = 1.2, 0.15
_CORES_FOR_TWO = 4
_LOAD_WALKS, _LOAD_CLIENTS, _LOAD_FRAMES = 16, 8, 12


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", type=Path, metavar="FILE")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    studio = Studio("tiny", settings=Settings(device="cpu"))
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with served(folder, "--open", environment={"OMP_NUM_THREADS": str(flags.threads)}) as service:
            _in_service(service, 0, flags.frames)  # texts and kernels are warm on both sides
            _in_process(studio, 0, flags.frames, folder)
            with counted("rounds", flags.rounds) as advance:
                for seed in range(1, flags.rounds + 1):
                    served_figures = _in_service(service, seed, flags.frames)
                    rows.append({**served_figures, **_in_process(studio, seed, flags.frames, folder)})
                    advance(1)
            load = _under_load(service)
        record = _summarise(rows) | load | _with_two_renderers(folder, flags.frames)
    for key, value in record.items():
        print(f"{key:28s}{value:9.3f}")
    if flags.json:
        flags.json.write_text(json.dumps({**record, "rounds": rows}, indent=1))
    within = record["first_preview_s"] <= record["first_preview_most_s"]
    return 0 if within and record["overhead"] <= _MOST_OVERHEAD else 1


def _in_service(service: Served, seed: int, num_frames: int) -> dict[str, float]:
    """Seconds from the request to the first preview, and to the animation's last byte."""
    client = Client(service.url)
    before = service.metrics()
    began = time.perf_counter()
    walk = client.walk(*_PROMPTS, wait=False, seed=seed, num_frames=num_frames)
    first_preview_s = 0.0
    for event in walk.events():
        if isinstance(event, FrameDrawn) and not first_preview_s:
            first_preview_s = time.perf_counter() - began
    with tempfile.TemporaryDirectory() as name:
        walk.save(Path(name) / "walk.gif")
    seconds = time.perf_counter() - began
    after = service.metrics()
    rendering = "momalisa_renderer_seconds_total"
    assembling = 'momalisa_stage_seconds_sum{stage="assemble"}'
    return {
        "served_s": seconds,
        "first_preview_s": first_preview_s,
        "renderer_s": after[rendering] - before[rendering],
        "assembly_s": after[assembling] - before.get(assembling, 0.0),
    }


def _in_process(studio: Studio, seed: int, num_frames: int, folder: Path) -> dict[str, float]:
    """Seconds of the same walk, from its prompts to the file; and of one frame by itself."""
    request = _request(seed, num_frames)
    began = time.perf_counter()
    made = studio.make(request, MemoryFrames())
    write_animation(made.animation(), folder / "walk.gif")
    seconds = time.perf_counter() - began
    began = time.perf_counter()
    _draw_one_frame(studio, _request(seed + 1000, num_frames))
    return {"in_process_s": seconds, "one_frame_s": time.perf_counter() - began}


def _draw_one_frame(studio: Studio, request: WalkRequest) -> None:
    renderer = Renderer(studio.components, request, sketcher=studio.sketcher)
    (chunk, *_) = Course(request, renderer.rendition, chunk_size=1).advance(MemoryJournal())
    draw_chunk(renderer, chunk, MemoryFrames())


def _request(seed: int, num_frames: int) -> WalkRequest:
    waypoints = tuple(Waypoint(prompt=prompt) for prompt in _PROMPTS)
    return WalkRequest(waypoints=waypoints, num_frames=num_frames, seed=seed, model="tiny")


def _under_load(service: Served) -> dict[str, float]:
    """Seconds of short walks that several clients ask for at once."""

    def ask(number: int) -> float:
        began = time.perf_counter()
        client = Client(service.url)
        client.walk(*_PROMPTS, seed=10_000 + number, num_frames=_LOAD_FRAMES, num_inference_steps=10)
        return time.perf_counter() - began

    with ThreadPoolExecutor(_LOAD_CLIENTS) as pool:
        seconds = sorted(pool.map(ask, range(_LOAD_WALKS)))
    return {"load_p50_s": statistics.median(seconds), "load_p99_s": seconds[-1]}


def _with_two_renderers(folder: Path, num_frames: int) -> dict[str, float]:
    """How many times faster a walk is drawn by two renderers than by one, each with half of the cores."""
    cores = os.cpu_count() or 1
    if cores < _CORES_FOR_TWO:
        print(f"two_renderers_speedup is left out: {cores} cores, and it takes {_CORES_FOR_TWO} for two to have room")
        return {}
    seconds = []
    for number in ("1", "2"):
        state = folder / f"renderers-{number}"
        state.mkdir()
        environment = {"OMP_NUM_THREADS": str(cores // 2)}
        with served(state, "--open", "--renderers", number, environment=environment) as service:
            _in_service(service, 0, num_frames)
            seconds.append(_in_service(service, 1, num_frames)["served_s"])
    return {"two_renderers_speedup": seconds[0] / seconds[1]}


def _summarise(rows: list[dict[str, float]]) -> dict[str, float]:
    record = {key: statistics.median(row[key] for row in rows) for key in rows[0]}
    record["overhead"] = statistics.median(row["served_s"] / row["in_process_s"] for row in rows) - 1
    record["first_preview_most_s"] = _FIRST_SHARE * record["one_frame_s"] + _FIRST_EXTRA_S
    return record


if __name__ == "__main__":
    sys.exit(main())
