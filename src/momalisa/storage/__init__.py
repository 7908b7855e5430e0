"""Disks and buckets behind one small door: `open_store(uri)`.

Reads, writes, lists, commits with a marker, creates if absent, compares and swaps, hashes; retries what may pass.
Loads no torch and no gcsfs (that waits for the first request to a bucket).
"""

from momalisa.storage.backend import Entry, Version
from momalisa.storage.hashing import matches_checksum, sha256_bytes, sha256_file
from momalisa.storage.retry import RetryPolicy
from momalisa.storage.store import Store, open_store

__all__ = [
    "Entry",
    "RetryPolicy",
    "Store",
    "Version",
    "matches_checksum",
    "open_store",
    "sha256_bytes",
    "sha256_file",
]
