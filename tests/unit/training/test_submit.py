"""How a run begins: anew, or where it came to."""

from pathlib import Path
from typing import Any

import pytest

from momalisa.recipes import recipe
from momalisa.storage import open_store
from momalisa.training import submit
from momalisa.training.run import RUN_FILE


class ReachedError(Exception):
    """As far as this test goes."""


@pytest.mark.parametrize(("is_there", "asked", "resumes"), [(False, "auto", False), (True, "auto", True)])
def test_auto_goes_on_with_a_run_only_where_there_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool, asked: Any, resumes: bool
) -> None:
    if is_there:
        open_store(tmp_path).write_bytes(RUN_FILE, b"{}")
    seen: dict[str, Any] = {}

    def prepare(config: Any, **given: Any) -> None:
        seen.update(given)
        raise ReachedError

    monkeypatch.setattr(submit, "prepare_run", prepare)
    with pytest.raises(ReachedError):
        submit.run_training(recipe("demo"), data_uri="d", output_uri=str(tmp_path), resume=asked)
    assert seen["resume"] is resumes
