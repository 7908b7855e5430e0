"""What a setting may be, said once: beside its type, for the class that checks it and for the schema of the chart.

num_frames: Annotated[int, Bounds(least=2, most=MAX_FRAMES)] = 300
"""

import re
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import GetJsonSchemaHandler
from pydantic_core import CoreSchema


@dataclass(frozen=True, kw_only=True, slots=True)
class Bounds:
    """Of a number. None: no such bound."""

    above: float | None = None
    least: float | None = None
    most: float | None = None

    def problem(self, value: Any) -> str | None:
        """What is wrong with a value, and what to take; NaN is above nothing."""
        if self.above is not None and not value > self.above:
            return f"take more than {self.above:g}"
        if self.least is not None and not value >= self.least:
            return f"take {self.least:g} or more"
        if self.most is not None and not value <= self.most:
            return f"take {self.most} at most"
        return None

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        told = {"exclusiveMinimum": self.above, "minimum": self.least, "maximum": self.most}
        return {**handler(schema), **{name: bound for name, bound in told.items() if bound is not None}}


@dataclass(frozen=True, kw_only=True, slots=True)
class Pattern:
    """Of a text: what it matches as a whole, and what to do where it does not."""

    pattern: str
    fix: str

    def problem(self, value: Any) -> str | None:
        """See `Bounds`."""
        return None if re.fullmatch(self.pattern, value) else self.fix

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {**handler(schema), "pattern": f"^({self.pattern})$"}


def check_bounds(config: Any) -> None:
    """For `__post_init__` of a dataclass. Raises ValueError, which names the setting and what to take."""
    hints = typing.get_type_hints(type(config), include_extras=True)
    for name, hint in hints.items():
        value = getattr(config, name)
        for bounds in _bounds_in(hint):
            if value is not None and (problem := bounds.problem(value)) is not None:
                raise ValueError(f"{name} is {value!r}: {problem}")


def _bounds_in(hint: Any) -> Iterator[Bounds | Pattern]:
    """Also of `Annotated[…] | None`."""
    yield from (each for each in getattr(hint, "__metadata__", ()) if isinstance(each, Bounds | Pattern))
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        for part in typing.get_args(hint):
            yield from _bounds_in(part)
