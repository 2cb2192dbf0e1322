"""Scenario files: read and written without loss, and every mistake told with its line, field, value and fix."""

import json
import os
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path

import pytest
import tomli_w
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from stochbind import OscillatorScenario, Scenario, TweezerScenario
from stochbind.errors import ScenarioError
from stochbind.scenario import Gas, Oscillator, files, parse, scenario_from_dict
from stochbind.scenario.statistics import STATISTICS

SCENARIOS = Path(__file__).parent.parent / "scenarios"
SHIPPED = [path for path in sorted(SCENARIOS.glob("*.toml")) if "\n[sweep]" not in path.read_text()]
TWEEZERS = """\
# two spheres
name = "pair"
kind = "tweezers"
source = "none"
description = \"""
Words,
over
a few
more
lines.\"""

[light]
wavelength = "1064 nm"
waist = "0.8 um"

[gas]
pressure = "10 mbar"
temperature = "300 K"

[[particle]]
radius = "105 nm"
density = "1850 kg/m^3"
refractive_index = 1.45
position = ["0 um", "0 um"]
power = "0.18 W"
phase = "45 deg"
polarization = "90 deg"

[[particle]]
radius = "105 nm"
density = "1850 kg/m^3"
refractive_index = 1.45
position = ["2.261 um", "0 um"]
power = "0.3 W"
phase = "0 deg"
polarization = "90 deg"

[run]
step = "2 us"
n_steps = 2000
n_trajectories = 512
seed = 1
"""
REDUCED = """\
name = "pair"
kind = "oscillators"
units = "reduced"
coupling = [
    [0.0, 0.5],
    [0.2, 0.0],
]

[[particle]]
mass = 1.0
stiffness = 1.0
damping_rate = 0.3
bath_temperature = 1.0

[[particle]]
mass = 2.0
stiffness = 1.0
damping_rate = 0.3
bath_temperature = 0.8
"""
OSCILLATORS = """\
name = "two"
kind = "oscillators"
coupling = [["0 N/m", "0.1 uN/m"], ["0 N/m", "0 N/m"]]

[[particle]]
mass = "9 fg"
frequency = "55 kHz"
damping_rate = "6283 1/s"
bath_temperature = "300 K"

[[particle]]
mass = "8 fg"
stiffness = "1 uN/m"
friction = "5e-14 kg/s"
bath_temperature = "400 K"

[run]
step = "2 us"
n_steps = 100
n_trajectories = 20
"""
COUPLING = '[["0 N/m", "0.1 uN/m"], ["0 N/m", "0 N/m"]]'

#: Examples of each fuzz test; set STOCHBIND_FUZZ for a long run.
FUZZ = int(os.environ.get("STOCHBIND_FUZZ", "250"))
fuzzing = settings(
    max_examples=FUZZ, deadline=None, derandomize=FUZZ < 1000, suppress_health_check=list(HealthCheck), database=None
)


def change(text, old, new):
    assert text.count(old) >= 1, f"{old!r} is not in the text"
    return text.replace(old, new, 1)


def faults(text):
    """The sentences with which a text is refused, without the name of the file."""
    with pytest.raises(ScenarioError) as error:
        parse(text, "my.toml")
    lines = str(error.value).split("\n")
    assert all(line.startswith("my.toml: ") for line in lines)
    return [line.removeprefix("my.toml: ") for line in lines]


def fault(text):
    (only,) = faults(text)
    return only


# ---------------------------------------------------------------------- there and back


def finite(smallest, largest):
    return st.floats(smallest, largest, allow_nan=False)


def optional(strategy):
    return st.none() | strategy


words = st.text(max_size=60)
runs = st.fixed_dictionaries(
    {},
    optional={
        "step": finite(1e-12, 1e3),
        "n_steps": st.integers(1, 10**15),
        "save_every": st.integers(1, 10**15),
        "n_trajectories": st.integers(1, 10**15),
        "seed": st.integers(0, 2**63 - 1),
        "initial": st.sampled_from(["thermal", "stationary", "rest"]),
    },
)


@st.composite
def tweezers(draw):
    """Spheres far apart in a row, with any combination of the optional fields."""
    particle = []
    for j in range(draw(st.integers(1, 3))):
        index = draw(finite(1.05, 2.5))
        particle.append(
            {
                "radius": draw(finite(1e-8, 1.2e-7)),
                "density": draw(finite(500, 5000)),
                draw(st.sampled_from(["refractive_index", "permittivity"])): index,
                "position": [8e-6 * j + draw(finite(-1e-6, 1e-6)), draw(finite(-1e-6, 1e-6))],
                draw(st.sampled_from(["power", "peak_field"])): 0.1234567890123456789,
                "polarization": draw(finite(-7, 7)),
                **draw(
                    st.fixed_dictionaries({}, optional={"phase": finite(-7, 7), "bath_temperature": finite(0, 900)})
                ),
            }
        )
    gas = {"pressure": draw(finite(0, 1e5)), "temperature": draw(finite(1, 1e3))}
    gas |= draw(st.fixed_dictionaries({}, optional={"molar_mass": finite(1e-3, 0.2), "viscosity": finite(1e-6, 1e-4)}))
    return {
        "kind": "tweezers",
        "light": {"wavelength": draw(finite(9e-7, 1.6e-6)), "waist": draw(finite(6e-7, 1.5e-6)), "binding": "exact"},
        "gas": gas,
        "particle": particle,
    }


