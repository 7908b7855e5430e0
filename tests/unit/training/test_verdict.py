import json
import math
from typing import Any

import numpy as np
import pydantic
import pytest
import torch
from torch import nn

from momalisa.training.config import OptimizerConfig
from momalisa.training.estimates import (
    Difference,
    LossEstimate,
    Recognition,
    StyleScore,
    WeightChange,
    paired_difference,
)
from momalisa.training.measures import relative_change
from momalisa.training.verdict import Checkup, Evidence, Verdict, early_warnings, judge


def _difference(relative: float, *, spread: float = 0.002, before: float = 0.2) -> Difference:
    mean = relative * before
    half = spread * before
    return Difference(before=before, after=before + mean, mean=mean, low=mean - half, high=mean + half, num_samples=64)


def _evidence(validation: float, weights: float, **changes: Any) -> Evidence:
    difference = _difference(validation)
    values: dict[str, Any] = {
        "validation_before": LossEstimate(difference.before, 0.18, 0.22, 64),
        "validation_after": LossEstimate(difference.after, 0.18, 0.22, 64),
        "validation": difference,
        "weight_change": WeightChange(weights, {"unet.mid_block": weights}),
        "learning_rate": 1e-5,
        "steps": 5000,
        "forgetting": _difference(0.01),
        "style": StyleScore(0.4, 0.3, 0.5, 2.0, 1.2, 0.1, 32),
    }
    return Evidence(**{**values, **changes})


_NOT_NEARER = StyleScore(0.01, -0.1, 0.1, 2.0, 1.98, 0.1, 32)


@pytest.mark.parametrize(
    ("evidence", "outcome"),
    [
        (_evidence(-0.04, 0.02), "learned"),
        (_evidence(-0.003, 0.02), "learned"),  # too small for the loss alone; the pictures show it
        (_evidence(-0.003, 0.02, style=_NOT_NEARER), "no_improvement"),
        (_evidence(-0.04, 0.02, forgetting=_difference(0.25)), "forgot"),
        (_evidence(-0.04, 0.2, forgetting=_difference(0.8)), "lost"),
        (_evidence(0.001, 2e-4, learning_rate=1e-7), "nothing_moved"),
        (_evidence(-0.0001, 2e-5, learning_rate=1e-8), "nothing_moved"),
        (_evidence(0.0, 0.02, style=None, forgetting=None), "no_improvement"),
        (_evidence(0.05, 0.02), "no_improvement"),
        (_evidence(0.02, 0.1, best_validation_loss=0.19, best_step=500), "overfitted"),
        (_evidence(0.9, 0.5), "diverged"),
        (_evidence(math.nan, 0.5), "diverged"),
        (_evidence(-0.04, math.inf), "diverged"),
    ],
)
def test_the_outcome_follows_from_the_evidence(evidence: Evidence, outcome: str) -> None:
    assert judge(evidence).outcome == outcome


def test_a_low_learning_rate_is_told_apart_from_a_model_that_is_good_enough() -> None:
    too_low = judge(_evidence(0.0, 2e-4, learning_rate=1e-7))
    good_enough = judge(_evidence(0.0, 0.02))
    assert "hardly moved" in too_low.sentence
    assert "from 1e-07 to about 5e-06" in too_low.advice
    assert "weights moved enough" in good_enough.sentence
    assert "learning_rate" not in good_enough.advice


def test_lora_has_a_floor_of_its_own() -> None:
    small = WeightChange(5e-4, {}, is_lora=True)
    assert judge(_evidence(0.0, 0.0, weight_change=small, style=None)).outcome == "no_improvement"
    smaller = WeightChange(5e-5, {}, is_lora=True)
    assert judge(_evidence(0.0, 0.0, weight_change=smaller, style=None)).outcome == "nothing_moved"


def test_a_verdict_is_one_paragraph_with_its_numbers() -> None:
    text = judge(_evidence(-0.04, 0.02)).in_words()
    assert "\n" not in text
    for number in ("0.2000 → 0.1920", "-4.0%", "0.40 (0.30 … 0.50", "5000 steps", "0.02 of their size"):
        assert number in text


def _recognition(taught_after: float, known_after: float = 0.95) -> Recognition:
    return Recognition("concentric_squares", 0.04, taught_after, 0.97, known_after, 24, 60)


