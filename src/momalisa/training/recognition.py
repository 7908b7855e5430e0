"""Does the style classifier see in the drawn pictures what their captions ask for?"""

from typing import Any

import numpy as np

from momalisa.artworks.procedural import Subject, choose
from momalisa.styles.classifier import load_classifier
from momalisa.training.config import RecognitionConfig
from momalisa.training.estimates import Recognition

_UNSEEN_SEED = 1 << 43
"""Collections of drawings are made from far smaller seeds."""


def recognition_subjects(config: RecognitionConfig) -> list[Subject]:
    """What to draw: the taught manner's captions, then the known ones' in turn; always the same."""
    manners = [config.taught] * config.num_taught
    manners += [config.known[i % len(config.known)] for i in range(config.num_known)] if config.known else []
    return [choose(_UNSEEN_SEED + i, manners=(manner,)) for i, manner in enumerate(manners)]


def recognise(config: RecognitionConfig, before: Any, after: Any) -> Recognition:
    """Shares of recognised pictures (N, H, W, 3) uint8, drawn for `recognition_subjects` before and after a run."""
    manners = [subject.manner for subject in recognition_subjects(config)]
    classifier = load_classifier()
    seen_before, seen_after = (
        np.array([seen == m for seen, m in zip(classifier.classify(p).manner_names, manners, strict=True)])
        for p in (before, after)
    )
    taught = slice(0, config.num_taught)
    known = slice(config.num_taught, None)
    return Recognition(
        taught=config.taught,
        taught_before=float(seen_before[taught].mean()),
        taught_after=float(seen_after[taught].mean()),
        known_before=_share(seen_before[known]),
        known_after=_share(seen_after[known]),
        num_taught=config.num_taught,
        num_known=len(manners) - config.num_taught,
    )


def _share(seen: Any) -> float:
    return float(seen.mean()) if len(seen) else 0.0
