"""The value change of a promotion: a file for `helm upgrade -f`, with the list of models as it is to be. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from momalisa.errors import ConfigError

Model = Mapping[str, Any]


def models_in(values: Sequence[Mapping[str, Any]]) -> list[Model] | None:
    """The `models` of the last of these values that says anything of them; None where none does."""
    for each in reversed(values):
        if "models" in each:
            models = each["models"]
            if not isinstance(models, list) or not all(isinstance(one, Mapping) and "id" in one for one in models):
                raise ConfigError("`models` in these values is no list of models, each with an id: correct it first")
            return models
    return None


def replaced(models: Sequence[Model], model_id: str) -> Model | None:
    """What a model of this id is to be as good as: that of its id, whose place it takes, else the first one."""
    return next((one for one in models if one["id"] == model_id), models[0] if models else None)


def with_model(models: Sequence[Model], model: Model, *, as_default: bool) -> list[Model]:
    """The list with a model in the place of that of its id, which keeps what else it has; else as the last one.

    as_default: as the first one, which the page begins with.
    """
    known = next((one for one in models if one["id"] == model["id"]), None)
    # A revision is one of a hub's, and says nothing of a copy in a bucket.
    kept = {key: value for key, value in (known or {}).items() if key != "revision"}
    changed = {**kept, **model}
    if as_default:
        return [changed, *(one for one in models if one["id"] != model["id"])]
    if known is None:
        return [*models, changed]
    return [changed if one["id"] == model["id"] else one for one in models]


def as_file(models: Sequence[Model], *comments: str) -> str:
    """YAML for `helm upgrade -f`, after the other values: helm takes a list as a whole."""
    head = "".join(f"# {' '.join(comment.split())}\n" for comment in comments)
    return head + yaml.safe_dump(
        {"models": [dict(one) for one in models]}, sort_keys=False, allow_unicode=True, width=110
    )


def parsed_values(text: str, name: str) -> dict[str, Any]:
    """Raises ConfigError for what is no mapping in YAML."""
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise ConfigError(f"{name} is no YAML: {e}") from e
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(f"{name} holds no values: give a mapping, such as a values.yaml")
    return values
