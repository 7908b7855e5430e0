"""How Go writes down what it has read, on plain dicts: by KubeRay's own structs (v1.6.1) and its CRD's defaults.

`go_structs.json` names the fields of each struct with their types, `omitempty` where what is empty is not written, and
the CRD's default: `omitempty int32 = 1`. It is made from KubeRay's module (tests/support/kuberay.py).
"""

import json
import re
from collections.abc import Collection, Mapping
from decimal import ROUND_UP, Decimal, localcontext
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

TABLE = Path(__file__).parent / "go_structs.json"
_QUANTITY = re.compile(r"([+-]?)0*([0-9]*)(?:\.([0-9]*))?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]{1,3})?")
_ZEROS = {"string": "", "bool": False, "int32": 0, "int64": 0, "IntOrString": 0, "Quantity": "0"}
_STRUCTS_OF_ONE_VALUE = ("IntOrString", "Quantity", "Time")
_POWERS_OF_TEN = dict(zip(("n", "u", "m", "", *"kMGTPE"), range(-9, 19, 3), strict=True))
_BINARY = ("", *(f"{letter}i" for letter in "KMGTPE"))
_NANO, _FASTEST_DIGITS = -9, 18
_MOST = 2**63 - 1


class _Field(NamedTuple):
    type: str
    is_always_written: bool
    default: Any


def written(value: Any, type_: str) -> Any:
    """A value of a manifest as Go writes it that has read it as this type.

    What is no value of the type, which the API server does not let in, stays as it is.
    """
    if type_.startswith("*"):
        return None if value is None else written(value, type_[1:])
    if type_.startswith("[]") and isinstance(value, list):
        return [written(member, type_[2:]) for member in value]
    if type_.startswith("map[]") and isinstance(value, Mapping):
        return {key: written(value[key], type_[5:]) for key in value}
    if type_ in _structs() and isinstance(value or {}, Mapping):
        return _struct(value or {}, type_)
    if type_ == "Quantity" and value is not None:
        return quantity(str(value))
    return _ZEROS.get(type_) if value is None else value


def quantity(text: str) -> str:
    """Of all ways to write an amount Go keeps three apart: by ten, by 1024, by exponent.

    In each of them it has one form, but for what `ParseQuantity` takes for that form and leaves, such as 1.500.
    """
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or not (match[2] or match[3] or "0" in text):
        return text
    sign, whole, fraction, suffix = match[1], match[2] or "0", match[3] or "", match[4] or ""
    exponent, is_binary = _exponent(suffix)
    digits = whole + fraction
    is_short = (exponent * 3 // 10 + len(whole) < 15 and not fraction) if is_binary else len(digits) <= _FASTEST_DIGITS
    scale = 0 if is_binary else exponent - len(fraction)
    if is_short and scale >= _NANO:
        looks_canonical = int(digits) % 8 != 0 if is_binary else scale % 3 == 0 and not digits.endswith("000")
        if looks_canonical and digits.strip("0") and (is_binary or digits[0] != "0"):
            return text.strip()
    with localcontext(prec=100):
        amount = Decimal(f"{whole}.{fraction or 0}") * Decimal(2 if is_binary else 10) ** exponent
        if amount.normalize().as_tuple().exponent < _NANO:  # type: ignore[operator] # neither infinite nor no number
            amount = amount.quantize(Decimal(10) ** _NANO, rounding=ROUND_UP)
        if not amount:
            return "0"
        amount = min(amount, Decimal(_MOST)) if is_binary else amount
        stays_binary = is_binary and amount >= 1024 and amount == int(amount)
        return sign.strip("+") + (_by_1024(int(amount)) if stays_binary else _by_ten(amount, suffix))


def _exponent(suffix: str) -> tuple[int, bool]:
    """Of ten, or of two."""
    if suffix in _POWERS_OF_TEN:
        return _POWERS_OF_TEN[suffix], False
    return (10 * _BINARY.index(suffix), True) if suffix in _BINARY else (int(suffix[1:]), False)


def _by_1024(amount: int) -> str:
    power = 0
    while amount % 1024 == 0:
        amount, power = amount // 1024, power + 1
    return f"{amount}{_BINARY[power]}"


def _by_ten(amount: Decimal, suffix: str) -> str:
    _, digits, exponent = amount.normalize().as_tuple()
    assert isinstance(exponent, int)
    number = int("".join(map(str, digits))) * 10 ** (exponent % 3)
    power = exponent - exponent % 3
    if suffix[-1:].isdigit():
        return f"{number}e{power}" if power else str(number)
    names = {power: name for name, power in _POWERS_OF_TEN.items()}
    return f"{number}{names.get(power, '')}"


def _struct(value: Mapping[str, Any], type_: str) -> dict[str, Any]:
    """Its fields that are written; what it has beside them Go does not read."""
    found = {}
    for name, field in _structs()[type_].items():
        own = value.get(name)
        own = field.default if own is None else own
        if own is not None or field.is_always_written:
            member = written(own, field.type)
            if member or field.is_always_written or field.type.startswith("*"):
                found[name] = member
    return found


@cache
def _structs() -> dict[str, dict[str, _Field]]:
    structs = json.loads(TABLE.read_text())
    return {
        struct: {name: _field(told, structs) for name, told in fields.items()} for struct, fields in structs.items()
    }


def _field(told: str, structs: Collection[str]) -> _Field:
    """`omitempty` leaves out zeros, and what is empty; to Go a struct never is, and a pointer only to nothing."""
    rest, _, default = told.partition(" = ")
    type_ = rest.removeprefix("omitempty ")
    is_always_written = type_ == rest or type_ in structs or type_ in _STRUCTS_OF_ONE_VALUE
    return _Field(type_, is_always_written, json.loads(default) if default else None)
