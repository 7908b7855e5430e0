"""URIs and keys: what names a store, and what names an object in it.

A URI names a folder (`gs://bucket/prefix`, `file:///folder`, `/folder`, `folder`, `memory://name`, `s3://…`); a key
names an object below it. Both are checked before anything is asked of a disk or a network.
"""

import difflib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from fsspec.registry import get_filesystem_class, known_implementations

from momalisa.errors import UriError

# Our own lock and temporary files start with this; listings hide them, and keys may not use it.
HIDDEN_PREFIX = ".momalisa-"

_ALIASES = {"gcs": "gs", "local": "file"}
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*):/+")
_BUCKET = re.compile(r"^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$")
_MAX_KEY_BYTES = 1024  # the limit of GCS and S3
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Location:
    """A checked URI.

    `root` is the path as its backend writes it: `/folder` (file), `bucket/prefix` (gs), and the whole URI without a
    trailing slash for every other scheme.
    """

    scheme: str
    root: str


def parse_uri(uri: str) -> Location:
    """Understand a URI without touching disk or network.

    Raises UriError for nonsense, an unknown scheme, or a scheme whose package is not installed (named in the message).
    """
    if not uri or uri != uri.strip() or _CONTROL.search(uri):
        raise UriError(f"{uri!r} is not a URI: give a folder, or something like gs://bucket/prefix")
    if "::" in uri:
        raise UriError(f"{uri!r}: chained URIs are not supported; unpack it first and give the folder")
    scheme, separator, rest = uri.partition("://")
    if not separator:
        return Location("file", _local_root(uri))
    scheme = _ALIASES.get(scheme.lower(), scheme.lower())
    if scheme == "file":
        return Location(scheme, _file_root(uri, rest))
    if scheme == "gs":
        return Location(scheme, _bucket_root(uri, rest))
    _require_implementation(uri, scheme)
    parts = _checked_parts(uri, rest)
    if not parts:
        raise UriError(f"{uri!r} names nothing: put a name after {scheme}://")
    return Location(scheme, f"{scheme}://{'/'.join(parts)}")


def check_key(key: str) -> str:
    """Return the key if it can name an object below a store's root on every backend, else raise UriError."""
    if not key:
        raise UriError("an empty key names no object")
    if key.startswith("/"):
        raise UriError(f"key {key!r} is absolute: keys are relative to their store")
    if _CONTROL.search(key) or len(key.encode()) > _MAX_KEY_BYTES:
        raise UriError(f"key {key[:100]!r} holds control characters or is over {_MAX_KEY_BYTES} bytes")
    for part in key.split("/"):
        if part in ("", ".", ".."):
            raise UriError(f"key {key!r} holds an empty part, '.' or '..': write it in its plain form")
        if part.startswith(HIDDEN_PREFIX):
            raise UriError(f"key {key!r}: names that start with {HIDDEN_PREFIX!r} are reserved")
    return key


def check_prefix(prefix: str) -> str:
    """Return a folder's key without its trailing slash; "" is the store itself. Raises UriError like `check_key`."""
    return check_key(prefix.removesuffix("/")) if prefix else ""


def _local_root(uri: str) -> str:
    if slip := _SCHEME.match(uri):
        near = slip.group(1).lower()
        if _ALIASES.get(near, near) in known_implementations or near in ("gs", "gcs"):
            raise UriError(f"{uri!r} lacks a slash: did you mean {near}://{uri[slip.end() :]}?")
    return _absolute(uri)


def _file_root(uri: str, rest: str) -> str:
    rest = rest.removeprefix("localhost")
    if not rest.startswith("/"):
        raise UriError(f"{uri!r} has no absolute path: file URIs have three slashes, as in file:///{rest}")
    return _absolute(rest)


def _absolute(path: str) -> str:
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 (Path.absolute keeps "..")


def _bucket_root(uri: str, rest: str) -> str:
    parts = _checked_parts(uri, rest)
    if not parts:
        raise UriError(f"{uri!r} names no bucket: write gs://bucket or gs://bucket/prefix")
    if not _BUCKET.match(parts[0]):
        raise UriError(
            f"{uri!r}: {parts[0]!r} cannot be a bucket: 3 or more lower-case letters, digits, '-', '_' or '.', "
            "beginning and ending with a letter or digit"
        )
    return "/".join(parts)


def _checked_parts(uri: str, rest: str) -> list[str]:
    """The parts of a remote path; doubled and trailing slashes are taken for slips of the pen."""
    parts = [part for part in rest.split("/") if part]
    if any(part in (".", "..") for part in parts):
        raise UriError(f"{uri!r} holds '.' or '..': write the path in its plain form")
    return parts


def _require_implementation(uri: str, scheme: str) -> None:
    try:
        get_filesystem_class(scheme)
    except ValueError as e:
        known = ["file", "gs", "memory", *known_implementations]
        near = difflib.get_close_matches(scheme, known, n=2) or ["file", "gs", "memory"]
        raise UriError(f"{uri!r}: unknown scheme {scheme!r}; did you mean {' or '.join(near)}?") from e
    except ImportError as e:
        raise UriError(f"{uri!r} needs a package that is not installed: pip install {_package(scheme)}") from e


def _package(scheme: str) -> str:
    module = str(known_implementations.get(scheme, {}).get("class", "")).split(".", maxsplit=1)[0]
    return module if module and module != "fsspec" else f"'fsspec[{scheme}]'"
