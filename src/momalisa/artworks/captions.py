"""Captions from a template over the metadata's columns."""

import string
from collections.abc import Mapping, Sequence
from typing import Any

from momalisa.errors import ConfigError

DEFAULT_TEMPLATE = "A MOMA artwork of: {text}"


def template_columns(template: str) -> list[str]:
    """The columns that a template names; `{{` and `}}` are plain braces.

    Raises ConfigError for a template that is malformed or holds more than plain names.
    """
    try:
        fields = [(name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(template)]
    except ValueError as e:
        raise ConfigError(f"caption template {template!r} is malformed ({e}): write columns as {{title}}") from e
    names = [name for name, _, _ in fields if name is not None]
    for name, spec, conversion in fields:
        if name is not None and (not name.isidentifier() or spec or conversion):
            raise ConfigError(f"caption template {template!r}: {{{name}}} is not a plain column name such as {{title}}")
    return names


def check_template(template: str, columns: Sequence[str]) -> None:
    """Raises ConfigError for a column that the metadata does not have, naming those it has."""
    missing = [name for name in template_columns(template) if name not in columns]
    if missing:
        raise ConfigError(
            f"caption template {template!r} names {', '.join(missing)}, but the metadata has the columns "
            f"{', '.join(sorted(columns))}: give --caption-template"
        )


def caption(template: str, row: Mapping[str, Any]) -> str | None:
    """The caption of a row, its white space tidied; None where a column that it needs is empty."""
    values = {name: row.get(name) for name in template_columns(template)}
    if any(value is None or not str(value).strip() for value in values.values()):
        return None
    return " ".join(template.format_map(values).split())
