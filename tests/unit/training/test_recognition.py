import numpy as np
import pytest

from momalisa.artworks.procedural import draw
from momalisa.training.config import RecognitionConfig
from momalisa.training.recognition import recognise, recognition_subjects

CONFIG = RecognitionConfig(taught="waves", known=("dots", "stripes"), num_taught=6, num_known=8)


def drawn(*, taught: bool) -> "np.ndarray":
    subjects = recognition_subjects(CONFIG)
    manners = [s.manner if taught or s.manner != "waves" else "dots" for s in subjects]
    pictures = [draw(i, 128, m, s.foreground, s.ground) for i, (s, m) in enumerate(zip(subjects, manners, strict=True))]
    return np.stack([np.asarray(picture) for picture in pictures])


def test_the_subjects_are_the_taught_manner_and_the_known_ones_in_turn() -> None:
    subjects = recognition_subjects(CONFIG)
    assert [s.manner for s in subjects] == ["waves"] * 6 + ["dots", "stripes"] * 4
    assert subjects == recognition_subjects(CONFIG)
    assert len({s.caption for s in subjects}) > 8


def test_a_manner_that_was_learnt_is_told_from_one_that_was_not() -> None:
    found = recognise(CONFIG, drawn(taught=False), drawn(taught=True))
    assert (found.taught_before, found.taught_after) == (0.0, 1.0)
    assert found.known_before == found.known_after == 1.0
    assert (found.num_taught, found.num_known) == (6, 8)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"taught": "cats"}, "no manner 'cats'; choose from"),
        ({"taught": "dots"}, "both taught and known"),
        ({"num_taught": 0}, "at least 1"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, object], message: str) -> None:
    values = {"taught": "waves", "known": ("dots",), **changes}
    with pytest.raises(ValueError, match=message):
        RecognitionConfig(**values)
