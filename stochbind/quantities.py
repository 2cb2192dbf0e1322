"""Quantities with units: the strict gate between text such as "1064 nm" and SI numbers.

pint knows the units, but is let near a string only once this module knows its form: pint alone reads "100 kHz" as
1e5 rad/s, accepts "nan m", and never returns from "9**9**9**9 m". Numbers pass through `decimal`, so that "75 nm"
and "0.075 um" are the same float.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, ValidationInfo, WithJsonSchema

Sign = Literal["any", "positive", "not negative"]

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_UNIT = r"[A-Za-zΩ°]+(?:(?:\*\*|\^)-?\d{1,2})?"
_FORM = re.compile(rf"\s*({_NUMBER})\s*(?:(1?\s*/)?\s*({_UNIT}(?:(?:\s*[*/]\s*|\s+){_UNIT})*))?\s*", re.ASCII)
_LONGEST = 64
_TWO_PI = Decimal("6.283185307179586476925286766559005768")


class Kind(NamedTuple):
    """A kind of quantity: its name, the SI unit it is kept in, and an example for messages."""

    name: str
    unit: str
    example: str


KINDS = {
    kind.name: kind
    for kind in (
        Kind("length", "m", "1064 nm"),
        Kind("time", "s", "2 us"),
        Kind("mass", "kg", "9 fg"),
        Kind("density", "kg/m^3", "1850 kg/m^3"),
        Kind("pressure", "Pa", "1e-3 mbar"),
        Kind("temperature", "K", "300 K"),
        Kind("molar mass", "kg/mol", "28.96 g/mol"),
        Kind("viscosity", "Pa*s", "18.2 uPa*s"),
        Kind("power", "W", "300 mW"),
        Kind("electric field", "V/m", "1e7 V/m"),
        Kind("angle", "rad", "45 deg"),
        Kind("frequency", "Hz", "55 kHz"),
        Kind("rate", "1/s", "6283 1/s"),
        Kind("stiffness", "N/m", "1 uN/m"),
        Kind("friction", "kg/s", "4e-14 kg/s"),
        Kind("momentum diffusion", "N^2*s", "1e-44 N^2*s"),
    )
}


def parse(text: str, kind: Kind) -> float:
    """SI value of a quantity written as text.

    Parameters
    ----------
    text : str
        A number and a unit.
    kind : Kind
        What it must be.

    Returns
    -------
    float
        Value in the SI unit of the kind.

    Raises
    ------
    ValueError
        With one sentence that says what is wrong with the text, and the fix.
    """
    shown = repr(text if len(text) <= 40 else text[:37] + "...")
    match = _FORM.fullmatch(text.replace("\u03bc", "u").replace("\u00b5", "u")) if len(text) <= _LONGEST else None
    if match is None:
        raise ValueError(f'must be a number and a unit, such as "{kind.example}", but is {shown}')
    number, inverse, unit = match.groups()
    if unit is None:
        raise ValueError(f'must have a unit, such as "{kind.example}", but is {shown}')
    factor = _size_in_si(("1/" if inverse else "") + " ".join(unit.split()), kind, shown, number)
    value = float(Decimal(number) * factor)
    if not math.isfinite(value):
        raise ValueError(f"must be finite, but {shown} is {value} {kind.unit}")
    return value


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint  # 0.15 s, so only when a string is met

    return pint.UnitRegistry(non_int_type=Decimal, cache_folder=None)


def _size_in_si(unit: str, kind: Kind, shown: str, number: str) -> Decimal:
    """Size of `unit` in the SI unit of `kind`."""
    import pint

    registry = _registry()
    try:
        parsed = registry.parse_units(unit)
    except (pint.PintError, ValueError, AssertionError, AttributeError, TypeError):
        raise ValueError(f'has an unknown unit in {shown}; write it like "{kind.example}"') from None
    names = [str(name) for name in dict(parsed._units)]
    if any("degree_" in name for name in names):
        raise ValueError(f"must be in kelvin, but is {shown}")
    si = registry.parse_units(kind.unit)
    if parsed.dimensionality != si.dimensionality:
        raise ValueError(f'must be a {kind.name}, such as "{kind.example}", but is {shown}')
    size = Decimal(registry.Quantity(Decimal(1), parsed).to(si).magnitude)
    _refuse_ambiguous(names, kind, shown, number, size)
    return size / _TWO_PI if kind.name == "frequency" and "radian" in names else size


def _refuse_ambiguous(names: list[str], kind: Kind, shown: str, number: str, size: Decimal) -> None:
    """Tell hertz, radians per second and bare rates apart: pint takes them for the same."""

    def only(*endings: str) -> bool:
        return all(name.endswith(endings) for name in names)

    if kind.name == "angle" and not only("radian", "degree", "turn", "arcminute", "arcsecond"):
        raise ValueError(f"must be an angle in rad or deg, but is {shown}")
    if kind.name == "frequency" and not (only("hertz") or ("radian" in names and only("radian", "second"))):
        raise ValueError(f'must be in Hz (cycles) or rad/s, such as "{kind.example}", but is {shown}')
    if kind.name == "rate" and not only("second", "minute", "hour", "radian"):
        cycles = float(Decimal(number) * size)
        raise ValueError(
            f'is a rate, and {shown} could mean "{cycles:.6g} 1/s" or "{2 * math.pi * cycles:.6g} 1/s"; '
            "write the one meant"
        )


def _validate(value: Any, info: ValidationInfo, kind: Kind, sign: Sign) -> float:
    context = info.context or {}
    reduced = context.get("reduced", False)
    if isinstance(value, str):
        if reduced:
            raise ValueError(f'must be a bare number, as the file has units = "reduced", but is {value[:40]!r}')
        number = parse(value, kind)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        if context.get("file", False) and not reduced:
            raise ValueError(f'must have a unit, such as "{kind.example}", but is {value!r}')
        try:
            number = float(value)
        except OverflowError:
            raise ValueError("must be finite, but is too large for a float") from None
        if not math.isfinite(number):
            raise ValueError(f"must be finite, but is {number}")
    else:
        raise ValueError(f'must be a number with a unit, such as "{kind.example}", but is {value!r:.60}')
    if (sign == "positive" and number <= 0) or (sign == "not negative" and number < 0):
        wanted = "positive" if sign == "positive" else "zero or positive"
        raise ValueError(f"must be {wanted}, but is {value!r}")
    return number


def _serialize(value: Any, info: SerializationInfo, kind: Kind) -> Any:
    if not (info.context or {}).get("units", False):
        return value
    if isinstance(value, (list, tuple)):
        return [_serialize(element, info, kind) for element in value]
    return f"{value!r} {kind.unit}"


def quantity(kind_name: str, sign: Sign = "any") -> tuple[Any, ...]:
    """Pydantic annotations of a number with a unit; use as ``Annotated[float, *quantity("length", "positive")]``."""
    kind = KINDS[kind_name]
    return (
        BeforeValidator(lambda value, info: _validate(value, info, kind, sign)),
        PlainSerializer(lambda value, info: _serialize(value, info, kind)),
        WithJsonSchema(_json_schema(kind)),
    )


def quantity_matrix(kind_name: str) -> tuple[Any, ...]:
    """Pydantic annotations of a matrix of numbers with units.

    It is written either as rows of quantities, or as ``{ unit = "N/m", values = [[...], ...] }``.
    """
    kind = KINDS[kind_name]

    def validate(value: Any, info: ValidationInfo) -> Any:
        suffix = None
        if isinstance(value, dict):
            if set(value) != {"unit", "values"} or not isinstance(value["unit"], str):
                raise ValueError(f'must be rows, or a table {{ unit = "{kind.unit}", values = [[...]] }}')
            suffix, value = value["unit"], value["values"]
        if not isinstance(value, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in value):
            raise ValueError("must be a list of rows, each a list of numbers")
        if any(len(row) != len(value) for row in value) or not value:
            raise ValueError(f"must be square, but its rows have lengths {[len(row) for row in value][:8]}")

        def element(entry: Any) -> Any:
            if suffix is not None:
                if isinstance(entry, bool) or not isinstance(entry, (int, float)):
                    raise ValueError(f"must hold bare numbers beside its unit, but holds {entry!r:.40}")
                return f"{entry!r} {suffix}"
            return entry

        return tuple(tuple(_validate(element(entry), info, kind, "any") for entry in row) for row in value)

    schema = {"type": "array", "items": {"type": "array", "items": _json_schema(kind)}}
    table = {
        "type": "object",
        "properties": {
            "unit": {"type": "string"},
            "values": {"type": "array", "items": {"type": "array", "items": {"type": "number"}}},
        },
        "required": ["unit", "values"],
        "additionalProperties": False,
    }
    return (
        BeforeValidator(validate),
        PlainSerializer(lambda value, info: _serialize(value, info, kind)),
        WithJsonSchema({"anyOf": [schema, table]}),
    )


def _json_schema(kind: Kind) -> dict[str, Any]:
    return {
        "type": ["string", "number"],
        "description": f'A {kind.name} with its unit, such as "{kind.example}"; a bare number in reduced units.',
        "examples": [kind.example],
    }