@pytest.mark.parametrize(
    ("recognition", "outcome", "words"),
    [
        (_recognition(0.9), "learned", "sees concentric squares in 90% of its pictures of them (before: 4%)"),
        (_recognition(0.3), "no_improvement", "learned too little"),
        (_recognition(0.9, known_after=0.9), "forgot", "the manners that it knew in 90% (before: 97%)"),
    ],
)
def test_the_style_classifier_has_a_say(recognition: Recognition, outcome: str, words: str) -> None:
    verdict = judge(_evidence(-0.1, 0.02, recognition=recognition))
    assert verdict.outcome == outcome
    assert words in verdict.in_words()


def test_a_verdict_survives_json() -> None:
    verdict = judge(_evidence(-0.04, 0.02))
    adapter = pydantic.TypeAdapter(Verdict)
    assert adapter.validate_json(adapter.dump_json(verdict)) == verdict
    assert json.loads(adapter.dump_json(verdict))["evidence"]["validation"]["mean"] == pytest.approx(-0.008)


def _checkup(step: int, validation: float, weights: float, forgetting: float = 0.0) -> Checkup:
    return Checkup(
        step=step,
        validation=_difference(validation),
        weight_change=WeightChange(weights, {}),
        forgetting=_difference(forgetting),
    )


def test_nothing_to_warn_of() -> None:
    assert early_warnings([], OptimizerConfig(), 5000) == []
    assert early_warnings([_checkup(250, -0.01, 5e-3)], OptimizerConfig(), 5000) == []


def test_early_on_weights_need_not_have_moved_far_yet() -> None:
    assert early_warnings([_checkup(250, 0.0, 6e-4)], OptimizerConfig(), 5000) == []
    warning = early_warnings([_checkup(250, 0.0, 5e-5)], OptimizerConfig(learning_rate=1e-7), 5000)
    assert len(warning) == 1
    assert "nothing moves" in warning[0]
    assert "Raise optimizer.learning_rate from 1e-07" in warning[0]


def test_a_warm_up_excuses_weights_that_have_not_moved() -> None:
    checkup = [_checkup(50, 0.0, 2e-5)]
    assert "nothing moves" in early_warnings(checkup, OptimizerConfig(), 1000)[0]
    assert early_warnings(checkup, OptimizerConfig(num_warmup_steps=500), 1000) == []


@pytest.mark.parametrize(
    ("checkup", "words"),
    [
        (_checkup(250, -0.01, 0.1, forgetting=0.4), "much is being lost"),
        (_checkup(250, 0.03, 0.1), "worse than at step 0"),
        (_checkup(250, 0.8, 0.1), "coming apart"),
        (_checkup(250, math.nan, 0.1), "coming apart"),
    ],
)
def test_warnings_name_what_is_wrong(checkup: Checkup, words: str) -> None:
    warnings = early_warnings([checkup], OptimizerConfig(), 5000)
    assert len(warnings) == 1
    assert words in warnings[0]


def test_a_loss_that_rises_twice_is_warned_of() -> None:
    history = [_checkup(250, -0.05, 0.01), _checkup(500, -0.04, 0.02), _checkup(750, -0.03, 0.03)]
    assert "risen twice" in early_warnings(history, OptimizerConfig(), 5000)[0]
    assert early_warnings(history[:2], OptimizerConfig(), 5000) == []


@pytest.mark.parametrize(
    ("learning_rate", "outcome"), [(1e-8, "nothing_moved"), (1e-7, "nothing_moved"), (1e-3, "learned")]
)
def test_a_real_training_is_judged_by_its_learning_rate(learning_rate: float, outcome: str) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(256, 16)
    targets = torch.tanh(inputs @ torch.randn(16, 16) * 0.3)
    model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 16))
    start = {name: value.clone() for name, value in model.named_parameters()}

    def losses() -> list[float]:
        with torch.no_grad():
            return (model(inputs[192:]) - targets[192:]).square().mean(dim=1).tolist()

    before = losses()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate)
    for step in range(300):
        batch = torch.arange(step * 8, step * 8 + 8) % 192
        optimizer.zero_grad()
        (model(inputs[batch]) - targets[batch]).square().mean().backward()
        optimizer.step()
    change = relative_change(start, dict(model.named_parameters()), depth=1)
    validation = paired_difference(before, losses())
    estimate = LossEstimate(float(np.mean(before)), 0, 1, 64)
    evidence = Evidence(
        validation_before=estimate,
        validation_after=estimate,
        validation=validation,
        weight_change=change,
        learning_rate=learning_rate,
        steps=300,
    )
    assert judge(evidence).outcome == outcome
