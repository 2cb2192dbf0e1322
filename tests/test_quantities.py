"""The gate between text with units and SI numbers: exact where it opens, a sentence where it stays shut."""

import decimal
import math
import time
from typing import Annotated

import numpy as np
import pint
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from stochbind import quantities
from stochbind.quantities import KINDS, parse, quantity, quantity_matrix

TWO_PI = 2 * math.pi


def refusal(text, kind):
    """The sentence with which the gate refuses a text."""
    with pytest.raises(ValueError) as error:  # noqa: PT011
        parse(text, KINDS[kind])
    sentence = str(error.value)
    assert "\n" not in sentence
    assert len(sentence) < 250
    return sentence


# ---------------------------------------------------------------------- what passes


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("1064 nm", "length", 1.064e-6),
        ("1064nm", "length", 1.064e-6),
        ("  1064   nm ", "length", 1.064e-6),
        ("+1.064e-6 m", "length", 1.064e-6),
        (".5 um", "length", 5e-7),
        ("5. um", "length", 5e-6),
        ("-2 um", "length", -2e-6),
        ("1 angstrom", "length", 1e-10),
        ("0.8 micron", "length", 8e-7),
        ("2 us", "time", 2e-6),
        ("3 min", "time", 180.0),
        ("9 fg", "mass", 9e-18),
        ("1850 kg/m^3", "density", 1850.0),
        ("1850 kg/m**3", "density", 1850.0),
        ("1850 kg m^-3", "density", 1850.0),
        ("1.85 g/cm^3", "density", 1850.0),
        ("1e-7 mbar", "pressure", 1e-5),
        ("760 torr", "pressure", 101325.0),
        ("760 Torr", "pressure", 101325.0),
        ("760000 mTorr", "pressure", 101325.0),
        ("1 atm", "pressure", 101325.0),
        ("300 K", "temperature", 300.0),
        ("300 mK", "temperature", 0.3),
        ("28.96 g/mol", "molar mass", 0.02896),
        ("18.2 uPa*s", "viscosity", 1.82e-5),
        ("18.2 uPa s", "viscosity", 1.82e-5),
        ("300 mW", "power", 0.3),
        ("100 kV/cm", "electric field", 1e7),
        ("1e7 N/C", "electric field", 1e7),
        ("180 deg", "angle", math.pi),
        ("180°", "angle", math.pi),
        ("0.5 turn", "angle", math.pi),
        ("2 rad", "angle", 2.0),
        ("500 mrad", "angle", 0.5),
        ("1 uN/m", "stiffness", 1e-6),
        ("1 fJ/nm^2", "stiffness", 1e3),
        ("4e-14 kg/s", "friction", 4e-14),
        ("1e-44 N^2*s", "momentum diffusion", 1e-44),
        ("1e-44 kg^2 m^2/s^3", "momentum diffusion", 1e-44),
    ],
)
def test_values_are_exact(text, kind, value):
    assert parse(text, KINDS[kind]) == value


@pytest.mark.parametrize(
    ("one", "other", "kind"),
    [
        ("75 nm", "0.075 um", "length"),
        ("75 nm", "7.5e-8 m", "length"),
        ("0.1 nm", "100 pm", "length"),
        ("0.3 W", "300 mW", "power"),
        ("1e-3 mbar", "0.1 Pa", "pressure"),
        ("9 fg", "9e-18 kg", "mass"),
        ("1.1 uN/m", "1.1e-6 N/m", "stiffness"),
        ("55 kHz", "0.055 MHz", "frequency"),
    ],
)
def test_one_quantity_is_one_float(one, other, kind):
    """What pint computes in binary differs in the last place: 75 nm is 7.500000000000001e-08 m there."""
    assert parse(one, KINDS[kind]) == parse(other, KINDS[kind])


