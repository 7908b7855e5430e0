"""Visitors' sessions: a random id in a signed cookie, and nothing kept of it on our side.

The secrets that sign are in a file that is mounted and may change at any time, one a line: the first one signs, every
one is accepted. A new one is put last, and first once every gateway has read it; the old one goes 90 days later.
"""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from momalisa.errors import ConfigError
from momalisa.service.config import MIN_SECRET_BYTES
from momalisa.service.watched import Watched, lines_of

COOKIE = "momalisa_session"
CSRF_HEADER = "X-Momalisa"
"""No other site's page can send it without a preflight, which we never answer."""
MAX_AGE_S = 90 * 86400
_RENEW_AFTER_S = 86400
_VERSION = "1"
_WHAT = "the session secrets"
_ID_BYTES = 16
_LOCALHOST = re.compile(r"(localhost|127\.0\.0\.1|\[::1\])(:\d+)?")


@dataclass(frozen=True, slots=True)
class Session:
    """A visitor's session, and whether the browser should be given its cookie (anew)."""

    id: bytes
    is_due: bool

    @property
    def owner(self) -> str:
        """The visitor's name in the bucket and in logs: it says nothing about the cookie."""
        return f"visitor-{hashlib.sha256(b'momalisa visitor ' + self.id).hexdigest()[:32]}"


class Visitors:
    """Makes and reads sessions' cookies."""

    def __init__(self, secrets_now: Callable[[], Sequence[str]], *, now: Callable[[], float] = time.time) -> None:
        """`secrets_now`: at any moment the first one signs, every one is accepted."""
        self._secrets_now, self._now = secrets_now, now

    @classmethod
    def of_file(cls, path: Path, *, clock: Callable[[], float] = time.monotonic) -> Self:
        """By a file's secrets, read anew when it changes. Raises ConfigError for one that cannot be read, or has none
        that is safe: a service that cannot sign does not start."""
        watched = Watched(path, _read, what=_WHAT, clock=clock)
        return cls(lambda: watched.value)

    def new(self) -> Session:
        """A session of somebody who was not here before."""
        return Session(secrets.token_bytes(_ID_BYTES), is_due=True)

    def read(self, value: str | None) -> Session | None:
        """The session of a cookie; None where it is missing, not of our making, or too old."""
        parts = (value or "").split(".")
        if len(parts) != 4 or parts[0] != _VERSION:
            return None
        signed, signature = ".".join(parts[:3]), parts[3]
        signers = [i for i, secret in enumerate(self._secrets_now()) if _same(_sign(secret, signed), signature)]
        session_id, age_s = _from_base64(parts[1]), self._now() - _to_seconds(parts[2])
        if not signers or len(session_id) != _ID_BYTES or not -_RENEW_AFTER_S < age_s < MAX_AGE_S:
            return None
        return Session(session_id, is_due=age_s > _RENEW_AFTER_S or signers[0] > 0)

    def cookie(self, session: Session, *, is_secure: bool) -> str:
        """The value of a Set-Cookie header."""
        signed = f"{_VERSION}.{_to_base64(session.id)}.{int(self._now())}"
        value = f"{signed}.{_sign(self._secrets_now()[0], signed)}"
        secure = "; Secure" if is_secure else ""
        return f"{COOKIE}={value}; Path=/; Max-Age={MAX_AGE_S}; HttpOnly; SameSite=Lax{secure}"


def needs_secure(scheme: str, host: str) -> bool:
    """Whether a cookie must never travel in the clear: always, but for trying things out on one's own machine.

    Behind something that ends TLS for us the scheme is `http` as well, but the host is not localhost.
    """
    return not (scheme == "http" and _LOCALHOST.fullmatch(host))


def _read(path: Path) -> tuple[str, ...]:
    found = tuple(line.strip() for line in lines_of(path, what=_WHAT) if line.strip())
    if not found or any(len(secret.encode()) < MIN_SECRET_BYTES for secret in found):
        raise ConfigError(f"{path}: put a secret of {MIN_SECRET_BYTES} random bytes or more on each line, one at least")
    return found


def _sign(secret: str, signed: str) -> str:
    return _to_base64(hmac.digest(secret.encode(), b"momalisa session " + signed.encode(), "sha256"))


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))


def _to_base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _from_base64(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        return b""


def _to_seconds(text: str) -> float:
    return float(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0.0
