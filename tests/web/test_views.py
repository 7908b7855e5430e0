"""How the page fits its visitors: language, width, motion, assistive technology."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.web import steps

Open = Callable[..., Any]
Walk = dict[str, Any]
VIEWS = {"home": "/", "gallery": "/#/gallery", "mine": "/#/mine", "missing": "/#/walks/no-such-walk", "kiosk": "/kiosk"}
PHONE = {"width": 320, "height": 640}


def settled(page: Any) -> None:
    page.wait_for_selector("h1", state="attached")
    page.wait_for_load_state("load")
    page.wait_for_timeout(500)


@pytest.mark.parametrize(("locale", "lang", "words"), [
    ("en-GB", "en", "Begin the walk"), ("es-MX", "es", "Empezar el paseo"),
    ("de-AT", "de", "Losgehen"), ("fr-FR", "en", "Begin the walk"),
])  # fmt: skip
def test_the_browsers_language_is_spoken(open_page: Open, locale: str, lang: str, words: str) -> None:
    page = open_page(locale=locale)
    page.get_by_role("button", name=words).wait_for()
    assert page.get_attribute("html", "lang") == lang


def test_a_chosen_language_is_remembered_and_loses_nothing(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(".compose")
    steps.fill_in(page, "blue dots", "red dots")
    page.select_option("#language", "es")
    page.get_by_role("button", name="Empezar el paseo").wait_for()
    assert page.locator(".prompt").first.input_value() == "blue dots"
    page.reload()
    page.get_by_role("button", name="Empezar el paseo").wait_for()
    assert page.get_attribute("html", "lang") == "es"


def test_every_language_has_every_message(open_page: Open) -> None:
    page = open_page()
    keys = [set(page.request.get(f"/static/i18n/{tag}.json").json()) for tag in ("en", "es", "de")]
    assert keys[0] == keys[1] == keys[2]


def test_nothing_moves_by_itself_where_motion_is_reduced(open_page: Open, done_walk: Walk) -> None:
    page = open_page(done_walk["links"]["page"], reduced_motion="reduce")
    steps.wait_for_frames(page)
    there = steps.place(page)
    page.wait_for_timeout(800)
    assert steps.place(page) == there
    page.get_by_role("button", name="Play").click()
    steps.wait_until(page, f"document.querySelector('.strip-slider').value !== '{there}'")


@pytest.mark.parametrize("locale", ["en-GB", "de-DE"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_phone_need_not_scroll_sideways(open_page: Open, view: str, locale: str) -> None:
    page = open_page(VIEWS[view], viewport=PHONE, locale=locale)
    settled(page)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_walk_fits_a_phone(open_page: Open, done_walk: Walk) -> None:
    page = open_page(done_walk["links"]["page"], viewport=PHONE)
    steps.wait_for_frames(page)
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_skip_link_leads_to_the_content(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(".compose")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    assert "#/" not in page.url.replace("/#/", "", 1)


def test_a_new_view_takes_the_focus(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("link", name="Gallery").click()
    steps.wait_until(page, "document.activeElement.tagName === 'H1'")
    assert page.get_by_role("link", name="Gallery").get_attribute("aria-current") == "page"


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_nothing(open_page: Open, axe_script: str, view: str, color_scheme: str) -> None:
    page = open_page(VIEWS[view], color_scheme=color_scheme)
    settled(page)
    assert violations(page, axe_script) == []


@pytest.mark.parametrize("color_scheme", ["light", "dark"])
def test_axe_finds_nothing_on_a_walk(open_page: Open, axe_script: str, done_walk: Walk, color_scheme: str) -> None:
    page = open_page(done_walk["links"]["page"], color_scheme=color_scheme)
    steps.wait_for_frames(page)
    for summary in page.locator("summary").all():
        summary.click()
    assert violations(page, axe_script) == []


def test_axe_finds_nothing_while_a_walk_is_drawn(open_page: Open, axe_script: str) -> None:
    page = open_page()
    steps.make_walk(page, "turquoise diagonals on orange", "a color field in red")
    page.wait_for_selector(".panel .status")
    assert violations(page, axe_script) == []


def violations(page: Any, axe_script: str) -> list[Any]:
    page.evaluate(axe_script)
    found = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    assert found["passes"], "axe looked at nothing"
    return [(rule["id"], [node["target"] for node in rule["nodes"]]) for rule in found["violations"]]
