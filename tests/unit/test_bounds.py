from dataclasses import dataclass
from typing import Annotated

import pytest
from pydantic import TypeAdapter

from momalisa.bounds import Bounds, Pattern, check_bounds


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    num: Annotated[int, Bounds(least=1, most=9)] = 1
    share: Annotated[float, Bounds(above=0)] | None = None
    name: Annotated[str, Pattern(pattern=r"[a-z]+", fix="take small letters")] = "a"

    def __post_init__(self) -> None:
        check_bounds(self)


def test_what_is_within_bounds_is_taken() -> None:
    Config(num=1)
    Config(num=9, share=0.1, name="abc")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"num": 0}, "num is 0: take 1 or more"),
        ({"num": 10}, "num is 10: take 9 at most"),
        ({"share": 0.0}, "share is 0.0: take more than 0"),
        ({"share": float("nan")}, "share is nan: take more than 0"),
        ({"name": "a1"}, "name is 'a1': take small letters"),
        ({"name": ""}, "name is '': take small letters"),
    ],
)
def test_what_is_beyond_is_refused_with_what_to_take(given: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Config(**given)  # type: ignore[arg-type]


def test_the_schema_says_the_same() -> None:
    fields = TypeAdapter(Config).json_schema()["properties"]
    assert (fields["num"]["minimum"], fields["num"]["maximum"]) == (1, 9)
    assert fields["share"]["anyOf"][0] == {"type": "number", "exclusiveMinimum": 0}
    assert fields["name"]["pattern"] == "^([a-z]+)$"
