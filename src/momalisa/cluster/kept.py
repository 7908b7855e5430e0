"""Where each job's run is, remembered on this machine: a RayJob that is gone cannot tell any more."""

import contextlib
import json
from pathlib import Path
from typing import Protocol
from urllib.parse import quote

from momalisa.caches import cache_folder


class Place(Protocol):
    """Where a job's name is its own; `client.Cluster` is one."""

    @property
    def context(self) -> str:
        """The kubeconfig's."""

    @property
    def namespace(self) -> str:
        """In that cluster."""


def remember(place: Place, name: str, output_uri: str) -> None:
    """Notes it; a machine whose cache cannot be written to merely forgets."""
    with contextlib.suppress(OSError):
        file = _file(place, name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"output_uri": output_uri}))


def recall(place: Place, name: str) -> str | None:
    """What was noted last, by whatever command of this machine saw the job."""
    try:
        found = json.loads(_file(place, name).read_text()).get("output_uri")
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _file(place: Place, name: str) -> Path:
    # Names of contexts have slashes and colons.
    context, namespace, job = (quote(part, safe="") for part in (place.context, place.namespace, name))
    return cache_folder("jobs") / context / namespace / f"{job}.json"
