"""The disk. Objects appear whole or not at all; compare-and-swap under a lock that all processes share."""

import contextlib
import errno
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from momalisa.errors import AccessDeniedError, AlreadyExistsError, ConflictError, ObjectNotFoundError, StorageError
from momalisa.storage.backend import Backend, Entry, Version
from momalisa.storage.hashing import sha256_bytes
from momalisa.storage.uri import HIDDEN_PREFIX

_LOCK_NAME = f"{HIDDEN_PREFIX}lock"
_COPY_BYTES = 1 << 20


class LocalBackend(Backend):
    """Plain files; a path is an absolute path of the file system."""

    def uri(self, path: str) -> str:
        return f"file://{path}"

    def read(self, path: str, start: int = 0, stop: int | None = None, generation: str | None = None) -> bytes:  # noqa: ARG002
        with translated(path, "reading"), Path(path).open("rb") as file:
            file.seek(start)
            return file.read() if stop is None else file.read(max(0, stop - start))

    def write(self, path: str, data: bytes) -> None:
        with translated(path, "writing"), replacing(Path(path)) as file:
            file.write(data)

    def upload(self, local: Path, path: str) -> None:
        with translated(str(local), "reading"):
            source = local.open("rb")
        with source, translated(path, "writing"), replacing(Path(path)) as target:
            shutil.copyfileobj(source, target, _COPY_BYTES)

    def download(self, path: str, local: Path) -> None:
        self.upload(Path(path), str(local))

    def list(self, folder: str) -> list[Entry]:
        with translated(folder, "listing"):
            return sorted(_walk(Path(folder), "", set()), key=lambda entry: entry.key)

    def stat(self, path: str) -> Entry:
        with translated(path, "looking at"):
            if Path(path).is_dir():
                raise IsADirectoryError(path)
            return Entry(path, Path(path).stat().st_size)

    def delete(self, path: str) -> None:
        with translated(path, "deleting"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            Path(path).unlink()

    def delete_tree(self, folder: str) -> None:
        with translated(folder, "deleting"), contextlib.suppress(FileNotFoundError, NotADirectoryError):
            shutil.rmtree(folder)

    def open(self, path: str) -> BinaryIO:
        with translated(path, "reading"):
            return Path(path).open("rb")

    def create(self, path: str, data: bytes) -> Version:
        target = Path(path)
        with translated(path, "creating"), temporary_beside(target) as temporary:
            _write_synced(temporary, data)
            # A link, unlike a rename, fails where the name is taken: the object appears whole, and once.
            try:
                os.link(temporary, target)
            except FileExistsError as e:
                raise AlreadyExistsError(f"{self.uri(path)} exists already") from e
            _sync_folder(target.parent)
            return _version(target, data)

    def read_versioned(self, path: str) -> tuple[bytes, Version]:
        with translated(path, "reading"), Path(path).open("rb") as file:
            data = file.read()
            return data, _version_of(os.fstat(file.fileno()), data)

    def compare_and_swap(self, path: str, data: bytes, expected: Version) -> Version:
        target = Path(path)
        with translated(path, "swapping"), _lock(target.parent):
            try:
                _, current = self.read_versioned(path)
            except ObjectNotFoundError as e:
                raise ConflictError(f"{self.uri(path)} was deleted meanwhile: read it again") from e
            if current != expected:
                raise ConflictError(f"{self.uri(path)} was changed meanwhile: read it again, then swap")
            with replacing(target) as file:
                file.write(data)
            return _version(target, data)


@contextlib.contextmanager
def replacing(target: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the target's name once it is whole and on the disk, and is removed otherwise."""
    with temporary_beside(target) as temporary:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    _sync_folder(target.parent)


@contextlib.contextmanager
def translated(path: str, doing: str) -> Iterator[None]:
    """Turn the system's errors into ours, with the path and the fix."""
    where = f"{doing} file://{path}"
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as e:
        raise ObjectNotFoundError(f"{where}: there is no such object") from e
    except NotADirectoryError as e:
        raise ObjectNotFoundError(f"{where}: a part of its path is a file, not a folder") from e
    except FileExistsError as e:
        raise StorageError(f"{where}: an object stands where a folder must be: {e.filename}") from e
    except PermissionError as e:
        raise AccessDeniedError(f"{where}: permission denied: check the owner and mode of {e.filename or path}") from e
    except OSError as e:
        fix = {errno.ENOSPC: ": free some space", errno.EROFS: ": give a writable place"}.get(e.errno or 0, "")
        raise StorageError(f"{where}: {e.strerror or e}{fix}") from e


@contextlib.contextmanager
def temporary_beside(target: Path) -> Iterator[Path]:
    """A hidden name in the target's own folder (so that it can be renamed to it), removed at the end."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f"{HIDDEN_PREFIX}{uuid.uuid4().hex}"
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the folder's lock file, in this and in every other process."""
    path = folder / _LOCK_NAME
    while True:
        with path.open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            # A lock of a file that was deleted while we waited excludes no one.
            if _same_file(file.fileno(), path):
                try:
                    yield
                finally:
                    # Not left to close(): a process forked meanwhile holds a copy of the descriptor.
                    fcntl.flock(file, fcntl.LOCK_UN)
                return


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _write_synced(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Put the name on the disk as well, so that a marker never survives a power cut that its files did not."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _version(path: Path, data: bytes) -> Version:
    return _version_of(path.stat(), data)


def _version_of(status: os.stat_result, data: bytes) -> Version:
    # Every write is a new file: inode and time tell a content from an equal one that came back (A, B, A).
    return Version(f"{status.st_ino}-{status.st_mtime_ns}-{sha256_bytes(data)}")


def _walk(folder: Path, prefix: str, seen: set[tuple[int, int]]) -> Iterator[Entry]:
    """Every visible file below a folder; links are followed, but no folder is entered twice."""
    try:
        status = folder.stat()
        children = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return
    if (status.st_dev, status.st_ino) in seen:
        return
    seen.add((status.st_dev, status.st_ino))
    for child in children:
        if child.name.startswith(HIDDEN_PREFIX):
            continue
        if child.is_dir():
            yield from _walk(Path(child.path), f"{prefix}{child.name}/", seen)
            continue
        # Gone between the two calls, or a dangling link: not an object.
        with contextlib.suppress(FileNotFoundError):
            yield Entry(prefix + child.name, child.stat().st_size)
