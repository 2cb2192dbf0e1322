"""Sweeps: every point is the scenario that one would have written by hand, and every mistake is told."""

import copy
import json
import math
import os
import pickle
import re
import time
import tomllib
import tracemalloc
import warnings

import numpy as np
import pytest
import tomli_w
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from stochbind import Plan, Scenario
from stochbind.errors import ScenarioError
from stochbind.scenario import Axis, Sweep, json_schema, parse, read_any, sweeps

TWEEZERS = """\
name = "pair"
kind = "tweezers"

[light]
wavelength = "1064 nm"
waist = "0.8 um"

[gas]
pressure = "10 mbar"
temperature = "300 K"

[[particle]]
radius = "75 nm"
density = "1850 kg/m^3"
refractive_index = 1.45
position = ["0 um", "0 um"]
power = "0.25 W"
phase = "45 deg"
polarization = "90 deg"

[[particle]]
radius = "75 nm"
density = "1850 kg/m^3"
refractive_index = 1.45
position = ["2.261 um", "0 um"]
power = "0.3 W"
polarization = "90 deg"

[run]
step = "2 us"
n_steps = 2000
n_trajectories = 512
seed = 7
"""
REDUCED = """\
name = "pair"
kind = "oscillators"
units = "reduced"
coupling = [[0.0, 0.5], [0.2, 0.0]]

[[particle]]
mass = 1.0
stiffness = 1.0
damping_rate = 0.3
bath_temperature = 1.0

[[particle]]
mass = 2.0
frequency = 1.0
damping_rate = 0.3
bath_temperature = 0.8
"""
#: First line of what is added to TWEEZERS.
FIRST = TWEEZERS.count("\n") + 1
FUZZ = int(os.environ.get("STOCHBIND_FUZZ", "300"))
fuzzing = settings(
    max_examples=FUZZ, deadline=None, derandomize=FUZZ < 1000, suppress_health_check=list(HealthCheck), database=None
)


def axis(parameter, values, **more):
    return {"parameter": parameter, "values": values, **more}


def text(*axes, base=TWEEZERS, **options):
    """A file with a sweep over these axes."""
    return base + tomli_w.dumps({"sweep": {**options, "axis": list(axes)}})


def sweep(*axes, **options):
    return Sweep.parse(text(*axes, **options), "my.toml")


def faults(content):
    """The sentences with which a text is refused, without the name of the file and the numbers of lines."""
    with pytest.raises(ScenarioError) as error:
        Sweep.parse(content, "my.toml")
    lines = str(error.value).split("\n")
    assert all(line.startswith("my.toml: ") for line in lines)
    return [line.removeprefix("my.toml: ") for line in lines]


def fault(*axes, **options):
    """The only sentence, from the path of the field on."""
    (only,) = faults(text(*axes, **options))
    return only.split(": ", 1)[1] if only.startswith("line ") else only


def edited(old, new, *, seed, base=TWEEZERS):
    """The scenario with one word of its file changed by hand."""
    assert old in base
    changed = parse(base.replace(old, new, 1))
    return changed.model_copy(update={"run": changed.run.model_copy(update={"seed": seed})})


# ---------------------------------------------------------------------- points


def test_points_are_the_files_that_one_would_write():
    found = sweep(
        axis("particle[0].phase", ["0 rad", "0.5 rad", "30 deg"]),
        axis("gas.pressure", ["10 mbar", "1e-3 mbar"]),
    )
    assert found.shape == (3, 2)
    assert found.size == 6
    assert found.base == parse(TWEEZERS)
    for index, (phase, pressure) in enumerate(
        (phase, pressure) for phase in ("0 rad", "0.5 rad", "30 deg") for pressure in ("10 mbar", "1e-3 mbar")
    ):
        by_hand = TWEEZERS.replace('"10 mbar"', f'"{pressure}"')
        by_hand = edited('"45 deg"', f'"{phase}"', seed=7 + index, base=by_hand)
        assert found.point(index) == by_hand
        assert found.point(index) != found.point((index + 1) % 6)
    # the twin: the other order of the axes
    assert found.point(1) != sweep(*reversed(tomllib.loads(text(
        axis("particle[0].phase", ["0 rad", "0.5 rad", "30 deg"]), axis("gas.pressure", ["10 mbar", "1e-3 mbar"])
    ))["sweep"]["axis"])).point(1)  # fmt: skip


def test_the_last_axis_runs_fastest_as_in_numpy():
    found = sweep(
        axis("gas.pressure", ["1 Pa", "2 Pa"]),
        axis("run.n_steps", [10, 20, 30]),
        axis("particle[0].phase", ["0 rad", "1 rad"]),
    )
    grid = np.meshgrid(*(each.values for each in found.axes), indexing="ij")
    for index in range(found.size):
        assert found.indices(index) == tuple(np.unravel_index(index, found.shape))
        flat = [float(each.ravel()[index]) for each in grid]
        assert list(found.coordinates(index).values()) == flat
        point = found.point(index)
        assert [point.gas.pressure, point.run.n_steps, point.particle[0].phase] == flat
    assert list(found.coordinates(0)) == ["pressure", "n_steps", "phase"]


