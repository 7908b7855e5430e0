"""Modules of the page by themselves, in the browser that runs them."""

from collections.abc import Callable
from typing import Any

import pytest

Open = Callable[..., Any]
CALL = "async ([module, name, ...given]) => (await import(`/static/${module}.js`))[name](...given)"


@pytest.fixture
def call(open_page: Open) -> Callable[..., Any]:
    page = open_page()
    return lambda *given: page.evaluate(CALL, list(given))


def test_qr_codes_of_every_version_are_read(call: Callable[..., Any]) -> None:
    zxingcpp = pytest.importorskip("zxingcpp", reason="no QR decoder: pip install zxing-cpp")
    np = pytest.importorskip("numpy")
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
