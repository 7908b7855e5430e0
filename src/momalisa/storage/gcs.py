"""Google Cloud Storage: objects with generations and checksums, over retried requests.

Hashes of what is sent go with it, and the bucket refuses what does not match; what is received is checked against the
bucket's. Conditional writes carry a mark by which a retry knows its own work (see README.md).
"""

import json
import mimetypes
import os
import secrets
import uuid
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from momalisa.errors import AlreadyExistsError, ConflictError, ObjectNotFoundError, UnavailableError
from momalisa.storage.backend import Backend, Entry, Version, run_parallel
from momalisa.storage.gcs_answers import (
    RANGE_NOT_SATISFIABLE,
    PreconditionFailedError,
    parse_content_range,
    parse_json,
    raise_for_status,
    stored_crc32c,
    to_entry,
    verify_body,
)
from momalisa.storage.gcs_upload import CHUNK_BYTES, ResumableUpload, UploadLostError
from momalisa.storage.hashing import crc32c_bytes, crc32c_file
from momalisa.storage.local import temporary_beside, translated
from momalisa.storage.retry import RetryPolicy, TransientError

if TYPE_CHECKING:
    from momalisa.storage.gcs_http import Answer, GcsHttp

_LISTED_FIELDS = "name,size,md5Hash,crc32c,generation"
_FIELDS = f"{_LISTED_FIELDS},metadata"
_PAGE_SIZE = 1000
_NUM_PARALLEL_RANGES = 4  # per download, and downloads run in parallel
_NUM_SESSIONS = 5
_MARKS = "momalisa-writes"
# Enough to outlast every retry at one write a second, which is what GCS takes per object; 12 bytes each, of 8 KiB.
_NUM_MARKS = 400
_REPLACED = "1"  # a generation that no object has: of a write that was replaced before we learnt its own


