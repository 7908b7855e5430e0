"""What made a thing: the versions of the libraries and the git commit."""

import importlib.metadata
import platform
import subprocess

_PACKAGES = ("torch", "diffusers", "transformers", "peft", "deepspeed", "ray", "pyarrow")


def versions() -> dict[str, str]:
    """Versions of Python, momalisa and the libraries that a result depends on."""
    import momalisa

    found = {"python": platform.python_version(), "momalisa": momalisa.__version__}
    for package in _PACKAGES:
        found[package] = importlib.metadata.version(package)
    return found


def git_commit() -> str | None:
    """The commit of the current folder, `-dirty` where it has changes; None outside of git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return described.stdout.strip() or None
