"""A pyarrow file system over a backend, so that others' code (Ray Train, pyarrow) writes with our retries too."""

import tempfile
from pathlib import Path
from typing import IO, Any

import pyarrow
from pyarrow.fs import FileInfo, FileSelector, FileSystem, FileSystemHandler, FileType, LocalFileSystem, PyFileSystem

from momalisa.errors import ObjectNotFoundError, StorageError
from momalisa.storage.backend import Backend, Entry
from momalisa.storage.local import LocalBackend

_SPOOL_BYTES = 8 << 20


def arrow_filesystem(backend: Backend, root: str) -> tuple[FileSystem, str]:
    """The file system of a backend, and `root` as a path in it. On disks it is pyarrow's own."""
    if isinstance(backend, LocalBackend):
        return LocalFileSystem(), root or "/"
    base, path = _split_base(root)
    return PyFileSystem(BackendHandler(backend, base)), path


class BackendHandler(FileSystemHandler):  # type: ignore[misc]
    """Folders exist where objects lie below them; creating one does nothing.

    base: what stands before a pyarrow path in the backend's own paths: "" or "scheme://".
    """

    def __init__(self, backend: Backend, base: str) -> None:
        self._backend = backend
        self._base = base

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, BackendHandler)
            and self._base == other._base
            and type(self._backend) is type(other._backend)
        )

    def __hash__(self) -> int:
        return hash((self._base, type(self._backend)))

    def get_type_name(self) -> str:
        return "momalisa"

    def normalize_path(self, path: str) -> str:
        return path.strip("/")

    def get_file_info(self, paths: list[str]) -> list[FileInfo]:
        return [self._info(self.normalize_path(path)) for path in paths]

    def get_file_info_selector(self, selector: FileSelector) -> list[FileInfo]:
        folder = self.normalize_path(selector.base_dir)
        entries = list(self._backend.list(self._own(folder)))
        if not entries and not selector.allow_not_found:
            raise FileNotFoundError(f"{self._backend.uri(self._own(folder))}: there is no such folder")
        return list(_shown(folder, entries, recursive=selector.recursive).values())

    def create_dir(self, path: str, recursive: bool) -> None:
        """Nothing to do: a folder is the common beginning of its objects' names."""

    def delete_dir(self, path: str) -> None:
        self._backend.delete_tree(self._own(path))

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:  # noqa: ARG002
        self._backend.delete_tree(self._own(path))

    def delete_root_dir_contents(self) -> None:
        raise StorageError("refusing to empty a whole bucket: delete a folder instead")

    def delete_file(self, path: str) -> None:
        self._require(path)
        self._backend.delete(self._own(path))

    def move(self, src: str, dest: str) -> None:
        self.copy_file(src, dest)
        self._backend.delete(self._own(src))

    def copy_file(self, src: str, dest: str) -> None:
        self._require(src)
        with tempfile.TemporaryDirectory() as folder:
            local = Path(folder) / "copy"
            self._backend.download(self._own(src), local)
            self._backend.upload(local, self._own(dest))

    def open_input_stream(self, path: str) -> pyarrow.NativeFile:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> pyarrow.NativeFile:
        self._require(path)
        return pyarrow.PythonFile(self._backend.open(self._own(path)), mode="r")

    def open_output_stream(self, path: str, metadata: Any = None) -> pyarrow.NativeFile:  # noqa: ARG002
        return pyarrow.PythonFile(_Upload(self._backend, self._own(path)), mode="w")

    def open_append_stream(self, path: str, metadata: Any = None) -> pyarrow.NativeFile:
        raise NotImplementedError(f"{path}: objects in buckets cannot be appended to")

    def _own(self, path: str) -> str:
        return self._base + self.normalize_path(path)

    def _require(self, path: str) -> None:
        # pyarrow and its callers know this error, not ours.
        try:
            self._backend.stat(self._own(path))
        except ObjectNotFoundError as e:
            raise FileNotFoundError(str(e)) from e

    def _info(self, path: str) -> FileInfo:
        # A path without a slash is a bucket: no object bears its name.
        if "/" in path:
            try:
                return _file(path, self._backend.stat(self._own(path)))
            except ObjectNotFoundError:
                pass
        try:
            is_folder = not path or any(True for _ in self._backend.list(self._own(path)))
        except ObjectNotFoundError:
            is_folder = False
        return FileInfo(path, FileType.Directory if is_folder else FileType.NotFound)


class _Upload:
    """A file to write that becomes an object when it is closed; dropped unclosed, it becomes nothing."""

    def __init__(self, backend: Backend, path: str) -> None:
        self._backend = backend
        self._path = path
        self._spool: IO[bytes] = tempfile.NamedTemporaryFile(buffering=_SPOOL_BYTES)  # noqa: SIM115
        self.closed = False

    def write(self, data: bytes) -> int:
        return self._spool.write(data)

    def tell(self) -> int:
        return self._spool.tell()

    def flush(self) -> None:
        """Nothing is sent before the end."""

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        with self._spool:
            self._spool.flush()
            self._backend.upload(Path(self._spool.name), self._path)


def _split_base(root: str) -> tuple[str, str]:
    scheme, separator, path = root.rpartition("://")
    return scheme + separator, path


def _shown(folder: str, entries: list[Entry], *, recursive: bool) -> dict[str, FileInfo]:
    """What a folder shows: its files and the folders that their names imply."""
    shown: dict[str, FileInfo] = {}
    below = f"{folder}/" if folder else ""
    for entry in entries:
        parts = entry.key.split("/")
        for depth in range(1, len(parts)):
            if depth == 1 or recursive:
                path = below + "/".join(parts[:depth])
                shown.setdefault(path, FileInfo(path, FileType.Directory))
        if len(parts) == 1 or recursive:
            shown[below + entry.key] = _file(below + entry.key, entry)
    return shown


def _file(path: str, entry: Entry) -> FileInfo:
    return FileInfo(path, FileType.File, size=entry.num_bytes)
