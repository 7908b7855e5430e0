"""Resumable uploads: a large object in chunks, each retried from where the server says that it got to."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from momalisa.errors import ObjectNotFoundError, StorageError
from momalisa.storage.gcs_answers import parse_json
from momalisa.storage.retry import RetryPolicy, TransientError

if TYPE_CHECKING:
    from momalisa.storage.gcs_http import Answer

CHUNK_BYTES = 8 << 20  # a multiple of 256 KiB, as the protocol asks
_RESUME_INCOMPLETE = 308


class UploadLostError(StorageError):
    """The server forgot the session, or ended it with other bytes than ours: begin again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ResumableUpload:
    """One session of the protocol (https://cloud.google.com/storage/docs/performing-resumable-uploads).

    send: (URL, headers, body) -> answer, one attempt, with the errors of `raise_for_status`.
    read_chunk: (first, last + 1) -> the bytes.
    crc32c: of all bytes, in GCS's form.
    """

    session_url: str
    send: Callable[[str, dict[str, str], bytes], "Answer"]
    read_chunk: Callable[[int, int], bytes]
    num_bytes: int
    crc32c: str
    retry: RetryPolicy
    doing: str

    def run(self) -> None:
        """Send everything. Raises UploadLostError, UnavailableError."""
        position: int | None = 0
        while position is not None:
            position = self._advance(position)

    def _advance(self, position: int) -> int | None:
        """Send one chunk; return where the server stands after it, None at the end."""
        is_retry = False

        def attempt() -> int | None:
            nonlocal is_retry
            if is_retry:
                # The chunk may have arrived, wholly or in part, though its answer did not.
                reached = self._reached(self._put(f"bytes */{self.num_bytes}", b""))
                if reached != position:
                    return reached
            is_retry = True
            chunk = self.read_chunk(position, min(position + CHUNK_BYTES, self.num_bytes))
            if not chunk:
                raise StorageError(f"{self.doing}: the local file became shorter while it was sent")
            return self._reached(self._put(f"bytes {position}-{position + len(chunk) - 1}/{self.num_bytes}", chunk))

        return self.retry.call(attempt, self.doing)

    def _put(self, content_range: str, body: bytes) -> "Answer":
        try:
            return self.send(self.session_url, {"Content-Range": content_range}, body)
        except ObjectNotFoundError as e:
            raise UploadLostError(f"{self.doing}: the server forgot this upload") from e

    def _reached(self, answer: "Answer") -> int | None:
        if answer.status == _RESUME_INCOMPLETE:
            last = answer.headers.get("range", "").rpartition("-")[2]
            return int(last) + 1 if last else 0
        try:
            stored = parse_json(answer)
        except TransientError as e:
            raise UploadLostError(f"{self.doing}: {e}") from e
        if stored.get("crc32c") != self.crc32c or int(stored.get("size", -1)) != self.num_bytes:
            raise UploadLostError(f"{self.doing}: the bucket holds other bytes than were sent")
        return None
