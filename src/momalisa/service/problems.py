"""Every error as `application/problem+json` (RFC 9457), from one place."""

import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from momalisa.errors import (
    AlreadyExistsError,
    BusyError,
    ConflictError,
    DatasetError,
    FieldsError,
    ForbiddenError,
    GoneError,
    HandoverError,
    InputError,
    ModelError,
    MomalisaError,
    ObjectNotFoundError,
    RefusedError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedMediaError,
    UriError,
)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 5.0
_LOGGER = logging.getLogger(__name__)
_MAX_FIELD_LENGTH = 120
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


class _Kind(NamedTuple):
    status: int
    code: str
    detail: str | None = None
    """Where the error's own words are not for strangers: those of the storage name buckets."""


INTERNAL = _Kind(500, "internal_error", "something went wrong on our side: tell us the X-Request-Id of this answer")
OUT_OF_RANGE = _Kind(416, "range_not_satisfiable", "the file is shorter than that: ask for bytes that it has")
_KINDS: Mapping[type[MomalisaError], _Kind] = {
    RefusedError: _Kind(422, "refused_words"),
    InputError: _Kind(422, "invalid_request"),
    # Clients name served models and pictures by ids: what is wrong with a folder or a URI is our own trouble.
    DatasetError: INTERNAL,
    ModelError: INTERNAL,
    UriError: INTERNAL,
    UnauthorizedError: _Kind(401, "unauthorized"),
    ForbiddenError: _Kind(403, "forbidden"),
    ObjectNotFoundError: _Kind(404, "not_found", "there is nothing by this name: check the address"),
    AlreadyExistsError: _Kind(
        409, "conflict", "this Idempotency-Key came with another request before: take a new one for a new request"
    ),
    ConflictError: _Kind(409, "conflict", "the walk is not in a state for this: look at its state, then ask again"),
    GoneError: _Kind(410, "gone", "this walk was taken down"),
    TooLargeError: _Kind(413, "too_large"),
    UnsupportedMediaError: _Kind(415, "unsupported_media"),
    BusyError: _Kind(429, "too_many_requests"),
    UnavailableError: _Kind(503, "unavailable", "the service cannot do this just now: ask again in a moment"),
    HandoverError: _Kind(503, "unavailable", "a newer release serves: ask again, by a new connection"),
}
_BY_STATUS: Mapping[int, _Kind] = {
    # What the framework cannot parse is a 400 to it; programs shall know one code for that.
    400: _Kind(422, "invalid_request", "the body cannot be read: send JSON in UTF-8"),
    404: _Kind(404, "not_found", "there is nothing at this address: check it"),
    405: _Kind(405, "method_not_allowed", "this address does not take this method: see the Allow header"),
    413: _Kind(413, "too_large"),
}


def install(app: FastAPI) -> None:
    """Every error of ours and of the framework's gets its answer; others are left to the outermost middleware."""
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(MomalisaError, _answer_ours)


def answer(error: MomalisaError) -> JSONResponse:
    """An error of ours as the client sees it; the log has what the client does not see."""
    kind = next((found for base in type(error).__mro__ if (found := _KINDS.get(base))), INTERNAL)
    if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR:
        _LOGGER.error("answered with 500", exc_info=error)
    elif kind.detail is not None:
        level = logging.WARNING if kind.status > HTTPStatus.INTERNAL_SERVER_ERROR else logging.INFO
        _LOGGER.log(level, "answered with %d: %s", kind.status, error)
    retry_after_s = _retry_after_s(error) if kind.status in (429, 503) else None
    headers = {"Connection": "close"} if isinstance(error, HandoverError) else {}
    if kind.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    fields = error.fields if isinstance(error, FieldsError) else {}
    return problem(kind, detail=str(error), fields=fields, retry_after_s=retry_after_s, headers=headers)


def problem(
    kind: _Kind,
    *,
    detail: str = "",
    fields: Mapping[str, str] | None = None,
    retry_after_s: float | None = None,
    headers: Mapping[str, str] | None = None,
) -> JSONResponse:
    """A problem document. The kind's own sentence goes before `detail`."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(kind.status).phrase,
        "status": kind.status,
        "detail": _printable(kind.detail or detail),
        "code": kind.code,
    }
    if kind.code == "invalid_request":
        body["errors"] = [{"field": _printable(f)[:_MAX_FIELD_LENGTH], "message": m} for f, m in (fields or {}).items()]
    sent = dict(headers or {})
    if retry_after_s is not None:
        body["retry_after_s"] = retry_after_s
        sent["Retry-After"] = str(max(1, math.ceil(retry_after_s)))
    return JSONResponse(body, kind.status, sent, MEDIA_TYPE)


def _retry_after_s(error: MomalisaError) -> float:
    if isinstance(error, BusyError):
        # Of what the seam gives: JSON knows neither infinity nor a time that is past.
        return min(max(0.0, error.retry_after_s), 86400.0)
    return 1.0 if isinstance(error, HandoverError) else RETRY_AFTER_S


async def _answer_ours(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, MomalisaError)
    return answer(error)


async def _answer_http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    kind = _BY_STATUS.get(error.status_code)
    if kind is None:
        kind = _Kind(error.status_code, "invalid_request" if error.status_code < 500 else "internal_error")
    headers = dict(error.headers or {})
    if kind.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_methods_of(request))
    return problem(kind, detail=error.detail, headers=headers)


def _methods_of(request: Request) -> list[str]:
    """All that this address takes; the framework names those of the first of its routes."""
    routes: Sequence[BaseRoute] = request.app.routes
    asked = {method: {**request.scope, "method": method} for method in _METHODS}
    return [method for method in _METHODS if any(route.matches(asked[method])[0] is Match.FULL for route in routes)]


async def _answer_invalid(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if any(each["loc"][0] == "path" for each in found):
        # An id of a wrong form is an id that nobody has.
        return problem(_BY_STATUS[404])
    return answer(FieldsError({_field(each): str(each["msg"]).removeprefix("Value error, ") for each in found}))


def _field(found: Mapping[str, Any]) -> str:
    """As a program writes it: without the place that it was found in."""
    place, *path = found["loc"]
    return str(place) if not path or found["type"] == "json_invalid" else ".".join(str(part) for part in path)


def _printable(text: str) -> str:
    """Field names are the client's: half a surrogate pair cannot be sent."""
    return text.encode("utf-8", "replace").decode()
