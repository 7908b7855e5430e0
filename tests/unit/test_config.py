import pytest

from momalisa.config import differing_keys, from_dict, override, to_dict
from momalisa.errors import ConfigError
from momalisa.recipes import RECIPES, recipe
from momalisa.training.config import LoraConfig, TrainConfig


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_survives_json(name: str) -> None:
    config = recipe(name)
    assert from_dict(TrainConfig, to_dict(config)) == config
    assert config.recipe == name


def test_override_sets_values_of_their_types() -> None:
    config = override(
        recipe("demo"), ["optimizer.learning_rate=1e-9", "ema_decay=0.9", 'validation.prompts=["a", "b"]', "seed=3"]
    )
    assert config.optimizer.learning_rate == 1e-9
    assert config.ema_decay == 0.9
    assert config.validation.prompts == ("a", "b")
    assert config.seed == 3


def test_override_opens_a_section_that_was_none() -> None:
    assert override(recipe("demo"), ["model.lora.rank=4"]).model.lora == LoraConfig(rank=4)


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("optimizer.learning_rat=1", "did you mean optimizer.learning_rate"),
        ("optimiser.learning_rate=1", "did you mean optimizer"),
        ("model.lora.rnk=1", "did you mean model.lora.rank"),
        ("seed", "not of the form"),
        ("seed.deeper=1", "seed is a value, not a section"),
        ("engine.zero_stage=5", "engine.zero_stage"),
        ("data.resolution=100", "multiple of 8"),
        ("max_steps=many", "max_steps"),
        ("micro_batch_size=7", "try global_batch_size="),
        ("optimizer.eight_bit=true", "zero_stage 0"),
        ("engine.channels_last=true", "zero_stage 0"),
    ],
)
def test_a_wrong_override_names_the_fix(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        override(recipe("demo"), [assignment])


def test_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean demo"):
        recipe("dem")


def test_accumulation_is_what_is_left() -> None:
    config = override(recipe("sd14_full"), ["resources.min_workers=null"])
    assert config.accumulation_steps(4) == 3
    assert config.accumulation_steps(2) == 6
    with pytest.raises(ValueError, match="5 workers"):
        config.accumulation_steps(5)


def test_every_number_of_workers_of_an_elastic_run_must_share_the_batch() -> None:
    with pytest.raises(ConfigError, match="5 workers"):
        override(recipe("sd14_full"), ["resources.num_workers=6"])


def test_differing_keys_are_dotted() -> None:
    old, new = to_dict(recipe("demo")), to_dict(override(recipe("demo"), ["seed=9", "data.crop=random"]))
    assert differing_keys(old, new) == {"seed": (0, 9), "data.crop": ("center", "random")}
