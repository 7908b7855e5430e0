"""What an animation says of its making."""

import json

import pytest

from momalisa.errors import ConfigError, InputError
from momalisa.walk.placement import from_json, rounds_of, to_json
from momalisa.walk.plan import Branching, Frame
from momalisa.walk.provenance import Provenance, read_provenance
from momalisa.walk.request import WalkRequest, Waypoint

REQUEST = WalkRequest(
    waypoints=(Waypoint(prompt='a "quoted" flèche', adapters={"gs://bucket/lora": 0.5}), Waypoint(prompt="b", seed=3)),
    num_frames=7,
    shape="loop",
    branching=Branching(fan=4),
)
STEP = 1 << REQUEST.plan.depth
PLACEMENT = (Frame(0), Frame(STEP), Frame(STEP // 2, (0, STEP), 12))
PROVENANCE = Provenance(
    version="1", request=REQUEST, placement=PLACEMENT, fingerprints={"unet": "abc"}, frames=("12", "34")
)


def test_it_comes_back_as_it_was() -> None:
    text = PROVENANCE.to_text()
    assert text.isascii()
    assert read_provenance(text) == PROVENANCE


@pytest.mark.parametrize("text", ["", "made by hand", "[1, 2]", '{"momalisa": "1"}'])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"does not say how|cannot be understood"):
        read_provenance(text)


def test_a_request_of_another_kind_is_refused() -> None:
    content = json.loads(PROVENANCE.to_text())
    content["request"]["num_frame"] = 4
    with pytest.raises(InputError, match="did you mean num_frames"):
        read_provenance(json.dumps(content))


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(0), Frame(0)],
        [Frame(0), Frame(10 * STEP)],
        [Frame(5, (0, STEP), 12)],
        [Frame(0), Frame(STEP), Frame(STEP // 2, (0, STEP), 3)],
        [Frame(0), Frame(8), Frame(STEP, (0, 8), 12)],
        [Frame(5, (7, 9), 12), Frame(7, (5, 9), 12)],
        [Frame(0, None, 4)],
    ],
)
def test_a_placement_of_another_request_is_refused(frames: list[Frame]) -> None:
    with pytest.raises(ConfigError, match="belongs to another request"):
        list(rounds_of(REQUEST.plan, frames))


def test_rounds_have_parents_first_and_json_keeps_them() -> None:
    rounds = list(rounds_of(REQUEST.plan, from_json(to_json(PLACEMENT[::-1]))))
    assert [len(round_) for round_ in rounds] == [2, 1]
    with pytest.raises(ConfigError, match="no placement"):
        from_json([["x", 1]])
