"""Whether a file of this machine is another one than before, by what its folder says of it, unread."""

from pathlib import Path

FileState = tuple[int, int, int]


def file_state(path: Path) -> FileState:
    """Changes with the content: Kubernetes swaps a link, an editor writes anew, `echo >>` moves the time.

    Raises OSError for a file that is not there.
    """
    status = path.stat()
    return status.st_ino, status.st_mtime_ns, status.st_size