@pytest.mark.parametrize(
    ("typeset", "plain", "kind"),
    [
        ("0.8 \N{MICRO SIGN}m", "0.8 um", "length"),
        ("0.8 \N{GREEK SMALL LETTER MU}m", "0.8 um", "length"),
        ("8000 \N{LATIN CAPITAL LETTER A WITH RING ABOVE}", "8000 angstrom", "length"),
        ("8000 \N{ANGSTROM SIGN}", "8000 angstrom", "length"),
        ("1850 kg/m\N{SUPERSCRIPT THREE}", "1850 kg/m^3", "density"),
        ("1 fJ/nm\N{SUPERSCRIPT TWO}", "1 fJ/nm^2", "stiffness"),
        ("18.2 \N{MICRO SIGN}Pa\N{MIDDLE DOT}s", "18.2 uPa*s", "viscosity"),
        ("\N{MINUS SIGN}90 deg", "-90 deg", "angle"),
        ("90 \N{MASCULINE ORDINAL INDICATOR}", "90 deg", "angle"),
        ("300\N{NO-BREAK SPACE}K", "300 K", "temperature"),
        ("300\N{NARROW NO-BREAK SPACE}K", "300 K", "temperature"),
    ],
)
def test_what_word_processors_make_of_a_unit(typeset, plain, kind):
    assert parse(typeset, KINDS[kind]) == parse(plain, KINDS[kind])


@pytest.mark.parametrize("kind", KINDS.values(), ids=lambda kind: kind.name)
def test_the_example_of_each_kind_passes(kind):
    assert parse(kind.example, kind) > 0


@given(value=st.floats(allow_nan=False, allow_infinity=False), kind=st.sampled_from(list(KINDS.values())))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_a_float_with_its_si_unit_reads_back_bit_for_bit(value, kind):
    text = f"{value!r} {kind.unit}"
    again = parse(text, kind)
    assert again == value
    assert math.copysign(1, again) == math.copysign(1, value)


def test_the_context_of_the_caller_changes_no_bit():
    expected = parse("1064.123456789 nm", KINDS["length"])
    with decimal.localcontext() as context:
        context.prec = 3
        context.traps[decimal.Inexact] = True
        assert parse("1064.123456789 nm", KINDS["length"]) == expected


# ---------------------------------------------------------------------- frequencies, rates and angles


def test_the_trap_is_real():
    """Alone, pint takes cycles for radians without a word: the reason for the kinds."""
    assert pint.UnitRegistry().Quantity("100 kHz").to("rad/s").magnitude == pytest.approx(1e5)
    assert TWO_PI * parse("100 kHz", KINDS["frequency"]) == TWO_PI * 1e5


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("100 kHz", 1e5),
        ("1 MHz", 1e6),
        ("628318.5307179586 rad/s", 1e5),
        ("628.3185307179586 krad/s", 1e5),
        ("628.3185307179586 rad/ms", 1e5),
    ],
)
def test_a_frequency_counts_cycles(text, value):
    assert parse(text, KINDS["frequency"]) == pytest.approx(value, rel=1e-15, abs=0)


@pytest.mark.parametrize(
    "text", ["100 1/s", "100 s^-1", "100 /s", "100 rad*kHz", "100 rad^2/s", "100 turn/s", "3 deg/s"]
)
def test_a_frequency_says_hertz_or_radians(text):
    assert "must be in Hz (cycles) or rad/s" in refusal(text, "frequency")


@pytest.mark.parametrize("text", ["6283 1/s", "6283 s^-1", "6283 /s", "6.283 1/ms", "6.283 /ms", "6283 rad/s"])
def test_a_rate_is_per_time(text):
    assert parse(text, KINDS["rate"]) == pytest.approx(6283, rel=1e-15, abs=0)


def test_a_rate_in_hertz_is_refused_with_both_readings():
    assert refusal("100 kHz", "rate") == (
        """is a rate, and '100 kHz' could mean "100000 1/s" or "628319 1/s"; write the one meant"""
    )


@pytest.mark.parametrize("text", ["100 Hz", "1e-3 kHz", "5 rad*Hz", "5 rad^2/s", "5 W/J", "5 turn/s"])
def test_no_other_rate_passes(text):
    assert "write the one meant" in refusal(text, "rate")


