"""An edge with a fake walk service behind it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from momalisa.service.app import create_app
from momalisa.service.config import EdgeConfig
from momalisa.service.keys import hash_key
from tests.support.fake_walks import FakeWalks

SECRET = "s" * 32
WALK: dict[str, Any] = {"waypoints": [{"prompt": "blue dots"}, {"prompt": "red stripes"}]}
MakeApp = Callable[..., FastAPI]


@pytest.fixture
def walks() -> FakeWalks:
    return FakeWalks()


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    path = tmp_path / "keys.jsonl"
    lines = [
        {"name": "kiosk", "sha256": hash_key("kiosk-key")},
        {"name": "curator", "sha256": hash_key("staff-key"), "is_staff": True},
    ]
    path.write_text("\n".join(json.dumps(line) for line in lines))
    return path


@pytest.fixture
def web_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "web"
    (folder / "i18n").mkdir(parents=True)
    (folder / "index.html").write_text("<title>momalisa</title>")
    (folder / "app.js").write_text("start()")
    (folder / "i18n" / "de.json").write_text("{}")
    (folder / ".hidden.js").write_text("no")
    (folder / "notes.md").write_text("no")
    (tmp_path / "secret.txt").write_text("no")
    (folder / "out.txt").symlink_to(tmp_path / "secret.txt")
    return folder


@pytest.fixture
def make_app(walks: FakeWalks, keys_file: Path, web_folder: Path) -> MakeApp:
    def make(**settings: Any) -> FastAPI:
        defaults = {"session_secrets": (SECRET,), "keys_file": keys_file, "web_folder": web_folder}
        return create_app(walks, EdgeConfig(**(defaults | settings)))

    return make


@pytest.fixture
def kiosk(make_app: MakeApp) -> TestClient:
    """A program with a key."""
    return client_of(make_app(), key="kiosk-key")


@pytest.fixture
def staff(make_app: MakeApp) -> TestClient:
    return client_of(make_app(), key="staff-key")


@pytest.fixture
def visitor(make_app: MakeApp) -> TestClient:
    """A browser that has loaded the page."""
    client = client_of(make_app())
    client.get("/")
    client.headers["X-Momalisa"] = "1"
    return client


def client_of(app: FastAPI, key: str | None = None) -> TestClient:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return TestClient(app, base_url="https://museum.example", headers=headers)


def problem_of(response: Any, status: int, code: str) -> dict[str, Any]:
    """Checks that an answer is this problem, and gives its body."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert (body["status"], body["code"], body["type"]) == (status, code, "about:blank")
    assert body["detail"]
    assert "secret" not in response.text
    return body


def fields_of(response: Any) -> dict[str, str]:
    return {each["field"]: each["message"] for each in problem_of(response, 422, "invalid_request")["errors"]}
