import json
import math
from pathlib import Path

import pytest

from momalisa.training.tracking.metrics import MetricsFile, read_metrics


def test_a_line_is_one_object_and_never_says_nan(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "metrics.jsonl")
    file.append(3, 12.5, {"train/loss": 0.25, "a": math.nan, "b": math.inf})
    file.close()
    line = (tmp_path / "metrics.jsonl").read_text()
    assert line.endswith("}\n")
    assert json.loads(line) == {"step": 3, "time": 12.5, "metrics": {"train/loss": 0.25, "a": None, "b": None}}


def test_lines_are_there_before_the_file_is_closed(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path / "m.jsonl")
    file.append(1, 0.0, {"a": 1.0})
    assert len(read_metrics(tmp_path / "m.jsonl")) == 1
    file.close()


def test_truncating_leaves_each_step_once(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    file = MetricsFile(path)
    for step in range(1, 6):
        file.append(step, 0.0, {"a": step})
    file.truncate_after(3)
    for step in range(4, 6):
        file.append(step, 1.0, {"a": step})
    file.close()
    assert [row["step"] for row in read_metrics(path)] == [1, 2, 3, 4, 5]
    assert read_metrics(path)[-1]["time"] == 1.0


def test_a_line_that_a_kill_cut_short_is_left_out_and_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1, "time": 0, "metrics": {}}\n{"step": 2, "ti')
    assert [row["step"] for row in read_metrics(path)] == [1]
    file = MetricsFile(path)
    file.append(2, 0.0, {})
    file.close()
    assert [row["step"] for row in read_metrics(path)] == [1, 2]


def test_damage_in_the_middle_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1, "ti\n{"step": 2, "time": 0, "metrics": {}}\n')
    with pytest.raises(json.JSONDecodeError):
        read_metrics(path)


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "none.jsonl") == []
