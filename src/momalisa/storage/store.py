"""`open_store(uri)`: the one door to disks and buckets."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from momalisa.errors import ObjectNotFoundError
from momalisa.storage.backend import Backend, Entry, Version, run_parallel
from momalisa.storage.generic import FsspecBackend, MemoryBackend
from momalisa.storage.local import LocalBackend
from momalisa.storage.retry import RetryPolicy
from momalisa.storage.uri import check_key, check_prefix, parse_uri

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem


def open_store(uri: str | Path, retry: RetryPolicy | None = None) -> "Store":
    """The store at a URI: `gs://bucket/prefix`, `file:///folder`, `/folder`, `folder`, `memory://name`, …

    Asks nothing of disk or network. A relative folder is taken from the current one, now. `STORAGE_EMULATOR_HOST` is
    read here, so that a store that travels to another process keeps its emulator.
    Raises UriError for a URI that cannot be understood or whose package is missing.
    """
    location = parse_uri(str(uri))
    return Store(_backend(location.scheme, retry or RetryPolicy()), location.root)


class Store:
    """A folder of objects, named by keys such as `data/train-00000.parquet`.

    Picklable, safe in threads and after a fork. Every method may raise AccessDeniedError, UnavailableError (retries are
    used up) or another StorageError, and UriError for a key that is empty, absolute or holds "..".
    """

    def __init__(self, backend: Backend, root: str) -> None:
        self._backend = backend
        self._root = root.rstrip("/")

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    @property
    def uri(self) -> str:
        """This folder's URI, without a trailing slash."""
        return self._backend.uri(self._root or "/")

    def uri_of(self, key: str) -> str:
        """The URI of an object."""
        return self._backend.uri(self._path(key))

    @property
    def local_path(self) -> Path | None:
        """The folder's path where it is on this machine's disk, else None."""
        return Path(self._root or "/") if isinstance(self._backend, LocalBackend) else None

    def child(self, key: str) -> "Store":
        """The store of a folder below this one."""
        return Store(self._backend, self._path(check_prefix(key)))

    def read_bytes(self, key: str, start: int | None = None, stop: int | None = None) -> bytes:
        """An object's bytes [start, stop); cut at its end like a slice. Raises ObjectNotFoundError."""
        if (start or 0) < 0 or (stop or 0) < 0:
            raise ValueError(f"read_bytes({key!r}, {start}, {stop}): positions count from the beginning")
        return self._backend.read(self._path(key), start or 0, stop)

    def write_bytes(self, key: str, data: bytes) -> None:
        """Write or replace an object. Others see the old content or the new one, never a part."""
        self._backend.write(self._path(key), data)

    def upload(self, local: str | Path, key: str) -> None:
        """Copy a local file to an object in chunks; it appears whole. Raises ObjectNotFoundError for a missing file."""
        self._backend.upload(Path(local), self._path(key))

    def download(self, key: str, local: str | Path) -> None:
        """Copy an object to a local file in chunks; the file appears whole. Raises ObjectNotFoundError."""
        self._backend.download(self._path(key), Path(local))

    def list(self, prefix: str = "") -> list[Entry]:
        """Every object below the folder `prefix` at any depth, sorted by key, keys relative to this store.

        A prefix is a folder, with or without its slash: "step-1" does not list "step-10/…". A folder that does not
        exist is empty.
        """
        folder = check_prefix(prefix)
        below = f"{folder}/" if folder else ""
        entries = self._backend.list(self._path(folder) if folder else self._root)
        moved = (Entry(below + e.key, e.num_bytes, e.checksum, e.generation) for e in entries)
        return sorted(moved, key=lambda entry: entry.key)

    def stat(self, key: str) -> Entry:
        """An object's size and checksum. Raises ObjectNotFoundError."""
        found = self._backend.stat(self._path(key))
        return Entry(key, found.num_bytes, found.checksum, found.generation)

    def exists(self, key: str) -> bool:
        """Whether there is an object (not a folder) at this key."""
        try:
            self.stat(key)
        except ObjectNotFoundError:
            return False
        return True

    def delete(self, key: str) -> None:
        """Remove an object; a missing one is fine."""
        self._backend.delete(self._path(key))

    def delete_tree(self, prefix: str) -> None:
        """Remove every object below the folder `prefix`; a missing one is fine."""
        self._backend.delete_tree(self._path(check_prefix(prefix)))

    def open(self, key: str) -> BinaryIO:
        """An object as a seekable file for reading; each read is ranged and retried. Raises ObjectNotFoundError.

        All reads see one content: if the object is replaced meanwhile, they see the old one or fail.
        """
        return self._backend.open(self._path(key))

    def create(self, key: str, data: bytes) -> Version:
        """Write an object unless there is one. Raises AlreadyExistsError, UnsupportedOperationError."""
        return self._backend.create(self._path(key), data)

    def read_versioned(self, key: str) -> tuple[bytes, Version]:
        """An object's bytes and their version. Raises ObjectNotFoundError, UnsupportedOperationError."""
        return self._backend.read_versioned(self._path(key))

    def compare_and_swap(self, key: str, data: bytes, expected: Version) -> Version:
        """Replace an object if it is still at the expected version.

        Keys that are swapped are written by `create` and `compare_and_swap` alone: on disks a plain write does not
        wait for a swap that is under way. Raises ConflictError (also if it is gone), UnsupportedOperationError.
        """
        return self._backend.compare_and_swap(self._path(key), data, expected)

    def commit(self, files: Mapping[str, str | Path | bytes], marker: str, marker_data: bytes) -> None:
        """Write many objects in parallel, then the marker: whoever sees the marker sees all of them.

        A marker of an earlier commit is removed first, so that it never vouches for a mixture.
        """
        paths = {key: self._path(key) for key in [*files, marker]}
        if marker in files:
            raise ValueError(f"the marker {marker!r} is also one of the files: it must come last, alone")
        self._backend.delete(paths[marker])
        run_parallel([partial(self._put, paths[key], content) for key, content in files.items()])
        self._backend.write(paths[marker], marker_data)

    def arrow_filesystem(self) -> "tuple[FileSystem, str]":
        """A pyarrow file system whose operations are retried like ours, and this store's path in it."""
        from momalisa.storage.arrow import arrow_filesystem

        return arrow_filesystem(self._backend, self._root)

    def _put(self, path: str, content: str | Path | bytes) -> None:
        if isinstance(content, bytes):
            self._backend.write(path, content)
        else:
            self._backend.upload(Path(content), path)

    def _path(self, key: str) -> str:
        return f"{self._root}/{check_key(key)}"


def _backend(scheme: str, retry: RetryPolicy) -> Backend:
    if scheme == "file":
        return LocalBackend()
    if scheme == "memory":
        return MemoryBackend(retry)
    if scheme == "gs":
        from momalisa.storage.gcs import GcsBackend

        return GcsBackend(retry)
    return FsspecBackend(scheme, retry)
