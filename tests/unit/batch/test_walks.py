"""Files of requests, read before anything is made."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from momalisa.batch.walks import read_jobs
from momalisa.errors import InputError

ROWS = [
    {"id": "first", "prompts": ["blue dots", "red stripes"], "num_frames": 8, "shape": None},
    {"id": None, "prompts": ["a", "b", "c"], "num_frames": None, "shape": "loop"},
]


def written(folder: Path, rows: list[Any]) -> str:
    path = folder / "requests.jsonl"
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return str(path)


def test_jsonl_and_parquet_hold_the_same_requests(folder: Path) -> None:
    jobs = read_jobs(written(folder, ROWS), "tiny")
    assert [job.id for job in jobs] == ["first", "walk-00002"]
    assert [w.prompt for w in jobs[1].request.waypoints] == ["a", "b", "c"]
    assert (jobs[0].request.num_frames, jobs[1].request.shape) == (8, "loop")
    pq.write_table(pa.Table.from_pylist(ROWS), folder / "requests.parquet")
    assert read_jobs(str(folder / "requests.parquet"), "tiny") == jobs


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([ROWS[0], {"prompts": ["one"]}], "row 2: a walk needs at least two waypoints"),
        ([{"prompts": ["a", "b"], "num_frame": 3}], "row 1: no setting num_frame; did you mean num_frames"),
        ([{"prompts": "a to b"}], "must be a list of texts"),
        ([{"id": "../../etc", "prompts": ["a", "b"]}], "the id '../../etc' cannot be"),
        ([{"id": "frames", "prompts": ["a", "b"]}], "the id 'frames' cannot be"),
        ([{"prompts": ["a", "b"], "model": "other"}], "the model is the batch's"),
        ([{"prompts": ["a"], "shape": "boomerang"}], "at least two waypoints"),
        ([{"waypoints": [{"prompt": "a", "negativ_prompt": "b"}, {"prompt": "b"}]}], "did you mean .*negative_prompt"),
        ([ROWS[0], ROWS[0]], "the id 'first' is there twice"),
        ([{"waypoints": [{"prompt": "a", "picture_sha256": "ab"}, {"prompt": "b"}]}], "cannot be a waypoint"),
        ([{"seed": 3}], 'either "prompts" or "waypoints"'),
        (["{not json"], "neither JSONL nor Parquet"),
        (["[1]"], "not an object"),
        ([], "holds no request"),
        ([{"prompts": ["a"]}] * 9, r"and \d more"),
    ],
)
def test_bad_rows_are_named_before_anything_is_made(folder: Path, rows: list[Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_jobs(written(folder, rows), "tiny")


def test_a_missing_file_is_said_to_be_missing(folder: Path) -> None:
    with pytest.raises(InputError, match="there are no requests at"):
        read_jobs(str(folder / "none.jsonl"), "tiny")
