"""Visitors' sessions: a random id in a signed cookie, and nothing kept of it on our side."""

import base64
import binascii
import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

COOKIE = "momalisa_session"
CSRF_HEADER = "X-Momalisa"
"""No other site's page can send it without a preflight, which we never answer."""
MAX_AGE_S = 90 * 86400
_RENEW_AFTER_S = 86400
_VERSION = "1"
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

    def __init__(self, signing_secrets: Sequence[str], *, now: Callable[[], float] = time.time) -> None:
        """The first secret signs, every one is accepted."""
        self._secrets = [secret.encode() for secret in signing_secrets]
        self._now = now

    def new(self) -> Session:
        """A session of somebody who was not here before."""
        return Session(secrets.token_bytes(_ID_BYTES), is_due=True)

    def read(self, value: str | None) -> Session | None:
        """The session of a cookie; None where it is missing, not of our making, or too old."""
        parts = (value or "").split(".")
        if len(parts) != 4 or parts[0] != _VERSION:
            return None
        signed, signature = ".".join(parts[:3]), parts[3]
        signers = [i for i, secret in enumerate(self._secrets) if _same(_sign(secret, signed), signature)]
        session_id, age_s = _from_base64(parts[1]), self._now() - _to_seconds(parts[2])
        if not signers or len(session_id) != _ID_BYTES or not -_RENEW_AFTER_S < age_s < MAX_AGE_S:
            return None
        return Session(session_id, is_due=age_s > _RENEW_AFTER_S or signers[0] > 0)

    def cookie(self, session: Session, *, is_secure: bool) -> str:
        """The value of a Set-Cookie header."""
        signed = f"{_VERSION}.{_to_base64(session.id)}.{int(self._now())}"
        value = f"{signed}.{_sign(self._secrets[0], signed)}"
        secure = "; Secure" if is_secure else ""
        return f"{COOKIE}={value}; Path=/; Max-Age={MAX_AGE_S}; HttpOnly; SameSite=Lax{secure}"


def needs_secure(scheme: str, host: str) -> bool:
    """Whether a cookie must never travel in the clear: always, but for trying things out on one's own machine.

    Behind something that ends TLS for us the scheme is `http` as well, but the host is not localhost.
    """
    return not (scheme == "http" and _LOCALHOST.fullmatch(host))


def _sign(secret: bytes, signed: str) -> str:
    return _to_base64(hmac.digest(secret, b"momalisa session " + signed.encode(), "sha256"))


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
