"""The visitors' page in a real browser, against the real service: `make test-web`.

The service is started here, with a model that draws nothing to be seen, and at once: the browser takes the processor
that `tiny` would want. MOMALISA_WEB_BASE_URL=http://… looks at one that runs already, with whatever model. The browser
is the system's Chromium, from the PATH or MOMALISA_CHROMIUM. What is missing is an error: a suite that skips itself
proves nothing.
"""

import json
import os
import time
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

from momalisa.service.keys import hash_key
from momalisa.service.models import TINY
from tests.support.chromium import chromium
from tests.support.served import served
from tests.support.small_sd import save_small_sd
from tests.web.steps import WALK_LIMIT_S

STAFF_KEY = "curator-of-the-tests"


@pytest.fixture(scope="session")
def chromium_path() -> str:
    return chromium()


@pytest.fixture(scope="session")
def base_url(chromium_path: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a service with visitors and a curator."""
    if url := os.environ.get("MOMALISA_WEB_BASE_URL", "").rstrip("/"):
        yield url
        return
    folder = tmp_path_factory.mktemp("served")
    keys = folder / "keys.jsonl"
    keys.write_text(json.dumps({"name": "curator", "sha256": hash_key(STAFF_KEY), "is_staff": True}))
    model = {"id": "small", "uri": str(save_small_sd(folder / "small")), "suggestions": TINY.suggestions}
    life = folder / "life.json"
    life.write_text(json.dumps({"conductor": {"models": [model]}}))
    # Ray's workers are nicer to others than the browser is to them: it would take what the renderer needs
    environment = {"RAY_worker_niceness": "0"}
    with served(folder, "--keys", str(keys), "--config", str(life), environment=environment) as service:
        yield service.url


@pytest.fixture(scope="session")
def browser(chromium_path: str) -> Iterator[Any]:
    with sync_playwright() as playwright:
        # no sandbox: it needs rights that containers rarely give, and only our own page is opened
        chromium = playwright.chromium.launch(executable_path=chromium_path, args=["--no-sandbox", "--disable-gpu"])
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
    """A walk that is done, made by somebody else; the museum shows it, where it is the service of these tests."""
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
    feature = context.request.post(f"{walk['links']['self']}/feature", headers={"Authorization": f"Bearer {STAFF_KEY}"})
    assert feature.status == 200 or "MOMALISA_WEB_BASE_URL" in os.environ, feature.text()
    context.close()
    return walk


@pytest.fixture(scope="session")
def axe_script() -> str:
    [script] = Path(str(resources.files("axe_playwright_python"))).rglob("axe.min.js")
    return script.read_text()


def _is_trouble(message: Any) -> bool:
    # a refusal that a test asks for is logged by the browser too
    return message.type in ("error", "warning") and "Failed to load resource" not in message.text


def _is_foreign(url: str, base_url: str) -> bool:
    return urlsplit(url).scheme in ("http", "https", "ws", "wss") and urlsplit(url).netloc != urlsplit(base_url).netloc
