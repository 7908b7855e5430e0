"""Recipes: functions that return a complete, typed training config.

`recipe("sd14_full")` by name, for the command line; `momalisa.config.override` for experiments.
"""

import difflib
from collections.abc import Callable

from momalisa.errors import ConfigError
from momalisa.recipes.sd import sd14_full, sd14_lora, sd15_full
from momalisa.recipes.tiny import demo, tiny
from momalisa.training.config import TrainConfig

RECIPES: dict[str, Callable[[], TrainConfig]] = {
    "demo": demo,
    "sd14_full": sd14_full,
    "sd14_lora": sd14_lora,
    "sd15_full": sd15_full,
    "tiny": tiny,
}


def recipe(name: str) -> TrainConfig:
    """The config of a recipe; raises ConfigError naming the recipes there are."""
    if name not in RECIPES:
        near = difflib.get_close_matches(name, RECIPES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(RECIPES)}"
        raise ConfigError(f"no recipe {name!r}; {hint}")
    return RECIPES[name]()
