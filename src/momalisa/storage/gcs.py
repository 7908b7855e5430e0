"""Google Cloud Storage: the only module that imports gcsfs.

gcsfs makes the requests, and repeats each a few times by itself; what still fails and may pass is repeated
by our own policy. Conditional writes go by generation, over gcsfs's JSON call, and carry a mark, by which
a write whose answer was lost is known again.
"""

import base64
import json
import os
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import aiohttp
import gcsfs.retry
import google.auth.exceptions
import requests
from gcsfs.core import GCSFileSystem, UnclosableBytesIO

from momalisa.errors import (
    AccessDeniedError,
    AlreadyExistsError,
    ConflictError,
    ObjectNotFoundError,
    StorageError,
)
from momalisa.storage.backend import Backend, Entry, Version
from momalisa.storage.hashing import matches_checksum, sha256_bytes
from momalisa.storage.local import temporary_beside, translated
from momalisa.storage.retry import RetryPolicy, TransientError

T = TypeVar("T")

_MARK = "momalisa-write"
_MAX_ATTEMPTS = 4
"""Ours, around gcsfs's six: both together insist for some minutes."""
_TRANSIENT_CODES = {408, 429, 500, 502, 503, 504}


class GcsBackend(Backend):
    """Buckets. Paths are `bucket/key`. `STORAGE_EMULATOR_HOST` is remembered from when this was made."""

    def __init__(self, retry: RetryPolicy) -> None:
        self._retry = replace(retry, max_attempts=min(retry.max_attempts, _MAX_ATTEMPTS))
        self._emulator = os.environ.get("STORAGE_EMULATOR_HOST")

    def uri(self, path: str) -> str:
        return f"gs://{path}"

    def read(self, path: str, start: int = 0, stop: int | None = None, generation: str | None = None) -> bytes:
        if stop is not None and stop <= start:
            return b""
        headers = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if start or stop is not None else {}
        extra = {"generation": generation} if generation else {}

        def get(fs: Any) -> bytes:
            try:
                data: bytes = fs.call("GET", _object_url(path), headers=headers, alt="media", **extra)[1]
            except gcsfs.retry.HttpError as e:
                if e.code == 416:  # beyond the end
                    return b""
                raise
            return data

        return self._do("reading", path, get)

    def write(self, path: str, data: bytes) -> None:
        self._post(path, data, mark=None)

    def upload(self, local: Path, path: str) -> None:
        with translated(str(local), "reading"):
            local.open("rb").close()

        def put(fs: Any) -> None:
            fs.put_file(str(local), path)
            entry = _entry(path, self._metadata(fs, path))
            if entry.checksum and not matches_checksum(local, entry.checksum):
                raise TransientError("other bytes arrived than were sent")

        self._do("writing", path, put)

    def download(self, path: str, local: Path) -> None:
        def get(fs: Any) -> None:
            entry = _entry(path, self._metadata(fs, path))
            fs.get_file(path, str(temporary))
            if temporary.stat().st_size != entry.num_bytes or (
                entry.checksum and not matches_checksum(temporary, entry.checksum)
            ):
                raise TransientError("other bytes arrived than are stored")

        with translated(str(local), "writing"), temporary_beside(local) as temporary:
            self._do("reading", path, get)
            temporary.replace(local)

    def list(self, folder: str) -> Iterator[Entry]:
        bucket, _, prefix = folder.partition("/")
        below = f"{prefix}/" if prefix else ""
        token: str | None = None
        while True:
            page = self._do("listing", folder, partial(_list_page, bucket=bucket, prefix=below, token=token))
            for item in page.get("items", ()):
                if not item["name"].endswith("/"):
                    yield _entry(item["name"].removeprefix(below), item)
            token = page.get("nextPageToken")
            if token is None:
                return

    def stat(self, path: str) -> Entry:
        return self._do("looking at", path, lambda fs: _entry(path, self._metadata(fs, path)))

    def delete(self, path: str) -> None:
        with suppress(ObjectNotFoundError):
            self._do("deleting", path, lambda fs: fs.call("DELETE", _object_url(path)))

    def create(self, path: str, data: bytes) -> Version:
        try:
            return self._conditional(path, data, "0")
        except ConflictError as e:
            raise AlreadyExistsError(f"{self.uri(path)} exists already") from e

    def read_versioned(self, path: str) -> tuple[bytes, Version]:
        while True:
            entry = self.stat(path)
            # A generation that was replaced between the two requests is gone: look again.
            with suppress(ObjectNotFoundError):
                return self.read(path, generation=entry.generation), Version(str(entry.generation))

    def compare_and_swap(self, path: str, data: bytes, expected: Version) -> Version:
        return self._conditional(path, data, expected.token)

    def filesystem(self) -> Any:
        """The gcsfs file system, for pyarrow."""
        return self._filesystem()

    def _conditional(self, path: str, data: bytes, generation: str) -> Version:
        mark = uuid.uuid4().hex
        try:
            written = self._post(path, data, mark=mark, ifGenerationMatch=generation)
        except AlreadyExistsError as e:
            # Perhaps by an attempt of our own whose answer was lost: then the object carries our mark.
            with suppress(ObjectNotFoundError):
                found = self._do("looking at", path, lambda fs: self._metadata(fs, path))
                if found.get("metadata", {}).get(_MARK) == mark:
                    return Version(str(found["generation"]))
            raise ConflictError(f"{self.uri(path)} was changed meanwhile: read it again, then swap") from e
        return Version(str(written["generation"]))

    def _post(self, path: str, data: bytes, mark: str | None, **conditions: str) -> dict[str, Any]:
        bucket, _, key = path.partition("/")
        boundary = sha256_bytes(data)[:32]
        described = json.dumps({"name": key, **({"metadata": {_MARK: mark}} if mark else {})})
        body = (
            (
                f"--{boundary}\nContent-Type: application/json; charset=UTF-8\n\n{described}\n"
                f"--{boundary}\nContent-Type: application/octet-stream\n\n"
            ).encode()
            + data
            + f"\n--{boundary}--".encode()
        )

        def post(fs: Any) -> dict[str, Any]:
            written: dict[str, Any] = fs.call(
                "POST",
                f"{fs._location}/upload/storage/v1/b/{quote(bucket)}/o",
                uploadType="multipart",
                headers={"Content-Type": f'multipart/related; boundary="{boundary}"'},
                data=UnclosableBytesIO(body),
                json_out=True,
                **conditions,
            )
            if int(written.get("size", len(data))) != len(data):
                raise TransientError("other bytes arrived than were sent")
            return written

        return self._do("writing", path, post)

    @staticmethod
    def _metadata(fs: Any, path: str) -> dict[str, Any]:
        found: dict[str, Any] = fs.call("GET", _object_url(path), json_out=True)
        return found

    def _do(self, doing: str, path: str, call: Callable[[Any], T]) -> T:
        def attempt() -> T:
            with _classified(f"{doing} {self.uri(path)}"):
                return call(self._filesystem())

        return self._retry.call(attempt, f"{doing} {self.uri(path)}")

    def _filesystem(self) -> Any:
        timeout = aiohttp.ClientTimeout(
            total=self._retry.attempt_timeout_s,
            sock_connect=self._retry.stall_timeout_s,
            sock_read=self._retry.stall_timeout_s,
        )
        settings: dict[str, Any] = {"requests_timeout": timeout, "use_listings_cache": False}
        if self._emulator:
            settings |= {"token": "anon", "endpoint_url": self._emulator}
        # Not the class that fsspec registers: that one asks a gRPC interface about each bucket first, for up to a
        # minute where it is not to be reached.
        return GCSFileSystem(**settings)


