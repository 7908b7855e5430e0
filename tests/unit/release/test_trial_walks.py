"""Which way a test walk goes."""

import pytest

from momalisa.errors import ConfigError
from momalisa.release.trial_walks import prompts_of
from momalisa.training.run import RunRecord
from tests.unit.release.test_promotion import RECORD


def test_prompts_are_those_given_else_the_runs_else_the_usual() -> None:
    record = RunRecord.model_validate(RECORD)
    assert prompts_of(record, []) == ["a", "b"]
    assert prompts_of(record, ["x", "y", "z"]) == ["x", "y", "z"]
    assert len(prompts_of(record.model_copy(update={"config": {}}), [])) == 2
    with pytest.raises(ConfigError, match="give --prompt twice"):
        prompts_of(record, ["x"])