@st.composite
def oscillators(draw):
    """Oscillators in SI or reduced units, with any combination of the optional fields."""
    n = draw(st.integers(1, 3))
    reduced, overdamped = draw(st.booleans()), draw(st.booleans())
    small = 1.0 if reduced else 1e-16
    particle = []
    for _ in range(n):
        spring = draw(st.sampled_from(["stiffness", "frequency"]))
        drag = draw(st.sampled_from(["friction", "damping_rate"]))
        if overdamped:
            spring, drag = "stiffness", "friction"
        sizes = {"stiffness": finite(1e-9, 1e3), "frequency": finite(1e-3, 1e6)}
        fields = {spring: draw(sizes[spring]), drag: draw(finite(0.1 * small, 10 * small)), "bath_temperature": 300.0}
        if not overdamped or draw(st.booleans()):
            fields["mass"] = draw(finite(0.01 * small, 100 * small))
        particle.append(fields)
    matrix = st.lists(st.lists(finite(-1, 1), min_size=n, max_size=n), min_size=n, max_size=n)
    coupling = draw(optional(matrix))
    for j, row in enumerate(coupling or ()):
        row[j] = 0.0
    diffusion = draw(optional(st.lists(finite(0, 1e-40), min_size=n, max_size=n)))
    return {
        "kind": "oscillators",
        "units": "reduced" if reduced else "SI",
        "dynamics": "overdamped" if overdamped else "underdamped",
        "particle": particle,
        "coupling": coupling,
        "momentum_diffusion": diffusion and [[x * (j == k) for k in range(n)] for j, x in enumerate(diffusion)],
    }


@given(body=tweezers() | oscillators(), name=words.filter(bool), description=words, source=words, run=runs)
@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_writing_and_reading_change_no_bit(body, name, description, source, run):
    data = {**body, "name": name, "description": description, "source": source, "run": run}
    try:
        scenario = scenario_from_dict({key: value for key, value in data.items() if value is not None})
    except ScenarioError:
        assume(False)  # the numbers do not go together; filtered too often, hypothesis complains
    again = parse(scenario.to_toml())
    assert again == scenario
    assert hash(again) == hash(scenario)
    as_text = [json.dumps(each.to_dict(), sort_keys=True) for each in (again, scenario)]
    assert as_text[0] == as_text[1]  # unlike `==`, tells zero from minus zero
    assert scenario_from_dict(json.loads(as_text[0])) == scenario
    for field, value in run.items():
        assert getattr(again.run, field) == value
    assert (again.name, again.description, again.source) == (name, description, source)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_scenarios_read_back(path, tmp_path):
    scenario = Scenario.from_toml(path)
    copy = tmp_path / "copy.toml"
    copy.write_text(scenario.to_toml(), encoding="utf-8")
    assert Scenario.from_toml(copy) == scenario
    assert Scenario.from_toml(str(copy)).to_toml() == scenario.to_toml()


def test_the_comparison_tells_a_last_place():
    scenario = parse(TWEEZERS)
    other = parse(change(TWEEZERS, '"0.3 W"', '"0.30000000000000004 W"'))
    assert other != scenario
    assert other.to_toml() != scenario.to_toml()


def test_one_scenario_in_two_spellings():
    spelled = change(change(TWEEZERS, '"1064 nm"', '"1.064e-6 m"'), '"300 K"', '"0.3 kK"')
    assert parse(spelled) == parse(TWEEZERS)


def test_words_that_look_like_syntax_survive():
    nasty = '".a."' + ".".join("a" * 40) + " [[particle]] ''' \\ \"\"\" # \r\n\t\0 ${HOME} {0.__class__} %s"
    scenario = parse(TWEEZERS).model_copy(update={"description": nasty, "name": "f" * 200})
    assert parse(scenario.to_toml()).description == nasty


def test_windows_files_are_read():
    data = TWEEZERS.replace("\n", "\r\n").encode("utf-8-sig")
    assert parse(data.decode("utf-8-sig")) == parse(TWEEZERS)


# ---------------------------------------------------------------------- every mistake, its line and its fix


