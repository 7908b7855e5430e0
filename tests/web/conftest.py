"""The visitors' page in a real browser, against a service that runs: MOMALISA_WEB_BASE_URL=http://… pytest tests/web

Needs `pip install playwright zxing-cpp axe-playwright-python` and a Chromium: MOMALISA_CHROMIUM, or one on the PATH.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.web.steps import WALK_LIMIT_S


@pytest.fixture(scope="session")
def base_url() -> str:
    url = os.environ.get("MOMALISA_WEB_BASE_URL", "").rstrip("/")
    if not url:
        pytest.skip("no service to look at: set MOMALISA_WEB_BASE_URL")
    return url


@pytest.fixture(scope="session")
def browser(base_url: str) -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("MOMALISA_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium: install one, or name it in MOMALISA_CHROMIUM")
    with sync_api.sync_playwright() as playwright:
        # no sandbox: it needs rights that containers rarely give, and only our own page is opened
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser: Any, base_url: str) -> Iterator[Callable[..., Any]]:
    """Opens a page of the service in a fresh session; fails afterwards if scripts failed, the content security policy
    was broken or anything was asked of another server."""
    contexts, troubles = [], []

    def open_(path: str = "/", **settings: Any) -> Any:
        settings = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", "base_url": base_url} | settings
        context = browser.new_context(**settings)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text) if _is_trouble(message) else None)
        page.on("request", lambda request: troubles.append(request.url) if _is_foreign(request.url, base_url) else None)
        page.goto(path)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert troubles == []


@pytest.fixture(scope="session")
def done_walk(browser: Any, base_url: str) -> dict[str, Any]:
    """A walk that is done, made by somebody else."""
    context = browser.new_context(base_url=base_url)
    context.request.get("/v1/me")
    waypoints = [{"prompt": "blue dots on white"}, {"prompt": "red circles on grey"}]
    body = {"waypoints": waypoints, "num_frames": 24, "frames_per_second": 12}
    reply = context.request.post("/v1/walks", data=body, headers={"X-Momalisa": "1"})
    assert reply.status == 202, reply.text()
    until = time.monotonic() + WALK_LIMIT_S
    while (walk := context.request.get(f"/v1/walks/{reply.json()['id']}").json())["state"] != "done":
        assert walk["state"] not in ("failed", "cancelled"), walk["error"]
        assert time.monotonic() < until, walk
        time.sleep(0.5)
    context.close()
    return walk


@pytest.fixture(scope="session")
def axe_script() -> str:
    pytest.importorskip("axe_playwright_python", reason="no axe: pip install axe-playwright-python")
    [script] = Path(str(resources.files("axe_playwright_python"))).rglob("axe.min.js")
    return script.read_text()


def _is_trouble(message: Any) -> bool:
    # a refusal that a test asks for is logged by the browser too
    return message.type in ("error", "warning") and "Failed to load resource" not in message.text


def _is_foreign(url: str, base_url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).netloc != urlsplit(base_url).netloc
