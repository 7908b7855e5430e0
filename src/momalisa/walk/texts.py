"""Prompts as a walk is drawn under them. No text encoder in it: they may have been encoded elsewhere."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from momalisa.walk.request import WalkRequest


@dataclass(frozen=True, kw_only=True, slots=True)
class Texts:
    """Embeddings float32 (N, tokens, width) of N prompts, and of what each is guided away from."""

    prompts: NDArray[np.float32]
    negative_prompts: NDArray[np.float32]


def prompts_of(request: WalkRequest) -> list[tuple[str, str]]:
    """The waypoints' prompts, and what each is guided away from."""
    waypoints = [request.settled(i) for i in range(len(request.waypoints))]
    return [(waypoint.prompt, waypoint.negative_prompt or "") for waypoint in waypoints]
