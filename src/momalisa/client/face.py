"""What both faces of a walk tell without asking the service."""

from collections.abc import Mapping
from typing import Any

from momalisa.client.views import Progress, WalkView
from momalisa.client.walk_core import WalkCore


class WalkFace:
    """A walk as it was last heard of."""

    def __init__(self, core: WalkCore) -> None:
        self._core = core

    @property
    def view(self) -> WalkView:
        """All that the service told of it."""
        return self._core.view

    @property
    def id(self) -> str:
        """By which `Client.get` finds it again."""
        return self.view.id

    @property
    def state(self) -> str:
        """queued, running, assembling, done, failed or cancelled."""
        return self.view.state

    @property
    def progress(self) -> Progress:
        """How far it is."""
        return self.view.progress

    @property
    def request(self) -> Mapping[str, Any]:
        """What was asked for, with all that the service filled in: its model, its seed."""
        return self.view.request

    def __repr__(self) -> str:
        done = f"{self.progress.frames_done}/{self.progress.frames_total} frames"
        return f"<{type(self).__name__} {self.id}: {self.state}, {done}>"
