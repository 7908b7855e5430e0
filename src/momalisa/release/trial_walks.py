"""A short walk by a model, to see whether it is as smooth as one by the model that serves."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from momalisa.config import to_dict
from momalisa.errors import ConfigError
from momalisa.release.gate import Figures
from momalisa.training.run import RunRecord
from momalisa.walk.request import WalkRequest, Waypoint

NUM_FRAMES = 24
_NUM_STEPS, _SEED = 15, 0
_LEAST_PROMPTS = 2
_USUAL = ("blue dots on a yellow ground", "red stripes on a white ground")
_HERE = "measured here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model that walks are by."""

    uri: str
    revision: str | None = None
    """Of a model on a hub."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A walk's figures, and which walk they are of."""

    figures: Figures
    source: str
    """Of the figures: a report's address, or that they were measured here."""
    request: WalkRequest | None
    """With the model and the prompts; None where a report does not say."""
    fingerprints: Mapping[str, str]
    """Of the weights."""
    ruler: str | None
    """What measured the distances."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The same walk by a model and by the one that it is compared with."""

    walk: Trial
    other: Trial
    against: Subject

    @property
    def problems(self) -> list[str]:
        """Why the figures may be of anything."""
        return [
            f"{trial.source} does not say which model and prompts it is of: make it again, with this momalisa"
            for trial in (self.walk, self.other)
            if trial.request is None
        ]

    def to_dict(self) -> dict[str, Any]:
        """For the record: what was compared, of which prompts, and where the figures are from."""
        return {"against": asdict(self.against), "walk": _told(self.walk), "other": _told(self.other)}


def trial_walk(subject: Subject, prompts: Sequence[str]) -> Trial:
    """Renders the walk here: minutes on a CPU for a large model. Raises ModelError, ConfigError."""
    from momalisa.walk.frames import MemoryFrames  # torch comes with them, which the other verbs do without
    from momalisa.walk.provenance import fingerprints_of
    from momalisa.walk.studio import Studio

    request = WalkRequest(
        waypoints=tuple(Waypoint(prompt=prompt) for prompt in prompts),
        num_frames=NUM_FRAMES,
        num_inference_steps=_NUM_STEPS,
        seed=_SEED,
        model=subject.uri,
        revision=subject.revision,
    )
    made = Studio(subject.uri, subject.revision).make(request, MemoryFrames())
    return Trial(
        figures=Figures.of(asdict(made.report)),
        source=_HERE,
        request=request,
        fingerprints=fingerprints_of(made.rendition),
        ruler=made.rendition.ruler,
    )


def prompts_of(record: RunRecord, given: Sequence[str]) -> list[str]:
    """Those given, else the first ones that the run was validated with."""
    if given:
        if len(given) < _LEAST_PROMPTS:
            raise ConfigError("a walk leads from prompt to prompt: give --prompt twice")
        return list(given)
    validation: Mapping[str, Any] = record.config.get("validation") or {}
    prompts = [str(prompt) for prompt in validation.get("prompts") or ()][:_LEAST_PROMPTS]
    return prompts if len(prompts) == _LEAST_PROMPTS else list(_USUAL)


def _told(trial: Trial) -> dict[str, Any]:
    return {
        "figures": asdict(trial.figures),
        "figures_from": trial.source,
        "request": None if trial.request is None else to_dict(trial.request),
        "fingerprints": dict(trial.fingerprints),
        "ruler": trial.ruler,
    }