TWEEZER_MISTAKES = [
    # names
    ("waist =", "wiast =", [
        "line 12: light.waist: is missing; add `waist = ...`.",
        "line 14: light.wiast: is not a known field; did you mean `waist`.",
    ]),
    ("name =", "nmae =", [
        "name: is missing; add `name = ...`.",
        "line 2: nmae: is not a known field; did you mean `name`.",
    ]),
    ('phase = "45 deg"', 'temperature = "300 K"', [
        "line 26: particle[0].temperature: is not a known field; did you mean `bath_temperature`.",
    ]),
    ('waist = "0.8 um"', 'waist = "0.8 um"\npressure = "1 mbar"', [
        "line 15: light.pressure: is not a known field here, but in a table [gas].",
    ]),
    ("[light]\n", "[light]\ncolour = 1\n", [
        "line 13: light.colour: is not a known field; known here are `wavelength`, `waist`, `binding`, `forces`.",
    ]),
    ("[light]\n", '[light]\n"a b" = 1\n', [
        "line 12: light['a b']: is not a known field; known here are `wavelength`, `waist`, `binding`, `forces`.",
    ]),
    ('phase = "45 deg"', 'damping_rate = "1 1/s"', [
        'line 26: particle[0].damping_rate: is not a field of this kind of scenario, but of kind = "oscillators".',
    ]),
    ("kind =", 'units = "reduced"\nkind =', [
        'line 3: units: is not a field of this kind of scenario, but of kind = "oscillators".',
    ]),
    # kinds
    ('kind = "tweezers"\n', "", [
        'must say kind = "tweezers" or kind = "dipoles" or kind = "oscillators" or kind = "array".',
    ]),
    ('"tweezers"', '"Tweezers"', [
        'line 3: must say kind = "tweezers" or kind = "dipoles" or kind = "oscillators" or kind = "array", '
        "but says kind = 'Tweezers'.",
    ]),
    ('"tweezers"', "3", [
        'line 3: must say kind = "tweezers" or kind = "dipoles" or kind = "oscillators" or kind = "array", '
        "but says kind = 3.",
    ]),
    # tables
    ("[gas]", "[[gas]]", [
        "line 16: gas: must be a table [gas], but is [{'pressure': '10 mbar', 'temperature': '300 K'}].",
    ]),
    ("[[particle]]", "[[particles]]", ["line 20: particles: is not a known field; did you mean `particle`."]),
    ("[[particle]]", "[particle]", [
        "line 29: cannot be read as TOML: '[[particle]]'; this table is there already; tables of particles have double "
        "brackets, [[particle]].",
    ]),
    ("[gas]", "[light]", ["line 16: cannot be read as TOML: '[light]'; this key is there already."]),
    # text that is not TOML
    ('waist = "0.8 um"', 'waist = "0.8 um"\nwaist = "0.9 um"', [
        "line 15: cannot be read as TOML: 'waist = \"0.9 um\"'; this key is there already.",
    ]),
    ("1.45", "1,45", [
        "line 23: cannot be read as TOML: 'refractive_index = 1,45'; write a decimal point, not a comma.",
    ]),
    ('"1064 nm"', "1064 nm", [
        "line 13: cannot be read as TOML: 'wavelength = 1064 nm'; put quotes around a number with its unit.",
    ]),
    ('"1064 nm"', "“1064 nm”", [
        "line 13: cannot be read as TOML: 'wavelength = “1064 nm”'; use straight quotes.",
    ]),
    ("name =", "name:", [
        "line 2: cannot be read as TOML: 'name: \"pair\"'; expected '=' after a key in a key/value pair at "
        "column 5.",
    ]),
    # lengths, temperatures, angles
    ('"1064 nm"', '"1064 nW"', ['line 13: light.wavelength: must be a length, such as "1064 nm", but is \'1064 nW\'.']),
    ('"0.8 um"', '"0,8 um"', [
        'line 14: light.waist: must have a decimal point, not a comma, such as "1064 nm", but is \'0,8 um\'.',
    ]),
    ('"300 K"', "300", ['line 18: gas.temperature: must have a unit, such as "300 K", but is 300.']),
    ('"300 K"', '"300"', ["line 18: gas.temperature: must have a unit, such as \"300 K\", but is '300'."]),
    ('"300 K"', '"20 °C"', ["line 18: gas.temperature: must be in kelvin, such as \"300 K\", but is '20 °C'."]),
    ('"300 K"', "nan", ['line 18: gas.temperature: must have a unit, such as "300 K", but is nan.']),
    ('"300 K"', '"nan K"', [
        "line 18: gas.temperature: must be a number and a unit, such as \"300 K\", but is 'nan K'.",
    ]),
    ('"300 K"', "1979-05-27", [
        'line 18: gas.temperature: must be a number with a unit, such as "300 K", but is datetime.date(1979, 5, 27).',
    ]),
    ('"300 K"', '{ value = 300 }', [
        "line 18: gas.temperature: must be a number with a unit, such as \"300 K\", but is {'value': 300}.",
    ]),
    ('"45 deg"', "45", ['line 26: particle[0].phase: must have a unit, such as "45 deg", but is 45.']),
    ('"10 mbar"', '"-10 mbar"', ["line 17: gas.pressure: must be zero or positive, but is '-10 mbar'."]),
    ('"105 nm"', '"0 nm"', ["line 21: particle[0].radius: must be positive, but is '0 nm'."]),
    ("1.45", "1.0", ["line 23: particle[0].refractive_index: must be greater than 1, but is 1.0."]),
    ("1.45", '"1.45"', ["line 23: particle[0].refractive_index: must be a number, without quotes, but is '1.45'."]),
    ("1.45", "nan", ["line 23: particle[0].refractive_index: must be a finite number, but is nan."]),
    # positions
    ('["0 um", "0 um"]', '["0 um", "0 um", "0 um"]', [
        "line 24: particle[0].position: must have at most 2 elements, but has 3.",
    ]),
    ('["0 um", "0 um"]', '["0 um"]', ["line 24: particle[0].position[1]: is missing from the list."]),
    ('["0 um", "0 um"]', '"0 um"', ["line 24: particle[0].position: must be a list, but is '0 um'."]),
    ('["0 um", "0 um"]', "[0, 1]", [
        'line 24: particle[0].position[0]: must have a unit, such as "1064 nm", but is 0.',
        'line 24: particle[0].position[1]: must have a unit, such as "1064 nm", but is 1.',
    ]),
    # alternatives
    ("refractive_index = 1.45", "refractive_index = 1.45\npermittivity = 2.1", [
        "line 20: particle[0]: needs either `refractive_index` or `permittivity`, and not both.",
    ]),
    ('power = "0.3 W"\n', "", ["line 29: particle[1]: needs either `power` or `peak_field`, and not both."]),
    # the run
    ("n_steps = 2000", "n_steps = 1e5", [
        "line 40: run.n_steps: must be a whole number, without quotes, point or exponent, but is 100000.0.",
    ]),
    ("n_steps = 2000", "n_steps = 2000.0", [
        "line 40: run.n_steps: must be a whole number, without quotes, point or exponent, but is 2000.0.",
    ]),
    ("n_steps = 2000", 'n_steps = "2000"', [
        "line 40: run.n_steps: must be a whole number, without quotes, point or exponent, but is '2000'.",
    ]),
    ("n_steps = 2000", "n_steps = true", [
        "line 40: run.n_steps: must be a whole number, without quotes, point or exponent, but is True.",
    ]),
    ("n_trajectories = 512", "n_trajectories = 0", ["line 41: run.n_trajectories: must be at least 1, but is 0."]),
    ("seed = 1", "seed = -1", ["line 42: run.seed: must be at least 0, but is -1."]),
    ("seed = 1", f"seed = {2**63}", [
        "line 42: run.seed: must be less than 9223372036854775808, but is 9223372036854775808.",
    ]),
    ("seed = 1", 'initial = "Thermal"', [
        "line 42: run.initial: must be 'thermal', 'stationary', 'rest' or 'ground', but is 'Thermal'.",
    ]),
    ('"2 us"', "2e-6", ['line 39: run.step: must have a unit, such as "2 us", but is 2e-06.']),
    ('"2 us"', '"500 kHz"', ["line 39: run.step: must be a time, such as \"2 us\", but is '500 kHz'."]),
]  # fmt: skip


