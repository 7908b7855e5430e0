"""Did it learn anything? A run judged against step 0, in words that name what to change.

Two failures look alike on a loss curve: weights that hardly moved, and a model with nothing left to
learn. The relative change of the weights tells them apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from momalisa.training.config import OptimizerConfig
from momalisa.training.estimates import Difference, LossEstimate, Recognition, StyleScore, WeightChange
from momalisa.training.schedule import learning_rate_at

Outcome = Literal["learned", "forgot", "nothing_moved", "no_improvement", "overfitted", "lost", "diverged"]

NOTHING_MOVED = 1e-3
"""Relative weight change below which a full fine-tune can hardly show. AdamW moves a weight by about the
learning rate a step, at random rather than straight ahead, so by lr × √steps; the weights of Stable
Diffusion are around 0.03. So 5,000 steps at 1e-7 give 2e-4, at 1e-8 2e-5, at the usual 1e-5 2e-2."""
NOTHING_MOVED_LORA = 1e-4
"""For LoRA: an update of low rank acts on few directions, with a smaller norm for the same effect."""
WANTED_MOVE = 1e-2
"""What a learning rate is advised for: about what published fine-tunes end at."""
NOTICEABLE = 0.005
"""Share of the loss below which a change is not worth a run. A paired interval is tight enough to find
far smaller changes significant, and a picture does not show them."""
FORGOT = 0.15
"""Share by which the loss on what the base model knew may rise before it counts as forgetting: fine-tunes
whose other pictures still look right stay below it."""
LOST = 0.5
"""Share from which the base model's own pictures have become foreign to the model."""
DIVERGED = 0.5
"""Share by which the validation loss rises only when training has come apart."""
RECOGNISED = 0.5
"""Share of its pictures in which the style classifier must see a manner that counts as learned."""
UNRECOGNISED = 0.05
"""What the share of the known manners may fall by."""
_RAISE_AT_MOST, _LOWER_AT_MOST = 100.0, 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """What a run is judged by; every measurement is against step 0."""

    validation_before: LossEstimate
    validation_after: LossEstimate
    validation: Difference
    weight_change: WeightChange
    learning_rate: float
    steps: int
    forgetting: Difference | None = None
    """The loss on pictures that the base model drew for prompts outside the collection."""
    style: StyleScore | None = None
    recognition: Recognition | None = None
    best_validation_loss: float | None = None
    best_step: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What became of a run, and the evidence."""

    outcome: Outcome
    sentence: str
    advice: str
    """What to change; empty where nothing needs to be."""
    evidence: Evidence

    def in_words(self) -> str:
        """One paragraph for a terminal: the sentence, the numbers, the advice."""
        return " ".join(part for part in (self.sentence, _numbers(self.evidence), self.advice) if part)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkup:
    """What one validation in the middle of a run found, against step 0."""

    step: int
    validation: Difference
    weight_change: WeightChange
    forgetting: Difference | None = None


def judge(evidence: Evidence) -> Verdict:
    """The verdict. The worst that is the case names the outcome."""
    for rule in (_diverged, _lost, _nothing_moved, _learned, _overfitted):
        found = rule(evidence)
        if found is not None:
            return found
    return _no_improvement(evidence)


def early_warnings(history: Sequence[Checkup], optimizer: OptimizerConfig, max_steps: int) -> list[str]:
    """What is wrong after the latest of a run's validations, each in a sentence; empty where nothing is."""
    if not history:
        return []
    latest, warnings = history[-1], []
    change, floor = latest.weight_change.overall, moved_floor(latest.weight_change)
    expected = change * _growth_until_the_end(optimizer, latest.step, max_steps)
    if expected < floor and not _is_noticeable(latest.validation):
        warnings.append(
            f"nothing moves: after {latest.step} steps the weights changed by {change:.1e} of their size, and by the "
            f"end it will be about {expected:.1e}. {_advise_higher(optimizer.learning_rate, expected)}"
        )
    if latest.forgetting is not None and latest.forgetting.relative_low > FORGOT:
        warnings.append(
            f"much is being lost: the loss on what the base model knew rose by {latest.forgetting.in_percent()}. "
            f"{_advise_lower(optimizer.learning_rate)}"
        )
    if not math.isfinite(latest.validation.after) or latest.validation.relative > DIVERGED:
        warnings.append(f"training is coming apart: {_loss_change(latest.validation)}. {_stop_and_lower(optimizer)}")
    elif latest.validation.low > 0 and latest.validation.relative > NOTICEABLE:
        warnings.append(f"the validation loss is worse than at step 0: {_loss_change(latest.validation)}")
    if len(history) >= 3 and history[-3].validation.after < history[-2].validation.after < latest.validation.after:
        warnings.append(
            f"the validation loss has risen twice in a row, from {history[-3].validation.after:.4f} to "
            f"{latest.validation.after:.4f}: the best step may be behind; validation.patience would stop here"
        )
    return warnings


