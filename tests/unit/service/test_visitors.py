import logging
from pathlib import Path

import pytest

from momalisa.errors import ConfigError
from momalisa.service.visitors import COOKIE, MAX_AGE_S, Visitors, needs_secure

OLD, NEW = "o" * 32, "n" * 32


class Clock:
    now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def value_of(cookie: str) -> str:
    return cookie.partition(";")[0].removeprefix(f"{COOKIE}=")


def test_a_session_is_read_from_its_cookie(clock: Clock) -> None:
    visitors = Visitors(lambda: [NEW], now=clock)
    session = visitors.new()
    value = value_of(visitors.cookie(session, is_secure=True))

    again = visitors.read(value)

    assert again is not None
    assert again.id == session.id
    assert not again.is_due
    assert again.owner == session.owner != visitors.new().owner
    assert not any(part in again.owner for part in value.split(".") if len(part) > 10)


def test_a_cookie_cannot_be_read_by_scripts_nor_sent_by_other_sites(clock: Clock) -> None:
    cookie = Visitors(lambda: [NEW], now=clock).cookie(Visitors(lambda: [NEW]).new(), is_secure=True)

    for attribute in ("; Path=/", f"; Max-Age={90 * 86400}", "; HttpOnly", "; SameSite=Lax", "; Secure"):
        assert attribute in cookie


def test_tampering_is_noticed(clock: Clock) -> None:
    visitors = Visitors(lambda: [NEW], now=clock)
    value = value_of(visitors.cookie(visitors.new(), is_secure=True))
    version, identity, issued, signature = value.split(".")
    other = Visitors(lambda: ["x" * 32], now=clock)

    for forged in (
        "",
        "a.b.c",
        value + ".x",
        f"{version}.{identity[:-4]}AAAA.{issued}.{signature}",
        f"{version}.{identity}.{int(issued) + 1}.{signature}",
        f"2.{identity}.{issued}.{signature}",
        f"{version}.{identity}.{issued}.",
        f"{version}.{identity}.{issued}.ä",
        value_of(other.cookie(other.new(), is_secure=True)),
    ):
        assert visitors.read(forged) is None
    assert visitors.read(None) is None


def test_a_session_ends_but_is_renewed_before(clock: Clock) -> None:
    visitors = Visitors(lambda: [NEW], now=clock)
    value = value_of(visitors.cookie(visitors.new(), is_secure=True))

    clock.now += MAX_AGE_S - 1
    late = visitors.read(value)
    clock.now += 1

    assert late is not None
    assert late.is_due
    assert visitors.read(value) is None


def test_secrets_are_changed_without_anybody_noticing(clock: Clock) -> None:
    old, both = Visitors(lambda: [OLD], now=clock), Visitors(lambda: [NEW, OLD], now=clock)
    session = old.new()

    between = both.read(value_of(old.cookie(session, is_secure=True)))

    assert between is not None
    assert (between.id, between.is_due) == (session.id, True)
    renewed = value_of(both.cookie(between, is_secure=True))
    after = Visitors(lambda: [NEW], now=clock).read(renewed)
    assert after is not None
    assert after.owner == session.owner
    assert old.read(renewed) is None


def write(path: Path, text: str) -> None:
    """As a mounted Secret changes: another file takes the name."""
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def test_secrets_are_rotated_in_their_file_while_the_service_runs(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "secrets"
    path.write_text(f"{OLD}\n")
    visitors = Visitors.of_file(path, clock=clock)
    session = visitors.new()
    cookie = value_of(visitors.cookie(session, is_secure=True))

    seen = []
    for text in (f"{OLD}\n{NEW}\n", f"{NEW}\n{OLD}\n", f"{NEW}\n"):
        write(path, text)
        clock.now += 1
        there = visitors.read(cookie)
        seen.append(there)
        if there is not None and there.is_due:
            renewed = value_of(visitors.cookie(there, is_secure=True))

    assert [each is not None for each in seen] == [True, True, False]
    assert [each.is_due for each in seen if each is not None] == [False, True]
    last = visitors.read(renewed)
    assert last is not None
    assert last.owner == session.owner


@pytest.mark.parametrize("broken", [b"short\n", b"\n", b"\xff", None])
def test_a_broken_file_changes_nothing(
    tmp_path: Path, clock: Clock, broken: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "secrets"
    path.write_text(OLD)
    visitors = Visitors.of_file(path, clock=clock)
    cookie = value_of(visitors.cookie(visitors.new(), is_secure=True))
    path.unlink()
    if broken is not None:
        path.write_bytes(broken)
    clock.now += 1

    with caplog.at_level(logging.ERROR):
        assert visitors.read(cookie) is not None
    assert "the session secrets stay as they were" in caplog.text
    assert "short" not in caplog.text


@pytest.mark.parametrize("text", ["", "short"])
def test_a_service_does_not_start_without_a_safe_secret(tmp_path: Path, text: str) -> None:
    (tmp_path / "secrets").write_text(text)
    with pytest.raises(ConfigError, match="32 random bytes or more"):
        Visitors.of_file(tmp_path / "secrets")
    with pytest.raises(ConfigError, match="cannot be read"):
        Visitors.of_file(tmp_path / "none")


@pytest.mark.parametrize(
    ("scheme", "host", "is_needed"),
    [
        ("https", "localhost", True),
        ("http", "localhost:8000", False),
        ("http", "127.0.0.1", False),
        ("http", "[::1]:8000", False),
        ("http", "museum.example", True),
        ("http", "localhost.museum.example", True),
        ("http", "[::", True),
    ],
)
def test_cookies_go_in_the_clear_on_ones_own_machine_alone(scheme: str, host: str, is_needed: bool) -> None:
    assert needs_secure(scheme, host) is is_needed