OSCILLATOR_MISTAKES = [
    ('"6283 1/s"', '"100 kHz"', [
        "line 8: particle[0].damping_rate: is a rate, and '100 kHz' could mean \"100000 1/s\" or \"628319 1/s\"; "
        "write the one meant.",
    ]),
    ('"55 kHz"', '"55000 1/s"', [
        "line 7: particle[0].frequency: must be in Hz (cycles) or rad/s, such as \"55 kHz\", but is '55000 1/s'.",
    ]),
    ('"9 fg"', '"-9 fg"', ["line 6: particle[0].mass: must be positive, but is '-9 fg'."]),
    ('mass = "9 fg"\n', "", [
        "line 5: particle[0]: needs `mass`, as `frequency` and `damping_rate` are per mass.",
    ]),
    ('damping_rate = "6283 1/s"', "quality_factor = 10", [
        "line 8: particle[0].quality_factor: is not a known field; known here are `mass`, `stiffness`, `frequency`, "
        "`friction`, `damping_rate`, `bath_temperature`, `bath`, `cubic_stiffness`, `trap`, `trap_length`.",
    ]),
    ("kind =", 'dynamics = "overdamped"\nkind =', [
        'line 6: particle[0] needs `friction`, as dynamics = "overdamped".',
    ]),
    ("kind =", 'dynamics = "brownian"\nkind =', [
        "line 2: dynamics: must be 'underdamped' or 'overdamped', but is 'brownian'.",
    ]),
    ("kind =", 'units = "si"\nkind =', ["line 2: units: must be 'SI' or 'reduced', but is 'si'."]),
    # the coupling
    ('"0.1 uN/m"', "1e-7", [
        'line 3: coupling: element [0][1] must have a unit, such as "1 uN/m", but is 1e-07.',
    ]),
    (COUPLING, '["0.1 uN/m", "0 N/m"]', [
        "line 3: coupling: must be a list of rows, each a list of numbers, but is ['0.1 uN/m', '0 N/m'].",
    ]),
    (COUPLING, "[]", ["line 3: coupling: must be square, but has 0 rows, of lengths []."]),
    ('["0 N/m", "0 N/m"]]', '["0 N/m", "0 N/m"], ["0 N/m", "0 N/m"]]', [
        "line 3: coupling: must be square, but has 3 rows, of lengths [2, 2, 2].",
    ]),
    (COUPLING, '{ unit = "N/m", values = [[0, 0, 0], [0, 0, 0], [0, 0, 0]] }', [
        "line 3: `coupling` must be 2 x 2 for 2 particles, but is 3 x 3.",
    ]),
    ('[["0 N/m"', '[["1 uN/m"', [
        "line 3: `coupling` must have a zero diagonal, but coupling[0, 0] is 1e-06; add it to stiffness[0], with the "
        "opposite sign.",
    ]),
    # the noise
    ("kind =", 'momentum_diffusion = { unit = "N^2*s", values = [[1e-44, 3e-44], [3e-44, 1e-44]] }\nkind =', [
        "line 2: `momentum_diffusion` must be positive semidefinite, but scaled to unit diagonal its smallest "
        "eigenvalue is -2 (largest 4).",
    ]),
    ("kind =", 'momentum_diffusion = { unit = "N^2*s", values = [[1e-44, 3e-45], [2e-45, 1e-44]] }\nkind =', [
        "line 2: `momentum_diffusion` must be symmetric, but element [0, 1] is 3e-45 and [1, 0] is 2e-45.",
    ]),
    ("kind =", 'momentum_diffusion = { unit = "N^2*s", values = [[-1e-44, 0], [0, 1e-44]] }\nkind =', [
        "line 2: `momentum_diffusion` must be positive semidefinite, but its diagonal element [0, 0] is -1e-44.",
    ]),
    ("kind =", 'momentum_diffusion = { unit = "N^2*s", values = [[0, 1e-45], [1e-45, 1e-44]] }\nkind =', [
        "line 2: `momentum_diffusion` must be positive semidefinite, but its diagonal element [0, 0] is 0 and element "
        "[0, 1] is 1e-45.",
    ]),
    # magnitudes that no computation survives
    ('"9 fg"', '"1e-300 kg"', [
        "These numbers hold one that is too large or too small to compute with; check the units and exponents.",
    ]),
    ('"55 kHz"', '"1e200 Hz"', [
        "These numbers hold one that is too large or too small to compute with; check the units and exponents.",
    ]),
]  # fmt: skip


REDUCED_MISTAKES = [
    ("mass = 1.0", 'mass = "1 kg"', [
        "line 10: particle[0].mass: must be a bare number, as the file has units = \"reduced\", but is '1 kg'.",
    ]),
    ("mass = 1.0", "mass = nan", ["line 10: particle[0].mass: must be finite, but is nan."]),
    ("mass = 1.0", "mass = 1e400", ["line 10: particle[0].mass: must be finite, but is inf."]),
    ("mass = 1.0", "mass = " + "9" * 400, [
        f"line 10: particle[0].mass: must be finite, but is {'9' * 57}...",
    ]),
    ("mass = 1.0", "mass = 0x" + "f" * 3900, [
        "line 10: particle[0].mass: must be finite, but is a number of thousands of digits.",
    ]),
    ("mass = 1.0", "mass = " + "9" * 5000, ["holds a number or word of more than 4000 characters."]),
    ("[0.0, 0.5]", "[0.0, nan]", ["line 4: coupling: element [0][1] must be finite, but is nan."]),
    ("[0.0, 0.5]", "[0.0, 0.5, 0.1]", ["line 4: coupling: must be square, but has 2 rows, of lengths [3, 2]."]),
]  # fmt: skip


@pytest.mark.parametrize("text", [TWEEZERS, OSCILLATORS, REDUCED])
def test_without_the_mistakes_they_load(text):
    assert parse(text).n_particles == len(tomllib.loads(text)["particle"])


@pytest.mark.parametrize(("old", "new", "expected"), TWEEZER_MISTAKES)
def test_mistakes_in_tweezers(old, new, expected):
    assert faults(change(TWEEZERS, old, new)) == expected


