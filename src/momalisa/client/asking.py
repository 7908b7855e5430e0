"""Insisting: what may pass is asked again, for as long as is sensible and no sooner than the service wishes.

With the first change that it asks for, a client without a key introduces itself, so that the service knows its visitor.
"""

import json
import logging
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any, TypeVar

from momalisa.client.wire import DisconnectedError, Request, Stream, Wire
from momalisa.errors import (
    BusyError,
    ConflictError,
    FieldsError,
    ForbiddenError,
    GoneError,
    InputError,
    MomalisaError,
    ObjectNotFoundError,
    RefusedError,
    ServiceError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedMediaError,
)

T = TypeVar("T")

_LOGGER = logging.getLogger(__name__)
# The system's randomness: jitter must never move a generator that an experiment has seeded.
_JITTER = random.SystemRandom()

_REFUSED = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
_LOST_ON_THE_WAY = {HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT}
_ERRORS: dict[int, type[MomalisaError]] = {
    HTTPStatus.BAD_REQUEST: InputError,
    HTTPStatus.UNAUTHORIZED: UnauthorizedError,
    HTTPStatus.FORBIDDEN: ForbiddenError,
    HTTPStatus.NOT_FOUND: ObjectNotFoundError,
    HTTPStatus.CONFLICT: ConflictError,
    HTTPStatus.GONE: GoneError,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: TooLargeError,
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: UnsupportedMediaError,
    HTTPStatus.UNPROCESSABLE_ENTITY: InputError,
    HTTPStatus.BAD_GATEWAY: UnavailableError,
    HTTPStatus.SERVICE_UNAVAILABLE: UnavailableError,
    HTTPStatus.GATEWAY_TIMEOUT: UnavailableError,
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Patience:
    """How long to insist on one answer (a walk itself may take as long as it takes).

    deadline_s: no attempt starts later than this after the first one, whatever the service asks for.
    max_disconnects: connections that may fail in a row, so that a wrong URL is told within seconds.
    base_delay_s, max_delay_s: after attempt n the wait is uniform in [0, min(max, base · 2^(n-1))], on top of what the
        service asks for (Retry-After).
    """

    deadline_s: float = 300.0
    max_disconnects: int = 5
    base_delay_s: float = 0.5
    max_delay_s: float = 20.0

    def __post_init__(self) -> None:
        if min(self.deadline_s, self.max_disconnects, self.base_delay_s, self.max_delay_s) < 0:
            raise InputError(f"{self} has a number below 0: 0 means never to ask again")

    def delay_s(self, attempt: int) -> float:
        """A wait after this attempt, from 1, that others' waits do not fall together with."""
        # 2.0**1024 would overflow; no one waits for 2^60 times anything.
        return _JITTER.uniform(0, min(self.max_delay_s, self.base_delay_s * 2.0 ** min(attempt - 1, 60)))


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service said, to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Asker:
    """Requests to one service. Raises the errors of momalisa's tree, the same that the service raised on its side:

    InputError (FieldsError where it names fields), RefusedError, TooLargeError, UnsupportedMediaError,
    UnauthorizedError, ForbiddenError, ObjectNotFoundError, ConflictError, GoneError; BusyError and UnavailableError
    once the patience is used up; ServiceError for what no service of ours would answer.
    """

    def __init__(self, wire: Wire, patience: Patience, *, is_known: bool) -> None:
        self.wire = wire
        self._patience = patience
        self._is_known = is_known

    async def ask(self, request: Request) -> bytes:
        """The answer's body."""
        if request.method != "GET" and not self._is_known:
            await self._insist(Request(path="/v1/me"), self._whole)
            self._is_known = True
        return await self._insist(request, self._whole)

    async def ask_json(self, request: Request) -> Any:
        """The answer's body, parsed."""
        body = await self.ask(request)
        try:
            return json.loads(body)
        except ValueError as e:
            raise ServiceError(f"{request}: the answer is no JSON: is this the URL of a momalisa service?") from e

    async def stream(self, request: Request) -> Stream:
        """The answer, its body yet to come; whoever asks closes it."""
        return await self._insist(request, self._opened)

    async def pause(self, least_s: float, attempt: int = 1) -> None:
        """Waits at least that long, and not exactly as long as everybody else."""
        await self.wire.sleep(least_s + self._patience.delay_s(attempt))

    async def _insist(self, request: Request, attempt: Callable[[Request], Awaitable[T]]) -> T:
        began = self.wire.clock()
        number = num_disconnects = 0
        while True:
            number += 1
            try:
                return await attempt(request)
            except DisconnectedError as e:
                num_disconnects += 1
                after_s, cause = 0.0, e.__cause__
                error: MomalisaError = UnavailableError(_no_answer(request, e))
                may_pass = num_disconnects <= self._patience.max_disconnects
                may_pass &= request.is_repeatable or not e.was_sent
            except _RefusedError as e:
                num_disconnects = 0
                after_s, cause = _retry_after_s(e.answer), None
                error = _as_error(request, e.answer)
                may_pass = e.answer.status in _REFUSED
                may_pass |= e.answer.status in _LOST_ON_THE_WAY and request.is_repeatable
            wait_s = after_s + self._patience.delay_s(number)
            if not may_pass or self.wire.clock() - began + wait_s > self._patience.deadline_s:
                raise error from cause
            _LOGGER.info("%s; asked again in %.1f s", error, wait_s)
            await self.wire.sleep(wait_s)

    async def _whole(self, request: Request) -> bytes:
        stream = await self._opened(request)
        try:
            return await _rest(stream)
        finally:
            await stream.close()

    async def _opened(self, request: Request) -> Stream:
        stream = await self.wire.open(request)
        if 200 <= stream.status < 300:
            return stream
        try:
            raise _RefusedError(Answer(stream.status, stream.headers, await _rest(stream)))
        finally:
            await stream.close()


class _RefusedError(Exception):
    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


async def _rest(stream: Stream) -> bytes:
    chunks = []
    while chunk := await stream.chunk():
        chunks.append(chunk)
    return b"".join(chunks)


def _no_answer(request: Request, lost: DisconnectedError) -> str:
    if lost.was_sent and not request.is_repeatable:
        return f"{request}: {lost}. It may have been done all the same, so it was not asked again"
    return f"{request}: {lost}. Check the URL and the network, or try again later"


def _as_error(request: Request, answer: Answer) -> MomalisaError:
    problem = _problem(answer)
    message = problem.get("detail") or problem.get("title")
    if not isinstance(message, str):
        message = f"{request} was answered with status {answer.status}: is this the URL of a momalisa service?"
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
        return BusyError(message, _retry_after_s(answer))
    if problem.get("code") == "refused_words":
        return RefusedError(message)
    if fields := _fields(problem):
        return FieldsError(fields)
    return _ERRORS.get(answer.status, ServiceError)(message)


def _fields(problem: Mapping[str, Any]) -> dict[str, str]:
    errors = problem.get("errors")
    return {
        str(error.get("field")): str(error.get("message"))
        for error in (errors if isinstance(errors, list) else [])
        if isinstance(error, dict)
    }


def _problem(answer: Answer) -> dict[str, Any]:
    try:
        problem = json.loads(answer.body)
    except ValueError:
        return {}
    return problem if isinstance(problem, dict) else {}


def _retry_after_s(answer: Answer) -> float:
    # Seconds, or a date: then from the date of the answer itself, so that no two clocks need agree.
    text = answer.headers.get("retry-after") or str(_problem(answer).get("retry_after_s", 0))
    try:
        seconds = float(text)
    except ValueError:
        seconds = _seconds_until(text, answer.headers.get("date", ""))
    return seconds if 0 < seconds < float("inf") else 0.0


def _seconds_until(then: str, now: str) -> float:
    try:
        return (parsedate_to_datetime(then) - parsedate_to_datetime(now)).total_seconds()
    except (ValueError, TypeError):
        return 0.0
