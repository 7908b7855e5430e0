"""A short walk by a model, to see whether it is as smooth as one by the model that serves."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from momalisa.errors import ConfigError, ObjectNotFoundError
from momalisa.release.gate import Figures
from momalisa.storage import open_store
from momalisa.training.run import RunRecord

_NUM_FRAMES, _NUM_STEPS, _SEED = 24, 15, 0
_LEAST_PROMPTS = 2
_USUAL = ("blue dots on a yellow ground", "red stripes on a white ground")


def trial_walk(model: str, prompts: Sequence[str], revision: str | None = None) -> Figures:
    """Renders the walk here: minutes on a CPU for a large model. Raises ModelError, ConfigError.

    revision: of a model on a hub.
    """
    from momalisa.walk.frames import MemoryFrames  # torch comes with them, which the other verbs do without
    from momalisa.walk.request import WalkRequest, Waypoint
    from momalisa.walk.studio import Studio

    waypoints = tuple(Waypoint(prompt=prompt) for prompt in prompts)
    request = WalkRequest(
        waypoints=waypoints, num_frames=_NUM_FRAMES, num_inference_steps=_NUM_STEPS, seed=_SEED, model=model
    )
    return Figures.of(asdict(Studio(model, revision).make(request, MemoryFrames()).report))


def read_report(uri: str) -> Figures:
    """Of a report that was made elsewhere: `momalisa walk … --report FILE.json`. Raises ConfigError."""
    folder, _, name = uri.rpartition("/")
    try:
        report = json.loads(open_store(folder or ".").read_bytes(name))
        return Figures.of(report)
    except ObjectNotFoundError as e:
        raise ConfigError(f"there is no report {uri}: momalisa walk … --report FILE.json writes one") from e
    except (ValueError, KeyError, TypeError) as e:
        raise ConfigError(f"{uri} is no report of a walk ({e!r}): momalisa walk … --report FILE.json writes one") from e


def prompts_of(record: RunRecord, given: Sequence[str]) -> list[str]:
    """Those given, else the first ones that the run was validated with."""
    if given:
        if len(given) < _LEAST_PROMPTS:
            raise ConfigError("a walk leads from prompt to prompt: give --prompt twice")
        return list(given)
    validation: Mapping[str, Any] = record.config.get("validation") or {}
    prompts = [str(prompt) for prompt in validation.get("prompts") or ()][:_LEAST_PROMPTS]
    return prompts if len(prompts) == _LEAST_PROMPTS else list(_USUAL)
