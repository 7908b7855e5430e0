"""What the page says and does when something fails."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.web import steps

Open = Callable[..., Any]
PROMPTS = ("blue dots on white", "red circles on grey")


def refuse(page: Any, status: int, code: str, **more: Any) -> None:
    """The next walk is refused, as the service refuses."""
    body = {"type": "about:blank", "title": code, "status": status, "detail": "A sentence.", "code": code} | more
    headers = {"Content-Type": "application/problem+json"}

    refused = []

    def answer(route: Any) -> None:
        if route.request.method != "POST" or refused:
            return route.continue_()
        refused.append(route.request.url)
        return route.fulfill(status=status, headers=headers, body=json.dumps(body))

    page.route("**/v1/walks", answer)


def test_too_many_requests_are_counted_down(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(".compose")
    refuse(page, 429, "too_many_requests", retry_after_s=2)
    steps.make_walk(page, *PROMPTS)
    page.get_by_role("alert").wait_for()
    button = page.get_by_role("button", name="Begin the walk")
    assert button.is_disabled()
    assert "You can try again in" in page.locator(".problem-countdown").inner_text()
    page.get_by_text("You can try again now.").wait_for()
    button.click()
    page.wait_for_url("**/#/walks/*")


def test_refused_words_keep_what_was_written(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(".compose")
    refuse(page, 422, "refused_words")
    steps.make_walk(page, *PROMPTS)
    page.get_by_text("Not with these words. Please choose others.").wait_for()
    assert page.locator(".prompt").first.input_value() == PROMPTS[0]
    assert page.evaluate("document.activeElement.className") == "prompt"


def test_what_is_wrong_with_a_prompt_stands_beside_it(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(".compose")
    refuse(page, 422, "invalid_request", errors=[{"field": "waypoints.1.prompt", "message": "too long"}])
    steps.make_walk(page, *PROMPTS)
    page.get_by_text("too long").wait_for()
    last = page.locator(".prompt").last
    assert last.get_attribute("aria-invalid") == "true"
    assert page.locator(f"#{last.get_attribute('aria-describedby')}").inner_text() == "too long"


def test_an_empty_prompt_is_asked_for(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(".compose")
    page.click(".compose .primary")
    page.get_by_text("Say what this picture shows.").first.wait_for()
    assert page.evaluate("document.activeElement === document.querySelector('.prompt')")


def test_a_lost_answer_is_asked_for_again_by_the_same_key(open_page: Open) -> None:
    page = open_page()
    page.wait_for_selector(".compose")
    keys = []

    def lose_first(route: Any) -> None:
        if route.request.method == "POST":
            keys.append(route.request.headers["idempotency-key"])
            if len(keys) == 1:
                return route.abort()
        return route.continue_()

    page.route("**/v1/walks", lose_first)
    steps.make_walk(page, *PROMPTS)
    page.get_by_text("The service could not be reached.").wait_for()
    page.click(".compose .primary")
    page.wait_for_url("**/#/walks/*")
    assert len(keys) == 2
    assert keys[0] == keys[1]


def test_a_stream_that_fails_is_begun_again(open_page: Open) -> None:
    page = open_page()
    failed = []

    def fail_twice(route: Any) -> None:
        if len(failed) < 2:
            failed.append(route.request.url)
            return route.fulfill(status=503)
        return route.continue_()

    page.route("**/events*", fail_twice)
    steps.make_walk(page, "a grid in red", "blue and green cut-outs")
    steps.wait_until_done(page)
    assert len(failed) == 2


@pytest.mark.parametrize(("status", "code", "words"), [
    (404, "not_found", "There is no walk at this address."), (410, "gone", "This walk was taken down."),
])  # fmt: skip
def test_a_walk_that_is_not_there(open_page: Open, status: int, code: str, words: str) -> None:
    page = open_page()
    body = json.dumps({"status": status, "code": code, "detail": "", "title": "", "type": "about:blank"})
    page.route("**/v1/walks/some-id", lambda route: route.fulfill(status=status, body=body))
    page.goto("/#/walks/some-id")
    page.get_by_text(words).wait_for()
    page.get_by_role("link", name="Make another walk").click()
    page.wait_for_selector(".compose")


def test_a_service_that_is_away_is_tried_again(open_page: Open) -> None:
    page = open_page("/kiosk")
    page.route("**/v1/me", lambda route: route.abort())
    page.goto("/")
    page.get_by_text("The service could not be reached.").wait_for()
    page.unroute("**/v1/me")
    page.get_by_role("button", name="Try again").click()
    page.wait_for_selector(".compose")