@pytest.mark.parametrize("text", ["45 deg*deg", "45 deg/deg", "1 rad^2", "1 m/m", "1 deg*mdeg", "1 rad/mrad"])
def test_an_angle_is_one_angle(text):
    assert "must be an angle in rad or deg" in refusal(text, "angle")


# ---------------------------------------------------------------------- what does not pass

NO_FORM = "must be a number and a unit, such as"
NO_UNIT = "must have a unit, such as"
UNKNOWN = "has an unknown unit in"


@pytest.mark.parametrize(
    ("text", "kind", "reason"),
    [
        # numbers
        ("nan m", "length", NO_FORM),
        ("inf m", "length", NO_FORM),
        ("-inf m", "length", NO_FORM),
        ("1e400 m", "length", "must fit a floating-point number, but '1e400 m' is 1e+400 m"),
        ("1e308 km", "length", "must fit a floating-point number"),
        ("1e-400 m", "length", "must fit a floating-point number"),
        ("1e9999 m", "length", NO_FORM),
        ("0,8 um", "length", "must have a decimal point, not a comma, such as \"1064 nm\", but is '0,8 um'"),
        ("1_000 m", "length", NO_FORM),
        ("0x10 m", "length", NO_FORM),
        ("\N{ARABIC-INDIC DIGIT ONE} m", "length", NO_FORM),
        ("1/2 m", "length", NO_FORM),
        ("(1) m", "length", NO_FORM),
        ("1 e-3 m", "length", NO_FORM),
        ("10^-3 mbar", "pressure", NO_FORM),
        ("1\N{MULTIPLICATION SIGN}10^-3 mbar", "pressure", NO_FORM),
        ("pi/4 rad", "angle", NO_FORM),
        ("2*pi*55 kHz", "frequency", NO_FORM),
        ("nm", "length", NO_FORM),
        ("", "length", NO_FORM),
        # units
        ("300", "temperature", NO_UNIT),
        ("1e3", "length", NO_UNIT),
        ("5 %", "length", NO_FORM),
        ("5 dimensionless", "length", "must be a length"),
        ("5 W", "intensity", "must be an intensity"),
        ("1064 Nm", "length", UNKNOWN),
        ("1064 N m", "length", "must be a length, such as \"1064 nm\", but is '1064 N m'"),
        ("1064 nW", "length", "must be a length"),
        ("10 m bar", "pressure", "must be a pressure"),
        ("10 mBar", "pressure", "upper and lower case matter"),
        ("55 khz", "frequency", "upper and lower case matter"),
        ("1.85 g/cm3", "density", NO_FORM),
        ("1 m^3.5", "length", NO_FORM),
        ("1 m^", "length", NO_FORM),
        ("1 m^123", "length", NO_FORM),
        ("1 m A^0", "length", NO_FORM),
        ("1 nm # wavelength", "length", NO_FORM),
        ("1 m; 2 m", "length", NO_FORM),
        ("1 m\0", "length", NO_FORM),
        # temperatures on other scales
        ("20 degC", "temperature", "must be in kelvin, such as \"300 K\", but is '20 degC'"),
        ("20 °C", "temperature", "must be in kelvin"),
        ("20 celsius", "temperature", "must be in kelvin"),
        ("68 degF", "temperature", "must be in kelvin"),
        ("20 C", "temperature", "must be a temperature"),
        ("20 delta_degC", "temperature", NO_FORM),
        # logarithms and counts, which pint knows and cannot convert, or converts as it likes
        ("30 dBm", "power", UNKNOWN),
        ("3 dB", "power", UNKNOWN),
        ("3 octave", "angle", UNKNOWN),
        ("3 sr", "angle", UNKNOWN),
        ("60 rpm", "rate", UNKNOWN),
        ("60 rpm", "frequency", UNKNOWN),
        ("60 cps", "rate", UNKNOWN),
        # units whose size is measured: another pint would read another number
        ("5e9 u", "mass", UNKNOWN),
        ("5e9 Da", "mass", UNKNOWN),
        # nothing of Python
        ("1 __class__", "length", NO_FORM),
        ("1 m.__class__", "length", NO_FORM),
        ("__import__('os').getcwd() m", "length", NO_FORM),
        ("{0.__class__} m", "length", NO_FORM),
    ],
)
def test_what_is_refused(text, kind, reason):
    assert reason in refusal(text, kind)