def test_the_physics_of_a_point_is_that_of_its_parameters():
    """One-way coupling at k d = 4 pi + pi/4 and a phase difference of pi/4, reversed at -pi/4, reciprocal at 0."""
    found = sweep(axis("particle[0].phase", ["45 deg", "0 deg", "-45 deg"]))
    one_way, reciprocal, reversed_way = (found.point(index).oscillators().coupling for index in range(3))
    assert abs(one_way[1, 0]) < 1e-3 * abs(one_way[0, 1])
    assert abs(reversed_way[0, 1]) < 1e-3 * abs(reversed_way[1, 0])
    assert reciprocal[0, 1] == pytest.approx(reciprocal[1, 0], rel=1e-9, abs=0)


def test_coordinates_are_in_si_with_their_unit():
    found = sweep(
        axis("light.waist", ["0.8 um", "1 um"]),
        axis("particle[*].refractive_index", [1.4, 1.5]),
        axis("run.seed", [3, 9]),
        axis("light.binding", ["exact", "far_field"]),
        axis("run.ledger", [False, True]),
    )
    assert [each.name for each in found.axes] == ["waist", "refractive_index", "seed", "binding", "ledger"]
    assert [each.unit for each in found.axes] == ["m", "", "", "", ""]
    assert [each.values.dtype.kind for each in found.axes] == ["f", "f", "i", "U", "U"]
    assert [each.values.tolist() for each in found.axes] == [
        [0.8e-6, 1e-6], [1.4, 1.5], [3, 9], ["exact", "far_field"], ["false", "true"],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="read-only"):
        found.axes[0].values[0] = 1.0
    last = found.point(found.size - 1)
    assert (last.light.waist, last.run.seed, last.light.binding, last.run.ledger) == (1e-6, 9, "far_field", True)
    assert [each.refractive_index for each in last.particle] == [1.5, 1.5]


@pytest.mark.parametrize(
    ("parameter", "value", "si", "unit"),
    [
        ("particle[0].radius", "70 nm", 7e-8, "m"),
        ("particle[1].position[0]", "2.5 um", 2.5e-6, "m"),
        ("particle[0].bath_temperature", "1 mK", 1e-3, "K"),  # unset in the file
        ("gas.viscosity", "18 uPa*s", 1.8e-5, "Pa*s"),  # unset
        ("run.step", "1 us", 1e-6, "s"),
        ("run.save_every", 10, 10, ""),  # unset
        ("run.solver", "strang", "strang", ""),
        ("run.allowed_bias", 0.1, 0.1, ""),
    ],
)
def test_any_field_can_be_swept(parameter, value, si, unit):
    found = sweep(axis(parameter, [value], name="it"))
    assert found.axes[0].values.tolist() == [si]
    assert found.axes[0].unit == unit
    holder = found.point(0)
    *way, last = parameter.replace("]", "").replace("[", ".").split(".")
    for key in way:
        holder = holder[int(key)] if key.isdigit() else getattr(holder, key)
    assert (holder[int(last)] if last.isdigit() else getattr(holder, last)) == si


def test_elements_of_a_matrix_in_both_units():
    found = Sweep.parse(text(axis("coupling[1][0]", [0.25, -1.0]), base=REDUCED))
    assert found.point(1).coupling == ((0.0, 0.5), (-1.0, 0.0))
    assert found.axes[0].unit == ""
    si = REDUCED.replace('units = "reduced"\n', "").replace("[[0.0, 0.5], [0.2, 0.0]]", (
        '{ unit = "uN/m", values = [[0.0, 0.5], [0.2, 0.0]] }'
    ))  # fmt: skip
    units = {"mass": "kg", "stiffness": "N/m", "frequency": "Hz", "damping_rate": "1/s", "bath_temperature": "K"}
    for name, unit in units.items():
        si = re.sub(rf"{name} = ([\d.]+)", rf'{name} = "\1 {unit}"', si)
    found = Sweep.parse(text(axis("coupling[1][0]", ["0.3 uN/m"]), base=si))
    assert found.point(0).coupling == ((0.0, 5e-7), (3e-7, 0.0))
    assert found.axes[0].unit == "N/m"


def test_one_frequency_for_two_fields_means_what_it_means_to_each():
    """A frequency is kept in hertz and a rate in 1/s: one text, two numbers in SI."""
    base = """
name = "x"
kind = "oscillators"
[[particle]]
mass = "9 fg"
frequency = "55 kHz"
damping_rate = "6283 1/s"
bath_temperature = "300 K"
"""
    found = Sweep.parse(
        text(axis(["particle[0].frequency", "particle[0].damping_rate"], ["3e3 rad/s"], name="f"), base=base)
    )
    point = found.point(0).particle[0]
    assert point.damping_rate == 3e3
    assert point.frequency == pytest.approx(3e3 / (2 * math.pi), rel=1e-15, abs=0)


