"""Quantities with units: the strict gate between text such as "1064 nm" and SI numbers.

pint knows the units, but is let near a string only once this module knows its form: pint alone reads "100 kHz" as
1e5 rad/s, accepts "nan m", and never returns from "9**9**9**9 m". Of its thousand units only those below are taken:
they are exact, so that a file means the same numbers with every version of pint, and none is on a scale of its own
(dBm). Numbers pass through `decimal`, so that "75 nm" and "0.075 um" are the same float.
"""

from __future__ import annotations

import decimal
import math
import numbers
import re
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from pydantic import BeforeValidator, PlainSerializer, SerializationInfo, ValidationInfo, WithJsonSchema

from stochbind.checks import short

Sign = Literal["any", "positive", "not negative"]

_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d{1,3})?"
_UNIT = r"[A-Za-z°]+(?:(?:\*\*|\^)-?[1-9]\d?)?"
_FORM = re.compile(rf"\s*({_NUMBER})\s*(?:(1?\s*/)?\s*({_UNIT}(?:(?:\s*[*/]\s*|\s+){_UNIT})*))?\s*", re.ASCII)
_LONGEST = 64
#: What word processors make of a unit, and what it stands for.
_TYPOGRAPHY = str.maketrans(
    {
        "\N{MICRO SIGN}": "u",
        "\N{GREEK SMALL LETTER MU}": "u",
        "\N{LATIN CAPITAL LETTER A WITH RING ABOVE}": "angstrom",
        "\N{ANGSTROM SIGN}": "angstrom",
        "\N{MASCULINE ORDINAL INDICATOR}": "°",
        "\N{SUPERSCRIPT TWO}": "^2",
        "\N{SUPERSCRIPT THREE}": "^3",
        "\N{MIDDLE DOT}": "*",
        "\N{DOT OPERATOR}": "*",
        "\N{MINUS SIGN}": "-",
        "\N{NO-BREAK SPACE}": " ",
        "\N{NARROW NO-BREAK SPACE}": " ",
        "\N{THIN SPACE}": " ",
    }
)
#: pint's names of the units that are known here, with any prefix.
_KNOWN_UNITS = frozenset(
    {
        *("meter", "micron", "angstrom", "liter", "cubic_centimeter"),
        *("second", "minute", "hour", "day", "hertz"),
        *("radian", "degree", "arcminute", "arcsecond", "turn"),
        *("gram", "mole", "kelvin", "coulomb", "volt"),
        *("newton", "dyne", "joule", "erg", "electron_volt", "watt"),
        *("pascal", "bar", "torr", "standard_atmosphere", "poise"),
    }
)
_EXACT = decimal.Context(prec=40)  # not the caller's context, which may round otherwise
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
        Kind("intensity", "W/m^2", "1.3 mW/um^2"),
        Kind("electric field", "V/m", "1e7 V/m"),
        Kind("angle", "rad", "45 deg"),
        Kind("frequency", "Hz", "55 kHz"),
        Kind("rate", "1/s", "6283 1/s"),
        Kind("force", "N", "2 fN"),
        Kind("stiffness", "N/m", "1 uN/m"),
        Kind("cubic stiffness", "N/m^3", "1e8 N/m^3"),
        Kind("friction", "kg/s", "4e-14 kg/s"),
        Kind("momentum diffusion", "N^2*s", "1e-44 N^2*s"),
        Kind("heat capacity", "J/K", "1e-21 J/K"),
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
    shown = short(text)
    match = _FORM.fullmatch(text.translate(_TYPOGRAPHY)) if len(text) <= _LONGEST else None
    if match is None:
        comma = re.search(r"\d,\d", text)
        wanted = "must have a decimal point, not a comma" if comma else "must be a number and a unit"
        raise ValueError(f'{wanted}, such as "{kind.example}", but is {shown}')
    number, inverse, unit = match.groups()
    if unit is None:
        raise ValueError(f'must have a unit, such as "{kind.example}", but is {shown}')
    with decimal.localcontext(_EXACT):
        factor = _size_in_si(("1/" if inverse else "") + " ".join(unit.split()), kind, shown, number)
        exact = Decimal(number) * factor
        value = float(exact)
    if not math.isfinite(value) or (value == 0 and exact != 0):
        raise ValueError(f"must fit a floating-point number, but {shown} is {exact:.3g} {kind.unit}")
    return value


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint  # 0.15 s, so only when a string is met

    registry: Any = pint.UnitRegistry(non_int_type=Decimal, cache_folder=None)
    registry.define("@alias torr = Torr")
    return registry


