"""What the base model measured and drew, before the first step: what a run is judged against.

Kept in the run's folder, so that a resumed run, or one on other machines, compares with the same.
"""

import io
import json
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from momalisa.artworks.dataset import StoredDataset
from momalisa.storage import Store
from momalisa.training.config import TrainConfig
from momalisa.training.estimates import Difference, paired_difference
from momalisa.training.evaluation import Evaluator, Measurement
from momalisa.training.learner import Learner
from momalisa.training.validation_data import validation_pictures
from momalisa.training.world import World

_KEY = "base/measured.json"
_PICTURES_KEY = "base/pictures.npz"
_TO_RECOGNISE = "recognition"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Step 0. Pictures are uint8 (N, H, W, 3)."""

    measured: Measurement
    by_prompt: dict[str, list[Any]]
    style_captions: tuple[str, ...]
    style_real: Any
    """Held-out pictures of the collection."""
    style_drawn: Any
    """What the base model draws for their captions."""
    to_recognise: Any | None = None
    """What it draws for the style classifier; None where that is not asked."""

    def forgetting_since(self, measured: Measurement, config: TrainConfig) -> Difference | None:
        """How the loss on the base model's own pictures changed; None where it was random and knew nothing."""
        if config.model.random_init:
            return None
        return paired_difference(self.measured.forgetting, measured.forgetting)


def establish(evaluator: Evaluator, learner: Learner, dataset: StoredDataset, world: World, output: Store) -> Baseline:
    """Measures and draws with the base model, or reads what an earlier attempt found. Collective.

    Must be called before the learner's plain copy holds trained weights.
    """
    settings = learner.config.validation
    captions, real = validation_pictures(dataset, learner.config.data, settings.num_style_images)
    if world.broadcast(output.exists(_KEY) if world.is_main else None):
        return _read(output, captions, real)
    measured = evaluator.measure(learner.evaluated())
    by_prompt = evaluator.draw_validation_prompts()
    drawn = evaluator.draw_in_style(captions)
    baseline = Baseline(measured, by_prompt, tuple(captions), real, drawn, evaluator.draw_to_recognise())
    if world.is_main:
        _write(output, baseline)
    world.barrier()
    return baseline


def _write(output: Store, baseline: Baseline) -> None:
    arrays = {f"prompt/{i}": np.stack(pictures) for i, pictures in enumerate(baseline.by_prompt.values())}
    if baseline.to_recognise is not None:
        arrays[_TO_RECOGNISE] = baseline.to_recognise
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, style=baseline.style_drawn, **arrays)
    output.write_bytes(_PICTURES_KEY, buffer.getvalue())
    # Last, so that its presence vouches for the pictures.
    content = {**asdict(baseline.measured), "prompts": list(baseline.by_prompt)}
    output.write_bytes(_KEY, json.dumps(content).encode())


def _read(output: Store, captions: list[str], real: Any) -> Baseline:
    content = json.loads(output.read_bytes(_KEY))
    with np.load(io.BytesIO(output.read_bytes(_PICTURES_KEY)), allow_pickle=False) as arrays:
        by_prompt = {prompt: list(arrays[f"prompt/{i}"]) for i, prompt in enumerate(content["prompts"])}
        drawn = arrays["style"]
        to_recognise = arrays.get(_TO_RECOGNISE)
    measured = Measurement(tuple(content["validation"]), tuple(content["forgetting"]))
    return Baseline(measured, by_prompt, tuple(captions), real, drawn, to_recognise)
