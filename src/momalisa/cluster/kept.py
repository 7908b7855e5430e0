"""Where each job's run is, remembered on this machine: a RayJob that is gone cannot tell any more."""

import contextlib
import json
from pathlib import Path

from momalisa.caches import cache_folder


def remember(namespace: str, name: str, output_uri: str) -> None:
    """Notes it; a machine whose cache cannot be written to merely forgets."""
    with contextlib.suppress(OSError):
        file = _file(namespace, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"output_uri": output_uri}))


def recall(namespace: str, name: str) -> str | None:
    """What was noted last, by whatever command of this machine saw the job."""
    try:
        found = json.loads(_file(namespace, name).read_text()).get("output_uri")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _file(namespace: str, name: str) -> Path:
    safe = "".join(c if c.isalnum() or c in "-." else "_" for c in name)
    return cache_folder("jobs") / namespace / f"{safe}.json"
