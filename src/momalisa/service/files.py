"""Files as answers: validators (ETag), ranges (RFC 9110, 13 and 14), names for the disk."""

import hashlib
import re
from typing import NamedTuple

from fastapi import Request, Response

from momalisa.service import problems

CACHED_PRIVATELY = "private, max-age=86400, immutable"
"""Of what never changes. Not for longer, and by nobody on the way: a walk may be taken down."""
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class File(NamedTuple):
    """Bytes and what they are."""

    data: bytes
    media_type: str
    etag: str

    @classmethod
    def of(cls, data: bytes, media_type: str) -> "File":
        """A file; its tag is of its content."""
        return cls(data, media_type, f'"{hashlib.sha256(data).hexdigest()[:32]}"')


def answer_file(request: Request, file: File, *, cache_control: str, download_as: str | None = None) -> Response:
    """The file, a part of it, or word that the client has it already."""
    headers = {"ETag": file.etag, "Cache-Control": cache_control, "Accept-Ranges": "bytes"}
    if _is_known(request.headers.get("if-none-match"), file.etag):
        return Response(status_code=304, headers=headers)
    if download_as is not None:
        headers["Content-Disposition"] = f'attachment; filename="{download_as}"'
    wanted = _range(request, file)
    if wanted is None:
        return Response(file.data, headers=headers, media_type=file.media_type)
    num_bytes = len(file.data)
    if not 0 <= wanted.start < wanted.stop:
        return problems.problem(problems.OUT_OF_RANGE, headers={"Content-Range": f"bytes */{num_bytes}"})
    headers["Content-Range"] = f"bytes {wanted.start}-{wanted.stop - 1}/{num_bytes}"
    return Response(file.data[wanted.start : wanted.stop], 206, headers, file.media_type)


def _is_known(if_none_match: str | None, etag: str) -> bool:
    known = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return etag in known or "*" in known


def _range(request: Request, file: File) -> range | None:
    """The bytes that are asked for; None for all. A header that makes no sense, or asks for several, is no header."""
    found = _RANGE.fullmatch(request.headers.get("range", ""))
    if found is None or request.headers.get("if-range", file.etag) != file.etag:
        return None
    first, last = found.groups()
    num_bytes = len(file.data)
    if first:
        if last and int(last) < int(first):
            return None
        return range(int(first), min(int(last) + 1, num_bytes) if last else num_bytes)
    return range(max(0, num_bytes - int(last)), num_bytes) if last else None
