"""A walk through the page: made, watched, played, shared."""

from collections.abc import Callable
from typing import Any

import pytest
import zxingcpp
from PIL import Image

from tests.web import steps

Open = Callable[..., Any]
Walk = dict[str, Any]
PROMPTS = ("blue dots on white", "red circles on grey")


def test_a_walk_is_made_by_keyboard_alone(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(".compose")
    steps.tab_to(page, ".prompt")
    page.keyboard.type(PROMPTS[0])
    steps.tab_to(page, ".prompt")
    page.keyboard.type(PROMPTS[1])
    steps.tab_to(page, "input[name=smoothness]")
    page.keyboard.press("ArrowLeft")
    steps.tab_to(page, ".compose .primary")
    page.keyboard.press("Enter")
    steps.wait_until_done(page)
    assert page.evaluate("document.activeElement.tagName") == "H1"
    assert page.locator("h1").inner_text().split("\n")[0] == PROMPTS[0]
    steps.tab_to(page, ".strip-slider")
    page.keyboard.press("End")
    number, total = map(int, page.get_attribute(".strip-slider", "aria-valuetext").split(" of "))
    assert number == total >= 36, "frames are added where a step stands out"


def test_enter_in_a_prompt_begins_the_walk(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(".compose")
    steps.fill_in(page, *PROMPTS)
    page.locator(".prompt").last.press("Enter")
    page.wait_for_url("**/#/walks/*")


def test_previews_come_before_the_walk_is_done(open_page: Open) -> None:
    page = open_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    steps.make_walk(page, "a grid in yellow over blue", "black drips on turquoise")
    page.wait_for_selector(".walk .stage:not(.is-empty)", timeout=60_000)
    assert any("/previews/1.png" in url for url in asked)
    assert not any("/frames/" in url for url in asked[asked.index(next(u for u in asked if "/events" in u)) :])
    steps.wait_until_done(page)
    steps.wait_until(page, "document.getElementById('announcer').textContent === 'Your walk is done.'")


def test_a_walk_is_cancelled(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(".compose")
    page.locator("input[name=length][value=long]").check()
    steps.fill_in(page, "violet stripes on green", "pink and black dots")
    page.click(".compose .primary")
    page.get_by_role("button", name="Cancel").click()
    page.get_by_text("This walk was cancelled.").wait_for()
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".compose")
    assert page.locator(".prompt").first.input_value() == "violet stripes on green"


def test_play_pause_and_scrub(open_page: Open, done_walk: Walk) -> None:
    page = open_page(done_walk["links"]["page"])
    steps.wait_for_frames(page)
    page.get_by_role("button", name="Pause").click()
    there = steps.place(page)
    page.wait_for_timeout(400)
    assert steps.place(page) == there
    slider = page.locator(".strip-slider")
    slider.press("Home")
    first = steps.picture(page)
    slider.press("ArrowRight")
    assert page.get_attribute(".strip-slider", "aria-valuetext") == f"2 of {done_walk['num_frames']}"
    slider.press("End")
    assert steps.picture(page) != first
    page.get_by_role("button", name="Play").click()
    steps.wait_until(page, "document.querySelector('.strip-slider').value === '3'")


def test_a_link_leads_to_the_walk_and_survives_a_reload(open_page: Open, done_walk: Walk) -> None:
    page = open_page(done_walk["links"]["page"])
    steps.wait_for_frames(page)
    page.reload()
    steps.wait_for_frames(page)
    assert "blue dots on white" in page.title()
    assert page.locator(".link-field").input_value() == page.url
    assert page.get_by_role("button", name="Delete").count() == 0, "somebody else's walk"


@pytest.mark.parametrize("name", ["GIF", "MP4", "WebP"])
def test_downloads(open_page: Open, done_walk: Walk, name: str) -> None:
    page = open_page(done_walk["links"]["page"])
    with page.expect_download() as download:
        page.get_by_role("link", name=name).click()
    assert download.value.failure() is None


def test_a_walk_goes_on_where_another_ended(open_page: Open, done_walk: Walk) -> None:
    page = open_page(done_walk["links"]["page"])
    page.get_by_role("button", name="Walk on from here").click()
    page.wait_for_selector(".compose")
    assert page.locator(".prompt").first.input_value() == "red circles on grey"
    page.locator(".prompt").last.fill("a grid in black")
    steps.shortest(page)
    with page.expect_request(lambda request: request.method == "POST") as request:
        page.click(".compose .primary")
    assert request.value.post_data_json["seed"] == done_walk["request"]["seed"], "or the picture would be another"


def test_stops_pictures_and_surprises(open_page: Open, tmp_path: Any) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    page = open_page()
    page.get_by_role("button", name="Surprise me").click()
    first, last = (field.input_value() for field in page.locator(".prompt").all())
    assert first
    assert first != last
    page.get_by_role("button", name="Add a stop").click()
    assert page.evaluate("document.activeElement.placeholder") != ""
    page.locator("input[type=file]").nth(1).set_input_files(tmp_path / "red.png")
    page.get_by_text("Your picture", exact=True).wait_for()
    page.wait_for_selector(".stop-picture:not(.is-uploading) img")
    steps.shortest(page)
    with page.expect_request("**/v1/walks") as request:
        page.click(".compose .primary")
    waypoints = request.value.post_data_json["waypoints"]
    assert [bool(waypoint.get("picture")) for waypoint in waypoints] == [False, True, False]
    page.wait_for_url("**/#/walks/*")


def test_a_walk_of_ones_own_is_listed_and_deleted(open_page: Open) -> None:
    page = open_page()
    steps.make_walk(page, *PROMPTS)
    steps.wait_until_done(page)
    page.get_by_role("link", name="My walks").click()
    page.locator(".card a").first.click()
    page.get_by_role("button", name="Delete this walk").click()
    page.get_by_role("button", name="Delete", exact=True).click()
    page.get_by_text("You have not made a walk yet.").wait_for()


def test_the_qr_code_is_the_link(open_page: Open, done_walk: Walk, tmp_path: Any) -> None:
    page = open_page(done_walk["links"]["page"])
    page.get_by_text("Take it along on a phone").click()
    page.locator(".qr").screenshot(path=tmp_path / "qr.png")
    assert [code.text for code in zxingcpp.read_barcodes(Image.open(tmp_path / "qr.png"))] == [page.url]