BOMBS = [
    "9**9**9**9 m",
    "9**9**9 m",
    "1 m**9**9**9",
    "1 m^99^99^99",
    "1e999999999 m",
    "1" * 10**6 + " m",
    "1 " + "m" * 10**6,
    "1 " + "m*" * 20_000 + "m",
    "(" * 5000 + "1 m" + ")" * 5000,
    "1 " + "m " * 30,
    "1 " + "/s" * 30,
    "1 m" + "^2" * 30,
    " " * 10**6,
    "0." + "0" * 60 + "m",
    "1 kilokilokilokilokilokilokilokilokilokilometer",
    "1 " + "kg m s K A mol cd " * 3,
    "1 m^99 m^99 m^99 m^-99 m^-99 m^-98",
    "\N{MICRO SIGN}" * 64,
    "1 " + "\N{SUPERSCRIPT TWO}" * 62,
    "1 exaexabyte",
]


@pytest.mark.parametrize("text", BOMBS, ids=range(len(BOMBS)))
def test_no_bomb_takes_long(text):
    parse("1 m", KINDS["length"])  # the registry is loaded once
    start = time.perf_counter()
    for kind in KINDS.values():
        try:
            value = parse(text, kind)
        except ValueError as error:
            assert len(str(error)) < 250  # noqa: PT017
        else:
            assert math.isfinite(value)
    assert (time.perf_counter() - start) / len(KINDS) < 0.1


def test_every_unit_that_pint_knows_converts_or_is_refused():
    """No unit of any kind brings another exception, a warning or an infinity; nothing inexact passes."""
    passed = set()
    for kind in KINDS.values():
        for unit in quantities._registry()._units:
            try:
                value = parse(f"1 {unit}", kind)
            except ValueError:
                continue
            passed.add(unit)
            assert math.isfinite(value)
            assert value > 0
    assert {"m", "kelvin", "torr", "Torr", "deg", "Hz", "W"} <= passed
    assert not passed & {"dBm", "rpm", "sr", "Da", "u", "degC", "statfarad", "year", "neper"}


@given(text=st.text(max_size=80) | st.from_regex(quantities._FORM, fullmatch=True))
@settings(max_examples=500, deadline=None, derandomize=True)
def test_any_text_is_a_number_or_a_sentence(text):
    for kind in KINDS.values():
        try:
            assert math.isfinite(parse(text, kind))
        except ValueError as error:
            assert len(str(error)) < 300  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017


# ---------------------------------------------------------------------- as fields of a model


class Model(BaseModel):
    length: Annotated[float, *quantity("length")] = 1.0
    mass: Annotated[float, *quantity("mass", "positive")] = 1.0
    pressure: Annotated[float, *quantity("pressure", "not negative")] = 1.0
    matrix: Annotated[tuple[tuple[float, ...], ...], *quantity_matrix("stiffness")] | None = None


FILE, REDUCED = {"file": True}, {"file": True, "reduced": True}


def fault(fields, context=None):
    with pytest.raises(ValidationError) as error:
        Model.model_validate(fields, context=context)
    (only,) = error.value.errors()
    return str(only["ctx"]["error"])


def test_numbers_are_si_in_python():
    assert Model(length=2).length == 2.0
    assert Model(length="2 um").length == 2e-6
    assert Model(length=np.float32(0.5)).length == 0.5
    assert Model(length=np.int64(3)).length == 3.0
    assert isinstance(Model(length=np.float64(0.5)).length, float)


