"""Which way a test walk goes, and what is told of it."""

import pytest

from momalisa.errors import ConfigError
from momalisa.release import trial_walks
from momalisa.release.trial_walks import Subject, prompts_of, trial_walk
from momalisa.training.run import RunRecord
from tests.unit.release.test_promotion import RECORD


def test_prompts_are_those_given_else_the_runs_else_the_usual() -> None:
    record = RunRecord.model_validate(RECORD)
    assert prompts_of(record, []) == ["a", "b"]
    assert prompts_of(record, ["x", "y", "z"]) == ["x", "y", "z"]
    assert len(prompts_of(record.model_copy(update={"config": {}}), [])) == 2
    with pytest.raises(ConfigError, match="give --prompt twice"):
        prompts_of(record, ["x"])


def test_a_walk_tells_what_it_is_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_walks, "NUM_FRAMES", 3)
    monkeypatch.setattr(trial_walks, "_NUM_STEPS", 2)
    made = trial_walk(Subject(uri="tiny"), ["a", "b"])
    assert made.request is not None
    assert [waypoint.prompt for waypoint in made.request.waypoints] == ["a", "b"]
    assert (made.request.model, made.source, made.ruler) == ("tiny", "measured here", "styles")
    assert {"unet", "vae", "text_encoder"} <= set(made.fingerprints)