def test_parameters_move_together():
    found = sweep(
        axis("particle[0].phase", ["0 rad", "1 rad"], along=[
            axis(["particle[0].power", "particle[1].power"], ["0.2 W", "0.21 W"]),
            {"parameter": "gas.pressure", "start": "1 Pa", "stop": "2 Pa", "n": 2},
        ]),
        axis("particle[*].radius", ["70 nm", "80 nm"]),
    )  # fmt: skip
    assert found.shape == (2, 2)
    told = [
        (p.particle[0].phase, p.particle[0].power, p.particle[1].power, p.gas.pressure, p.particle[1].radius)
        for p in map(found.point, range(4))
    ]
    assert told == [
        (0.0, 0.2, 0.2, 1.0, 7e-8), (0.0, 0.2, 0.2, 1.0, 8e-8),
        (1.0, 0.21, 0.21, 2.0, 7e-8), (1.0, 0.21, 0.21, 2.0, 8e-8),
    ]  # fmt: skip
    assert [each.parameter for each in found.axes[0].settings] == [
        "particle[0].phase", "particle[0].power", "particle[1].power", "gas.pressure",
    ]  # fmt: skip


# ---------------------------------------------------------------------- grids


def test_grids_hold_the_numbers_that_one_would_write():
    """A decimal grid: 0.3 is 0.3 and not 0.30000000000000004, as it would be with floats."""
    grid = {"parameter": "coupling[0][1]", "start": 0.0, "stop": 1.0, "n": 11}
    values = Sweep.parse(text(grid, base=REDUCED)).axes[0].values
    assert values.tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
    assert values.tolist() != [k * 0.1 for k in range(11)]
    decades = {"parameter": "gas.pressure", "start": "1e-6 mbar", "stop": "1 mbar", "n": 7, "spacing": "logarithmic"}
    assert sweep(decades).axes[0].values.tolist() == [1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0]


