"""Content hashes. SHA-256 is ours, for manifests; CRC32C and MD5 are what buckets compute of their own accord."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

_CHUNK_BYTES = 1 << 20


def sha256_bytes(data: bytes) -> str:
    """SHA-256 in hex digits."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's content in hex digits, read in chunks."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def crc32c_bytes(data: bytes) -> str:
    """CRC32C as GCS writes it: four big-endian bytes in base64."""
    import google_crc32c

    return _crc32c_text(google_crc32c.value(data))


def crc32c_file(path: str | Path) -> str:
    """CRC32C of a file's content as GCS writes it, read in chunks."""
    import google_crc32c

    crc = 0
    for chunk in _chunks(Path(path)):
        crc = google_crc32c.extend(crc, chunk)
    return _crc32c_text(crc)


def matches_checksum(path: str | Path, checksum: str) -> bool:
    """Whether a local file has the checksum that a bucket listed for its object (`Entry.checksum`).

    Raises ValueError for a checksum of another kind than "md5:" or "crc32c:".
    """
    kind, _, digest = checksum.partition(":")
    if kind == "md5":
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == digest
    if kind == "crc32c":
        return base64.b64decode(crc32c_file(path)).hex() == digest
    raise ValueError(f"checksum {checksum!r} is neither md5: nor crc32c:")


def _crc32c_text(crc: int) -> str:
    return base64.b64encode(crc.to_bytes(4, "big")).decode()


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk
