"""What an animation says of its making."""

import json

import pytest

from momalisa.errors import ConfigError, InputError
from momalisa.walk.placement import check_rounds, from_json, to_json
from momalisa.walk.plan import Branching, Frame
from momalisa.walk.provenance import Provenance, read_provenance
from momalisa.walk.request import WalkRequest, Waypoint

REQUEST = WalkRequest(
    waypoints=(Waypoint(prompt='a "quoted" flèche', adapters={"gs://bucket/lora": 0.5}), Waypoint(prompt="b", seed=3)),
    num_frames=7,
    shape="loop",
    branching=Branching(earliest=0.5, fan=4),
)
STEP = 1 << REQUEST.plan.depth
HALVES = tuple(Frame(i * STEP // 8, (0, STEP), 12) for i in range(1, 6))
ROUNDS = ((Frame(0), Frame(STEP)), HALVES)
PROVENANCE = Provenance(
    version="1", request=REQUEST, rounds=ROUNDS, dtype="float32", fingerprints={"unet": "abc"}, frames=("12", "34")
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


@pytest.mark.parametrize("change", [{"fingerprints": "ab"}, {"rounds": [[[1e400]]]}, {"rounds": 3}, {"request": []}])
def test_nonsense_inside_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(InputError, match="cannot be understood"):
        read_provenance(json.dumps({**json.loads(PROVENANCE.to_text()), **change}))


@pytest.mark.parametrize(
    "rounds",
    [
        [[Frame(0), Frame(STEP), Frame(0)], HALVES],
        [[Frame(0), Frame(STEP), Frame(10 * STEP)], HALVES],
        [HALVES, [Frame(0), Frame(STEP)]],
        [[Frame(0), Frame(STEP)], [Frame(h.index, (0, STEP), 3) for h in HALVES]],
        [[Frame(0), Frame(STEP)], [Frame(STEP + h.index, (0, STEP), 12) for h in HALVES]],
        [[Frame(0), Frame(STEP)], [Frame(h.index, None, 12) for h in HALVES]],
        [[Frame(0)], [Frame(STEP)]],
        [[Frame(i) for i in range(7)]],
        [[Frame(0), Frame(STEP), *(Frame(i) for i in range(1, 9))]],
        [],
    ],
)
def test_rounds_of_another_request_are_refused(rounds: list[list[Frame]]) -> None:
    check_rounds(REQUEST.plan, ROUNDS)
    with pytest.raises(ConfigError, match="belongs to another request"):
        check_rounds(REQUEST.plan, rounds)


def test_what_is_no_placement_is_refused() -> None:
    assert from_json(to_json(HALVES)) == HALVES
    with pytest.raises(ConfigError, match="no placement"):
        from_json([["x", 1]])
