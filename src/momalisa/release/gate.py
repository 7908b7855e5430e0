"""Whether a training run's model may be served: pure, on what the run measured of it and what a test walk shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from momalisa.training.summary import RunSummary
from momalisa.training.verdict import FORGOT, RECOGNISED, UNRECOGNISED, Evidence

LESS_EVEN = 0.05
"""By so much a walk may be less even than the serving model's: some of that is chance."""
MORE_GHOSTS = 0.05
LARGER_JUMP = 1.5
"""Times the serving model's largest step, each against its own mean."""
LEAST_OF_SERVING = 1 / 3
"""Of the serving model's mean step, and of its sharpness: what draws one picture whatever is asked, or a blur, is as
even as can be."""


@dataclass(frozen=True, slots=True)
class Figures:
    """How smooth a walk is, of its report."""

    evenness: float
    ghost_share: float
    jump: float
    """The largest step against the mean."""
    mean_distance: float
    sharpness: float

    @classmethod
    def of(cls, report: Mapping[str, Any]) -> "Figures":
        """Of a report as `momalisa walk --report FILE.json` writes it. Raises KeyError for another file."""
        mean = float(report["mean_distance"])
        jump = float(report["max_distance"]) / mean if mean > 0 else 1.0
        return cls(
            evenness=float(report["evenness"]),
            ghost_share=float(report["ghost_share"]),
            jump=jump,
            mean_distance=mean,
            sharpness=float(report["sharpness"]),
        )


class CheckName(StrEnum):
    """For `--accept`, and in the record."""

    MANIFEST = "manifest"
    EXPORT = "export"
    ENDED = "ended"
    LOSS = "loss"
    FORGETTING = "forgetting"
    LEARNING = "learning"
    SMOOTHNESS = "smoothness"


@dataclass(frozen=True, slots=True)
class Check:
    """What one question found."""

    name: CheckName
    has_passed: bool
    words: str


def checks(
    summary: RunSummary,
    digest: str,
    manifest_problems: Sequence[str],
    walk: Figures | None,
    serving: Figures | None,
    walk_problems: Sequence[str] = (),
) -> list[Check]:
    """All of them, in an order for reading: what was not measured has not passed.

    digest: of the export that is there. No figures of a walk: none was made. walk_problems: why they may be of others.
    """
    found = [_of_manifest(manifest_problems), _of_export(summary, digest), _of_end(summary)]
    if summary.verdict is None:
        unmeasured = (CheckName.LOSS, CheckName.FORGETTING, CheckName.LEARNING)
        found += [Check(name, False, "not measured: the run did not come to its end") for name in unmeasured]
    else:
        evidence = summary.verdict.evidence
        found += [_of_loss(evidence), _of_forgetting(evidence), _of_learning(summary)]
    return [*found, _of_smoothness(walk, serving, walk_problems)]


def refused(found: Sequence[Check], accepted: Sequence[CheckName]) -> list[Check]:
    """Those that stand in the way, but for what somebody answers for."""
    return [check for check in found if not check.has_passed and check.name not in accepted]


def _of_manifest(problems: Sequence[str]) -> Check:
    if problems:
        return Check(CheckName.MANIFEST, False, "; ".join(problems))
    return Check(CheckName.MANIFEST, True, "every file is as the run wrote it")


def _of_export(summary: RunSummary, digest: str) -> Check:
    """Another export's figures say nothing of this one."""
    judged = summary.export_digest
    if judged is None:
        return Check(
            CheckName.EXPORT, False, "the run noted no export that it judged: it was stopped, or of an older momalisa"
        )
    if judged != digest:
        return Check(CheckName.EXPORT, False, f"{digest[:12]} is there, and the run judged {judged[:12]}")
    return Check(CheckName.EXPORT, True, f"{digest[:12]} is what the run judged")


def _of_end(summary: RunSummary) -> Check:
    if summary.verdict is None:
        return Check(CheckName.ENDED, False, "the run was stopped, and judged nothing: resume it to its end")
    return Check(CheckName.ENDED, True, f"{summary.step} of {summary.max_steps} steps, {summary.ended}")


def _of_loss(evidence: Evidence) -> Check:
    change = evidence.validation
    return Check(
        CheckName.LOSS,
        change.high < 0,
        f"validation loss {change.before:.4f} → {change.after:.4f}, {change.in_percent()}",
    )


def _of_forgetting(evidence: Evidence) -> Check:
    change, recognition = evidence.forgetting, evidence.recognition
    if change is None and recognition is None:
        return Check(
            CheckName.FORGETTING,
            False,
            "it was not measured: train with validation.forgetting_prompts, or answer for it",
        )
    parts, has_passed = [], True
    if change is not None:
        has_passed = not (change.relative > FORGOT and change.low > 0)
        parts.append(f"loss on what it knew before {change.in_percent()}, at most {FORGOT:+.0%}")
    if recognition is not None:
        has_passed = has_passed and recognition.known_loss <= UNRECOGNISED
        parts.append(f"known manners seen in {recognition.known_before:.0%} → {recognition.known_after:.0%}")
    return Check(CheckName.FORGETTING, has_passed, "; ".join(parts))


def _of_learning(summary: RunSummary) -> Check:
    assert summary.verdict is not None
    evidence, parts = summary.verdict.evidence, [f"verdict: {summary.verdict.outcome}"]
    # One that forgot has learnt too: that is the other check's to say.
    has_passed = summary.verdict.outcome in ("learned", "forgot")
    if evidence.recognition is not None:
        seen = evidence.recognition.taught_after
        has_passed = has_passed and seen >= RECOGNISED
        parts.append(f"its manner is seen in {seen:.0%}, at least {RECOGNISED:.0%}")
    if evidence.style is not None and evidence.style.score is not None:
        parts.append(f"style score {evidence.style.score:.2f}")
    return Check(CheckName.LEARNING, has_passed, "; ".join(parts))


def _of_smoothness(walk: Figures | None, serving: Figures | None, problems: Sequence[str]) -> Check:
    if walk is None or serving is None:
        return Check(CheckName.SMOOTHNESS, False, "no test walk was made, or none by the model that serves")
    least = serving.evenness - LESS_EVEN
    most_ghosts = serving.ghost_share + MORE_GHOSTS
    most_jump = LARGER_JUMP * serving.jump
    least_distance, least_sharpness = (LEAST_OF_SERVING * each for each in (serving.mean_distance, serving.sharpness))
    words = (
        f"evenness {walk.evenness:.2f} (at least {least:.2f}), double exposures {walk.ghost_share:.0%} "
        f"(at most {most_ghosts:.0%}), largest step {walk.jump:.1f} times the mean (at most {most_jump:.1f}), "
        f"mean step {walk.mean_distance:.3g} (at least {least_distance:.3g}), sharpness {walk.sharpness:.3g} "
        f"(at least {least_sharpness:.3g})"
    )
    is_smooth = walk.evenness >= least and walk.ghost_share <= most_ghosts and walk.jump <= most_jump
    is_a_walk = walk.mean_distance >= least_distance and walk.sharpness >= least_sharpness
    return Check(CheckName.SMOOTHNESS, is_smooth and is_a_walk and not problems, "; ".join([*problems, words]))
