"""Where momalisa keeps what it can make or download again."""

import os
from pathlib import Path


def cache_folder(name: str) -> Path:
    """`$MOMALISA_CACHE/name`, by default `~/.cache/momalisa/name` (or below `$XDG_CACHE_HOME`)."""
    root = os.environ.get("MOMALISA_CACHE")
    if root:
        return Path(root) / name
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "momalisa" / name
