"""Where momalisa keeps what it can make or download again."""

import os
import time
from contextlib import suppress
from pathlib import Path

_IN_USE_S = 3600.0


def cache_folder(name: str) -> Path:
    """`$MOMALISA_CACHE/name`, by default `~/.cache/momalisa/name` (or below `$XDG_CACHE_HOME`)."""
    root = os.environ.get("MOMALISA_CACHE")
    if root:
        return Path(root) / name
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "momalisa" / name


def prune(folder: Path, max_bytes: int) -> None:
    """Removes the files in a cache that were not used for longest, until the others fit; none of the last hour, which
    another process may be at work with. A missing folder is fine."""
    files = []
    for entry in os.scandir(folder) if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # of another process that writes or prunes
            files.append((entry.stat(), Path(entry.path)))
    total = sum(stat.st_size for stat, _ in files)
    files.sort(key=lambda file: max(file[0].st_atime, file[0].st_mtime))
    recent = time.time() - _IN_USE_S
    for stat, path in files:
        if total <= max_bytes or stat.st_mtime > recent:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size
