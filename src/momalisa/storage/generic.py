"""Every other fsspec file system; and `memory://`, which adds versions under a process-wide lock.

A path is the whole URI (`s3://bucket/key`). Such file systems keep their own rules on atomicity: S3 and its kin show an
object once it is whole.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import fsspec

from momalisa.errors import AccessDeniedError, AlreadyExistsError, ConflictError, ObjectNotFoundError, StorageError
from momalisa.storage.backend import Backend, Entry, Version
from momalisa.storage.hashing import sha256_bytes
from momalisa.storage.local import temporary_beside, translated
from momalisa.storage.retry import RetryPolicy, TransientError

T = TypeVar("T")


class FsspecBackend(Backend):
    """One fsspec scheme, each operation retried as a whole."""

    def __init__(self, scheme: str, retry: RetryPolicy) -> None:
        self._scheme = scheme
        self._retry = retry

    def uri(self, path: str) -> str:
        return path

    def read(self, path: str, start: int = 0, stop: int | None = None, generation: str | None = None) -> bytes:  # noqa: ARG002
        if stop is not None and stop <= start:
            return b""
        data: bytes = self._do("reading", path, lambda fs: fs.cat_file(path, start or None, stop))
        return data

    def write(self, path: str, data: bytes) -> None:
        self._do("writing", path, lambda fs: fs.pipe_file(path, data))

    def upload(self, local: Path, path: str) -> None:
        with translated(str(local), "reading"):
            local.open("rb").close()  # so that a missing local file is not taken for a missing object
        self._do("writing", path, lambda fs: fs.put_file(str(local), path))

    def download(self, path: str, local: Path) -> None:
        with translated(str(local), "writing"), temporary_beside(local) as temporary:
            self._do("reading", path, lambda fs: fs.get_file(path, str(temporary)))
            temporary.replace(local)

    def list(self, folder: str) -> list[Entry]:
        def find(fs: Any) -> list[Entry]:
            fs.invalidate_cache()
            root = fs._strip_protocol(folder).rstrip("/") + "/"
            found = fs.find(folder, detail=True)
            return [Entry(name.removeprefix(root), info["size"] or 0) for name, info in found.items()]

        try:
            return [entry for entry in self._do("listing", folder, find) if not entry.key.endswith("/")]
        except ObjectNotFoundError:
            return []

    def stat(self, path: str) -> Entry:
        def info(fs: Any) -> Entry:
            fs.invalidate_cache()
            found = fs.info(path)
            if found["type"] != "file":
                raise FileNotFoundError(path)
            return Entry(path, found["size"] or 0)

        return self._do("looking at", path, info)

    def delete(self, path: str) -> None:
        with contextlib.suppress(ObjectNotFoundError):
            self._do("deleting", path, lambda fs: fs.rm_file(path))

    def _do(self, doing: str, path: str, call: Callable[[Any], T]) -> T:
        def attempt() -> T:
            with _classified(doing, path):
                return call(fsspec.filesystem(self._scheme))

        return self._retry.call(attempt, f"{doing} {path}")


class MemoryBackend(FsspecBackend):
    """Objects of this process, for tests and trials: no other process sees them."""

    def __init__(self, retry: RetryPolicy) -> None:
        super().__init__("memory", retry)

    def write(self, path: str, data: bytes) -> None:
        with _MEMORY_LOCK:
            super().write(path, data)

    def upload(self, local: Path, path: str) -> None:
        with translated(str(local), "reading"):
            self.write(path, local.read_bytes())

    def delete(self, path: str) -> None:
        with _MEMORY_LOCK:
            super().delete(path)

    def create(self, path: str, data: bytes) -> Version:
        with _MEMORY_LOCK:
            with contextlib.suppress(ObjectNotFoundError):
                self.stat(path)
                raise AlreadyExistsError(f"{path} exists already")
            super().write(path, data)
            return self.read_versioned(path)[1]

    def read_versioned(self, path: str) -> tuple[bytes, Version]:
        with _MEMORY_LOCK:
            data = self.read(path)
            modified = self._do("looking at", path, lambda fs: fs.modified(path))
            return data, Version(f"{modified.timestamp()}-{sha256_bytes(data)}")

    def compare_and_swap(self, path: str, data: bytes, expected: Version) -> Version:
        with _MEMORY_LOCK:
            try:
                current = self.read_versioned(path)[1]
            except ObjectNotFoundError as e:
                raise ConflictError(f"{path} was deleted meanwhile: read it again") from e
            if current != expected:
                raise ConflictError(f"{path} was changed meanwhile: read it again, then swap")
            super().write(path, data)
            return self.read_versioned(path)[1]


# fsspec keeps one memory for the whole process, so one lock guards it. A child process starts with a free one.
_MEMORY_LOCK = threading.RLock()


def _renew_memory_lock() -> None:
    global _MEMORY_LOCK
    _MEMORY_LOCK = threading.RLock()


os.register_at_fork(after_in_child=_renew_memory_lock)


@contextlib.contextmanager
def _classified(doing: str, path: str) -> Iterator[None]:
    """Turn fsspec's errors into ours, and those that may pass into TransientError."""
    where = f"{doing} {path}"
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as e:
        raise ObjectNotFoundError(f"{where}: there is no such object") from e
    except PermissionError as e:
        raise AccessDeniedError(f"{where}: access denied ({e}): check the credentials and their permissions") from e
    except (TimeoutError, ConnectionError) as e:
        raise TransientError(f"{type(e).__name__}: {e}") from e
    except NotImplementedError as e:
        raise StorageError(f"{where}: this kind of storage cannot do that") from e
    except OSError as e:
        raise StorageError(f"{where}: {e}") from e
