"""The wall: chosen by touch, taken home by phone, begun anew when nobody is there."""

from collections.abc import Callable
from typing import Any

import zxingcpp
from PIL import Image

from tests.web import steps
from tests.web.steps import WALK_LIMIT_S

Open = Callable[..., Any]
WALL = {"width": 1920, "height": 1080}


def test_a_walk_is_made_by_touch_and_taken_home(open_page: Open, tmp_path: Any) -> None:
    page = open_page("/kiosk?site=https://museum.example", viewport=WALL, has_touch=True)
    page.locator(".attract").tap()
    page.locator(".suggestions").last.locator(".suggestion").nth(2).tap()
    chosen = page.locator(".suggestions").last.locator(".suggestion").nth(2).inner_text()
    assert page.locator(".kiosk-prompt").last.input_value() == chosen
    page.locator(".kiosk-begin").tap()
    page.wait_for_selector(".qr", timeout=WALK_LIMIT_S * 1000)
    page.locator(".qr").screenshot(path=tmp_path / "qr.png")
    [code] = zxingcpp.read_barcodes(Image.open(tmp_path / "qr.png"))
    assert code.text.startswith("https://museum.example/#/walks/")
    page.get_by_role("button", name="Another walk").tap()
    page.wait_for_selector(".choosing")


def test_letters_are_typed_on_the_screen(open_page: Open) -> None:
    page = open_page("/kiosk", viewport=WALL, has_touch=True)
    page.locator(".attract").tap()
    field = page.locator(".kiosk-prompt").first
    field.fill("")
    field.tap()
    for name in ("r", "e", "d", "s"):
        page.get_by_role("button", name=name, exact=True).tap()
    page.get_by_role("button", name="Delete a letter").tap()
    page.get_by_role("button", name="Space").tap()
    assert field.input_value() == "red "
    page.get_by_role("button", name="Done").tap()
    assert page.locator(".keyboard").is_hidden()


def test_it_begins_anew_when_nobody_is_there(open_page: Open) -> None:
    page = open_page("/kiosk?idle=3", viewport=WALL)
    page.select_option("#language", "de")
    page.locator(".attract").click()
    page.locator(".kiosk-prompt").first.fill("something of mine")
    page.get_by_role("heading", name="Sind Sie noch da?").wait_for()
    page.locator(".attract").wait_for()
    steps.wait_until(page, "document.documentElement.lang === 'en'")
    page.locator(".attract").click()
    assert page.locator(".kiosk-prompt").first.input_value() != "something of mine"


def test_somebody_who_is_still_there_may_go_on(open_page: Open) -> None:
    page = open_page("/kiosk?idle=4", viewport=WALL)
    page.locator(".attract").click()
    page.locator(".kiosk-prompt").first.fill("something of mine")
    page.get_by_role("button", name="I am still here").click()
    page.wait_for_timeout(1500)
    assert page.locator(".kiosk-prompt").first.input_value() == "something of mine"


def test_it_does_not_begin_anew_while_it_is_touched(open_page: Open) -> None:
    page = open_page("/kiosk?idle=3", viewport=WALL)
    page.locator(".attract").click()
    for _ in range(5):
        page.wait_for_timeout(900)
        page.locator(".suggestion").first.click()
    assert page.locator(".choosing").is_visible()
