"""Typed configs as JSON, and `--set a.b=c` on top of them.

Configs are frozen dataclasses; this module reads and writes them strictly: an unknown key is an
error that names the nearest known one.
"""

import dataclasses
import difflib
import json
import typing
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import pydantic

from momalisa.errors import ConfigError

T = TypeVar("T")


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass config as plain JSON types (tuples become lists)."""
    dumped: dict[str, Any] = json.loads(pydantic.TypeAdapter(type(config)).dump_json(config))
    return dumped


def from_dict(config_type: type[T], data: Mapping[str, Any]) -> T:
    """The config that `to_dict` wrote.

    Raises ConfigError for unknown keys, wrong types and values that the config refuses.
    """
    _refuse_unknown_keys(config_type, data, prefix="")
    try:
        return pydantic.TypeAdapter(config_type).validate_python(data)
    except pydantic.ValidationError as e:
        raise ConfigError(_describe(e)) from e


def override(config: T, assignments: Iterable[str]) -> T:
    """The config with `a.b=c` assignments applied, in order.

    A value is JSON where it parses as JSON (`3`, `true`, `null`, `["a", "b"]`), else a string.
    Raises ConfigError for a malformed assignment, an unknown key (with the nearest known ones) or
    a value that the config refuses.
    """
    data = to_dict(config)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {assignment!r} is not of the form a.b=value")
        _assign(data, key.strip(), _parse(text.strip()), type(config))
    return from_dict(type(config), data)


def differing_keys(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> dict[str, tuple[Any, Any]]:
    """Dotted keys whose values differ, each with its old and new value (None where absent)."""
    changes: dict[str, tuple[Any, Any]] = {}
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, Mapping) and isinstance(after, Mapping):
            changes |= differing_keys(before, after, f"{prefix}{key}.")
        elif before != after:
            changes[prefix + key] = (before, after)
    return changes


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text


def _assign(data: dict[str, Any], dotted: str, value: Any, config_type: Any) -> None:
    *parents, leaf = dotted.split(".")
    here: Any = data
    here_type = config_type
    for depth, name in enumerate(parents):
        _refuse_unknown_key(here_type, name, ".".join(parents[:depth]))
        here_type = _field_type(here_type, name)
        if here[name] is None and dataclasses.is_dataclass(here_type):
            here[name] = {}
        here = here[name]
        if not isinstance(here, dict):
            raise ConfigError(f"--set {dotted}: {'.'.join(parents[: depth + 1])} is a value, not a section")
    _refuse_unknown_key(here_type, leaf, ".".join(parents))
    here[leaf] = value


def _field_type(config_type: Any, name: str) -> Any:
    """The type of a field; for `Section | None`, `tuple[Section, ...]` and the like the section."""
    hint = typing.get_type_hints(config_type)[name]
    sections = [t for t in typing.get_args(hint) if dataclasses.is_dataclass(t)]
    return sections[0] if sections else hint


def _refuse_unknown_keys(config_type: Any, data: Any, prefix: str) -> None:
    if isinstance(data, list):
        for number, each in enumerate(data):
            _refuse_unknown_keys(config_type, each, f"{prefix.rstrip('.')}[{number}].")
        return
    if not dataclasses.is_dataclass(config_type) or not isinstance(data, Mapping):
        return
    for name, value in data.items():
        _refuse_unknown_key(config_type, name, prefix.rstrip("."))
        _refuse_unknown_keys(_field_type(config_type, name), value, f"{prefix}{name}.")


def _refuse_unknown_key(config_type: Any, name: str, section: str) -> None:
    if not dataclasses.is_dataclass(config_type):
        return
    known = [field.name for field in dataclasses.fields(config_type)]
    if name in known:
        return
    where = f"{section}." if section else ""
    near = difflib.get_close_matches(name, known, n=3, cutoff=0.5) or known
    raise ConfigError(f"no setting {where}{name}; did you mean {', '.join(where + n for n in near)}?")


def _describe(error: pydantic.ValidationError) -> str:
    lines = []
    for problem in error.errors():
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ")
        given = problem["input"]
        shown = "" if isinstance(given, Mapping) else f" (got {given!r})"
        lines.append(f"{where}: {message}{shown}" if where and shown else message)
    return "; ".join(lines)
