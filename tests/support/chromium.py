"""The system's browser."""

import os
import shutil

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> str:
    """From MOMALISA_CHROMIUM or the PATH. Raises FileNotFoundError: a suite that skips itself proves nothing."""
    path = os.environ.get("MOMALISA_CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        raise FileNotFoundError("no Chromium: install one (apt-get install chromium), or name it in MOMALISA_CHROMIUM")
    return path