@pytest.mark.parametrize(
    ("old", "new", "start", "end"),
    [
        ('"0.8 um"', '"0.1 um"', "line 14: light.waist must be at least", "but is 1e-07 m."),
        ('"105 nm"', '"105 um"', "line 21: particle[0].radius must be at most 1.69341e-07 m", "but is 0.000105 m."),
        ('"2.261 um"', '"0.1 um"', "line 20: particle[0] and particle[1] overlap: ", "2.1e-07 m; move them apart."),
        ('"2.261 um"', '"1 um"', "line 20: particle[0] and particle[1] are too close for separate", "move them apart."),
        ('"10 mbar"', '"1 bar"\nmolar_mass = "4 g/mol"', "line 16: gas.viscosity is needed", "(Knudsen number 1.74)."),
        ('"2.261 um"', '"1e300 m"', "These numbers hold one that is too large", "check the units and exponents."),
    ],
)
def test_numbers_outside_the_model(old, new, start, end):
    sentence = fault(change(TWEEZERS, old, new))
    assert sentence.startswith(start)
    assert sentence.endswith(end)


@pytest.mark.parametrize(("old", "new", "expected"), OSCILLATOR_MISTAKES)
def test_mistakes_in_oscillators(old, new, expected):
    assert faults(change(OSCILLATORS, old, new)) == expected


@pytest.mark.parametrize(("old", "new", "expected"), REDUCED_MISTAKES, ids=range(len(REDUCED_MISTAKES)))
def test_mistakes_in_reduced_units(old, new, expected):
    assert faults(change(REDUCED, old, new)) == expected


def test_lines_are_right_behind_multi_line_text():
    """What looks like a table or a field inside a text does not shift the count."""
    decoy = "Look:\n[[particle]]\n[light]\nwavelength = 3\n[[particle]]\nradius = 4\n"
    for quotes in ('"""', "'''"):
        text = change(TWEEZERS, 'source = "none"', f"source = {quotes}\n{decoy}{quotes}")
        assert fault(change(text, '"1064 nm"', "1")).startswith("line 20: light.wavelength:")
        assert fault(change(text, '"105 nm"', "1")).startswith("line 28: particle[0].radius:")


def test_lines_of_dotted_keys_and_inline_tables():
    head, tail = TWEEZERS.split("[light]")
    tail = "[gas]" + tail.split("[gas]")[1]
    dotted = head + 'light.wavelength = "1064 nm"\nlight.waist = 3\n' + tail
    assert fault(dotted) == 'line 13: light.waist: must have a unit, such as "1064 nm", but is 3.'
    inline = head + 'light = { wavelength = "1064 nm", waist = 3 }\n' + tail
    assert fault(inline) == 'line 12: light.waist: must have a unit, such as "1064 nm", but is 3.'
    parse(dotted.replace("waist = 3", 'waist = "0.8 um"'))


def test_all_faults_are_told_at_once_in_the_order_of_their_lines():
    text = TWEEZERS.replace(" nm", " nW").replace("kg/m^3", "kg").replace("n_steps = 2000", "n_steps = 0")
    lines = [int(sentence.split(":")[0].removeprefix("line ")) for sentence in faults(text)]
    assert lines == [13, 21, 22, 30, 31, 40]


def test_of_many_faults_the_first_are_told():
    sentences = faults(OSCILLATORS + "".join(f"x{j} = 1\n" for j in range(100)))
    assert len(sentences) == 21
    assert sentences[-1] == "and 80 more."


def test_a_scenario_for_the_other_kind():
    """Every field is told to belong to the other kind; none gets a far-fetched suggestion."""
    sentences = faults(change(TWEEZERS, '"tweezers"', '"oscillators"'))
    assert sum('but of kind = "tweezers"' in sentence for sentence in sentences) == 2 + 2 * 7
    assert not any("did you mean" in sentence for sentence in sentences)


KNOWN = " or ".join(", ".join(f'"{kind}"' for kind in STATISTICS).rsplit(", ", 1))


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        ('statistics = ["foo"]', f": must be of kind {KNOWN}, but is of kind 'foo'."),
        ("statistics = [3]", f": must be a name or a table, of kind {KNOWN}, but is 3."),
        ("statistics = [{ window = 8 }]", f": must be of kind {KNOWN}, but tells none."),
        ('statistics = [{ kind = "correlations", lags = [] }]', ".lags: must not be empty; add at least one value."),
        ('statistics = [{ kind = "correlations", lag = [0] }]', ".lag: is not a known field; did you mean `lags`."),
        ('statistics = [{ kind = "moments", x = 1 }]', ".x: is not a known field; known here are `kind`, `window`."),
    ],
)
def test_mistakes_in_statistics_are_told_what_statistics_there_are(written, sentence):
    found = fault(OSCILLATORS.replace("[run]", f"[run]\n{written}"))
    assert "run.statistics[0]" in found
    assert found.endswith(sentence)
    assert "tweezers" not in found
    right = "statistics = ['moments', { kind = 'correlations', lags = [0] }]"  # the twin
    assert len(parse(OSCILLATORS.replace("[run]", f"[run]\n{right}")).run.statistics) == 2


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "[kind]\n", "kind = []"])
def test_files_without_a_scenario(text):
    assert "must say kind = " in fault(text)


@pytest.mark.parametrize(
    "particle", ["particle = []", "particle = {}", "particle = 1", "particle = [1]", "[[particle]]", ""]
)
def test_scenarios_without_particles(particle):
    text = f"name = 'x'\nkind = 'oscillators'\n{particle}\n"
    assert all("particle" in sentence for sentence in faults(text))


def test_a_stronger_model_is_named_where_the_far_field_does_not_reach():
    """The message says how wrong the couplings would be; the same file with the exact ones loads."""
    near = change(change(TWEEZERS, '"0.8 um"', '"0.4 um"'), '"2.261 um"', '"0.9 um"').replace('"90 deg"', '"0 deg"')
    sentence = fault(near)
    assert "too close for the far-field couplings, which are wrong by" in sentence
    assert sentence.endswith('move them apart or set light.binding = "exact".')
    parse(change(near, "[gas]", 'binding = "exact"\n[gas]'))


# ---------------------------------------------------------------------- in Python


