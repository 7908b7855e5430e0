"""Modules of the page by themselves, in the browser that runs them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import zxingcpp

from momalisa.walk.path import there_and_back

Open = Callable[..., Any]
CALL = "async ([module, name, ...given]) => (await import(`/static/${module}.js`))[name](...given)"


@pytest.fixture
def call(open_page: Open) -> Callable[..., Any]:
    page = open_page()
    return lambda *given: page.evaluate(CALL, list(given))


def test_qr_codes_of_every_version_are_read(call: Callable[..., Any]) -> None:
    sizes = set()
    for length in (1, 14, 15, 26, 27, 42, 62, 84, 106, 122, 152, 180, 181, 213):
        text = ("https://museum.example/#/walks/" + "aZ09-_" * 40)[:length]
        rows = np.pad(np.array(call("qr", "encode", text), np.uint8), 4)
        [code] = zxingcpp.read_barcodes(np.kron(1 - rows, np.ones((6, 6), np.uint8)) * 255)
        assert (code.text, code.ec_level) == (text, "M")
        sizes.add(len(rows))
    assert len(sizes) == 10, "one size for each version"


def test_frames_are_fetched_coarse_to_fine(call: Callable[..., Any]) -> None:
    order = call("frames", "coarseToFine", 9)
    assert order[:3] == [0, 8, 4]
    assert sorted(order) == list(range(9))


@pytest.mark.parametrize(("shape", "position", "places"), [
    ("open", 1, [9]), ("loop", 0.9, [9]),  # the last frame of ten
    ("boomerang", 0, [0]), ("boomerang", 0.4, [2, 8]), ("boomerang", 1, [5]),
])  # fmt: skip
def test_previews_lie_where_their_frames_will(
    call: Callable[..., Any], shape: str, position: float, places: list[float]
) -> None:
    assert call("frames", "placesOf", {"shape": shape, "num_frames": 10}, position) == pytest.approx(places)


def test_previews_of_a_boomerang_lie_where_its_frames_will(call: Callable[..., Any]) -> None:
    for count in (6, 7, 8, 13):
        shown = there_and_back(count)
        walk = {"shape": "boomerang", "num_frames": count}
        places = [call("frames", "placesOf", walk, frame / max(shown)) for frame in shown]
        for number, near in enumerate(places):
            assert min(abs(number - place) for place in near) <= 0.5 * (count % 2), (count, number, near)


FLASH = """async (frames) => {
  const { measurePixels, safeRate } = await import('/static/flash.js');
  const pixels = (rgb) => Uint8Array.from({ length: 4 * 144 }, (_, i) => [...rgb, 255][i % 4]);
  const cycle = frames.map((rgb) => measurePixels(pixels(rgb)));
  return safeRate(cycle, 30, 700 * 700);
}"""
BLACK, WHITE, GREY, RED, BLUE = (0, 0, 0), (255, 255, 255), (120, 120, 120), (255, 0, 0), (20, 20, 255)


@pytest.mark.parametrize(("frames", "rate"), [
    ([BLACK, WHITE], 6),  # every frame a change: six changes a second are three flashes
    ([BLACK] * 5 + [WHITE] * 5, 30),  # three flashes a second at thirty frames
    ([RED, BLUE], 6),
    ([GREY] * 10, 30),
    ([(v, v, v) for v in [*range(0, 256, 8), *range(255, 0, -8)]], 30),  # a slow swell
])  # fmt: skip
def test_no_more_than_three_flashes_a_second(open_page: Open, frames: list[Any], rate: float) -> None:
    assert open_page().evaluate(FLASH, [list(frame) for frame in frames]) == pytest.approx(rate)