def moved_floor(change: WeightChange) -> float:
    """Below this, weights count as not having moved."""
    return NOTHING_MOVED_LORA if change.is_lora else NOTHING_MOVED


def _diverged(evidence: Evidence) -> Verdict | None:
    rise = evidence.validation.relative
    if math.isfinite(rise) and math.isfinite(evidence.weight_change.overall) and rise <= DIVERGED:
        return None
    return Verdict(
        outcome="diverged",
        sentence="Training came apart: the validation loss is far above where it began.",
        advice=_advise_lower(evidence.learning_rate) + " A warm-up (optimizer.num_warmup_steps) helps too.",
        evidence=evidence,
    )


def _lost(evidence: Evidence) -> Verdict | None:
    forgetting = evidence.forgetting
    if forgetting is None or forgetting.relative <= LOST or forgetting.contains_zero:
        return None
    return Verdict(
        outcome="lost",
        sentence="The model lost most of what it knew before: pictures of its own have become foreign to it.",
        advice=_advise_lower(evidence.learning_rate) + " Use replay, with a higher replay.ratio, and fewer steps.",
        evidence=evidence,
    )


def _nothing_moved(evidence: Evidence) -> Verdict | None:
    change = evidence.weight_change.overall
    if change >= moved_floor(evidence.weight_change) or _is_noticeable(evidence.validation):
        return None
    return Verdict(
        outcome="nothing_moved",
        sentence=(
            f"It could not learn, because the weights hardly moved: {change:.1e} of their size in "
            f"{evidence.steps} steps at a learning rate of {evidence.learning_rate:.0e}. "
            "This says nothing about whether the model is good enough already."
        ),
        advice=_advise_higher(evidence.learning_rate, change),
        evidence=evidence,
    )


def _learned(evidence: Evidence) -> Verdict | None:
    style = evidence.style
    nearer = style is not None and style.low is not None and style.low > 0
    better_loss = evidence.validation.high < 0 and (_is_noticeable(evidence.validation) or nearer)
    recognition = evidence.recognition
    if not better_loss or (recognition is not None and recognition.taught_after < RECOGNISED):
        return None
    if _forgot(evidence):
        return Verdict(
            outcome="forgot",
            sentence="It learned the collection, and forgot much of what it knew before.",
            advice="Raise replay.ratio (or set replay), lower optimizer.learning_rate, or take an earlier checkpoint.",
            evidence=evidence,
        )
    also = " and its pictures look more like it" if nearer else ""
    sentence = f"It learned: it predicts the collection's held-out pictures better than before{also}."
    if recognition is not None:
        sentence += f" The style classifier sees {_spoken(recognition.taught)} where they are asked for."
    return Verdict(outcome="learned", sentence=sentence, advice="", evidence=evidence)


def _forgot(evidence: Evidence) -> bool:
    by_loss = evidence.forgetting
    if by_loss is not None and by_loss.relative > FORGOT and by_loss.low > 0:
        return True
    return evidence.recognition is not None and evidence.recognition.known_loss > UNRECOGNISED