def test_mistakes_in_python_name_the_class():
    with pytest.raises(ScenarioError, match=r"^Gas: pressure: must be zero or positive, but is -1.0.$"):
        Gas(pressure=-1.0, temperature=300.0)
    with pytest.raises(ScenarioError, match=r"^Oscillator: masss: is not a known field; did you mean `mass`.$"):
        Oscillator(mass=1.0, stiffness=1.0, friction=1.0, bath_temperature=1.0, masss=2.0)
    with pytest.raises(ScenarioError, match=r"^TweezerScenario: light: is missing; add a table .light.."):
        TweezerScenario(name="x", gas=Gas(pressure=1.0, temperature=300.0), particle=[])
    with pytest.raises(ScenarioError, match=r"^OscillatorScenario: `coupling` must be 1 x 1 for 1 particles"):
        OscillatorScenario(
            name="x",
            particle=[Oscillator(mass=1.0, stiffness=1.0, friction=1.0, bath_temperature=1.0)],
            coupling=[[0.0, 1.0], [1.0, 0.0]],
        )


def test_scenarios_are_frozen():
    scenario = parse(TWEEZERS)
    with pytest.raises(ValueError, match="frozen"):
        scenario.gas.pressure = 1.0
    with pytest.raises(ValueError, match="frozen"):
        scenario.name = "other"


@pytest.mark.parametrize("data", [None, [], "text", 3, {}, {"kind": "tweezers"}, {1: 2, "kind": "oscillators"}])
def test_data_that_are_no_scenario(data):
    with pytest.raises(ScenarioError):
        scenario_from_dict(data)


# ---------------------------------------------------------------------- files that cannot be read


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (bytes(range(256)), "line 2: is not text in UTF-8; save the file as UTF-8."),
        (TWEEZERS.encode("utf-16"), "line 1: is not text in UTF-8; save the file as UTF-8."),
        (change(TWEEZERS, "none", "Müller").encode("latin-1"), "line 4: is not text in UTF-8; save the file as UTF-8."),
        (b"#" * 1_000_001, "is larger than 1000000 bytes, too large for a scenario file."),
        (b"a = " + b"[" * 30 + b"]" * 30, "is nested more than 20 deep."),
        (b"a = " + b"[" * 100_000 + b"]" * 100_000, "is nested more than 20 deep."),
        (b"a = " + b"{a=" * 3000 + b"1" + b"}" * 3000, "is nested more than 20 deep."),
        (b".".join([b"a"] * 300_000) + b" = 1", "is nested more than 20 deep."),
        (b"[" + b".".join([b'"a"'] * 100_000) + b"]", "is nested more than 20 deep."),
        (b"a = 0x" + b"f" * 900_000, "holds a number or word of more than 4000 characters."),
    ],
    ids=["binary", "utf-16", "latin-1", "huge", "lists", "deep lists", "tables", "dotted", "quoted dotted", "digits"],
)
def test_files_that_are_refused_at_once(tmp_path, content, message):
    path = tmp_path / "my.toml"
    path.write_bytes(content)
    start = time.perf_counter()
    with pytest.raises(ScenarioError) as error:
        Scenario.from_toml(path)
    assert time.perf_counter() - start < 0.5
    assert str(error.value) == f"{path}: {message}"


def test_a_large_file_within_the_limit_loads(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(TWEEZERS + "#" * (files.LARGEST_FILE - len(TWEEZERS)), encoding="utf-8")
    assert Scenario.from_toml(path) == parse(TWEEZERS)


@pytest.mark.parametrize(
    "text", ['"\\' * 400_000, "''' " * 240_000, "a." * 19 + "a ", ("a" * 3999 + " ") * 200, "[a]\n" * 9]
)
def test_nothing_that_looks_deep_or_long_takes_long(text):
    start = time.perf_counter()
    with pytest.raises(ScenarioError):
        parse(text)
    assert time.perf_counter() - start < 0.5


def test_missing_files(tmp_path):
    (tmp_path / "pair.toml").write_text(TWEEZERS, encoding="utf-8")
    Scenario.from_toml(tmp_path / "pair.toml")
    for path, message in {
        tmp_path / "pear.toml": f"there is no such file; did you mean {tmp_path / 'pair.toml'}.",
        tmp_path / "other.toml": "there is no such file.",
        tmp_path / "none" / "pair.toml": "there is no such file.",
        tmp_path / "pair.toml" / "x": "cannot be read: Not a directory.",
        tmp_path: "is a directory; give a scenario file.",
        tmp_path / ("x" * 300): "cannot be read: File name too long.",
        tmp_path / "a\0b": "cannot be read: embedded null byte.",
    }.items():
        with pytest.raises(ScenarioError) as error:
            Scenario.from_toml(path)
        assert str(error.value) == f"{path}: {message}"


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="needs /dev/zero")
def test_a_file_without_end_is_not_read_to_its_end():
    with pytest.raises(ScenarioError, match="is larger than"):
        Scenario.from_toml("/dev/zero")


# ---------------------------------------------------------------------- files are data

AUDIT = """
import sys
from pathlib import Path
from stochbind.scenario import Scenario

twin, warm, *paths = sys.argv[1:]
Scenario.from_toml(warm)  # what is imported late is imported now
events = []

def hook(event, arguments):
    if watching:
        events.append((event, str(arguments[0]) if arguments else ""))

watching = False
sys.addaudithook(hook)
outcome = []
for path in paths:
    watching = True
    try:
        Scenario.from_toml(path)
        told = "loads"
    except ValueError as error:
        told = str(error)
    watching = False
    outcome.append((Path(path).name, told))
if twin == "twin":
    watching = True
    eval("1 + 1")
    watching = False
print(repr((outcome, events)))
"""