def _object_url(path: str) -> str:
    bucket, _, key = path.partition("/")
    return f"b/{quote(bucket, safe='')}/o/{quote(key, safe='')}"


def _list_page(fs: Any, bucket: str, prefix: str, token: str | None) -> dict[str, Any]:
    more = {"pageToken": token} if token else {}
    page: dict[str, Any] = fs.call("GET", f"b/{quote(bucket)}/o", prefix=prefix, json_out=True, **more)
    return page


def _entry(key: str, item: dict[str, Any]) -> Entry:
    checksum = None
    if item.get("crc32c"):
        checksum = f"crc32c:{base64.b64decode(item['crc32c']).hex()}"
    elif item.get("md5Hash"):
        checksum = f"md5:{base64.b64decode(item['md5Hash']).hex()}"
    return Entry(key, int(item.get("size", 0)), checksum, str(item["generation"]) if "generation" in item else None)


@contextmanager
def _classified(where: str) -> Iterator[None]:
    """gcsfs's errors as ours, and those that may pass as TransientError."""
    try:
        yield
    except FileNotFoundError as e:
        raise ObjectNotFoundError(f"{where}: there is no such object or bucket") from e
    except FileExistsError as e:
        raise AlreadyExistsError(f"{where}: the condition does not hold") from e
    except gcsfs.retry.HttpError as e:
        code = int(e.code or 0)
        if code in _TRANSIENT_CODES:
            raise TransientError(f"{code}: {e.message}") from e
        if code in (401, 403):
            raise _denied(where, str(e.message)) from e
        raise StorageError(f"{where}: {code} {e.message}") from e
    except google.auth.exceptions.GoogleAuthError as e:
        raise _denied(where, str(e)) from e
    except (aiohttp.ClientError, requests.exceptions.RequestException, gcsfs.retry.ChecksumError, ConnectionError, TimeoutError) as e:
        raise TransientError(f"{type(e).__name__}: {e}") from e
    except OSError as e:
        if "Forbidden" in str(e):
            raise _denied(where, str(e).splitlines()[-1]) from e
        raise StorageError(f"{where}: {e}") from e


def _denied(where: str, reason: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"{where}: access denied ({reason}): log in (gcloud auth application-default login, or Workload Identity) "
        "with an account that has roles/storage.objectUser on the bucket"
    )
