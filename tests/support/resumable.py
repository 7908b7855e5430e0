"""The resumable-upload protocol as Cloud Storage keeps it.

fake-gcs-server appends whatever comes: a chunk that is sent again is stored twice, and a question for the status ends
the upload. A client that retries by the protocol needs a server that keeps it, so the proxy does.
"""

import asyncio
import re
from dataclasses import dataclass, field

_RANGE = re.compile(r"bytes (?:(\d+)-(\d+)|\*)/(\d+)")


@dataclass
class UploadSession:
    """What one upload has stored so far, and its last answer once it is complete."""

    num_stored: int = 0
    final: tuple[int, dict[str, str], bytes] | None = None
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    def accept(self, content_range: str, body: bytes) -> tuple[str, bytes] | None:
        """The part of a chunk that is new, with its Content-Range; None where nothing is to be stored."""
        match = _RANGE.fullmatch(content_range)
        if match is None or match[1] is None or self.final:
            return None
        first, last, total = (int(number) for number in match.groups())
        if first > self.num_stored or last < self.num_stored:
            return None
        return f"bytes {self.num_stored}-{last}/{total}", body[self.num_stored - first :]

    def answer(self) -> tuple[int, dict[str, str], bytes]:
        """The status of the upload: its final answer, or 308 with what is stored."""
        if self.final:
            return self.final
        return 308, {"Range": f"bytes=0-{self.num_stored - 1}"} if self.num_stored else {}, b""

    def stored(self, content_range: str, status: int, headers: dict[str, str], body: bytes) -> None:
        """Note that the emulator took a chunk."""
        if status == 308:
            self.num_stored = int(content_range.split("-")[1].split("/")[0]) + 1
        else:
            self.final = status, headers, body
