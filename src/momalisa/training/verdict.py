"""Did it learn anything? A run's figures against step 0, in one word, one sentence and one advice.

A run whose learning rate cannot move a weight looks, by its loss alone, like one whose model has nothing
to learn: the weights tell them apart.
"""

from dataclasses import dataclass
from typing import Literal

from momalisa.training.measures import Interval, StyleScore

NOTHING_MOVED_BELOW = 1e-5
"""Relative change of the weights: below bf16's resolution (4e-3) by far, and a hundredth of what the shortest useful fine-tune shows."""
FORGOTTEN_ABOVE = 0.30
"""Rise of the loss on the base model's own pictures: at a third more they come out visibly broken."""
LOST_ABOVE = 0.10
"""Rise of the validation loss itself."""

Outcome = Literal["learned", "learned_but_forgot", "nothing_moved", "no_improvement", "everything_lost"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a run."""

    outcome: Outcome
    sentence: str
    advice: str


def judge(
    *,
    validation: Interval,
    forgetting: Interval,
    weight_change: float,
    style: StyleScore | None,
    learning_rate: float,
) -> Verdict:
    """From relative changes since step 0: of the validation loss and of the loss on the base model's pictures."""
    change = f"the validation loss changed by {validation.mean:+.1%} [{validation.low:+.1%}, {validation.high:+.1%}]"
    moved = f"the weights by {weight_change:.2g}"
    kept = f"the loss on what the base model knew by {forgetting.mean:+.1%}"
    drawn = (
        f"; its pictures came {style.score:.0%} of the way to the collection's"
        if style is not None and style.score > 0
        else ""
    )
    if weight_change < NOTHING_MOVED_BELOW:
        return Verdict(
            "nothing_moved",
            f"It learnt nothing, because nothing moved: {moved} of their size, {change}.",
            f"A learning rate of {learning_rate:g} is too small for this many steps: try 1e-5 for a full fine-tune, "
            "1e-4 for LoRA, or a hundred times what it was.",
        )
    if validation.low > LOST_ABOVE:
        return Verdict(
            "everything_lost",
            f"It got worse than the model it began with: {change}, {kept}.",
            "Lower optimizer.learning_rate by ten, lengthen the warm-up, and look at the grids for when it broke.",
        )
    if validation.high >= 0:
        return Verdict(
            "no_improvement",
            f"It moved, but did not get better: {change}, {moved} of their size, {kept}{drawn}.",
            "Train longer or raise optimizer.learning_rate by three; if the grids look right already, the model knew "
            "this collection before. An interval around zero also narrows with more validation samples.",
        )
    if forgetting.low > FORGOTTEN_ABOVE:
        return Verdict(
            "learned_but_forgot",
            f"It learnt the collection and lost much of what it knew: {change}, {kept}{drawn}.",
            "Use replay (or more of it), a lower learning rate, fewer steps, or LoRA.",
        )
    return Verdict(
        "learned",
        f"It learnt: {change}, {kept}, {moved} of their size{drawn}.",
        "Look at before_after.png; export/ holds the model.",
    )


def early_warning(
    *, step: int, max_steps: int, validation: Interval, forgetting: Interval, weight_change: float, learning_rate: float
) -> str | None:
    """What a person would want to know before the run is over; None where all is well."""
    if weight_change < NOTHING_MOVED_BELOW * step / max_steps and not validation.excludes_zero:
        return (
            f"warning at step {step}: nothing moves (weights {weight_change:.1g} of their size, learning rate "
            f"{learning_rate:g}): stop, and raise optimizer.learning_rate"
        )
    if validation.low > LOST_ABOVE:
        return (
            f"warning at step {step}: the validation loss is {validation.mean:+.0%} above where it began: stop, and "
            "lower optimizer.learning_rate"
        )
    if forgetting.low > FORGOTTEN_ABOVE:
        return (
            f"warning at step {step}: the model forgets (loss on its own pictures {forgetting.mean:+.0%}): use replay, "
            "or a lower learning rate"
        )
    return None
