"""What routes have at hand, and who asks."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Header, Path, Request

from momalisa.errors import ForbiddenError, UnauthorizedError, UnsupportedMediaError
from momalisa.service.config import EdgeConfig, Limits
from momalisa.service.events import Seats
from momalisa.service.files import File
from momalisa.service.keys import KeyRing
from momalisa.service.middleware import COOKIES
from momalisa.service.moderation import Moderator
from momalisa.service.port import Owner, Walks
from momalisa.service.uploads import Uploads
from momalisa.service.visitors import COOKIE, CSRF_HEADER, Session, Visitors, needs_secure

MAX_NUMBER = 10**6
_MAX_KEY_LENGTH = 512
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_ANYBODY = Owner(kind="anybody", name="anybody")
_WHO = "send a key (Authorization: Bearer …), or load the page first for a session"


@dataclass(frozen=True, kw_only=True, slots=True)
class Edge:
    """Everything that the routes use; one for each application."""

    walks: Walks
    config: EdgeConfig
    keys: KeyRing | None
    visitors: Visitors | None
    moderator: Moderator
    uploads: Uploads
    seats: Seats
    site: dict[str, File]

    @property
    def limits(self) -> Limits:
        """How much one request may ask for."""
        return self.config.limits


async def _edge(request: Request) -> Edge:
    edge: Edge = request.app.state.edge
    return edge


EdgeHere = Annotated[Edge, Depends(_edge)]


CsrfHeader = Annotated[str | None, Header(alias=CSRF_HEADER, description="`1`; needed with a session's cookie")]


async def _caller(request: Request, edge: EdgeHere) -> Owner:
    """Who reads. Somebody without key or session gets a session with the answer."""
    if (owner := _known(request, edge)) is not None:
        return owner
    if edge.visitors is None or request.method not in _SAFE_METHODS:
        return _ANYBODY
    session = edge.visitors.new()
    _leave_cookie(request, edge.visitors, session)
    return _visitor(session)


async def _spender(request: Request, edge: EdgeHere, _header: CsrfHeader = None) -> Owner:
    """Who has something made or changed. A session that begins with this very request counts for nobody: whoever
    throws cookies away would have as many quotas as requests."""
    if (owner := _known(request, edge)) is not None:
        return owner
    if edge.config.is_open:
        return _ANYBODY
    raise UnauthorizedError(f"this is not for everybody: {_WHO}")


Caller = Annotated[Owner, Depends(_caller)]
Spender = Annotated[Owner, Depends(_spender)]


async def _staff(owner: Spender) -> Owner:
    if owner.kind == "anybody":
        raise UnauthorizedError("this is for the museum's staff: send a key of theirs")
    if not owner.is_staff:
        raise ForbiddenError("this is for the museum's staff: send a key of theirs")
    return owner


Staff = Annotated[Owner, Depends(_staff)]


async def needs_json(request: Request) -> None:
    """Refuses other bodies than JSON, as which a form of another site could be taken."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise UnsupportedMediaError("send JSON, with Content-Type: application/json")


WalkId = Annotated[
    str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="as `POST /v1/walks` answered it", examples=["w7Jt0cXc2Fk"])
]
Number = Annotated[int, Path(ge=0, le=MAX_NUMBER)]


def _known(request: Request, edge: Edge) -> Owner | None:
    """Whose key or session came along. Raises UnauthorizedError for a key that is none, ForbiddenError for a session
    that a page of another site may have sent."""
    if (authorization := request.headers.get("authorization")) is not None:
        return _by_key(authorization, edge.keys)
    session = edge.visitors.read(request.cookies.get(COOKIE)) if edge.visitors is not None else None
    if edge.visitors is None or session is None:
        return None
    if request.method in _SAFE_METHODS:
        if session.is_due:
            _leave_cookie(request, edge.visitors, session)
    elif request.headers.get(CSRF_HEADER) != "1":
        raise ForbiddenError(f"a request with a session's cookie needs the header {CSRF_HEADER}: 1")
    return _visitor(session)


def _by_key(authorization: str, keys: KeyRing | None) -> Owner:
    scheme, _, given = authorization.partition(" ")
    given = given.strip()
    key = keys.find(given) if keys is not None and scheme.lower() == "bearer" and len(given) < _MAX_KEY_LENGTH else None
    if key is None:
        raise UnauthorizedError("this key is unknown, or its time is over: ask for a new one")
    return Owner(kind="key", name=f"key-{key.name}", is_staff=key.is_staff)


def _visitor(session: Session) -> Owner:
    return Owner(kind="visitor", name=session.owner)


def _leave_cookie(request: Request, visitors: Visitors, session: Session) -> None:
    is_secure = needs_secure(request.scope.get("scheme", "http"), request.headers.get("host", ""))
    request.scope[COOKIES].append(visitors.cookie(session, is_secure=is_secure))
