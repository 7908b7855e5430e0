"""Equal frames have equal addresses, and only those."""

from dataclasses import replace
from typing import Any

import pytest

from momalisa.errors import ConfigError
from momalisa.walk.addresses import Rendition, frame_addresses
from momalisa.walk.plan import Frame
from momalisa.walk.request import WalkRequest, Waypoint
from momalisa.walk.rounds import next_round

RENDITION = Rendition(
    model_fingerprints={"unet": "u", "vae": "v", "text_encoder": "t"},
    adapter_fingerprints={},
    scheduler="dpm",
    height=128,
    width=128,
    dtype="float32",
    ruler="styles",
)
A, B, C = (Waypoint(prompt=prompt) for prompt in ("red dots", "blue waves", "a green field"))


def request_of(*waypoints: Waypoint, **settings: Any) -> WalkRequest:
    return WalkRequest(waypoints=waypoints, **{"num_frames": 9, **settings})


def addresses(request: WalkRequest, rendition: Rendition = RENDITION) -> dict[int, str]:
    keys = request.plan.keys()
    frames = [*keys, *next_round(request.plan, keys, [0.3] * (len(keys) - (request.shape != "loop")))]
    return frame_addresses(request, rendition, request.plan, frames)


def test_walks_share_the_frames_of_a_shared_waypoint() -> None:
    there, elsewhere = addresses(request_of(A, B)), addresses(request_of(A, C))
    assert there[0] == elsewhere[0]
    assert len(set(there.values()) & set(elsewhere.values())) == 1


def test_the_way_back_is_made_of_the_same_frames() -> None:
    there, back = addresses(request_of(A, B)), addresses(request_of(B, A))
    assert set(there.values()) == set(back.values())


def test_a_boomerang_is_the_way_there_shown_again() -> None:
    there = addresses(request_of(A, B, num_frames=17))
    assert addresses(request_of(A, B, shape="boomerang", num_frames=32)) == there
    assert request_of(A, B, shape="boomerang", num_frames=32).shown(17) == [*range(17), *range(15, 0, -1)]


def test_what_is_only_shown_does_not_matter() -> None:
    held = replace(B, hold_s=2.0)
    assert addresses(request_of(A, held, frames_per_second=5.0)) == addresses(request_of(A, B))


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"guidance_scale": 3.0},
        {"num_inference_steps": 20},
        {"guidance_interval": (0.1, 0.8)},
        {"guidance_stride": 3},
        {"negative_prompt": "grey"},
        {"embeddings": "slerp"},
    ],
)
def test_what_pixels_depend_on_changes_every_address(changes: dict[str, Any]) -> None:
    assert not set(addresses(request_of(A, B)).values()) & set(addresses(request_of(A, B, **changes)).values())


def test_other_weights_change_every_address() -> None:
    other = replace(RENDITION, model_fingerprints={**RENDITION.model_fingerprints, "unet": "other"})
    assert not set(addresses(request_of(A, B)).values()) & set(addresses(request_of(A, B), other).values())


def test_a_child_has_its_parents_in_its_address() -> None:
    request = request_of(A, B)
    plan = request.plan
    end = plan.num_grid_steps

    def middle(parents: tuple[int, int] | None, start_step: int) -> str:
        quarter = [Frame(end // 4), Frame(3 * end // 4)]
        frames = [Frame(0), *quarter, Frame(end), Frame(end // 2, parents, start_step)]
        return frame_addresses(request, RENDITION, plan, frames)[end // 2]

    found = [middle(None, 0), middle((0, end), 10), middle((end // 4, 3 * end // 4), 10), middle((0, end), 12)]
    assert len(set(found)) == 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_frames": 1}, "too few"),
        ({"mode": "video"}, "choose from text, image, hybrid"),
        ({"shape": "round"}, "choose from open, loop, boomerang"),
        ({"height": 0}, "at least 1"),
        ({"easing": "bouncy"}, "choose from linear"),
        ({"guidance_interval": (0.9, 0.1)}, "in order"),
        ({"strength": 2.0}, "0 … 1"),
        ({"seed": -1}, "out of range"),
        ({"frames_per_second": 0.0}, "at least 0.01"),
        ({"frames_per_second": float("nan")}, "at least 0.01"),
        ({"guidance_scale": 0.5}, "at least 1"),
    ],
)
def test_nonsense_is_refused_with_what_would_do(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        request_of(A, B, **settings)


def test_a_waypoint_shows_something() -> None:
    with pytest.raises(ConfigError, match="neither a prompt nor a picture"):
        Waypoint(prompt="  ")
    with pytest.raises(ConfigError, match="two waypoints"):
        request_of(A)