def _size_in_si(unit: str, kind: Kind, shown: str, number: str) -> Decimal:
    """Size of `unit` in the SI unit of `kind`."""
    import pint

    registry = _registry()
    unknown = ValueError(f'has an unknown unit in {shown}; write it like "{kind.example}", upper and lower case matter')
    try:
        parsed = registry.parse_units(unit)
        powers: dict[str, Any] = {}
        for name, power in dict(parsed._units).items():
            base = registry.parse_unit_name(name)[0][1]  # without its prefix
            powers[base] = powers.get(base, 0) + power
    except (pint.PintError, ValueError, AssertionError, AttributeError, TypeError, IndexError):
        raise unknown from None
    if any(name.startswith("degree_") for name in powers):
        raise ValueError(f'must be in kelvin, such as "{KINDS["temperature"].example}", but is {shown}')
    if not _KNOWN_UNITS.issuperset(powers):
        raise unknown
    si = registry.parse_units(kind.unit)
    if parsed.dimensionality != si.dimensionality:
        article = "an" if kind.name[0] in "aei" else "a"
        raise ValueError(f'must be {article} {kind.name}, such as "{kind.example}", but is {shown}')
    size = Decimal(registry.Quantity(Decimal(1), parsed).to(si).magnitude)
    _refuse_ambiguous(powers, kind, shown, number, size)
    return size / _TWO_PI if kind.name == "frequency" and "radian" in powers else size


def _refuse_ambiguous(powers: dict[str, Any], kind: Kind, shown: str, number: str, size: Decimal) -> None:
    """Tell hertz, radians per second and bare rates apart: pint takes them for the same."""
    names = set(powers)
    one_radian = powers.get("radian") == 1
    if kind.name == "angle" and not (len(names) == 1 and sum(powers.values()) == 1):
        raise ValueError(f'must be an angle in rad or deg, such as "{kind.example}", but is {shown}')
    if kind.name == "frequency" and not (names == {"hertz"} or (names == {"radian", "second"} and one_radian)):
        raise ValueError(f'must be in Hz (cycles) or rad/s, such as "{kind.example}", but is {shown}')
    per_time = names - {"radian"} <= {"second", "minute", "hour"}
    if kind.name == "rate" and not (per_time and (one_radian or "radian" not in names)):
        cycles = float(Decimal(number) * size)
        raise ValueError(
            f'is a rate, and {shown} could mean "{cycles:.6g} 1/s" or "{2 * math.pi * cycles:.6g} 1/s"; '
            "write the one meant"
        )


def _finite(value: Any) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"must be finite, but is {short(value)}")
    return number


def _validate(value: Any, info: ValidationInfo, kind: Kind, sign: Sign) -> float:
    context = info.context or {}
    reduced = context.get("reduced", False)
    if isinstance(value, str):
        if reduced:
            raise ValueError(f'must be a bare number, as the file has units = "reduced", but is {short(value)}')
        number = parse(value, kind)
    elif isinstance(value, numbers.Real) and not isinstance(value, bool):
        if context.get("file", False) and not reduced:
            raise ValueError(f'must have a unit, such as "{kind.example}", but is {short(value)}')
        number = _finite(value)
    else:
        wanted = "bare number" if reduced else f'number with a unit, such as "{kind.example}"'
        raise ValueError(f"must be a {wanted}, but is {short(value)}")
    if (sign == "positive" and number <= 0) or (sign == "not negative" and number < 0):
        wanted = "positive" if sign == "positive" else "zero or positive"
        raise ValueError(f"must be {wanted}, but is {short(value)}")
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
        value = value.tolist() if hasattr(value, "tolist") else value
        if isinstance(value, dict):
            if set(value) != {"unit", "values"} or not isinstance(value["unit"], str):
                raise ValueError(f'must be rows, or a table {{ unit = "{kind.unit}", values = [[...]] }}')
            suffix, value = value["unit"], value["values"]
        if not isinstance(value, (list, tuple)) or not all(isinstance(row, (list, tuple)) for row in value):
            raise ValueError(f"must be a list of rows, each a list of numbers, but is {short(value)}")
        if any(len(row) != len(value) for row in value) or not value:
            raise ValueError(
                f"must be square, but has {len(value)} rows, of lengths {short([len(row) for row in value[:20]])}"
            )

        def element(entry: Any, j: int, k: int) -> float:
            try:
                if suffix is not None:
                    if isinstance(entry, bool) or not isinstance(entry, (int, float)):
                        raise ValueError(f"must be a bare number beside its unit, but is {short(entry)}")
                    entry = f"{_finite(entry)!r} {suffix}"
                return _validate(entry, info, kind, "any")
            except ValueError as error:
                raise ValueError(f"element [{j}][{k}] {error}") from None

        return tuple(tuple(element(entry, j, k) for k, entry in enumerate(row)) for j, row in enumerate(value))

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
