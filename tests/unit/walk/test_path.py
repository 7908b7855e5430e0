"""The path of a walk, for any number of waypoints and frames."""

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from momalisa.errors import ConfigError
from momalisa.walk.path import (
    EASINGS,
    Blend,
    Path,
    Point,
    ease,
    grid_depth,
    lerp,
    num_there,
    place_evenly,
    share_out,
    slerp,
    there_and_back,
)

shapes = st.sampled_from(["open", "loop"])
easings = st.sampled_from(EASINGS)


@st.composite
def walks(draw: st.DrawFn) -> tuple[Path, int]:
    path = Path(draw(st.integers(2, 12)), draw(shapes))
    return path, draw(st.integers(path.min_frames, 1000))


def place_of(point: Point) -> Fraction:
    return point.segment + point.t


@settings(max_examples=60, deadline=None)
@given(walks(), easings)
def test_frames_rise_and_every_stop_has_one(walk: tuple[Path, int], easing: str) -> None:
    path, num_frames = walk
    points = place_evenly(path, num_frames, easing)
    places = [place_of(point) for point in points]
    assert len(points) == num_frames
    assert all(before < after for before, after in itertools.pairwise(places))
    stops = path.num_segments + (path.shape == "open")
    assert {Fraction(i) for i in range(stops)} <= set(places)
    assert all((1 << grid_depth(path, num_frames)) % point.t.denominator == 0 for point in points)


@given(walks())
def test_the_ends_are_exactly_the_waypoints(walk: tuple[Path, int]) -> None:
    path, num_frames = walk
    first, *_, last = place_evenly(path, num_frames)
    assert path.blend(first) == Blend(0, path.stops[1], 0.0)
    if path.shape == "open":
        assert path.blend(last) == Blend(path.num_waypoints - 2, path.num_waypoints - 1, 1.0)
    else:
        assert path.blend(last).second == 0 or last.t == 0
        assert place_of(last) < path.num_segments


def test_a_loop_comes_back_without_a_doubled_frame() -> None:
    assert Path(3, "loop").stops == (0, 1, 2, 0)
    around = place_evenly(Path(2, "loop"), 8)
    towards = [Path(2, "loop").blend(p) for p in around]
    assert [b.weight if b.second == 1 else 1 - b.weight for b in towards] == [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25]


@given(st.integers(2, 1000))
def test_a_boomerang_shows_the_way_there_again(num_frames: int) -> None:
    shown = there_and_back(num_frames)
    assert len(shown) == num_frames
    assert set(shown) == set(range(num_there(num_frames)))
    assert shown.count(0) == shown.count(max(shown)) == 1
    steps = [abs(a - b) for a, b in itertools.pairwise([*shown, 0])]
    assert sorted(steps)[:-1] == [1] * (num_frames - 1)
    assert steps.count(2) == (num_frames % 2 if num_frames > 1 else 0)


def test_too_few_frames_and_waypoints_are_refused() -> None:
    with pytest.raises(ConfigError, match="3 frames are too few for 4 waypoints"):
        place_evenly(Path(4), 3)
    with pytest.raises(ConfigError, match="at least 4"):
        place_evenly(Path(4, "loop"), 3)
    with pytest.raises(ConfigError, match="two waypoints"):
        Path(1)


@given(st.integers(1, 30), st.data())
def test_shares_are_whole_and_complete(count: int, data: st.DataObject) -> None:
    lengths = data.draw(st.lists(st.floats(0, 100), min_size=count, max_size=count))
    total = data.draw(st.integers(count, 1000))
    parts = share_out(total, lengths)
    assert sum(parts) == total
    assert min(parts) >= 1


@given(easings, st.lists(st.floats(0, 1), min_size=2, unique=True))
def test_every_easing_rises_from_0_to_1(easing: str, values: list[float]) -> None:
    eased = ease(easing)
    assert eased(np.array([0.0, 1.0])) == pytest.approx([0, 1], abs=1e-12)
    xs = np.sort(np.array(values))
    assert (np.diff(eased(xs)) >= -1e-12).all()


def test_easings_are_what_their_names_say() -> None:
    speeds = {name: np.gradient(ease(name)(np.linspace(0, 1, 101))) * 100 for name in EASINGS}
    assert speeds["linear"] == pytest.approx(np.ones(101))
    assert speeds["slow_in_the_middle"][50] < 0.3 < speeds["slow_in_the_middle"][0]
    assert speeds["slow_at_the_ends"][0] < speeds["smooth"][0] < speeds["linear"][0] < speeds["slow_at_the_ends"][50]
    with pytest.raises(ConfigError, match="choose from linear, smooth"):
        ease("bouncy")


vectors = st.integers(0, 2**32 - 1).map(lambda seed: np.random.default_rng(seed).standard_normal((2, 5, 7), np.float32))


@given(vectors, st.floats(0, 1))
def test_slerp_keeps_the_ends_and_the_length(pair: "np.ndarray", weight: float) -> None:
    a, b = pair
    assert slerp(a, b, 0) is a
    assert slerp(a, b, 1) is b
    between = slerp(a, b, weight)
    assert between.dtype == np.float32
    expected = (1 - weight) * np.linalg.norm(a) + weight * np.linalg.norm(b)
    assert np.linalg.norm(between) == pytest.approx(expected, rel=1e-5)


@given(vectors, st.floats(0.01, 0.99))
def test_slerp_turns_at_an_even_pace_along_an_axis(pair: "np.ndarray", weight: float) -> None:
    a, b = pair
    between = slerp(a, b, weight, axis=-1)

    def angle(x: "np.ndarray", y: "np.ndarray") -> "np.ndarray":
        cosine = (x * y).sum(-1) / (np.linalg.norm(x, axis=-1) * np.linalg.norm(y, axis=-1))
        return np.arccos(np.clip(cosine, -1, 1))

    assert angle(a, between) == pytest.approx(weight * angle(a, b), abs=2e-3)


def test_slerp_goes_straight_where_there_is_no_circle() -> None:
    a, zero = np.array([1.0, 0.0]), np.zeros(2)
    assert slerp(a, 2 * a, 0.5) == pytest.approx([1.5, 0])
    assert slerp(a, zero, 0.5) == pytest.approx([0.5, 0])
    assert np.isfinite(slerp(a, -a, 0.5)).all()


def test_lerp_is_the_straight_line() -> None:
    a, b = np.array([0.0, 2.0]), np.array([4.0, 0.0])
    assert lerp(a, b, 0.25) == pytest.approx([1, 1.5])
    assert lerp(a, b, 1) is b
