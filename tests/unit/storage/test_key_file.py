"""Keys that are exchanged while a process runs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import google.auth.exceptions
import pytest

from momalisa.storage.gcs_http import Answer, GcsHttp, connect
from momalisa.storage.key_file import KeyFile
from momalisa.storage.retry import RetryPolicy


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def mounted(folder: Path, number: int) -> Path:
    """As the kubelet mounts a Secret: a folder behind a link, which is exchanged as a whole."""
    (folder / f"version-{number}").mkdir()
    (folder / f"version-{number}" / "key.json").write_text(f"{number}")
    new = folder / "new"
    new.symlink_to(f"version-{number}")
    new.rename(folder / "data")
    return folder / "data" / "key.json"


def test_each_exchange_is_told_once(tmp_path: Path, clock: Clock) -> None:
    key = KeyFile(mounted(tmp_path, 1), clock)
    clock.now = 20
    assert not key.was_exchanged()
    mounted(tmp_path, 2)
    assert not key.was_exchanged()  # it was looked at a moment ago
    clock.now = 40
    assert key.was_exchanged()
    clock.now = 60
    assert not key.was_exchanged()


def test_a_file_that_is_away_for_a_moment_is_no_exchange(tmp_path: Path, clock: Clock) -> None:
    path = mounted(tmp_path, 1)
    key = KeyFile(path, clock)
    content = path.rename(tmp_path / "aside")
    clock.now = 20
    assert not key.was_exchanged()
    content.rename(path)
    clock.now = 40
    assert not key.was_exchanged()


def test_the_environment_names_it(tmp_path: Path) -> None:
    assert KeyFile.of({}) is None
    assert KeyFile.of({"GOOGLE_APPLICATION_CREDENTIALS": str(tmp_path)}) is not None


@pytest.fixture
def http(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> GcsHttp:
    async def answer(*_: str) -> Answer:
        return Answer(200, {}, b"")

    http = connect("http://127.0.0.1:1", RetryPolicy())
    assert http.key_file is None  # an emulator asks for no key
    http.key_file = KeyFile(mounted(tmp_path, 1), clock)
    mounted(tmp_path, 2)
    clock.now = 20
    monkeypatch.setattr(http, "_request_once", answer)
    return http


def connecting(monkeypatch: pytest.MonkeyPatch, http: GcsHttp, act: Callable[[str], None]) -> None:
    monkeypatch.setattr(http.credentials, "connect", act)


def test_another_key_is_used_from_the_next_request_on(monkeypatch: pytest.MonkeyPatch, http: GcsHttp) -> None:
    tried: list[tuple[str, str | None]] = []
    connecting(monkeypatch, http, lambda method: tried.append((method, http.credentials.project)))
    http.credentials.project = "that-of-the-old-key"
    for _ in range(2):
        http.request("GET", "b")
    assert tried == [("google_default", None)]


def test_a_key_that_cannot_be_used_changes_nothing(
    monkeypatch: pytest.MonkeyPatch, http: GcsHttp, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: Any) -> None:
        raise google.auth.exceptions.DefaultCredentialsError("no such key")

    connecting(monkeypatch, http, refuse)
    assert http.request("GET", "b").status == 200
    assert "the credentials stay as they were" in caplog.text