@pytest.mark.parametrize("spacing", ["linear", "logarithmic"])
@given(
    ends=st.tuples(st.floats(1e-300, 1e300), st.floats(1e-300, 1e300)).filter(lambda pair: pair[0] != pair[1]),
    n=st.integers(2, 30),
    sign=st.sampled_from([1, -1]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_grids_are_those_of_numpy_to_rounding(spacing, ends, n, sign):
    start, stop = (sign * end for end in ends)
    values = sweeps.read_axes(*_grid_of(start, stop, n, spacing), None)[0][0].values
    expected = np.linspace(start, stop, n) if spacing == "linear" else np.geomspace(start, stop, n)
    assert values[0] == start
    assert values[-1] == stop
    # NumPy's own geomspace is good to rounding of the logarithms, which are of size 700
    np.testing.assert_allclose(values, expected, rtol=1e-12, atol=1e-15 * max(map(abs, ends)) * (spacing == "linear"))


def _grid_of(start, stop, n, spacing):
    from stochbind.scenario.sweep_tables import SweepTable

    table = {"parameter": "coupling[0][1]", "start": start, "stop": stop, "n": n, "spacing": spacing}
    return parse(REDUCED), SweepTable(axis=[table])


def test_whole_numbers_stay_whole():
    found = sweep({"parameter": "run.n_trajectories", "start": 1, "stop": 10**6, "n": 7, "spacing": "logarithmic"})
    assert found.axes[0].values.tolist() == [10**k for k in range(7)]
    assert found.axes[0].values.dtype == np.int64
    huge = sweep({"parameter": "run.seed", "start": 2**63 - 1, "stop": 2**63 - 3, "n": 3})
    assert huge.axes[0].values.tolist() == [2**63 - 1, 2**63 - 2, 2**63 - 3]
    assert fault({"parameter": "run.n_steps", "start": 1, "stop": 10, "n": 3}) == (
        "sweep.axis[0].n: `run.n_steps` must be a whole number, without quotes, point or exponent, but is 5.5."
    )


# ---------------------------------------------------------------------- seeds


def test_every_point_has_noise_of_its_own_unless_told_otherwise():
    phases = axis("particle[0].phase", ["0 rad", "1 rad", "2 rad"])
    own, same = sweep(phases), sweep(phases, same_noise=True)
    assert [own.point(index).run.seed for index in range(3)] == [7, 8, 9]
    assert [same.point(index).run.seed for index in range(3)] == [7, 7, 7]
    unset = text(phases).replace("seed = 7\n", "")
    assert [Sweep.parse(unset).point(index).run.seed for index in range(3)] == [0, 1, 2]
    plans = [Plan.from_scenario(own.point(index)) for index in range(3)]
    assert len({plan.fingerprint for plan in plans}) == 3


def test_seeds_that_are_swept_are_as_given():
    found = sweep(axis("particle[0].phase", ["0 rad", "1 rad"]), axis("run.seed", [5, 3]))
    assert [found.point(index).run.seed for index in range(4)] == [5, 3, 5, 3]


def test_seeds_must_fit():
    last = text(axis("particle[0].phase", ["0 rad", "1 rad"])).replace("seed = 7", f"seed = {2**63 - 2}")
    assert Sweep.parse(last).point(1).run.seed == 2**63 - 1
    (only,) = faults(last.replace(f"seed = {2**63 - 2}", f"seed = {2**63 - 1}"))
    assert only.endswith("run.seed: must leave room for the 2 seeds of the points below 2**63.")


# ---------------------------------------------------------------------- there and back

EXAMPLES = [
    text(axis("particle[0].phase", ["0 rad", "1 rad"]), axis("light.binding", ["exact", "far_field"])),
    text(axis("run.ledger", [True, False]), axis("run.seed", [2**62, 0]), same_noise=True),
    text(axis("particle[0].phase", ["0 rad", "1 rad"], along=[axis(["run.n_steps", "run.n_trajectories"], [1, 2])])),
    text({"parameter": "gas.pressure", "start": "1 Pa", "stop": "7 kPa", "n": 5, "spacing": "logarithmic"}),
    text(axis("coupling[0][1]", [0.1, -0.0]), axis("particle[*].bath_temperature", [0, 2.5]), base=REDUCED),
]


@pytest.mark.parametrize("content", EXAMPLES, ids=range(len(EXAMPLES)))
def test_writing_and_reading_change_nothing(content):
    found = Sweep.parse(content)
    as_text = json.dumps(found.to_dict(), sort_keys=True, allow_nan=False)
    again = Sweep.from_dict(json.loads(as_text))
    assert again == found
    assert hash(again) == hash(found)
    assert json.dumps(again.to_dict(), sort_keys=True) == as_text
    assert Sweep(found.base, found.axes, same_noise=found.same_noise) == found
    assert pickle.loads(pickle.dumps(found)) == found
    assert [again.point(index) for index in range(found.size)] == [found.point(index) for index in range(found.size)]


def test_the_comparison_tells_what_differs():
    found = sweep(axis("gas.pressure", ["1 Pa", "2 Pa"]))
    for other in (
        sweep(axis("gas.pressure", ["1 Pa", "2.0000000000000004 Pa"])),
        sweep(axis("gas.pressure", ["2 Pa", "1 Pa"])),
        sweep(axis("gas.pressure", ["1 Pa", "2 Pa"]), same_noise=True),
        sweep(axis("gas.pressure", ["1 Pa", "2 Pa"], name="p")),
        Sweep.parse(text(axis("gas.pressure", ["1 Pa", "2 Pa"])).replace('"1064 nm"', '"1063 nm"')),
    ):
        assert other != found
        assert other.to_dict() != found.to_dict()
    assert sweep(axis("gas.pressure", ["0.01 mbar", "2000 mPa"])) == found


def test_made_in_python():
    base = parse(TWEEZERS)
    made = Sweep(base, [axis("particle[0].phase", np.linspace(0.0, 1.0, 3)), axis("run.n_steps", np.array([1, 2]))])
    assert made == sweep(axis("particle[0].phase", ["0 rad", "0.5 rad", "1 rad"]), axis("run.n_steps", [1, 2]))
    assert all(isinstance(each, Axis) for each in made.axes)
    seeded = base.model_copy(update={"run": base.run.model_copy(update={"seed": 100})})
    assert Sweep(seeded, made.axes).point(1).run.seed == 101
    with pytest.raises(ScenarioError, match=r"^'pair': sweep.axis\[0\].parameter: there is no `gas.presure`; did you"):
        Sweep(base, [axis("gas.presure", [1.0])])
    with pytest.raises(ScenarioError, match=r"^'pair': point 1 \(particle\[1\].position\[0\] = 1e-08 m\): particle"):
        Sweep(base, [axis("particle[1].position[0]", [2.3e-6, 1e-8], name="distance")])
    with pytest.raises(ScenarioError, match="`base` must be a Scenario, but is 3; read it with from_toml"):
        Sweep(3, [])
    with pytest.raises(AttributeError, match="cannot assign"):
        made.base = base


def test_points_that_are_not_there():
    found = sweep(axis("gas.pressure", ["1 Pa", "2 Pa"]))
    for index, message in {-1: "must be at least 0", 2: "must be at most 1", 1.0: "whole number", "0": "whole"}.items():
        with pytest.raises(ScenarioError, match=f"`index` .*{message}"):
            found.point(index)
    assert found.point(np.int64(1)) == found.point(1)


@pytest.mark.parametrize("data", [None, [], {}, {"base": {}, "axis": [], "same_noise": False}, {"base": 1, "axis": 1}])
def test_data_that_are_no_sweep(data):
    with pytest.raises(ScenarioError, match=r"^somewhere: "):
        Sweep.from_dict(data, "somewhere")


def test_files_with_and_without_a_sweep(tmp_path):
    plain, swept = tmp_path / "plain.toml", tmp_path / "swept.toml"
    plain.write_text(TWEEZERS)
    swept.write_text(text(axis("gas.pressure", ["1 Pa"])))
    assert read_any(plain) == Scenario.from_toml(plain)
    assert read_any(swept) == Sweep.from_toml(str(swept))
    with pytest.raises(ScenarioError) as error:
        Scenario.from_toml(swept)
    assert str(error.value) == (
        f"{swept}: line {FIRST}: sweep: makes many scenarios of this one; read the file with Sweep.from_toml."
    )
    with pytest.raises(ScenarioError, match=r"has no \[sweep\] table; read it with Scenario.from_toml"):
        Sweep.from_toml(plain)
    with pytest.raises(ScenarioError, match="there is no such file"):
        read_any(tmp_path / "none.toml")


def test_editors_know_every_word_of_a_sweep():
    schema = json_schema()["$defs"]
    for kind in ("TweezerScenario", "OscillatorScenario"):
        assert schema[kind]["properties"]["sweep"] == {"$ref": "#/$defs/SweepTable"}
    assert set(schema["SweepTable"]["properties"]) == {"axis", "same_noise"}
    assert set(schema["AxisTable"]["properties"]) == {*schema["Along"]["properties"], "name", "along"}
    assert set(schema["Along"]["properties"]) == {"parameter", "values", "start", "stop", "n", "spacing"}
    assert all(schema[name]["additionalProperties"] is False for name in ("SweepTable", "AxisTable", "Along"))


# ---------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    ("parameter", "sentence"),
    [
        ("light.wavelenth", "there is no `light.wavelenth`; did you mean `light.wavelength`."),
        ("pressure", "there is no `pressure`; did you mean `gas.pressure`."),
        ("particle[0].phse", "there is no `particle[0].phse`; did you mean `particle[*].phase`."),
        ("n_steps", "there is no `n_steps`; did you mean `run.n_steps`."),
        ("zzz", "there is no `zzz`; there are `drive`, `run`, `light`, `gas`, `particle`, `lattice`."),
        ("gas.zzz", "there is no `gas.zzz`; in `gas` there are `pressure`, `temperature`, `molar_mass`, `viscosity`."),
        ("gas", "`gas` is a table; sweep one of its fields: in `gas` there are `pressure`, `temperature`, "
                "`molar_mass`, `viscosity`."),
        ("gas[0].pressure", "`gas` is one table and no list; leave out the index."),
        ("particle[2].phase", "there is no `particle[2]`; the last one is `particle[1]`."),
        ("particle.phase", "`particle` is a list; write `particle[0].phase`, or `particle[*].phase` for all."),
        ("particle", "`particle` is a list; sweep one element, such as `particle[0]`, or all, `particle[*]`."),
        ("particle[0].position", "`particle[0].position` is a list; sweep one element, such as "
                                 "`particle[0].position[0]`, or all, `particle[0].position[*]`."),
        ("particle[0].position[2]",
         "there is no `particle[0].position[2]`; the last one is `particle[0].position[1]`."),
        ("light.waist[0]", "`light.waist` has no parts, so `light.waist[0]` leads nowhere."),
        ("light.waist.x", "`light.waist` has no parts, so `light.waist.x` leads nowhere."),
        ("drive[0].force", "`drive` is empty in the scenario; give one, so that it can be swept."),
        ("gas.viscosity[0]",
         "`gas.viscosity` is not given in the scenario; give it, so that a part of it can be swept."),
        ("kind", "`kind` cannot be swept, as it makes another kind of scenario."),
        ("name", "`name` cannot be swept, as it changes no number."),
        ("", "must be a path, such as `particle[0].radius` or `run.seed`, but is ''."),
        ("particle[-1].phase",
         "must be a path, such as `particle[0].radius` or `run.seed`, but is 'particle[-1].phase'."),
        ("light.__class__", "there is no `light.__class__`; did you mean `light.waist`."),
        ("run.__init__.__globals__", "there is no `run.__init__.__globals__`; in `run` there are "),
    ],
)  # fmt: skip
def test_paths_that_lead_nowhere(parameter, sentence):
    told = fault(axis(parameter, ["1 Pa"]))
    start = f"sweep.axis[0].parameter: {sentence}"
    assert told == start or (sentence.endswith(" ") and told.startswith(start))


def test_what_cannot_be_swept_in_oscillators():
    for parameter, sentence in {
        "units": "`units` cannot be swept, as it changes the meaning of all other numbers.",
        "coupling": "`coupling` is a list; sweep one element, such as `coupling[0]`, or all, `coupling[*]`.",
        "coupling[0]": "`coupling[0]` is a list; sweep one element, such as `coupling[0][0]`, or all, "
        "`coupling[0][*]`.",
        "momentum_diffusion": "`momentum_diffusion` is a list; sweep one element, such as `momentum_diffusion[0]`, or "
        "all, `momentum_diffusion[*]`.",
        "momentum_diffusion[0][0]": "`momentum_diffusion` is not given in the scenario; give it, so that a part of it "
        "can be swept.",
    }.items():
        assert fault(axis(parameter, [1.0]), base=REDUCED) == f"sweep.axis[0].parameter: {sentence}"


@pytest.mark.parametrize(
    ("table", "sentence"),
    [
        (axis("gas.pressure", [1]), '.values[0]: `gas.pressure` must have a unit, such as "1e-3 mbar", but is 1.'),
        (axis("gas.pressure", ["1 Pa", "1 m"]), '.values[1]: `gas.pressure` must be a pressure, such as "1e-3 mbar", '
                                                "but is '1 m'."),
        (axis("gas.pressure", ["-1 Pa"]), ".values[0]: `gas.pressure` must be zero or positive, but is '-1 Pa'."),
        (axis("particle[*].refractive_index", [1.0]), ".values[0]: `particle[*].refractive_index` must be greater than "
                                                      "1, but is 1.0."),
        (axis("light.binding", ["exat"]), ".values[0]: `light.binding` must be 'far_field' or 'exact', but is 'exat'."),
        (axis("run.ledger", [1]), ".values[0]: `run.ledger` must be true or false, without quotes, but is 1."),
        (axis("run.n_steps", [2.5]), ".values[0]: `run.n_steps` must be a whole number, without quotes, point or "
                                     "exponent, but is 2.5."),
        (axis("run.n_steps", [10**30]), f".values[0]: `run.n_steps` must be less than 2**63, but is {10**30}."),
        (axis("run.allowed_bias", [math.nan]), ".values[0]: `run.allowed_bias` must be a finite number, but is nan."),
        (axis("light.waist", [["1 um"]]), ".values[0]: `light.waist` must be one number, text, true or false, but is "
                                          "['1 um']."),
        (axis("gas.pressure", ["1 Pa", "0.01 mbar"]), ".values: value 1 is the same as value 0, 1.0; each must be "
                                                      "another."),
        (axis("gas.pressure", []), ": has no values; give at least one."),
        (axis("gas.pressure", "1 Pa"), ".values: must be a list, but is '1 Pa'."),
        (axis(3, ["1 Pa"]), ".parameter[0]: must be text in quotes, but is 3."),
        (axis([], ["1 Pa"]), ".parameter: must not be empty; add at least one value."),
        (axis("gas.pressure", ["1 Pa"], n=3), ": has `values`, which go with no `n`; remove one of them."),
        ({"parameter": "gas.pressure"}, ": needs either `values`, or `start`, `stop` and `n`."),
        ({"parameter": "gas.pressure", "start": "1 Pa", "n": 3}, ": needs either `values`, or `start`, `stop` and `n`; "
                                                                 "`stop` is missing."),
        ({"values": ["1 Pa"]}, ".parameter: is missing; add `parameter = ...`."),
        (axis("gas.pressure", ["1 Pa"], nmae="p"), ".nmae: is not a known field; did you mean `name`."),
        (axis("gas.pressure", ["1 Pa"], name="a b"),
         ".name: must be one word of letters, digits and _, but is 'a b'."),
        (axis("gas.pressure", ["1 Pa"], name="time"), ".name: every dataset has a `time` of its own; give the axis "
                                                      'another name, such as name = "gas_pressure".'),
        (axis("particle[1].position[0]", ["3 um"]), ".parameter: every dataset has a `position` of its own; give the "
                                                    'axis another name, such as name = "particle_position".'),
        (axis(["gas.pressure", "gas.pressure"], ["1 Pa"]), ".parameter: `gas.pressure` is set twice; set it in one "
                                                           "place."),
        (axis("particle[*].phase", ["1 rad"], along=[axis("particle[1].phase", ["2 rad"])]),
         ".along[0].parameter: `particle[1].phase` is set twice; set it in one place."),
        (axis("gas.pressure", ["1 Pa"], along=[axis("run.n_steps", [1, 2])]),
         ".along[0]: must have as many values as the axis it moves along, 1, but has 2."),
        ({"parameter": "gas.pressure", "start": "0 Pa", "stop": "1 Pa", "n": 3, "spacing": "logarithmic"},
         ".start: `gas.pressure` goes from 0.0 to 1.0, but a logarithmic grid needs two ends of one sign, not zero."),
        ({"parameter": "gas.pressure", "start": "1 Pa", "stop": "1 Pa", "n": 3},
         ".stop: value 1 is the same as value 0, 1.0; each must be another."),
        ({"parameter": "gas.pressure", "start": "0 Pa", "stop": "1 Pa", "n": 1}, ".n: must be at least 2, but is 1."),
        ({"parameter": "light.binding", "start": "exact", "stop": "far_field", "n": 3},
         ".start: `light.binding` takes no numbers, so it has no `start` and `stop`; list the `values`."),
        ({"parameter": "gas.pressure", "start": "0 Pa", "stop": "1 Pa", "n": 2, "spacing": "log"},
         ".spacing: must be 'linear' or 'logarithmic', but is 'log'."),
    ],
)  # fmt: skip
def test_axes_that_cannot_be(table, sentence):
    assert fault(table) == f"sweep.axis[0]{sentence}"


def test_axes_that_do_not_go_together():
    assert fault(axis("particle[0].phase", ["1 rad"]), axis("particle[1].phase", ["1 rad"])) == (
        "sweep.axis[1].parameter: axis[0] is named `phase` already; give one of the two another `name`."
    )
    assert fault(axis("gas.pressure", ["1 Pa"]), axis("gas.pressure", ["2 Pa"], name="p")) == (
        "sweep.axis[1].parameter: `gas.pressure` is set twice; set it in one place."
    )
    assert faults(TWEEZERS + "[sweep]\n") == [
        f"line {FIRST}: sweep.axis: is missing; add a table [[sweep.axis]] for each axis."
    ]
    assert faults("sweep = 3\n" + TWEEZERS) == ["line 1: sweep: must be a table [sweep], but is 3."]


def test_points_that_are_no_scenarios_are_told_with_their_parameters():
    assert fault(axis("particle[0].peak_field", ["1e7 V/m"])) == (
        "point 0 (particle[0].peak_field = 10000000.0 V/m): particle[0]: needs either `power` or `peak_field`, and not "
        "both."
    )
    told = faults(text(
        axis("particle[1].position[0]", ["2.261 um", "1 nm"], name="distance"), axis("gas.pressure", ["1 Pa", "2 Pa"])
    ))  # fmt: skip
    assert [line.split(": ")[0] for line in told] == [
        "point 2 (particle[1].position[0] = 1e-09 m, gas.pressure = 1.0 Pa)",
        "point 3 (particle[1].position[0] = 1e-09 m, gas.pressure = 2.0 Pa)",
    ]
    assert all("particle[0] and particle[1] overlap" in line for line in told)


def test_lines_of_nested_tables_are_right():
    content = TWEEZERS + (
        "[sweep]\n"
        "[[sweep.axis]]\n"
        'parameter = "gas.pressure"\n'
        'values = ["1 Pa"]\n'
        "[[sweep.axis.along]]\n"
        'parameter = "particle[0].phase"\n'
        'values = ["1 rad"]\n'
        "[[sweep.axis.along]]\n"
        'parameter = "run.n_steps"\n'
        "values = [1]\n"
        "[[sweep.axis]]\n"
        'parameter = "light.waist"\n'
        'values = ["1 um"]\n'
        "[[sweep.axis.along]]\n"
        'parameter = "run.save_every"\n'
        "values = [1]\n"
    )
    assert Sweep.parse(content).shape == (1, 1)
    for old, offset in {'["1 Pa"]': 3, '["1 rad"]': 6, "[1]\n[[sweep.axis]]": 9, '["1 um"]': 12}.items():
        (only,) = faults(content.replace(old, old.replace(old[1:-1] if "\n" not in old else "1", '"x"', 1), 1))
        assert only.startswith(f"line {FIRST + offset}: sweep.axis[")
    (only,) = faults(content[::-1].replace("]1[", ']"x"[', 1)[::-1])
    assert only.startswith(f"line {FIRST + 15}: sweep.axis[1].along[0].values[0]: ")


# ---------------------------------------------------------------------- size


LARGEST = (
    {"parameter": "coupling[0][1]", "start": 0.1, "stop": 0.2, "n": 1000},
    {"parameter": "particle[*].bath_temperature", "start": 1, "stop": 3, "n": 100},
)


def test_the_largest_sweep_is_made_in_bounded_time():
    start = time.process_time()
    found = Sweep.parse(text(*LARGEST, base=REDUCED))
    assert time.process_time() - start < 5.0
    assert found.size == 100_000
    assert found.point(99_999).particle[0].bath_temperature == 3.0
    assert found.point(99_999).run.seed == 99_999
    (only,) = faults(text(LARGEST[0], {**LARGEST[1], "n": 101}, base=REDUCED))
    assert only.endswith("sweep.axis: make a grid of 101000 points, but a sweep has at most 100000.")


def test_the_largest_sweep_is_made_in_bounded_memory(monkeypatch):
    monkeypatch.setattr(sweeps, "_MOST_CHECKED", 100)
    content = text(*LARGEST, base=REDUCED)
    tracemalloc.start()
    found = Sweep.parse(content)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.size == 100_000
    assert peak < 10e6  # all points at once would take a gigabyte


def test_many_axes_do_not_multiply_before_they_are_counted():
    tables = [{"parameter": "gas.pressure", "start": "1 Pa", "stop": "2 Pa", "n": 100_000} for _ in range(10)]
    start = time.process_time()
    assert f"a grid of {10**50} points" in fault(*tables)
    along = [{"parameter": "gas.pressure", "start": "1 Pa", "stop": "2 Pa", "n": 50_000} for _ in range(3)]
    assert "hold 150000 values in all, but at most 100000" in fault({**along[0], "along": along[1:]})
    assert time.process_time() - start < 1.0


def test_of_a_large_sweep_every_point_is_checked_when_asked_for(monkeypatch):
    wrong = axis("particle[0].mass", [1.0, 2.0, 3.0], along=[axis("coupling[0][0]", [0.0, 1.0, 0.0])])
    content = text(wrong, axis("particle[1].bath_temperature", [1.0, 2.0]), base=REDUCED)
    sentences = faults(content)
    assert [sentence[:8] for sentence in sentences] == ["point 2 ", "point 3 "]
    monkeypatch.setattr(sweeps, "_MOST_CHECKED", 2)  # the first point and the last
    found = Sweep.parse(content)
    assert found.point(1).coupling == found.point(4).coupling
    with pytest.raises(ScenarioError) as error:
        found.point(2)
    assert str(error.value) == sentences[0]
    assert sentences[0].startswith("point 2 (particle[0].mass = 2.0, particle[1].bath_temperature = 1.0): `coupling` ")


def test_points_that_are_checked_keep_pace_with_no_axis():
    chosen = sweeps._spread(100_000, 1000)
    assert {0, 99_999} <= set(chosen)
    assert len(chosen) <= 1000
    for length in (2, 3, 10, 32, 100, 300):
        assert {index % length for index in chosen} == set(range(length))
        assert {index * length // 100_000 for index in chosen} == set(range(length))
    assert list(sweeps._spread(5, 1000)) == [0, 1, 2, 3, 4]


def test_of_many_faults_the_first_are_told():
    assert len(faults(text(axis("gas.pressure", [f"{k} m" for k in range(1000)])))) == 21
    assert faults(text(axis("particle[0].peak_field", [f"{k + 1} V/m" for k in range(500)])))[-1] == "and more."


# ---------------------------------------------------------------------- whatever the file

words = st.text(max_size=20) | st.sampled_from(
    ["gas.pressure", "particle[*].phase", "run.seed", "coupling[0][1]", "1 Pa", "1 rad", "exact", "particle[9999999].x"]
)
scalars = (
    st.integers() | st.floats() | st.booleans() | words | st.dates() | st.sampled_from([10**400, -(2**63), 0, 1, 2])
)
keys = words | st.sampled_from(["parameter", "values", "start", "stop", "n", "spacing", "name", "along", "axis"])
junk = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=6
)


def places(data):
    found = []
    for key in list(data) if isinstance(data, dict) else range(len(data)):
        found.append((data, key))
        if isinstance(data[key], (dict, list)):
            found += places(data[key])
    return found


@st.composite
def mutated(draw):
    """A sweep that loads, with a few values of its table dropped, added or replaced."""
    data = copy.deepcopy(tomllib.loads(draw(st.sampled_from(EXAMPLES))))
    for _ in range(draw(st.integers(1, 3))):
        candidates = places({"sweep": data["sweep"]} if "sweep" in data else data)
        container, key = candidates[draw(st.integers(0, len(candidates) - 1))]
        match draw(st.sampled_from(["drop", "replace", "replace", "add", "double"])):
            case "drop":
                del container[key]
            case "replace":
                container[key] = draw(junk)
            case "add" if isinstance(container, dict):
                container[draw(keys)] = draw(junk)
            case _ if isinstance(container, list):
                container.append(container[key])
    return tomli_w.dumps(data)


def loads(content):
    """Whether it loads; if not, it is told in plain printable lines, and at once."""
    start = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            found = Sweep.parse(content, "my.toml")
            found.point(found.size - 1)
        except ScenarioError as error:
            sentences = str(error).split("\n")
            assert time.process_time() - start < 2
            assert len(sentences) <= 21
            for sentence in sentences:
                assert sentence.isprintable()
                assert len(sentence) < 600
                assert not {"Traceback", "<class", "pydantic", "object at 0x"} & set(sentence.split())
            return False
    return True


@given(content=mutated())
@example(content=text(axis("coupling[0][1]", [1e400], base=REDUCED)))
@example(content=text(axis("particle[0]" + "[0]" * 60, ["1 Pa"])))
@example(content=text(axis("a." * 99 + "a", ["1 Pa"])))
@fuzzing
def test_any_change_to_a_sweep_loads_or_is_told(content):
    loads(content)


def test_the_fuzz_reaches_both_outcomes():
    assert all(map(loads, EXAMPLES))
    assert not loads(EXAMPLES[0].replace("values", "vlaues"))


def test_many_wrong_paths_take_no_long():
    """A hostile file names ten thousand parameters that are not there, and all particles again and again."""
    many = REDUCED + REDUCED[REDUCED.index("[[particle]]") :].replace("mass = 2.0", "mass = 3.0") * 50
    many = many.replace("coupling = [[0.0, 0.5], [0.2, 0.0]]\n", "")
    start = time.process_time()
    for path in ("particle[*].mas", "particle[*].mass"):
        along = [axis([path] * 100, [1.0]) for _ in range(20)]
        content = text(*[axis([path] * 100, [1.0], along=along) for _ in range(5)], base=many)
        assert len(faults(content)) == 21
    assert time.process_time() - start < 3.0


def test_deep_nesting_is_refused(tmp_path):
    deep = TWEEZERS + "[[sweep.axis]]\nparameter = 'gas.pressure'\nvalues = " + "[" * 30 + "]" * 30
    assert faults(deep) == ["is nested more than 20 deep."]
    nested = []
    for _ in range(100_000):
        nested = [nested]
    with pytest.raises(ScenarioError, match="nested more than 20 deep"):
        Sweep(parse(TWEEZERS), [axis("gas.pressure", nested)])
    while nested:  # freed level by level
        nested = nested[0]


def test_reading_a_sweep_executes_nothing(tmp_path):
    """What looks like code is text, and text is no number."""
    code = f"__import__('pathlib').Path({str(tmp_path / 'owned')!r}).touch()"
    for content in (
        text(axis(code, ["1 Pa"])),
        text(axis("gas.pressure", [code, "9**9**9**9 Pa"])),
        text(axis("gas.pressure", ["1 Pa"], name=code[:60])),
        text({"parameter": "gas.pressure", "start": code, "stop": "{0.__class__}", "n": 2}),
        text(axis("particle[0].__class__.__init__", ["1 Pa"])),
    ):
        assert not loads(content)
    assert not (tmp_path / "owned").exists()


def test_a_sweep_crosses_to_another_process_small():
    found = sweep({"parameter": "gas.pressure", "start": "1 Pa", "stop": "2 Pa", "n": 100})
    found.point(3)  # what is cached stays here
    assert len(pickle.dumps(found)) < 10_000
