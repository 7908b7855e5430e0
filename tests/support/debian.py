"""Programs of Debian's packages, unpacked instead of installed: so no daemon among them starts by itself."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


class CannotUnpackError(Exception):
    """The packages cannot be had on this machine."""


def can_unpack() -> bool:
    """Whether this is a machine, and this somebody, that can download packages."""
    return os.geteuid() == 0 and all(shutil.which(program) for program in ("apt-get", "dpkg-deb"))


def unpack(packages: Sequence[str], folder: Path) -> Path:
    """Downloads packages and unpacks them, without what they depend on; says where their root is, below the folder.

    Raises CannotUnpackError.
    """
    folder.chmod(0o755)  # apt downloads as a user of its own
    _run("apt-get", "update", "-q", cwd=folder)
    _run("apt-get", "download", *packages, cwd=folder)
    root = folder / "root"
    for package in folder.glob("*.deb"):
        _run("dpkg-deb", "-x", str(package), str(root), cwd=folder)
    return root


def _run(*command: str, cwd: Path) -> None:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotUnpackError(f"{' '.join(command[:4])} … failed:\n{done.stderr[-2000:]}")