def _overfitted(evidence: Evidence) -> Verdict | None:
    best, start = evidence.best_validation_loss, evidence.validation.before
    if best is None or best > start * (1 - NOTICEABLE) or evidence.validation.after < best * (1 + NOTICEABLE):
        return None
    return Verdict(
        outcome="overfitted",
        sentence=(
            f"It learned and then overfitted: the validation loss was best at step {evidence.best_step} "
            f"({best:.4f}) and has risen since."
        ),
        advice=f"Take the checkpoint of step {evidence.best_step}, set validation.patience, or use more pictures.",
        evidence=evidence,
    )


def _no_improvement(evidence: Evidence) -> Verdict:
    worse = evidence.validation.low > 0 and evidence.validation.relative > NOTICEABLE
    if worse:
        sentence = "It did not learn: the weights moved, and the validation loss is worse than before."
        advice = _advise_lower(evidence.learning_rate) + " Check that the captions describe the pictures."
    elif _is_noticeable(evidence.validation) and evidence.recognition is not None:
        sentence = (
            "It learned too little: it predicts held-out pictures better, but the style classifier seldom sees "
            f"{_spoken(evidence.recognition.taught)} where they are asked for."
        )
        advice = "Train for longer, or raise optimizer.learning_rate."
    else:
        sentence = "It did not learn anything measurable, though the weights moved enough to."
        advice = (
            "Train for longer, check that the captions describe the pictures, and that this collection is "
            "something which the base model does not draw already."
        )
    return Verdict(outcome="no_improvement", sentence=sentence, advice=advice, evidence=evidence)


def _is_noticeable(change: Difference) -> bool:
    return change.high < 0 and -change.relative >= NOTICEABLE


def _growth_until_the_end(optimizer: OptimizerConfig, step: int, max_steps: int) -> float:
    """How much further weights get by the end: a random walk's spread goes by the root of the summed lr²."""
    squares = [learning_rate_at(optimizer, s, max_steps) ** 2 for s in range(1, max_steps + 1)]
    done = sum(squares[:step])
    return math.sqrt(sum(squares) / done) if done else math.inf


def _advise_higher(learning_rate: float, change: float) -> str:
    factor = min(_RAISE_AT_MOST, max(3.0, WANTED_MOVE / change if change > 0 else math.inf))
    return f"Raise optimizer.learning_rate from {learning_rate:.0e} to about {learning_rate * factor:.0e}."


def _advise_lower(learning_rate: float) -> str:
    return f"Lower optimizer.learning_rate from {learning_rate:.0e} to about {learning_rate / _LOWER_AT_MOST:.0e}."


def _stop_and_lower(optimizer: OptimizerConfig) -> str:
    return "Stop this run. " + _advise_lower(optimizer.learning_rate)


def _loss_change(change: Difference) -> str:
    return f"{change.before:.4f} → {change.after:.4f}, {change.in_percent()}"


def _numbers(evidence: Evidence) -> str:
    parts = [f"Validation loss {_loss_change(evidence.validation)}"]
    if evidence.style is not None:
        parts.append(_style_in_words(evidence.style))
    if evidence.recognition is not None:
        parts.append(_recognition_in_words(evidence.recognition))
    if evidence.forgetting is not None:
        parts.append(f"loss on what it knew before {evidence.forgetting.in_percent()}")
    parts.append(f"weights changed by {evidence.weight_change.overall:.2g} of their size")
    return "; ".join(parts) + f"; {evidence.steps} steps."


def _style_in_words(style: StyleScore) -> str:
    if style.floor is None:
        return f"style score: none, for {style.num_images} pictures are too few"
    if style.score is None or style.low is None or style.high is None:
        return "style score: none, for the base model already draws like the collection"
    return f"style score {style.score:.2f} ({style.low:.2f} … {style.high:.2f}; 0 as before, 1 like the collection)"


def _recognition_in_words(recognition: Recognition) -> str:
    return (
        f"the style classifier sees {_spoken(recognition.taught)} in {recognition.taught_after:.0%} of its pictures of "
        f"them (before: {recognition.taught_before:.0%}), the manners that it knew in {recognition.known_after:.0%} "
        f"(before: {recognition.known_before:.0%})"
    )


def _spoken(manner: str) -> str:
    return manner.replace("_", " ")
