"""The page: files that were there at start-up, and no others."""

from pathlib import Path

from momalisa.errors import ConfigError
from momalisa.service.files import File

REVALIDATED = "private, no-cache"
"""Asked for anew each time, mostly answered by 304: a page never runs with scripts of another release."""
_MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".gif": "image/gif",
    ".html": "text/html; charset=utf-8",
    ".ico": "image/vnd.microsoft.icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".mp4": "video/mp4",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff2": "font/woff2",
}
_MAX_BYTES = 32 << 20


def load_site(folder: Path | None) -> dict[str, File]:
    """A folder's files by their paths in it; hidden ones and those of other kinds are left out.

    A path of a request is looked up here and never becomes one of the disk. Raises ConfigError for a folder without
    a page.
    """
    if folder is None:
        return {}
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if _is_shown(path, folder)}
    if "index.html" not in found:
        raise ConfigError(f"{folder} has no index.html: give the folder that has the page")
    if sum(path.stat().st_size for path in found.values()) > _MAX_BYTES:
        raise ConfigError(f"{folder} is larger than {_MAX_BYTES} bytes, which are held in memory: give the page's own")
    return {name: File.of(path.read_bytes(), _MEDIA_TYPES[path.suffix.lower()]) for name, path in found.items()}


def _is_shown(path: Path, folder: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    # A link may lead out of the folder, as Kubernetes's mounts do within it: what counts is where it ends.
    is_inside = path.resolve().is_relative_to(folder.resolve())
    return path.is_file() and not is_hidden and is_inside and path.suffix.lower() in _MEDIA_TYPES
