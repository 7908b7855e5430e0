"""How a run begins: anew, or where it came to."""

from pathlib import Path
from typing import Any

import pytest

from momalisa.recipes import recipe
from momalisa.storage import open_store
from momalisa.training import submit
from momalisa.training.run import RUN_FILE, STOP_KEY


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


def test_auto_heeds_a_stop_that_came_before_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As `cancel` leaves it while a driver waits for the one before it, whose head was lost."""
    output = open_store(tmp_path)
    output.write_bytes(STOP_KEY, b"stop\n")
    monkeypatch.setattr(submit, "prepare_run", lambda *_, **__: pytest.fail("it begins"))
    code = submit.run_training(recipe("demo"), data_uri="d", output_uri=str(tmp_path), resume="auto")
    assert code == submit.STOPPED_EXIT_CODE
    assert output.exists(STOP_KEY)


def test_who_asks_to_resume_takes_the_stop_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    output = open_store(tmp_path)
    output.write_bytes(STOP_KEY, b"stop\n")

    def prepare(config: Any, **given: Any) -> None:
        assert not output.exists(STOP_KEY)
        raise ReachedError

    monkeypatch.setattr(submit, "prepare_run", prepare)
    with pytest.raises(ReachedError):
        submit.run_training(recipe("demo"), data_uri="d", output_uri=str(tmp_path), resume=True)
