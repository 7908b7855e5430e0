"""The client of a momalisa service. Importing it loads no torch.

The client is written once, as coroutines (`core.py`, `walk_core.py`) that reach the world through a wire (`wire.py`);
`Client` blocks where `AsyncClient` awaits, and both are no more than a line a method.
"""

from momalisa.client.asking import Patience
from momalisa.client.awaiting import AsyncClient, AsyncWalk
from momalisa.client.blocking import Client, Walk
from momalisa.client.pictures import Picture
from momalisa.client.views import (
    Account,
    Event,
    FrameDrawn,
    ModelInfo,
    Progress,
    ProgressMade,
    WalkEnded,
    WalkView,
)

__all__ = [
    "Account",
    "AsyncClient",
    "AsyncWalk",
    "Client",
    "Event",
    "FrameDrawn",
    "ModelInfo",
    "Patience",
    "Picture",
    "Progress",
    "ProgressMade",
    "Walk",
    "WalkEnded",
    "WalkView",
]