def audited(*arguments):
    command = [sys.executable, "-W", "error", "-c", AUDIT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""
    return eval(done.stdout)


HOSTILE = """\
name = "$(touch owned) `touch owned` {0.__class__.__mro__} %(x)s"
kind = "oscillators"
include = "secret.toml"
"!python/object" = "os.system"
source = "file:///etc/passwd"

[[particle]]
mass = "__import__('os').system('touch owned') kg"
stiffness = "9**9**9**9 N/m"
friction = "open('secret.toml').read() kg/s"
bath_temperature = "300 K\\u0000../../secret.toml"
"""


def test_reading_a_file_executes_nothing_and_opens_no_other(tmp_path):
    hostile = tmp_path / "hostile.toml"
    hostile.write_text(HOSTILE, encoding="utf-8")
    (tmp_path / "secret.toml").write_text("name = 'secret'", encoding="utf-8")
    warm = tmp_path / "warm.toml"
    silicon = next(path for path in SHIPPED if path.stem == "silicon_pair")  # needs what is imported when first used
    warm.write_text(silicon.read_text(encoding="utf-8"), encoding="utf-8")
    outcome, events = audited("real", warm, *SHIPPED, hostile)
    assert outcome[:-1] == [(path.name, "loads") for path in SHIPPED]
    assert "include: is not a known field" in outcome[-1][1]
    opened = [name for event, name in events if event == "open"]
    assert opened == [str(path) for path in (*SHIPPED, hostile)]
    harmless = {"open", "object.__getattr__", "sys._getframe", "code.__new__"}
    assert {event for event, _ in events} <= harmless, sorted({event for event, _ in events})
    assert not (tmp_path / "owned").exists()


def test_the_audit_would_notice(tmp_path):
    """The twin evaluates an expression of its own: the hook sees it."""
    _, events = audited("twin", SHIPPED[0], SHIPPED[0])
    assert {"compile", "exec"} <= {event for event, _ in events}


# ---------------------------------------------------------------------- whatever the file

scalars = (
    st.integers()
    | st.integers(-(10**30), 10**30)
    | st.sampled_from([0, 1, -1, 2**63, 10**400, -(10**400)])
    | st.floats()
    | st.booleans()
    | st.text(max_size=30)
    | st.dates()
    | st.times()
    | st.datetimes()
    | st.sampled_from(
        ["tweezers", "oscillators", "reduced", "SI", "overdamped", "exact", "stationary", "", "300", "nan K"]
    )
    | st.builds(
        "{} {}".format,
        st.floats() | st.integers(-5, 5),
        st.sampled_from(
            ["m", "nm", "kHz", "1/s", "rad/s", "deg", "N/m", "fg", "kg/m^3", "mbar", "K", "degC", "dBm", "", "**"]
        ),
    )
)
keys = st.text(max_size=5) | st.sampled_from(
    [
        "kind",
        "units",
        "mass",
        "frequency",
        "radius",
        "position",
        "coupling",
        "momentum_diffusion",
        "unit",
        "values",
        "run",
    ]
)
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)


def places(data):
    """Every place in nested data, as (container, key)."""
    found = []
    for key in list(data) if isinstance(data, dict) else range(len(data)):
        found.append((data, key))
        if isinstance(data[key], (dict, list)):
            found += places(data[key])
    return found


@st.composite
def mutated(draw):
    """A scenario that loads, with a few values dropped, added or replaced."""
    data = tomllib.loads(draw(st.sampled_from([TWEEZERS, OSCILLATORS, REDUCED])))
    for _ in range(draw(st.integers(1, 3))):
        candidates = places(data)
        if not candidates:
            break
        container, key = candidates[draw(st.integers(0, len(candidates) - 1))]
        match draw(st.sampled_from(["drop", "replace", "replace", "replace", "add", "double"])):
            case "drop":
                del container[key]
            case "replace":
                container[key] = draw(junk)
            case "add" if isinstance(container, dict):
                container[draw(keys)] = draw(junk)
            case _ if isinstance(container, list):
                container.append(container[key])
    return tomli_w.dumps(data)


def check_that_it_loads_or_is_told(read):
    """Load, or refuse with a ScenarioError of plain printable lines; nothing else, and at once."""
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            read()
        except ScenarioError as error:
            assert time.perf_counter() - start < 2
            sentences = str(error).split("\n")
            assert len(sentences) <= 21
            for sentence in sentences:
                assert sentence.isprintable()
                assert len(sentence) < 600
                assert not {"Traceback", "<class", "pydantic", "object at 0x"} & set(sentence.split())
        else:
            return True
    return False


@given(text=mutated())
@example(text=change(REDUCED, "mass = 1.0", "mass = 5e-324"))
@fuzzing
def test_any_change_to_a_scenario_loads_or_is_told(text):
    check_that_it_loads_or_is_told(lambda: parse(text, "my.toml"))


pieces = st.sampled_from(
    [
        *('"', "'", "[", "]", "{", "}", "=", ",", ".", "\n", "\r", "\t", " ", "#", "\\", '"""', "'''", "[[", "]]"),
        *("\\u0000", "\\uD800", "\0", "\x7f", "\u2028", "\x85", "\ufeff", "é", "nan", "-inf", "1e400", "0b1", "1_0"),
        *("1979-05-27", "24:61:61", "true", "a.b.c", "[particle]", "[[particle]]", "[run.x]", "gas.x = 1", '"" = 1'),
        *("0x" + "f" * 5000, "a." * 30),
    ]
)


