"""What a walk's report sees in its frames."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from momalisa.artworks.procedural import choose, draw
from momalisa.config import from_dict
from momalisa.walk.addresses import Rendition
from momalisa.walk.course import Walk
from momalisa.walk.frames import MemoryFrames
from momalisa.walk.report import WalkReport, evenness, ghost_share, sharpness, small, write_report
from momalisa.walk.request import WalkRequest, Waypoint


def picture(seed: int) -> "np.ndarray":
    subject = choose(seed)
    return np.asarray(draw(seed, 64, subject.manner, subject.foreground, subject.ground))


def blends(count: int) -> list["np.ndarray"]:
    a, b = picture(1).astype(float), picture(2).astype(float)
    return [((1 - w) * a + w * b).round().astype(np.uint8) for w in np.linspace(0, 1, count)]


def test_evenness_is_one_for_equal_steps_and_low_for_one_jump() -> None:
    assert evenness([0.3] * 20) == pytest.approx(1)
    assert evenness([0.0] * 5) == 1
    assert evenness([1e-6] * 19 + [1.0]) < 0.1
    assert evenness([1.0, 3.0]) == pytest.approx(0.75)


def test_a_cross_fade_is_made_of_ghosts_and_a_moving_picture_is_not() -> None:
    assert ghost_share(blends(33)) > 0.5
    wide = np.tile(picture(3), (1, 3, 1))
    moving = [wide[:, 3 * i : 3 * i + 64] for i in range(33)]
    assert ghost_share(moving) == 0
    assert ghost_share([picture(1)] * 33) == 0


def test_blurred_pictures_are_less_sharp() -> None:
    crisp = picture(4)
    blurred = np.asarray(small(np.kron(crisp, np.ones((4, 4, 1), dtype=np.uint8))))
    assert blurred.shape == (128, 128, 3)
    assert sharpness(blurred) < 0.8 * sharpness(crisp)


def test_a_report_says_which_walk_it_is_of_where_that_is_asked_for(tmp_path: Path) -> None:
    request = WalkRequest(waypoints=(Waypoint(prompt="a"), Waypoint(prompt="b")), model="hub/moma", revision="abc")
    walk = Walk(request=request, rounds=(), placement=(), addresses=(), distances=(), num_rendered=0, num_evaluations=0)
    report = WalkReport(**dict.fromkeys(WalkReport.__dataclass_fields__, 1))
    rendition = Rendition(
        model_fingerprints={"unet": "12"},
        adapter_fingerprints={"gs://lora": "34"},
        scheduler="s",
        height=64,
        width=64,
        dtype="float32",
        ruler="decoder",
    )
    write_report(report, walk, MemoryFrames(), tmp_path / "of_a_service.json")
    assert json.loads((tmp_path / "of_a_service.json").read_text()) == asdict(report)
    write_report(report, walk, MemoryFrames(), tmp_path / "report.json", rendition=rendition)
    said = json.loads((tmp_path / "report.json").read_text())["walk"]
    assert from_dict(WalkRequest, said["request"]) == request
    assert said["fingerprints"] == {"unet": "12", "gs://lora": "34"}
    assert said["ruler"] == "decoder"
