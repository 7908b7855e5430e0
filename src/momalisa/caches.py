"""Where momalisa keeps what it can make or download again."""

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """`$MOMALISA_CACHE/name`, by default `~/.cache/momalisa/name` (or below `$XDG_CACHE_HOME`)."""
    root = os.environ.get("MOMALISA_CACHE")
    if root:
        return Path(root) / name
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "momalisa" / name


def prune(folder: Path, max_bytes: int) -> None:
    """Removes the files in a cache that were not used for longest, until the others fit. A missing folder is fine."""
    files = [(entry.stat(), Path(entry.path)) for entry in os.scandir(folder)] if folder.is_dir() else []
    total = sum(stat.st_size for stat, _ in files)
    for stat, path in sorted(files, key=lambda file: max(file[0].st_atime, file[0].st_mtime)):
        if total <= max_bytes:
            return
        path.unlink(missing_ok=True)
        total -= stat.st_size
