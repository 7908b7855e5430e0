"""A store as a pyarrow file system, for libraries that write by themselves."""

from typing import TYPE_CHECKING

import pyarrow.fs as pafs

from momalisa.storage.local import LocalBackend

if TYPE_CHECKING:
    from momalisa.storage.backend import Backend


def arrow_filesystem(backend: "Backend", root: str) -> tuple[pafs.FileSystem, str]:
    """The file system and the store's path in it."""
    if isinstance(backend, LocalBackend):
        return pafs.LocalFileSystem(), root or "/"
    return pafs.PyFileSystem(pafs.FSSpecHandler(backend.filesystem())), root  # type: ignore[attr-defined]
