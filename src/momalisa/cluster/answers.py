"""What the API server's answers mean, where they are not what was asked for."""

import json
from collections.abc import Callable
from typing import Protocol, TypeVar

from momalisa.cluster.kinds import Kind
from momalisa.errors import (
    ClusterConflictError,
    ClusterError,
    ClusterForbiddenError,
    ClusterNotFoundError,
    ClusterRejectedError,
)

T = TypeVar("T")
_FIRST_DELAY_S = 0.25
_MAX_DELAY_S = 4.0


class TransientError(Exception):
    """One attempt failed in a way that may pass. Never leaves `client.py`.

    after_s: the wait that the server asked for; was_ignored: the server certainly did nothing.
    """

    def __init__(self, reason: str, *, after_s: float = 0.0, was_ignored: bool = False) -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.was_ignored = was_ignored


class GoneError(Exception):
    """The version to watch from is too old: list again. Never leaves `client.py`."""


class Answer(Protocol):
    """An HTTP response, as far as it is looked at here."""

    status: int

    @property
    def data(self) -> bytes:
        """The body."""

    @property
    def headers(self) -> "Headers":
        """As mappings are, whatever the case."""


class Headers(Protocol):
    """An HTTP response's headers."""

    def get(self, key: str, default: str) -> str:
        """A header's value."""


def persistently(
    attempt: Callable[[], T],
    patience_s: float,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    repeatable: bool,
) -> T:
    """What the attempt gives, again and again while it fails in a way that may pass.

    What is not repeatable is tried again only where the server did nothing yet. Raises the last TransientError.
    """
    until = clock() + patience_s
    delay_s = _FIRST_DELAY_S
    while True:
        try:
            return attempt()
        except TransientError as e:
            wait_s = max(delay_s, e.after_s)
            if not (repeatable or e.was_ignored) or clock() + wait_s > until:
                raise
        sleep(wait_s)
        delay_s = min(delay_s * 2, _MAX_DELAY_S)


def refusal(answer: Answer, verb: str, kind: Kind | None, namespace: str, context: str) -> Exception:
    """The error that an answer of 300 and above stands for."""
    message = _message(answer)
    if answer.status == 429 or answer.status >= 500:
        return TransientError(
            f"{answer.status} {message}", after_s=_retry_after_s(answer), was_ignored=answer.status == 429
        )
    if answer.status == 410 and verb == "watch":
        return GoneError(message)
    what = kind.resource if kind else "this"
    where = f"in namespace {namespace}" if kind and kind.is_namespaced else "in the cluster"
    if answer.status == 401:
        return ClusterForbiddenError(f"context {context}: the API server does not know you ({message}): log in again")
    if answer.status == 403 and _is_about_rights(message):
        return ClusterForbiddenError(
            f"you may not {verb} {what} {where}: ask for a role that allows it, or choose another --context or "
            f"--namespace ({message})"
        )
    if answer.status == 404 and not _is_status(answer) and kind:
        return ClusterNotFoundError(
            f"the cluster of context {context} does not know {kind.kind} ({kind.api_version}): "
            "is its operator installed, in a version that has it?"
        )
    errors: dict[int, type[ClusterError]] = {404: ClusterNotFoundError, 409: ClusterConflictError}
    return errors.get(answer.status, ClusterRejectedError)(message)


def _is_about_rights(message: str) -> bool:
    """A 403 is RBAC's, or else that of quota, Pod Security or another admission plugin."""
    return " cannot " in message and (" resource " in message or " path " in message)


def _message(answer: Answer) -> str:
    text = answer.data.decode(errors="replace").strip()
    try:
        loaded = json.loads(text)
    except json.JSONDecodeError:
        return text[:500] or f"HTTP {answer.status}"
    return str(loaded.get("message") or text[:500]) if isinstance(loaded, dict) else text[:500]


def _is_status(answer: Answer) -> bool:
    """Whether the answer is of the API itself, not of its router, which knows no such path."""
    return answer.data.lstrip().startswith(b"{")


def _retry_after_s(answer: Answer) -> float:
    try:
        return float(answer.headers.get("Retry-After", "0"))
    except ValueError:
        return 0.0
