"""What visitors do, for the tests of the page."""

import time
from typing import Any

WALK_LIMIT_S = 180
"""The longest that a short walk may take."""

DONE = ".downloads"


def fill_in(page: Any, *prompts: str) -> None:
    for field, prompt in zip(page.locator(".prompt").all(), prompts, strict=True):
        field.fill(prompt)


def shortest(page: Any) -> None:
    """Chooses what is drawn soonest."""
    page.locator("input[name=smoothness][value=calm]").check()


def make_walk(page: Any, *prompts: str) -> None:
    page.wait_for_selector(".compose")
    fill_in(page, *prompts)
    shortest(page)
    page.click(".compose .primary")


def wait_until_done(page: Any) -> None:
    page.wait_for_selector(DONE, timeout=WALK_LIMIT_S * 1000)
    wait_for_frames(page)


def wait_for_frames(page: Any) -> None:
    """Until the slider goes frame by frame."""
    wait_until(page, "document.querySelector('.strip-slider:not([disabled]):not([max=\"100\"])') !== null")


def wait_until(page: Any, expression: str, limit_s: float = 15) -> None:
    """Until JavaScript says so; playwright's own wait_for_function needs eval, which our policy forbids."""
    until = time.monotonic() + limit_s
    while not page.evaluate(expression):
        assert time.monotonic() < until, f"not so within {limit_s} s: {expression}"
        page.wait_for_timeout(50)


def tab_to(page: Any, selector: str, most: int = 40) -> None:
    """As somebody without a mouse goes there."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"{most} tabs do not lead to {selector}")


def place(page: Any) -> int:
    return int(page.input_value(".strip-slider"))


def picture(page: Any) -> str:
    """What the canvas shows."""
    return page.evaluate("document.querySelector('.stage-canvas').toDataURL()")
