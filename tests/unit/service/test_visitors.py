import pytest

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
    visitors = Visitors([NEW], now=clock)
    session = visitors.new()
    value = value_of(visitors.cookie(session, is_secure=True))

    again = visitors.read(value)

    assert again is not None
    assert again.id == session.id
    assert not again.is_due
    assert again.owner == session.owner != visitors.new().owner
    assert not any(part in again.owner for part in value.split(".") if len(part) > 10)


def test_a_cookie_cannot_be_read_by_scripts_nor_sent_by_other_sites(clock: Clock) -> None:
    cookie = Visitors([NEW], now=clock).cookie(Visitors([NEW]).new(), is_secure=True)

    for attribute in ("; Path=/", f"; Max-Age={90 * 86400}", "; HttpOnly", "; SameSite=Lax", "; Secure"):
        assert attribute in cookie


def test_tampering_is_noticed(clock: Clock) -> None:
    visitors = Visitors([NEW], now=clock)
    value = value_of(visitors.cookie(visitors.new(), is_secure=True))
    version, identity, issued, signature = value.split(".")
    other = Visitors(["x" * 32], now=clock)

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
    visitors = Visitors([NEW], now=clock)
    value = value_of(visitors.cookie(visitors.new(), is_secure=True))

    clock.now += MAX_AGE_S - 1
    late = visitors.read(value)
    clock.now += 1

    assert late is not None
    assert late.is_due
    assert visitors.read(value) is None


def test_secrets_are_changed_without_anybody_noticing(clock: Clock) -> None:
    old, both = Visitors([OLD], now=clock), Visitors([NEW, OLD], now=clock)
    session = old.new()

    between = both.read(value_of(old.cookie(session, is_secure=True)))

    assert between is not None
    assert (between.id, between.is_due) == (session.id, True)
    renewed = value_of(both.cookie(between, is_secure=True))
    after = Visitors([NEW], now=clock).read(renewed)
    assert after is not None
    assert after.owner == session.owner
    assert old.read(renewed) is None


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
