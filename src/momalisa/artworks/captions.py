"""Captions from a template over the metadata's columns."""

import functools
import re
import string
from collections.abc import Mapping, Sequence
from typing import Any

from momalisa.errors import ConfigError

DEFAULT_TEMPLATE = "A MOMA artwork of: {text}"

_COLUMN = re.compile(r"[^\W\d][\w -]*")
"""What may stand in braces: a column's name, and no attributes, indices, conversions or formats."""


@functools.lru_cache(maxsize=16)
def template_columns(template: str) -> tuple[str, ...]:
    """The columns that a template names, each once; `{{` and `}}` are plain braces.

    Raises ConfigError for a template that is malformed or holds more than plain names.
    """
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as e:
        raise ConfigError(f"caption template {template!r} is malformed ({e}): write columns as {{title}}") from e
    for _, name, spec, conversion in fields:
        if not _COLUMN.fullmatch(name or "") or spec or conversion:
            raise ConfigError(f"caption template {template!r}: {{{name}}} is not a plain column name such as {{title}}")
    return tuple(dict.fromkeys(str(name) for _, name, _, _ in fields))


def check_template(template: str, columns: Sequence[str]) -> None:
    """Raises ConfigError for a column that the metadata does not have, naming those it has."""
    missing = [name for name in template_columns(template) if name not in columns]
    if missing:
        there = f"has the columns {', '.join(sorted(columns))}" if columns else "has no columns but file_name"
        raise ConfigError(
            f"caption template {template!r} names {', '.join(missing)}, but the metadata {there}: "
            "give --caption-template"
        )


def caption(template: str, row: Mapping[str, Any]) -> str | None:
    """The caption of a row, its white space tidied; None where a column that it needs is empty, or it is."""
    values = {name: _as_text(row.get(name)) for name in template_columns(template)}
    if not all(values.values()):
        return None
    return " ".join(template.format_map(values).split()) or None


def _as_text(value: Any) -> str:
    return "" if value is None else str(value).strip()
