import json
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from momalisa.errors import ConfigError
from momalisa.service.keys import KeyRing, hash_key

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def write(path: Path, *keys: dict[str, Any]) -> None:
    """As a mounted Secret changes: another file takes the name."""
    new = path.with_suffix(".new")
    new.write_text("\n".join(json.dumps(key) for key in keys))
    new.replace(path)


def entry(name: str, key: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "sha256": hash_key(key)} | more


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys.jsonl"


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_key_is_found_by_its_hash(path: Path) -> None:
    write(path, entry("kiosk", "one"), entry("curator", "two", is_staff=True))
    ring = KeyRing(path)

    found = ring.find("two")

    assert found is not None
    assert (found.name, found.is_staff) == ("curator", True)
    assert ring.find("three") is None
    assert ring.find(hash_key("one")) is None
    assert ring.find("\udcff") is None
    assert hash_key("one") not in repr(found)


def test_a_key_whose_time_is_over_is_unknown(path: Path) -> None:
    write(path, entry("kiosk", "one", not_after="2026-11-21T00:00:01Z"))
    now = [NOW]
    ring = KeyRing(path, now=lambda: now[0])

    assert ring.find("one") is not None
    now[0] += timedelta(seconds=1)
    assert ring.find("one") is None


def test_the_file_is_read_anew_when_it_changes_but_not_looked_at_all_the_time(path: Path, clock: Clock) -> None:
    write(path, entry("kiosk", "old"))
    ring = KeyRing(path, clock=clock)
    write(path, entry("kiosk", "old"), entry("kiosk", "new"))

    assert ring.find("new") is None
    clock.now = 1.0
    assert ring.find("new") is not None
    assert ring.find("old") is not None  # both, while programs change over
    write(path, entry("kiosk", "new"))
    clock.now = 2.0
    assert ring.find("old") is None


def test_a_change_in_place_is_seen_too(path: Path, clock: Clock) -> None:
    write(path, entry("kiosk", "old"))
    ring = KeyRing(path, clock=clock)
    path.write_text(json.dumps(entry("kiosk", "new")))
    os.utime(path, ns=(1, 1))
    clock.now = 1.0

    assert ring.find("new") is not None


@pytest.mark.parametrize("broken", [b"{", b"\xff", b'{"name": "kiosk"}', None])
def test_a_broken_file_changes_nothing(
    path: Path, clock: Clock, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    write(path, entry("kiosk", "old"))
    ring = KeyRing(path, clock=clock)
    path.unlink()
    if broken is not None:
        path.write_bytes(broken)
    clock.now = 1.0

    with caplog.at_level(logging.ERROR):
        assert ring.find("old") is not None
    assert "the API keys stay as they were" in caplog.text
    write(path, entry("kiosk", "new"))
    clock.now = 2.0
    assert ring.find("new") is not None


@pytest.mark.parametrize(
    "keys",
    [
        [entry("kiosk", "one"), entry("kiosk", "two"), entry("kiosk", "three")],
        [entry("kiosk", "one"), entry("other", "one")],
        [entry("../kiosk", "one")],
        [entry("a..b", "one")],
        [entry("Kiosk", "one")],
        [{"name": "kiosk", "sha256": "short"}],
        [{"name": "kiosk", "key": "plain-text-secret"}],
        [entry("kiosk", "one", not_after="2026-11-21T00:00:00")],
    ],
)
def test_a_service_does_not_start_with_keys_that_cannot_be(path: Path, keys: list[dict[str, Any]]) -> None:
    write(path, *keys)

    with pytest.raises(ConfigError) as caught:
        KeyRing(path)
    assert "plain-text-secret" not in str(caught.value)


def test_keys_whose_time_is_over_do_not_count(path: Path) -> None:
    over = {"not_after": "2020-01-01T00:00:00Z"}
    write(path, entry("kiosk", "one", **over), entry("kiosk", "two"), entry("kiosk", "three"))

    assert KeyRing(path).find("three") is not None


def test_a_service_does_not_start_without_its_keys(path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        KeyRing(path)
