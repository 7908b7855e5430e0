"""What Cloud Storage's answers mean: statuses as errors with their fix, objects as entries, bodies checked by hash."""

import binascii
import json
from base64 import b64decode
from typing import TYPE_CHECKING, Any

from momalisa.errors import AccessDeniedError, ObjectNotFoundError, StorageError
from momalisa.storage.backend import Entry
from momalisa.storage.hashing import crc32c_bytes
from momalisa.storage.retry import TransientError

if TYPE_CHECKING:
    from momalisa.storage.gcs_http import Answer

RANGE_NOT_SATISFIABLE = 416
_PERMISSIONS = {
    "reading": "storage.objects.get",
    "looking at": "storage.objects.get",
    "listing": "storage.objects.list",
    "writing": "storage.objects.create, and storage.objects.delete to replace",
    "deleting": "storage.objects.delete",
}


class PreconditionFailedError(StorageError):
    """The object's generation is not the one that was named. Never leaves this package."""


def raise_for_status(answer: "Answer", doing: str, uri: str, *, anonymous: bool) -> None:
    """Pass everything below 400, and 416 (a range past the end); raise what the rest means.

    doing: one of the keys of `_PERMISSIONS`. anonymous: whether the request carried no credentials.
    """
    status = answer.status
    if status < 400 or status == RANGE_NOT_SATISFIABLE:
        return
    message = _message(answer)
    if status in (408, 429) or status >= 500:
        raise TransientError(f"status {status}: {message}", after_s=_retry_after_s(answer))
    if status in (404, 410):
        bucket = uri.removeprefix("gs://").split("/", maxsplit=1)[0]
        raise ObjectNotFoundError(
            f"{doing} {uri}: not found ({message}): check the key, and that a bucket named {bucket!r} exists"
        )
    if status in (401, 403):
        raise AccessDeniedError(f"{doing} {uri}: access denied ({status}: {message}): {_access_fix(doing, anonymous)}")
    if status == 412:
        raise PreconditionFailedError(f"{doing} {uri}: {message}")
    raise StorageError(f"{doing} {uri}: refused with status {status}: {message}")


def parse_json(answer: "Answer") -> dict[str, Any]:
    """The answer's JSON; a body that is none is taken for a mutilated one."""
    try:
        parsed: dict[str, Any] = json.loads(answer.body)
    except ValueError as e:
        raise TransientError(f"an answer that is not JSON: {answer.body[:80]!r}") from e
    return parsed


def to_entry(resource: dict[str, Any], key: str) -> Entry:
    """An object resource as an entry. Composed objects have a CRC32C only."""
    checksum = None
    if md5 := resource.get("md5Hash"):
        checksum = f"md5:{b64decode(md5).hex()}"
    elif crc32c := resource.get("crc32c"):
        checksum = f"crc32c:{b64decode(crc32c).hex()}"
    return Entry(key, int(resource.get("size", 0)), checksum, str(resource["generation"]))


def verify_body(answer: "Answer") -> None:
    """Raise TransientError for a download that is shorter than declared or differs from the bucket's CRC32C."""
    if answer.status == 206:
        first, last, _ = parse_content_range(answer)
        if len(answer.body) != last - first + 1:
            raise TransientError(f"{len(answer.body)} bytes came for the range {first}-{last}")
    expected = stored_crc32c(answer)
    if answer.status == 200 and expected and crc32c_bytes(answer.body) != expected:
        raise TransientError("the bytes that came differ from the bucket's CRC32C")


def parse_content_range(answer: "Answer") -> tuple[int, int, int]:
    """(first, last, total) of "bytes first-last/total", (0, -1, total) of "bytes */total"."""
    span, _, total = answer.headers.get("content-range", "").removeprefix("bytes ").partition("/")
    try:
        first, last = (0, -1) if span == "*" else (int(number) for number in span.split("-"))
        return first, last, int(total)
    except ValueError as e:
        raise TransientError(f"a ranged answer without a proper Content-Range: {answer.headers}") from e


def stored_crc32c(answer: "Answer") -> str | None:
    """The CRC32C of the stored object; None where what came is not what is stored (GCS unpacks gzip on its way)."""
    if answer.headers.get("x-goog-stored-content-encoding", "identity") != "identity":
        return None
    hashes = dict(part.strip().split("=", 1) for part in answer.headers.get("x-goog-hash", "").split(",") if part)
    crc32c = hashes.get("crc32c")
    try:
        return crc32c if crc32c and len(b64decode(crc32c)) == 4 else None
    except binascii.Error:
        return None


def _message(answer: "Answer") -> str:
    text = answer.body[:2000].decode(errors="replace").strip()
    try:
        error = json.loads(answer.body)["error"]
        text = error if isinstance(error, str) else error["message"]
    except (ValueError, KeyError, TypeError):
        pass
    return " ".join(text.split())[:300] or "no message"


def _retry_after_s(answer: "Answer") -> float:
    try:
        return max(0.0, float(answer.headers.get("retry-after", "0")))
    except ValueError:  # the other form is a date, which GCS does not use
        return 0.0


def _access_fix(doing: str, anonymous: bool) -> str:
    permission = _PERMISSIONS[doing]
    if anonymous:
        return (
            "no credentials were found, so the request was anonymous: run `gcloud auth application-default login`, "
            f"or use workload identity, with an account that holds {permission} (roles/storage.objectUser)"
        )
    return f"grant {permission} on the bucket (roles/storage.objectUser) to the account of these credentials"
