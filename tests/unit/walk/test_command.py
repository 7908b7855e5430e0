"""`momalisa walk`, as far as it goes without a model: what it refuses, and why."""

from pathlib import Path

import pytest

from momalisa.cli import main


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], 'give two prompts or more: momalisa walk "blue dots on yellow" "an orange field"'),
        (["only one"], "give two prompts or more"),
        (["a", "b", "--out", "walk.avi"], "an animation ends in .gif, .mp4, .webp"),
        (["a", "b", "--out", "missing/walk.gif"], "there is no folder missing"),
        (["a", "b", "--report", "report.txt"], "it ends in .json or .png"),
        (["a", "b", "--frames", "1"], "1 frames are too few for 2 waypoints (open): take at least 2"),
        (["a", "b", "c", "--frames", "3", "--boomerang"], "take at least 4"),
        (["a", "b", "--steps", "0"], "take at least 1"),
        (["a", "b", "--guidance", "0.2"], "take at least 1 and"),
        (["a", "b", "--fps", "0"], "take at least 0.01"),
        (["a", "b", "--seed", "-4"], "out of range"),
        (["a", "b", "--hold", "-1"], "take 0 to 600"),
        (["a", "b", "--strength", "1.5"], "0 … 1"),
        (["a", "b", "--enlarge", "0"], "take 1 or more"),
        (["a", "missing.jpg::b"], "there is no picture missing.jpg"),
        (["a", " "], "neither a prompt nor a picture"),
        (["a", "b", "--adapter", "gs://x/lora"], "give URI=W, or URI=W,W"),
        (["a", "b", "--adapter", "gs://x/lora=1,2,3"], "a number for each waypoint"),
        (["a", "b", "--from", "walk.gif"], "leave the prompts out"),
        (["--from", "missing.gif"], "there is no file missing.gif"),
        (["a", "b", "--model", "no/such/model"], "no model at 'no/such/model'"),
    ],
)
def test_a_wrong_argument_is_refused_with_what_would_do(
    arguments: list[str],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    assert main(["walk", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert message in said
    assert not list(folder.iterdir())


def test_unknown_words_are_refused_by_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["walk", "a", "b", "--mode", "video"], ["wander"], []):
        with pytest.raises(SystemExit, match="2"):
            main(arguments)
    assert "choose from text, image, hybrid" in capsys.readouterr().err.replace("'", "")
