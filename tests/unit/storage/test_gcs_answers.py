import json

import pytest

from momalisa.errors import AccessDeniedError, ObjectNotFoundError, StorageError
from momalisa.storage.gcs_answers import (
    PreconditionFailedError,
    parse_content_range,
    parse_json,
    raise_for_status,
    stored_crc32c,
    to_entry,
    verify_body,
)
from momalisa.storage.gcs_http import Answer
from momalisa.storage.hashing import crc32c_bytes
from momalisa.storage.retry import TransientError


def answer(status: int, body: bytes = b"", **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def check(status: int, body: bytes = b"", *, doing: str = "reading", anonymous: bool = False, **headers: str) -> None:
    raise_for_status(answer(status, body, **headers), doing, "gs://bucket/key", anonymous=anonymous)


@pytest.mark.parametrize("status", [200, 204, 206, 308, 416])
def test_successes_pass(status: int) -> None:
    check(status)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 599])
def test_what_may_pass_is_tried_again(status: int) -> None:
    with pytest.raises(TransientError) as raised:
        check(status, b"slow down", retry_after="7")
    assert raised.value.after_s == 7.0


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (400, StorageError, "refused with status 400"),
        (401, AccessDeniedError, "storage.objects.get"),
        (403, AccessDeniedError, "storage.objects.get"),
        (404, ObjectNotFoundError, "bucket named 'bucket' exists"),
        (412, PreconditionFailedError, "gs://bucket/key"),
        (413, StorageError, "refused"),
    ],
)
def test_the_rest_leaves_at_once_and_names_uri_and_fix(status: int, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as raised:
        check(status, json.dumps({"error": {"message": "what the server said"}}).encode())
    assert "gs://bucket/key" in str(raised.value)
    assert "what the server said" in str(raised.value)


def test_a_denied_stranger_is_told_how_to_log_in() -> None:
    with pytest.raises(AccessDeniedError, match=r"gcloud auth application-default login.*storage.objects.create"):
        check(401, doing="writing", anonymous=True)


def test_entries_prefer_md5() -> None:
    resource = {"size": "9", "generation": "5", "md5Hash": "JfnnlDI7RTiF9RgfG2JNCw==", "crc32c": "4waSgw=="}
    entry = to_entry(resource, "k")
    assert (entry.num_bytes, entry.generation) == (9, "5")
    assert entry.checksum == "md5:25f9e794323b453885f5181f1b624d0b"
    del resource["md5Hash"]
    assert to_entry(resource, "k").checksum == "crc32c:e3069283"


def test_bodies_are_checked_against_the_buckets_hash() -> None:
    good = f"crc32c={crc32c_bytes(b'body')},md5=xxx=="
    verify_body(answer(200, b"body", x_goog_hash=good))
    verify_body(answer(200, b"body"))  # no hash, nothing to check
    with pytest.raises(TransientError, match="CRC32C"):
        verify_body(answer(200, b"bodx", x_goog_hash=good))
    # unpacked on its way: the hash is of the packed bytes
    verify_body(answer(200, b"bodx", x_goog_hash=good, x_goog_stored_content_encoding="gzip"))


def test_ranges_are_checked_for_length() -> None:
    verify_body(answer(206, b"body", content_range="bytes 10-13/99"))
    with pytest.raises(TransientError, match="3 bytes came"):
        verify_body(answer(206, b"bod", content_range="bytes 10-13/99"))
    with pytest.raises(TransientError, match="Content-Range"):
        verify_body(answer(206, b"body"))
    assert parse_content_range(answer(416, content_range="bytes */0")) == (0, -1, 0)


def test_mutilated_answers_are_tried_again() -> None:
    with pytest.raises(TransientError, match="not JSON"):
        parse_json(answer(200, b'{"items": [{"na'))
    assert stored_crc32c(answer(200, x_goog_hash="crc32c=***")) is None
