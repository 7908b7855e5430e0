"""Which models may be served."""

from dataclasses import replace
from typing import Any

import pytest

from momalisa.release.gate import CheckName, Figures, checks, refused
from momalisa.training.estimates import Difference, Recognition
from momalisa.training.summary import RunSummary
from momalisa.training.verdict import judge
from tests.unit.training.test_summary import make_summary

SMOOTH = Figures(evenness=0.9, ghost_share=0.02, jump=1.8, mean_distance=0.4, sharpness=12.0)
DIGEST = "d1"
KEPT = Difference(0.1, 0.101, 0.001, -0.001, 0.003, 8)
SEEN = Recognition("squares", 0.0, 0.9, 0.95, 0.94, 40, 40)


def summary(**evidence: Any) -> RunSummary:
    made = make_summary()
    assert made.verdict is not None
    judged = judge(replace(made.verdict.evidence, **{"forgetting": KEPT, **evidence}))
    return make_summary(verdict=judged, export_digest=DIGEST)


def stopped() -> RunSummary:
    return make_summary(ended="stopped", verdict=None)


def failing(found: RunSummary, walk: Figures | None = SMOOTH, problems: tuple[str, ...] = ()) -> set[str]:
    return {check.name for check in refused(checks(found, DIGEST, problems, walk, SMOOTH), [])}


def test_a_good_model_passes_every_check() -> None:
    found = checks(summary(recognition=SEEN), DIGEST, [], SMOOTH, SMOOTH)
    assert [check.name for check in found] == list(CheckName)
    assert all(check.has_passed for check in found)


@pytest.mark.parametrize(
    ("found", "names"),
    [
        (summary(validation=Difference(0.2, 0.2, 0.0, -0.01, 0.01, 8)), {"loss", "learning"}),
        (summary(forgetting=Difference(0.1, 0.13, 0.03, 0.02, 0.04, 8)), {"forgetting"}),
        (summary(forgetting=None), {"forgetting"}),
        (summary(recognition=replace(SEEN, known_after=0.5)), {"forgetting"}),
        (summary(recognition=replace(SEEN, taught_after=0.1)), {"learning"}),
        (stopped(), {"export", "ended", "loss", "forgetting", "learning"}),
        (summary().model_copy(update={"export_digest": None}), {"export"}),
        (summary().model_copy(update={"export_digest": "d2"}), {"export"}),
    ],
)
def test_what_a_run_measured_stands_in_the_way(found: RunSummary, names: set[str]) -> None:
    assert failing(found) == names


@pytest.mark.parametrize(
    "walk",
    [
        None,
        replace(SMOOTH, evenness=0.8),
        replace(SMOOTH, ghost_share=0.2),
        replace(SMOOTH, jump=3.0),
        replace(SMOOTH, mean_distance=0.1),
        replace(SMOOTH, sharpness=3.0),
        Figures(evenness=1.0, ghost_share=0.0, jump=1.0, mean_distance=0.0, sharpness=12.0),  # one picture, again
    ],
)
def test_a_walk_that_is_less_smooth_than_what_serves_does(walk: Figures | None) -> None:
    assert failing(summary(), walk) == {"smoothness"}


def test_figures_that_may_be_of_another_model_do() -> None:
    found = checks(summary(), DIGEST, [], SMOOTH, SMOOTH, ["ours.json does not say"])
    assert [check.name for check in refused(found, [])] == ["smoothness"]
    assert found[-1].words.startswith("ours.json does not say; evenness 0.90")


def test_a_little_less_is_chance() -> None:
    assert not failing(summary(), Figures(evenness=0.87, ghost_share=0.05, jump=2.4, mean_distance=0.2, sharpness=6.0))


def test_changed_files_do() -> None:
    assert failing(summary(), problems=("unet/x has another content",)) == {"manifest"}


def test_somebody_may_answer_for_a_check() -> None:
    found = checks(summary(forgetting=None), DIGEST, [], None, None)
    assert not refused(found, [CheckName.FORGETTING, CheckName.SMOOTHNESS])
    assert [check.name for check in refused(found, [CheckName.FORGETTING])] == ["smoothness"]


def test_who_answers_for_a_run_that_was_stopped_answers_for_all_that_it_did_not_measure() -> None:
    found = checks(stopped(), DIGEST, [], SMOOTH, SMOOTH)
    assert [check.name for check in refused(found, [CheckName.ENDED])] == ["export", "loss", "forgetting", "learning"]
    assert "not measured" in found[3].words


def test_figures_of_a_report() -> None:
    report = {"evenness": 0.9, "ghost_share": 0.1, "mean_distance": 0.2, "max_distance": 0.5, "sharpness": 9}
    assert Figures.of(report) == Figures(evenness=0.9, ghost_share=0.1, jump=2.5, mean_distance=0.2, sharpness=9.0)
    assert Figures.of({**report, "mean_distance": 0.0}).jump == 1.0