@st.composite
def torn(draw):
    """The bytes of a scenario with some cut out, inserted, doubled or changed; or any bytes."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=200))
    content = draw(st.sampled_from([TWEEZERS, OSCILLATORS, REDUCED])).encode()
    for _ in range(draw(st.integers(1, 3))):
        here = draw(st.integers(0, len(content)))
        there = min(here + draw(st.integers(0, 60)), len(content))
        middle = draw(
            st.sampled_from([b"", content[here:there] * 2]) | pieces.map(str.encode) | st.binary(min_size=1, max_size=3)
        )
        content = content[:here] + middle + content[there:]
    return content


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("torn") / "my.toml"


@given(content=torn())
@example(content=TWEEZERS.encode().replace(b"kind", b"kind = 0x" + b"f" * 5000 + b"\nx"))
@fuzzing
def test_any_bytes_load_or_are_told(scratch, content):
    scratch.write_bytes(content)
    check_that_it_loads_or_is_told(lambda: Scenario.from_toml(scratch))


def test_the_fuzz_reaches_both_outcomes():
    """Neither test above is idle: unchanged files load, and some changed ones do not."""
    assert check_that_it_loads_or_is_told(lambda: parse(TWEEZERS))
    assert not check_that_it_loads_or_is_told(lambda: parse(change(TWEEZERS, "waist", "wiast")))
    with pytest.raises(TypeError):
        check_that_it_loads_or_is_told(lambda: parse(TWEEZERS) + 1)
    with pytest.raises(UserWarning):
        check_that_it_loads_or_is_told(lambda: warnings.warn("something", stacklevel=1))


def test_units_are_refused_in_reduced_scenarios_made_in_python():
    particle = {"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.1, "bath_temperature": 1.0}
    assert OscillatorScenario(name="pair", units="reduced", particle=[particle]).reduced
    with pytest.raises(ScenarioError, match="bare number"):
        OscillatorScenario(name="pair", units="reduced", particle=[{**particle, "mass": "9 fg"}])


# ---------------------------------------------------------------------- tables of which there are several kinds

WAVES = """\
name = "sphere in light"
kind = "dipoles"
motion = ["x", "z"]

[light]
wavelength = "1064 nm"

[[wave]]
kind = "plane"
direction = [0.0, 0.0, 1.0]
polarization = [1.0, 0.0, 0.0]
intensity = "1 mW/um^2"

[[wave]]
kind = "tweezer"
direction = [0.0, 0.0, 1.0]
polarization = [0.0, 1.0, 0.0]
power = "0.3 W"
waist = "0.8 um"
focus = ["0 um", "0 um", "0 um"]

[gas]
pressure = "10 mbar"
temperature = "300 K"

[[particle]]
radius = "75 nm"
density = "1850 kg/m^3"
refractive_index = 1.45
position = ["0 um", "0 um", "0 um"]
"""
NO_WAVE = WAVES[: WAVES.index("[[wave]]")] + WAVES[WAVES.index("[gas]") :]
NO_PARTICLE = WAVES[: WAVES.index("[[particle]]")]
PERPENDICULAR = "choose a vector perpendicular to `direction`; set `ellipticity` for circular light"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (
            WAVES.replace("direction = [0.0, 0.0, 1.0]", "direction = [0, 0, 0]", 1),
            "line 10: wave[0].direction: must not be zero, but is [0, 0, 0]; give a vector along the wave.",
        ),
        (
            WAVES.replace("[0.0, 1.0, 0.0]", "[0.0, 0.0, 0.0]"),
            "line 17: wave[1].polarization: must not be zero, but is [0, 0, 0]; give a vector perpendicular to "
            "`direction`.",
        ),
        (
            WAVES.replace("[0.0, 1.0, 0.0]", "[0.0, 0.0, 1.0]"),
            "line 17: wave[1].polarization: must be perpendicular to `direction`, but its component along it is 1 of "
            f"its length; {PERPENDICULAR}.",
        ),
        (
            WAVES.replace("[0.0, 1.0, 0.0]", "[0.0, 4e200, 3e200]"),
            "line 17: wave[1].polarization: must be perpendicular to `direction`, but its component along it is 0.6 of "
            f"its length; {PERPENDICULAR}.",
        ),
        (
            WAVES.replace('"0.8 um"', '"0.3 um"'),
            "line 19: wave[1].waist: must be at least half the wavelength, 5.32e-07 m, but is 3e-07 m: the paraxial "
            "approximation fails for a tighter focus.",
        ),
        (
            WAVES.replace('intensity = "1 m', 'ellipticity = "50 deg"\nintensity = "1 m'),
            "line 12: wave[0].ellipticity: must be between -45 deg and 45 deg, but is 50 deg.",
        ),
        (
            WAVES.replace('kind = "plane"', 'kind = "plane"\nwaist = "1 um"'),
            'line 10: wave[0].waist: is not a field of kind = "plane", but of kind = "tweezer".',
        ),
        (
            WAVES.replace('["x", "z"]', '["z", "x"]'),
            "line 3: motion must name each axis once, in the order x, y, z, but is ['z', 'x'].",
        ),
        (NO_WAVE, "wave: is missing; add a table [[wave]] for each wave."),
        (NO_PARTICLE, "particle: is missing; add a table [[particle]] for each particle."),
        (
            NO_WAVE.replace("[gas]", '[wave]\nkind = "plane"\n[gas]'),
            "line 8: wave: must be a table [[wave]] for each wave, in double brackets; write [[wave]] in place of "
            "[wave].",
        ),
        (
            NO_PARTICLE + '[particle]\nradius = "75 nm"\n',
            "line 26: particle: must be a table [[particle]] for each particle, in double brackets; write [[particle]] "
            "in place of [particle].",
        ),
        ("wave = []\n" + NO_WAVE, "line 1: wave: must not be empty; add a table [[wave]] for each wave."),
        (
            'wave = ["plane"]\n' + NO_WAVE,
            'line 1: wave[0]: must be a table, of kind "plane" or "tweezer", but is \'plane\'.',
        ),
        (
            WAVES.replace("motion", 'waist = "1 um"\nmotion'),
            "line 3: waist: is not a known field here, but in a table [[wave]] for each wave.",
        ),
    ],
)
def test_faults_of_waves_name_table_line_and_fix(text, sentence):
    with pytest.raises(ScenarioError) as caught:
        parse(text, "my.toml")
    assert str(caught.value) == f"my.toml: {sentence}"


def test_the_waves_that_are_right_are_taken():
    assert [wave.kind for wave in parse(WAVES).wave] == ["plane", "tweezer"]


def test_a_wave_is_not_blamed_for_the_wavelength():
    with pytest.raises(ScenarioError) as caught:
        parse(WAVES.replace('"1064 nm"', '"-1 nm"'), "my.toml")
    assert str(caught.value) == "my.toml: line 6: light.wavelength: must be positive, but is '-1 nm'."