def test_numbers_in_files_need_units_unless_reduced():
    assert Model.model_validate({"length": "2 um"}, context=FILE).length == 2e-6
    assert fault({"length": 2.0}, FILE) == 'must have a unit, such as "1064 nm", but is 2.0'
    assert Model.model_validate({"length": 2.0}, context=REDUCED).length == 2.0
    assert "must be a bare number" in fault({"length": "2 um"}, REDUCED)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 10**400, float("1e400"), np.float64("nan")])
@pytest.mark.parametrize("context", [None, REDUCED])
def test_what_is_not_finite_is_refused(value, context):
    assert "must be finite" in fault({"length": value}, context)
    assert "must be finite" in fault({"matrix": [[value]]}, context)


@pytest.mark.parametrize("value", [True, None, [1.0], {"value": 1}, b"1 m", 1j, object(), np.array([1.0])])
@pytest.mark.parametrize("context", [None, FILE, REDUCED])
def test_what_is_no_number_is_refused(value, context):
    assert "number" in fault({"length": value}, context)


def test_signs():
    assert fault({"mass": "-9 fg"}) == "must be positive, but is '-9 fg'"
    assert fault({"mass": 0.0}) == "must be positive, but is 0.0"
    assert fault({"pressure": "-1 Pa"}) == "must be zero or positive, but is '-1 Pa'"
    assert Model(pressure=0.0, length="-1 m").pressure == 0.0


def test_a_huge_integer_is_shown_short():
    assert len(fault({"length": -(10**5000), "mass": 1.0})) < 100


def test_matrices_are_rows_or_a_table():
    rows = [["0 N/m", "0.1 uN/m"], ["75 nN/m", "0 N/m"]]
    table = {"unit": "uN/m", "values": [[0, 0.1], [0.075, 0]]}
    read = [Model.model_validate({"matrix": form}, context=FILE).matrix for form in (rows, table)]
    assert read[0] == read[1] == ((0.0, 1e-7), (7.5e-8, 0.0))
    assert Model(matrix=np.array(read[0])).matrix == read[0]


@pytest.mark.parametrize(
    ("matrix", "reason"),
    [
        ([["0 N/m", 1e-7], ["0 N/m", "0 N/m"]], 'element [0][1] must have a unit, such as "1 uN/m", but is 1e-07'),
        ([["0 N/m", "1 kHz"], ["0 N/m", "0 N/m"]], "element [0][1] must be a stiffness"),
        ([["0 N/m"], ["0 N/m"]], "must be square, but has 2 rows, of lengths [1, 1]"),
        ([["0 N/m", "0 N/m"]], "must be square, but has 1 rows, of lengths [2]"),
        ([[]], "must be square"),
        ([], "must be square"),
        ("0 N/m", "must be a list of rows"),
        (["0 N/m"], "must be a list of rows"),
        (1.0, "must be a list of rows"),
        ({"unit": "N/m"}, "must be rows, or a table"),
        ({"unit": "N/m", "value": [[0]]}, "must be rows, or a table"),
        ({"unit": 1, "values": [[0]]}, "must be rows, or a table"),
        ({"unit": "N/m", "values": [["0 N/m"]]}, "element [0][0] must be a bare number beside its unit"),
        ({"unit": "N/m", "values": [[True]]}, "element [0][0] must be a bare number beside its unit"),
        ({"unit": "N/m", "values": [[math.nan]]}, "element [0][0] must be finite"),
        ({"unit": "N/m", "values": [[10**400]]}, "element [0][0] must be finite"),
        ({"unit": "", "values": [[1]]}, "element [0][0] must have a unit"),
        ({"unit": "kHz", "values": [[1]]}, "element [0][0] must be a stiffness"),
        ({"unit": "5 N/m", "values": [[1]]}, "element [0][0] must be a number and a unit"),
    ],
)
def test_matrices_that_are_refused(matrix, reason):
    assert reason in fault({"matrix": matrix}, FILE)