class GcsBackend(Backend):
    """Buckets; a path is `bucket/key`."""

    def __init__(self, retry: RetryPolicy) -> None:
        host = os.environ.get("STORAGE_EMULATOR_HOST", "")
        self._endpoint = None if host in ("", "default") else host if "://" in host else f"http://{host}"
        self._retry = retry
        # One client per process: its event loop and sockets do not survive a fork.
        self._clients: dict[int, GcsHttp] = {}

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_clients": {}}

    def uri(self, path: str) -> str:
        return f"gs://{path.strip('/')}"

    def read(self, path: str, start: int = 0, stop: int | None = None, generation: str | None = None) -> bytes:
        return b"" if stop is not None and stop <= start else self._download(path, start, stop, generation).body

    def write(self, path: str, data: bytes) -> None:
        if len(data) <= CHUNK_BYTES:
            self._retry.call(lambda: self._insert(path, data), f"writing {self.uri(path)}")
        else:
            view = memoryview(data)
            self._upload(path, len(data), crc32c_bytes(data), lambda start, stop: bytes(view[start:stop]))

    def upload(self, local: Path, path: str) -> None:
        with translated(str(local), "reading"), local.open("rb") as file:
            num_bytes = os.fstat(file.fileno()).st_size
            if num_bytes <= CHUNK_BYTES:
                self.write(path, file.read())
                return
            descriptor = file.fileno()
            crc32c = crc32c_file(local)
            self._upload(path, num_bytes, crc32c, lambda start, stop: os.pread(descriptor, stop - start, start))

    def download(self, path: str, local: Path) -> None:
        with translated(str(local), "writing"), temporary_beside(local) as temporary:
            self._retry.call(partial(self._download_file, path, temporary), f"reading {self.uri(path)}")
            temporary.replace(local)

    def list(self, folder: str) -> list[Entry]:
        bucket, _, name = folder.partition("/")
        prefix = f"{name}/" if name else ""
        entries: list[Entry] = []
        query: dict[str, Any] = {
            "prefix": prefix or None,
            "fields": f"items({_LISTED_FIELDS}),nextPageToken",
            "maxResults": _PAGE_SIZE,
            "pageToken": None,
        }
        while True:
            send = partial(self._json, "listing", folder, "GET", "b/{}/o", bucket, **query)
            page = self._retry.call(send, f"listing {self.uri(folder)}")
            # A name that ends with a slash is a folder that some tool has drawn.
            found = (item for item in page.get("items", []) if not item["name"].endswith("/"))
            entries += [to_entry(item, item["name"].removeprefix(prefix)) for item in found]
            if not page.get("nextPageToken"):
                return entries
            query["pageToken"] = page["nextPageToken"]

    def stat(self, path: str) -> Entry:
        return to_entry(self._resource(path), path)

    def delete(self, path: str) -> None:
        def attempt() -> None:
            self._send("deleting", path, "DELETE", "b/{}/o/{}", *_split(path))

        try:
            self._retry.call(attempt, f"deleting {self.uri(path)}")
        except ObjectNotFoundError:
            return

    def create(self, path: str, data: bytes) -> Version:
        try:
            return self._write_if(path, data, Version("0"))
        except PreconditionFailedError as e:
            raise AlreadyExistsError(f"{self.uri(path)} exists already") from e

    def read_versioned(self, path: str) -> tuple[bytes, Version]:
        answer = self._download(path, 0, None)
        generation = answer.headers["x-goog-generation"]
        marks = answer.headers.get(f"x-goog-meta-{_MARKS}")
        if marks is None:
            try:
                marks = self._resource(path, generation).get("metadata", {}).get(_MARKS, "")
            except ObjectNotFoundError:  # replaced meanwhile: a swap that expects this version will fail anyway
                marks = ""
        return answer.body, Version(generation, _parse_marks(marks))

    def compare_and_swap(self, path: str, data: bytes, expected: Version) -> Version:
        try:
            return self._write_if(path, data, expected)
        except PreconditionFailedError as e:
            raise ConflictError(f"{self.uri(path)} was changed or deleted meanwhile: read it again, then swap") from e

    def _write_if(self, path: str, data: bytes, expected: Version) -> Version:
        """Write if the object is at the expected generation ("0": if there is none).

        A retry that finds another generation asks whose: if the object bears this write's mark, an earlier attempt did
        succeed and only its answer was lost. Raises PreconditionFailedError.
        """
        marks = (secrets.token_urlsafe(8), *expected.writes)[:_NUM_MARKS]
        is_retry = False

        def attempt() -> Version:
            nonlocal is_retry
            try:
                stored = self._insert(path, data, marks, ifGenerationMatch=expected.token)
                return Version(str(stored["generation"]), marks)
            except PreconditionFailedError:
                own = self._own_write(path, marks[0]) if is_retry else None
                if own is None:
                    raise
                return own
            finally:
                is_retry = True

        return self._retry.call(attempt, f"writing {self.uri(path)}")

    def _own_write(self, path: str, mark: str) -> Version | None:
        try:
            resource = self._json("looking at", path, "GET", "b/{}/o/{}", *_split(path), fields=_FIELDS)
        except ObjectNotFoundError:
            return None
        marks = _parse_marks(resource.get("metadata", {}).get(_MARKS, ""))
        if mark not in marks:
            return None
        return Version(str(resource["generation"]) if marks[0] == mark else _REPLACED, marks)

    def _insert(self, path: str, data: bytes, marks: tuple[str, ...] = (), **query: str) -> dict[str, Any]:
        """One attempt at writing an object in one request, its CRC32C declared and checked."""
        metadata = self._metadata(path, crc32c_bytes(data))
        if marks:
            metadata["metadata"] = {_MARKS: ",".join(marks)}
        boundary = uuid.uuid4().hex
        head = f"--{boundary}\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n{json.dumps(metadata)}\r\n"
        head += f"--{boundary}\r\nContent-Type: {metadata['contentType']}\r\n\r\n"
        body = b"".join((head.encode(), data, f"\r\n--{boundary}--\r\n".encode()))
        headers = {"Content-Type": f"multipart/related; boundary={boundary}"}
        url = self._upload_url(path)
        stored = self._json("writing", path, "POST", url, headers=headers, data=body, uploadType="multipart", **query)
        if stored.get("crc32c", metadata["crc32c"]) != metadata["crc32c"]:
            raise TransientError("the bucket holds other bytes than were sent")
        return stored

    def _upload(self, path: str, num_bytes: int, crc32c: str, read_chunk: Callable[[int, int], bytes]) -> None:
        """Write a large object in chunks."""
        doing = f"writing {self.uri(path)}"
        metadata = self._metadata(path, crc32c)
        begin = partial(
            self._send, "writing", path, "POST", self._upload_url(path), json=metadata, uploadType="resumable"
        )

        def put(url: str, headers: dict[str, str], body: bytes) -> "Answer":
            return self._send("writing", path, "PUT", url, headers=headers, data=body)

        for _ in range(_NUM_SESSIONS):
            session_url = self._retry.call(begin, doing).headers["location"]
            try:
                return ResumableUpload(
                    session_url=session_url,
                    send=put,
                    read_chunk=read_chunk,
                    num_bytes=num_bytes,
                    crc32c=crc32c,
                    retry=self._retry,
                    doing=doing,
                ).run()
            except UploadLostError as e:
                lost = e
            if self._holds(path, num_bytes, crc32c):  # it was complete, and only the last answer was lost
                return None
        raise UnavailableError(f"{lost}, {_NUM_SESSIONS} times: try again later") from lost

    def _holds(self, path: str, num_bytes: int, crc32c: str) -> bool:
        try:
            resource = self._resource(path)
        except ObjectNotFoundError:
            return False
        return resource.get("crc32c") == crc32c and int(resource["size"]) == num_bytes

    def _metadata(self, path: str, crc32c: str) -> dict[str, Any]:
        content_type = mimetypes.guess_type(path)[0] or "application/octet-stream"
        return {"name": _split(path)[1], "crc32c": crc32c, "contentType": content_type}

    def _upload_url(self, path: str) -> str:
        return f"{self._client()._location}/upload/storage/v1/b/{_split(path)[0]}/o"

    def _download(self, path: str, start: int, stop: int | None, generation: str | None = None) -> "Answer":
        """Part of an object ([start, stop), a whole one for (0, None)), checked; no body past its end."""
        ranged = start > 0 or stop is not None
        headers = {"Range": f"bytes={start}-{'' if stop is None else stop - 1}"} if ranged else {}
        query = {"alt": "media", "generation": generation}

        def attempt() -> "Answer":
            answer = self._send("reading", path, "GET", "b/{}/o/{}", *_split(path), headers=headers, **query)
            if answer.status == RANGE_NOT_SATISFIABLE:
                return replace(answer, body=b"")
            verify_body(answer)
            # A server may answer with the whole object where the range covers it.
            return replace(answer, body=answer.body[start:stop]) if answer.status == 200 else answer

        return self._retry.call(attempt, f"reading {self.uri(path)}")

    def _download_file(self, path: str, local: Path) -> None:
        """A whole object, in parallel ranges of one generation; checked as a whole."""
        first = self._download(path, 0, CHUNK_BYTES)
        num_bytes = len(first.body) if first.status == 200 else parse_content_range(first)[2]
        generation = first.headers.get("x-goog-generation")

        with local.open("wb") as file:
            descriptor = file.fileno()

            def fetch(start: int) -> None:
                os.pwrite(descriptor, self._download(path, start, start + CHUNK_BYTES, generation).body, start)

            file.write(first.body)
            file.flush()
            run_parallel(
                [partial(fetch, start) for start in range(CHUNK_BYTES, num_bytes, CHUNK_BYTES)], _NUM_PARALLEL_RANGES
            )
        expected = stored_crc32c(first) if num_bytes else None
        if local.stat().st_size != num_bytes or (expected and crc32c_file(local) != expected):
            raise TransientError("the bytes that came differ from the bucket's size or CRC32C")

    def _resource(self, path: str, generation: str | None = None) -> dict[str, Any]:
        query = {"fields": _FIELDS, "generation": generation}
        send = partial(self._json, "looking at", path, "GET", "b/{}/o/{}", *_split(path), **query)
        return self._retry.call(send, f"looking at {self.uri(path)}")

    def _json(self, doing: str, path: str, method: str, url: str, *args: str, **kwargs: Any) -> dict[str, Any]:
        return parse_json(self._send(doing, path, method, url, *args, **kwargs))

    def _send(self, doing: str, path: str, method: str, url: str, *args: str, **kwargs: Any) -> "Answer":
        """One attempt at one request; statuses of failure are raised."""
        client = self._client()
        answer = client.request(method, url, *args, **kwargs)
        raise_for_status(answer, doing, self.uri(path), anonymous=client.is_anonymous and not self._endpoint)
        return answer

    def _client(self) -> "GcsHttp":
        process = os.getpid()
        if process not in self._clients:
            from momalisa.storage.gcs_http import connect

            self._clients.setdefault(process, connect(self._endpoint, self._retry))
        return self._clients[process]


def _split(path: str) -> tuple[str, str]:
    bucket, _, name = path.partition("/")
    return bucket, name


def _parse_marks(text: str) -> tuple[str, ...]:
    return tuple(mark for mark in text.split(",") if mark)
