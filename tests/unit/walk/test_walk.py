"""Whole walks, on a Stable Diffusion of random weights."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from momalisa.diffusion.encode import encode_images
from momalisa.diffusion.loading import Components
from momalisa.storage import open_store
from momalisa.walk.addresses import frame_addresses
from momalisa.walk.course import Walk, chunks
from momalisa.walk.frames import Drawn, MemoryFrames, State, StoredFrames, pixels_sha256
from momalisa.walk.placement import StoredJournal, from_json, to_json
from momalisa.walk.plan import Branching
from momalisa.walk.render import Renderer
from momalisa.walk.request import WalkRequest, Waypoint
from momalisa.walk.walk import render_walk
from tests.support.small_sd import small_components

PICTURE = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
PICTURE_SHA256 = pixels_sha256(PICTURE)


@pytest.fixture(scope="module")
def components(tmp_path_factory: pytest.TempPathFactory) -> Components:
    return small_components(tmp_path_factory.mktemp("small"))


def request(**settings: Any) -> WalkRequest:
    waypoints = (Waypoint(prompt="red dots"), Waypoint(prompt="blue waves"))
    branching = Branching(earliest=0.5, latest=0.8, num_levels=2)
    usual = {"waypoints": waypoints, "num_frames": 12, "num_inference_steps": 6, "branching": branching}
    return WalkRequest(**{**usual, **settings})


def with_picture(**settings: Any) -> WalkRequest:
    waypoints = (Waypoint(prompt="red dots"), Waypoint(prompt="waves", picture_sha256=PICTURE_SHA256))
    return request(waypoints=waypoints, **settings)


def renderer_of(components: Components, wanted: WalkRequest) -> Renderer:
    return Renderer(components, wanted, pictures={PICTURE_SHA256: PICTURE})


def render(components: Components, wanted: WalkRequest, frames: Any = None, **settings: Any) -> tuple[Walk, np.ndarray]:
    frames = frames or MemoryFrames()
    walk = render_walk(renderer_of(components, wanted), wanted, frames, **settings)
    return walk, np.stack(list(walk.pictures(frames)))


@pytest.mark.parametrize("shape", ["open", "loop", "boomerang"])
@pytest.mark.parametrize("mode", ["text", "image", "hybrid"])
def test_every_mode_and_shape_gives_the_frames_that_were_asked_for(
    components: Components, mode: str, shape: str
) -> None:
    waypoints = tuple(Waypoint(prompt=prompt) for prompt in ("red dots", "blue waves", "green"))
    walk, pixels = render(components, request(mode=mode, shape=shape, waypoints=waypoints))
    added = walk.num_repairs * (2 if shape == "boomerang" else 1)
    assert pixels.shape == (12 + added, 32, 32, 3)
    assert len(set(walk.addresses)) == len(walk.placement) == walk.num_rendered
    assert len(walk.durations_s) == len(pixels)


def test_a_loop_of_two_waypoints_renders_no_frame_twice(components: Components) -> None:
    walk, pixels = render(components, request(shape="loop", mode="text"))
    assert (len(pixels), walk.num_rendered) == (12, 7)


def test_the_ends_are_the_same_in_every_mode(components: Components) -> None:
    walks = [render(components, request(mode=mode))[1] for mode in ("text", "image", "hybrid")]
    for pixels in walks[1:]:
        for end in (0, -1):
            assert np.abs(pixels[end].astype(int) - walks[0][end]).max() <= 1


def test_hybrid_costs_what_its_placement_says_and_less_than_text(components: Components) -> None:
    walk, _ = render(components, request())
    plan = request().plan
    assert walk.num_evaluations == plan.cost(walk.placement).unet_evaluations
    text, _ = render(components, request(mode="text"))
    assert walk.num_evaluations < 0.8 * text.num_evaluations == 0.8 * text.request.plan.bound.unet_evaluations


def test_the_first_frames_show_the_whole_walk(components: Components) -> None:
    seen: list[list[str]] = []
    walk, _ = render(components, request(), on_chunk=lambda chunk: seen.append([one.address for one in chunk]))
    keys = request().plan.keys()
    by_index = dict(zip((frame.index for frame in walk.placement), walk.addresses, strict=True))
    assert seen[0] == [by_index[key.index] for key in keys]


def test_a_placement_makes_the_same_walk_again(components: Components) -> None:
    walk, pixels = render(components, request())
    rounds = [from_json(to_json(round_)) for round_ in walk.rounds]
    again, same = render(components, request(), rounds=rounds)
    assert (again.placement, again.addresses) == (walk.placement, walk.addresses)
    assert np.abs(same.astype(int) - pixels).max() <= 1


def test_what_is_there_is_not_rendered_again(components: Components, folder: Path) -> None:
    frames = StoredFrames(open_store(folder))
    walk, pixels = render(components, request(), frames)
    again, same = render(components, request(), StoredFrames(open_store(folder)))
    assert (walk.num_rendered, again.num_rendered, again.num_evaluations) == (len(walk.placement), 0, 0)
    assert (same == pixels).all()
    longer, _ = render(components, request(num_frames=20), StoredFrames(open_store(folder)))
    assert longer.num_rendered <= 20 - len(request().plan.keys()) + longer.num_repairs


def test_a_damaged_frame_is_rendered_again(components: Components, folder: Path) -> None:
    walk, pixels = render(components, request(), StoredFrames(open_store(folder)))
    (folder / f"{walk.addresses[0]}.png").write_bytes(b"not a picture")
    (folder / f"{walk.addresses[-1]}.safetensors").unlink()
    again, same = render(components, request(), StoredFrames(open_store(folder)))
    assert again.num_rendered == 2
    assert np.abs(same.astype(int) - pixels).max() <= 1


class KilledError(Exception):
    pass


@pytest.mark.parametrize("after", [1, 2, 3])
def test_killed_in_the_middle_it_goes_on_and_renders_nothing_twice(
    components: Components, folder: Path, after: int
) -> None:
    wanted = request()
    expected, pixels = render(components, wanted)
    counts: dict[str, int] = {}

    class Counting(StoredFrames):
        num_left = after

        def keep(self, drawn: Any) -> int:
            if self.num_left == 0:
                raise KilledError
            self.num_left -= 1
            num_twice = super().keep(drawn)
            for one in drawn:
                counts[one.address] = counts.get(one.address, 0) + 1
            return num_twice

    def attempt(num_left: int) -> tuple[Walk, np.ndarray]:
        frames = Counting(open_store(folder / "frames"))
        frames.num_left = num_left
        return render(components, wanted, frames, journal=StoredJournal(open_store(folder / "journal")))

    with pytest.raises(KilledError):
        attempt(after)
    walk, same = attempt(1000)
    assert walk.placement == expected.placement
    assert np.abs(same.astype(int) - pixels).max() <= 1
    assert set(counts.values()) == {1}
    assert counts.keys() == set(walk.addresses)


@pytest.mark.parametrize("num_workers", [1, 3])
@pytest.mark.parametrize("seed", [0, 1])
def test_chunks_in_any_order_by_any_number_of_workers_are_the_same_frames(
    components: Components, folder: Path, num_workers: int, seed: int
) -> None:
    wanted = request(num_frames=20)
    walk, pixels = render(components, wanted)
    plan, rng = wanted.plan, random.Random(seed)
    workers = [(renderer_of(components, wanted), StoredFrames(open_store(folder))) for _ in range(num_workers)]
    addresses = frame_addresses(wanted, workers[0][0].rendition, plan, walk.placement)
    waiting = [chunk for round_ in walk.rounds for chunk in chunks(walk.request.plan, round_, 3)]
    done: set[int] = set()
    while waiting:
        ready = [c for c in waiting if all(p in done for frame in c for p in frame.parents or ())]
        chunk = rng.choice(ready)
        waiting.remove(chunk)
        renderer, frames = rng.choice(workers)
        frames.keep(renderer.render(chunk, addresses, frames))
        done.update(frame.index for frame in chunk)
    assert sum(renderer.num_evaluations for renderer, _ in workers) == walk.num_evaluations
    again, same = render(components, wanted, StoredFrames(open_store(folder)), rounds=walk.rounds)
    assert again.num_rendered == 0
    assert np.abs(same.astype(int) - pixels).max() <= 1


@pytest.mark.parametrize("mode", ["text", "image", "hybrid"])
def test_a_picture_is_a_waypoint_from_its_reconstruction_to_nothing_of_it(components: Components, mode: str) -> None:
    values = torch.from_numpy(PICTURE.astype(np.float32)).permute(2, 0, 1)[None] / 127.5 - 1
    decoded = components.vae.decode(encode_images(components.vae, values)[0]).sample[0].permute(1, 2, 0)
    reconstruction = ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().numpy()
    distances = []
    for strength in (0.0, 0.5, 0.9):
        walk, pixels = render(components, with_picture(mode=mode, strength=strength))
        assert len(pixels) == 12 + walk.num_repairs
        distances.append(np.abs(pixels[-1] - reconstruction).mean())
    assert distances[0] < 1
    assert distances[0] < distances[1] < distances[2]
    _, prompt = render(components, request(mode=mode))
    assert np.abs(prompt[0].astype(int) - pixels[0]).max() <= 1


def test_a_strength_of_one_leaves_nothing_of_the_picture(components: Components) -> None:
    _, pixels = render(components, with_picture(strength=1.0, mode="text"))
    prompts = (Waypoint(prompt="red dots"), Waypoint(prompt="waves"))
    _, expected = render(components, request(waypoints=prompts, mode="text"))
    assert np.abs(pixels.astype(int) - expected).max() <= 1


def test_a_hold_is_time_and_no_frames(components: Components) -> None:
    waypoints = (Waypoint(prompt="a", hold_s=0.5), Waypoint(prompt="b", hold_s=1.0))
    walk, _ = render(components, request(waypoints=waypoints, mode="text", frames_per_second=10.0))
    assert walk.durations_s == pytest.approx([0.6, *[0.1] * 10, 1.1])
    there, _ = render(components, request(waypoints=waypoints, mode="text", shape="boomerang", frames_per_second=10.0))
    assert there.durations_s == pytest.approx([0.6, *[0.1] * 5, 1.1, *[0.1] * 5])


def test_frames_in_memory_and_at_a_uri_are_the_same(folder: Path) -> None:
    rng = np.random.default_rng(0)
    state = State(rng.standard_normal((4, 2, 2)).astype(np.float16), rng.standard_normal((4, 2, 2)).astype(np.float16))
    drawn = Drawn("a" * 64, PICTURE, rng.random(5).astype(np.float16), {3: state})
    stored = StoredFrames(open_store(folder))
    stored.keep([drawn])
    found = StoredFrames(open_store(folder)).load(drawn.address)
    assert (found.pixels == PICTURE).all()
    assert (found.sketch == drawn.sketch).all()
    assert (found.states[3].denoised == state.denoised).all()
    for kept in (stored, MemoryFrames()):
        kept.keep([drawn])
        assert kept.missing({drawn.address: [3], "b" * 64: []}) == {"b" * 64}
        assert kept.missing({drawn.address: [3, 4]}) == {drawn.address}


def test_a_frame_that_somebody_else_drew_meanwhile_is_counted(components: Components, folder: Path) -> None:
    store = open_store(folder / "frames")
    mine, others = StoredFrames(store), StoredFrames(store)
    walk, _ = render(components, request(), others)
    drawn = [others.load(address) for address in walk.addresses[:3]]
    assert mine.keep(drawn) == 3
