"""The learning rate as a function of the step: nothing to save, nothing to restore."""

import math

from momalisa.training.config import OptimizerConfig


def learning_rate_at(config: OptimizerConfig, step: int, max_steps: int) -> float:
    """The rate of optimizer step `step`, counted from 1, of `max_steps`.

    Rises linearly over the warm-up, then stays, or falls by a half cosine or linearly to
    `min_lr_ratio` of the peak at the last step.
    """
    if step <= config.num_warmup_steps:
        return config.learning_rate * step / config.num_warmup_steps
    if config.schedule == "constant":
        return config.learning_rate
    done = min(1.0, (step - config.num_warmup_steps) / max(1, max_steps - config.num_warmup_steps))
    fall = 1 - done if config.schedule == "linear" else (1 + math.cos(math.pi * done)) / 2
    return config.learning_rate * (config.min_lr_ratio + (1 - config.min_lr_ratio) * fall)
