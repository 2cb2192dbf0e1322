"""Phase diagrams: adaptive grids against exhaustive ones, borders against closed forms, classes against points."""

import csv
import json
import math
import re
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import stochbind as sb
from stochbind.analysis import phase_classes, phase_grids, phase_points, phase_spectra
from stochbind.analysis.phase_diagrams import PhaseDiagram, phase_diagram
from stochbind.analysis.phase_pairs import PAIR_PHASES, pair_diagram
from stochbind.analysis.phase_points import PlaneAxis, Points, axis_of
from stochbind.errors import NoiseError, ScenarioError, UnstableError
from stochbind.modes.spectrum import modes
from stochbind.optics import pairs, regimes
from stochbind.scenario import parameters, scenario_from_dict

PRESSURE = 1.0  # Pa: rates of gas and of coupling are of one order


@pytest.fixture(scope="module")
def rieser():
    """The reference pair at low pressure."""
    data = sb.Scenario.from_toml("scenarios/rieser_like_pair.toml").to_dict()
    data["gas"]["pressure"] = PRESSURE
    return scenario_from_dict(data)


def phase_axis(n, *, start="0 deg", stop="360 deg"):
    return {"parameter": "particle[0].phase", "start": start, "stop": stop, "n": n}


def distance_axis(n, start="2.5 um", stop="3.2 um"):
    return {"parameter": "particle[1].position[0]", "start": start, "stop": stop, "n": n}


def power_axis(n, span=0.1):
    """The first tweezer stronger, the second weaker."""
    ends = {"start": 0.3 - span, "stop": 0.3 + span, "n": n}
    turned = {"start": 0.3 + span, "stop": 0.3 - span, "n": n}
    return {"parameter": "particle[0].power", **ends, "along": [{"parameter": "particle[1].power", **turned}]}


# Adaptive grids


def smooth(i, j):
    x, y = i / 40, j / 37
    return (np.cos(x) * np.sin(y + 0.3) > 0.2).astype(np.int64) + 2 * (np.cos(x - 0.7 * y) > 0.1)


@pytest.mark.parametrize("shape", [(200, 200), (257, 130), (33, 90), (5, 3)])
@pytest.mark.parametrize("coarse", [1, 4, 16])
def test_adaptive_is_exhaustive(shape, coarse):
    whole, found = phase_grids.exhaustive(smooth, shape), phase_grids.adaptive(smooth, shape, coarse)
    np.testing.assert_array_equal(found.code, whole.code)
    assert whole.computed.all()
    assert found.computed.all() == (coarse == 1)


def test_what_is_computed_is_as_much_as_the_boundaries_need():
    found = phase_grids.adaptive(smooth, (400, 400), 16)
    assert found.computed.mean() < 0.12
    # both sides of every boundary are computed
    differ = found.code[1:] != found.code[:-1]
    assert (found.computed[1:] & found.computed[:-1])[differ].all()


def test_each_point_is_computed_once():
    count = np.zeros((100, 100), int)

    def counted(i, j):
        np.add.at(count, (i, j), 1)
        return smooth(i, j)

    found = phase_grids.adaptive(counted, (100, 100), 16)
    assert count.max() == 1
    np.testing.assert_array_equal(count == 1, found.computed)


def test_a_thin_area_is_followed_from_one_point_but_missed_from_none():
    def stripe(at):
        # one point wide, from one edge to the other
        return lambda i, j: ((i + j) == at).astype(np.int64)

    met = phase_grids.adaptive(stripe(96), (97, 97), 16)  # through (48, 48), a point of the lattice
    assert met.code.sum() == 97
    # a dot that no point of the lattice meets is not seen, however near: this is the limit of the method
    missed = phase_grids.adaptive(lambda i, j: ((i == 17) & (j == 17)).astype(np.int64), (97, 97), 16)
    assert missed.code.sum() == 0
    seen = phase_grids.adaptive(lambda i, j: ((i == 17) & (j == 17)).astype(np.int64), (97, 97), 1)
    assert seen.code.sum() == 1


def test_halving_alone_would_miss_what_following_finds():
    # a tongue that enters a coarse cell through one edge, between its corners
    def tongue(i, j):
        return ((i < 40) | ((j > 20) & (j < 27) & (i < 61))).astype(np.int64)

    whole, found = phase_grids.exhaustive(tongue, (97, 97)), phase_grids.adaptive(tongue, (97, 97), 16)
    np.testing.assert_array_equal(found.code, whole.code)


@pytest.mark.parametrize("mirrored", [False, True])
def test_a_line_of_points_that_touch_at_corners_is_followed(mirrored):
    # from one point of the lattice on it meets no other, and no cell of which the corners differ
    def line(i, j):
        j = 24 - j if mirrored else j
        return (((i >= 5) & (j == i - 1)) | ((i == 4) & (j == 4))).astype(np.int64)

    whole, found = phase_grids.exhaustive(line, (25, 25)), phase_grids.adaptive(line, (25, 25), 2)
    np.testing.assert_array_equal(found.code, whole.code)
    assert not found.computed.all()


# Pairs of given rates


def in_order(value):
    """Complex numbers by real and imaginary part, with no order that hangs on round-off."""
    return sorted(np.asarray(value).tolist(), key=lambda z: (round(z.real, 9), z.imag))


def drift(g_r, g_a, detuning, damping, frequency):
    """Full drift of the pair, with particle 1 at the lower frequency."""
    first, second = frequency - detuning / 2, frequency + detuning / 2
    plus, minus = g_r + g_a, g_r - g_a
    result = np.zeros((4, 4))
    result[:2, 2:], result[2:, 2:] = np.eye(2), -damping * np.eye(2)
    result[2, :2] = -first * (first + 2 * plus), 2 * first * plus
    result[3, :2] = 2 * second * minus, -second * (second + 2 * minus)
    return result


RATES = [
    (1.0, 0.4, 0.7, 0.1),
    (1.0, 2.0, 4.0, 0.3),
    (-0.8, 1.5, 3.0, 0.0),
    (1.0, 1.5, -2.0, 0.2),
    (0.0, -1.0, -2.0, 0.5),
]


@pytest.mark.parametrize(("g_r", "g_a", "detuning", "damping"), RATES)
def test_closed_form_against_eigenvalues(g_r, g_a, detuning, damping):
    found = pair_diagram(g_r, g_a, detuning, damping, frequency=40.0)
    matrix = drift(g_r, g_a, detuning, damping, 40.0)
    value = np.linalg.eigvals(matrix)
    upper = 1j * value[value.imag < 0] - (40.0 + g_r)
    np.testing.assert_allclose(in_order(found.eigenfrequency), in_order(upper), atol=1e-12)
    assert found.growth_rate == pytest.approx(value.real.max(), abs=1e-12)

    slow = pair_diagram(g_r, g_a, detuning, damping)
    rotating, _ = sb.amplitudes.optical_binding_pair(g_r, g_a, detuning, np.array([[9, 1j * g_a], [-1j * g_a, 9]]))
    expected = np.linalg.eigvals(rotating - 0.5j * damping * np.eye(2))
    np.testing.assert_allclose(in_order(slow.eigenfrequency), in_order(expected), atol=1e-12)
    # the rotating frame is right to first order in the rates over the frequency
    np.testing.assert_allclose(found.eigenfrequency, slow.eigenfrequency, atol=10.0 / 40.0)


@pytest.mark.parametrize(("g_r", "g_a", "detuning", "damping"), RATES)
def test_phases_of_a_pair_are_those_of_its_modes(g_r, g_a, detuning, damping):
    found = pair_diagram(g_r, g_a, detuning, damping, frequency=40.0)
    phase = modes(drift(g_r, g_a, detuning, damping, 40.0)).phase
    assert PAIR_PHASES[found.phase].startswith(phase)
    spectrum = phase_spectra.spectra(drift(g_r, g_a, detuning, damping, 40.0)[None])
    assert ("unbroken", "broken")[spectrum.pt_phase[0]] == phase


def test_pairs_that_gas_overdamps():
    """One mode, or both, without oscillation: against the eigenvalues of the full drift."""
    for g_r, g_a, detuning, damping in ((0.05, 0.02, 0.3, 2.1), (-0.2, 0.02, 0.9, 1.5), (0.1, 0.1, 0.3, 9.0)):
        found = pair_diagram(g_r, g_a, detuning, damping, frequency=1.0)
        value = np.linalg.eigvals(drift(g_r, g_a, detuning, damping, 1.0))
        assert found.growth_rate == pytest.approx(value.real.max(), rel=1e-9)
        slowest = np.sort(value.real)[-2 if (np.abs(value.imag) < 1e-9).all() else -1 :]
        assert np.sort(found.eigenfrequency.imag)[-len(slowest) :] == pytest.approx(slowest, rel=1e-9)


def test_borders_of_the_broken_phase_are_the_exceptional_points():
    detuning, g_a = PlaneAxis("detuning", np.linspace(-4, 12, 161)), PlaneAxis("g_a", np.linspace(0, 3, 97))
    found = phase_diagram(lambda x, y: pair_diagram(1.0, y, x).phase, detuning, g_a, names=PAIR_PHASES)
    (line,) = found.boundary("broken", 1e-8)
    # a point of the line is exact along the line of the grid on which it is: along g_a, or along the detuning
    x, y = line.T
    along_g_a = np.abs(y - (x**2 + 4) / (4 * x))
    points = np.array([regimes.exceptional_points(1.0, max(each, 1.0)) for each in y])
    along_detuning = np.abs(points - x[:, None]).min(axis=1)
    assert np.minimum(along_g_a, along_detuning).max() < 2e-9
    # the twin: with the sign of g_a turned, the area is on the other side
    turned = phase_diagram(lambda x, y: pair_diagram(1.0, -y, x).phase, detuning, g_a, names=PAIR_PHASES)
    assert turned.code[detuning.value > 0].max() < 2 < 1 + turned.code[detuning.value < 0].max()


@pytest.mark.parametrize("omega", [25.0, None])
def test_the_border_of_instability_with_gas(omega):
    # sqrt(g_a^2 - g_r^2) = gamma / 2; in the full drift it is exact for particles of equal stiffness, binding included
    gamma = 0.6
    g_r, g_a = PlaneAxis("g_r", np.linspace(-1, 1, 41)), PlaneAxis("g_a", np.linspace(0.0, 1.5, 61))

    def detuning(x, y):
        return 2 * y if omega is None else 2 * omega * y / (omega + x)

    found = phase_diagram(
        lambda x, y: pair_diagram(x, y, detuning(x, y), gamma, frequency=omega).unstable, g_r, g_a, names=("no", "yes")
    )
    (line,) = found.boundary("yes", 1e-7)
    x, y = line.T
    ratio = np.ones(len(x))  # of the product of the frequencies of the particles to their bound one squared
    if omega is not None:
        first, second = omega - detuning(x, y) / 2, omega + detuning(x, y) / 2
        bound = first * (first + 2 * (x + y))
        np.testing.assert_allclose(bound, second * (second + 2 * (x - y)), rtol=1e-12)
        ratio = first * second / bound
    np.testing.assert_allclose(ratio * (y**2 - x**2), gamma**2 / 4, rtol=1e-5)
    # the twin: without the detuning that makes them equal, no mode grows at all
    assert not pair_diagram(x, 1.1 * y, 0.0, gamma).unstable.any()
    assert pair_diagram(x, 1.1 * y, 2.2 * y, gamma).unstable.all()


def test_areas_of_fig_3a():
    side = PlaneAxis("x", (np.arange(400) + 0.5) * np.pi / 400)

    def code(phase, distance):
        rates = pairs.far_field_rates(8 * np.pi + distance, phase, 1.0, 0.0)
        return phase_classes.regime_code(
            regimes.regimes(rates.reciprocal, rates.antireciprocal, rates.recoil_correlation)
        )

    found = phase_diagram(code, side, side, names=phase_classes.REGIME_NAMES)
    area = found.areas()

    def total(word):
        return sum(value for name, value in area.items() if word in name.split(" and "))

    assert [total(word) for word in regimes.Regimes._fields] == pytest.approx([0.375, 0.417, 0.375, 0.047], abs=0.004)
    overlap = [area[name] for name in ("reciprocal and directional", "directional and antireciprocal")]
    assert [*overlap, area["directional and recoil"]] == pytest.approx([0.130, 0.130, 0.024], abs=0.002)
    assert area["none"] == pytest.approx(0.069, abs=0.002)
    # no partition: the four areas add up to more than the plane
    assert sum(map(total, regimes.Regimes._fields)) > 1.2
    assert found.fraction_computed < 0.3


# Scenarios


@pytest.mark.parametrize(("classify", "second"), [("stability", power_axis(33)), ("regimes", distance_axis(33))])
def test_adaptive_is_exhaustive_for_scenarios(rieser, classify, second):
    found = phase_diagram(rieser, phase_axis(41), second, classify, coarse=4)
    whole = phase_diagram(rieser, phase_axis(41), second, classify, exhaustive=True)
    np.testing.assert_array_equal(found.code, whole.code)
    assert found.fraction_computed < 1
    assert whole.fraction_computed == 1
    assert len(np.unique(whole.code)) > 1
    if classify == "stability":
        np.testing.assert_allclose(
            found.growth_rate[found.computed], whole.growth_rate[found.computed], rtol=1e-9, atol=1e-6
        )
        assert np.isnan(found.growth_rate[~found.computed]).all()
    else:
        assert found.growth_rate is None


def at(scenario, **values):
    """The scenario with other values, the long way."""
    data = scenario.to_dict()
    for path, value in values.items():
        parameters.find(scenario, path).set(data, value)
    return scenario_from_dict(data)


def test_axes_are_not_swapped_and_points_are_where_they_should_be(rieser):
    found = phase_diagram(rieser, phase_axis(8, stop="315 deg"), power_axis(5), "stability", exhaustive=True)
    assert found.code.shape == found.computed.shape == (8, 5)
    assert found.x.unit == "rad"
    assert found.y.unit == "W"
    for i, j in ((2, 0), (2, 4), (6, 0), (6, 4), (0, 3)):
        point = at(
            rieser,
            **{
                "particle[0].phase": i * math.pi / 4,
                "particle[0].power": 0.2 + 0.05 * j,
                "particle[1].power": 0.4 - 0.05 * j,
            },
        )
        verdict = point.langevin().stability
        assert found.name_of(found.code[i, j]) == ("stable" if verdict.stable else "unstable")
        assert found.growth_rate[i, j] == pytest.approx(verdict.growth_rate, rel=1e-6)
    # the twin: both axes turned, or the phase of the other sign, is another diagram
    assert (found.code != found.code[::-1]).any()
    assert (found.code != found.code[:, ::-1]).any()


def test_phases_of_scenarios_are_those_of_modes(rieser):
    found = phase_diagram(rieser, phase_axis(7, start="20 deg", stop="340 deg"), power_axis(5), "pt", exhaustive=True)
    seen = set()
    for i, j in np.ndindex(found.code.shape):
        point = at(
            rieser,
            **{
                "particle[0].phase": float(found.x.value[i]),
                "particle[0].power": float(found.y.value[j]),
                "particle[1].power": 0.6 - float(found.y.value[j]),
            },
        )
        name, phase = found.name_of(found.code[i, j]), modes(point.langevin()).phase
        assert name.startswith(phase)
        seen.add(phase)
    assert seen == {"unbroken", "broken"}


def test_particles_that_gas_damps_differently_are_in_neither_phase(rieser):
    data = rieser.to_dict()
    data["particle"][1]["radius"] = 95e-9
    found = phase_diagram(scenario_from_dict(data), phase_axis(3), power_axis(3, 0.01), "pt", exhaustive=True)
    assert set(found.areas()) == {"neither"}


def test_one_way_and_equal_tweezers(rieser):
    # in equal tweezers the stiffness by binding keeps the pair from PT breaking at any phase and distance
    found = phase_diagram(rieser, phase_axis(25), distance_axis(25), "pt", coarse=4)
    assert set(found.areas()) == {"unbroken, reciprocal", "unbroken, antireciprocal"}
    one_way = phase_diagram(rieser, phase_axis(25), distance_axis(25), "one_way", coarse=4)
    first, second = (one_way.code == k for k in (1, 2))
    # turning the phase turns the arrow
    np.testing.assert_array_equal(first, second[::-1])
    assert one_way.areas()["both ways"] == pytest.approx(1 - 0.417, abs=0.08)
    i, j = np.argwhere(first)[0]
    coupling = at(
        rieser,
        **{"particle[0].phase": float(one_way.x.value[i]), "particle[1].position[0]": float(one_way.y.value[j])},
    ).binding.coupling
    assert abs(coupling[0, 1]) > 2 * abs(coupling[1, 0])


@pytest.mark.parametrize(("n", "spacing"), [(13, 1), (49, 2), (100, 4), (400, 16), (700, 16)])
def test_the_first_lattice_has_enough_cells(n, spacing):
    side = PlaneAxis("x", np.arange(float(n)))
    empty = phase_diagram(lambda x, y: 0 * x.astype(int), side, side)
    np.testing.assert_array_equal(np.diff(np.flatnonzero(empty.computed[0]))[:-1], spacing)


def test_unstable_modes_and_a_rule_of_ones_own(rieser):
    count = phase_diagram(rieser, phase_axis(17), power_axis(17), "unstable_modes", coarse=4)
    stable = phase_diagram(rieser, phase_axis(17), power_axis(17), "stability", coarse=4)
    np.testing.assert_array_equal(count.code > 0, stable.code == 2)
    assert set(count.areas()) == {"no mode grows", "1 mode grows"}

    def own(scenario):
        return int(not scenario.langevin().stability.stable)

    found = phase_diagram(rieser, phase_axis(17), power_axis(17), own, names=("calm", "wild"), coarse=4)
    np.testing.assert_array_equal(found.code, count.code)
    assert set(found.areas()) == {"calm", "wild"}


def test_without_gas_nothing_is_damped(rieser):
    data = rieser.to_dict()
    data["gas"]["pressure"] = 0.0
    found = phase_diagram(scenario_from_dict(data), phase_axis(13), power_axis(13), coarse=4)
    assert set(found.areas()) == {"not damped", "unstable"}


def test_a_boundary_in_si(rieser):
    found = phase_diagram(rieser, phase_axis(17), power_axis(17), coarse=4)
    lines, rough = (found.boundary("unstable", tolerance) for tolerance in (1e-9, 0.5))
    gamma = rieser.derived()["damping_rate"].value[0]
    for phase, power in lines[0][::5]:
        numbers = {"particle[0].phase": phase, "particle[0].power": power, "particle[1].power": 0.6 - power}
        # beside an exceptional point a rate is as the square root of the distance from it
        assert abs(at(rieser, **numbers).langevin().stability.growth_rate) < 0.1 * gamma
    spacing = np.array([2 * math.pi, 0.2]) / 16
    for line, half in zip(lines, rough, strict=True):
        assert (np.abs(line - half) <= 0.5 * spacing + 1e-12).all()
        assert (line != half).any()
    phase, power = rough[0][3]
    numbers = {"particle[0].phase": phase, "particle[0].power": power, "particle[1].power": 0.6 - power}
    # the twin: the middles of the edges are not on the border
    assert abs(at(rieser, **numbers).langevin().stability.growth_rate) > gamma / 4


def test_points_that_are_no_scenario(rieser):
    found = phase_diagram(rieser, phase_axis(17), distance_axis(33, "0.1 um", "3.3 um"), coarse=8)
    missing = found.code == -1
    assert 0 < missing.mean() < 1
    assert "no scenario" in found.areas()
    assert found.refused.startswith("At particle[0].phase = 0, particle[1].position[0] = 1e-07: particle[0] and")
    for j in (np.flatnonzero(missing[0])[-1], np.flatnonzero(~missing[0])[0]):
        numbers = {"particle[1].position[0]": float(found.y.value[j])}
        if missing[0, j]:
            with pytest.raises(ScenarioError):
                at(rieser, **numbers)
        else:
            at(rieser, **numbers)


def test_a_point_that_is_trusted_and_no_scenario_after_all():
    data = {"name": "pair", "kind": "oscillators", "units": "reduced", "coupling": [[0.0, 0.2], [0.1, 0.0]]}
    one = {"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.1, "bath_temperature": 1.0}
    noise = [[1.0, 0.0], [0.0, 1.0]]
    pair = scenario_from_dict({**data, "particle": [one, one], "momentum_diffusion": noise})
    entries = ["momentum_diffusion[0][1]", "momentum_diffusion[1][0]"]
    y = {"parameter": entries, "values": [0.0, 0.5, 0.9, 1.5, 1.6]}
    x = {"parameter": "particle[0].stiffness", "start": 1.0, "stop": 2.0, "n": 5}
    assert set(phase_diagram(pair, x, y, coarse=4).areas()) == {"no scenario", "stable"}
    points = Points(pair, axis_of(x, pair), axis_of(y, pair))
    points.trust([np.array([0, 4]), np.array([0, 4])])
    assert points.scenario(0.0, 4.0) is not None
    with pytest.raises(NoiseError):
        points.scenario(0.0, 4.0).oscillators()
    assert points.scenario(0.0, 4.0, checked=True) is None
    assert "positive semidefinite" in points.refused

    # so it is between points of the lattice that are possible, and is no fault of the rule
    def own(scenario):
        scenario.oscillators()
        return int(scenario.particle[0].stiffness > 1.6)

    swing = {"parameter": entries, "values": [0.0, 0.5, 1.5, 0.5, 0.0]}
    other = {"parameter": "particle[1].stiffness", "start": 1.0, "stop": 2.0, "n": 5, "along": [swing]}
    found = phase_diagram(pair, x, other, own, coarse=4)
    assert found.computed[2:4, 2].all()
    assert set(found.code[found.computed[:, 2], 2].tolist()) == {-1}
    assert found.areas()["0"] > 0.3
    assert "positive semidefinite" in found.refused

    # one that fails between points that do not
    def fails(scenario):
        if 1.3 < scenario.particle[0].stiffness < 1.7:
            raise UnstableError("Not here.", 0.0)
        return int(scenario.particle[0].stiffness > 1.6)

    with pytest.raises(UnstableError, match="Not here"):
        phase_diagram(pair, x, {**y, "values": [0.0, 0.1, 0.2, 0.3, 0.4]}, fails, coarse=4)


@pytest.fixture
def n_checked(monkeypatch):
    """How many points were made with all checks, as a list to which each adds one."""
    made = []

    def counted(*arguments):
        made.append(arguments)
        return scenario_from_dict(*arguments)

    monkeypatch.setattr(phase_points, "scenario_from_dict", counted)
    return made


def reduced_pair(**fields):
    one = {"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.1, "bath_temperature": 1.0}
    coupling = [[0.0, 0.2], [0.1, 0.0]]
    data = {"name": "pair", "kind": "oscillators", "units": "reduced", "particle": [one, one], "coupling": coupling}
    return scenario_from_dict({**data, "momentum_diffusion": [[1.0, 0.0], [0.0, 1.0]], **fields})


def noise_axis(n, stop):
    return {"parameter": ["momentum_diffusion[0][1]", "momentum_diffusion[1][0]"], "start": 0.0, "stop": stop, "n": n}


def test_points_are_checked_on_the_lattice_and_where_some_are_refused(n_checked, rieser):
    found = phase_diagram(rieser, phase_axis(33), power_axis(33), coarse=4)
    assert len(n_checked) == 81 < found.computed.sum()
    n_checked.clear()
    found = phase_diagram(rieser, phase_axis(9), power_axis(9), exhaustive=True)
    assert len(n_checked) == 81
    assert found.boundary("unstable", 0.3)
    assert len(n_checked) > 81
    # too close for separate tweezers at the one edge
    n_checked.clear()
    found = phase_diagram(rieser, phase_axis(17), distance_axis(65, "1.5 um", "4 um"), "regimes", coarse=4)
    near = found.y.value < 1.5e-6 + 8.5 / 64 * 2.5e-6  # the cells of the edge, and the next ones
    assert 0 < (found.code == -1).sum() == (found.code[:, near] == -1).sum()
    lattice = found.computed[::4, ::4].size
    assert len(n_checked) <= lattice + found.computed[:, near].sum()
    assert len(n_checked) < 0.5 * found.computed.sum()
    whole = phase_diagram(rieser, phase_axis(17), distance_axis(65, "1.5 um", "4 um"), "regimes", exhaustive=True)
    np.testing.assert_array_equal(found.code, whole.code)


def test_where_points_are_doubted(n_checked):
    """Cells with a point that is refused in them or on their edge, and all cells around these."""
    pair = reduced_pair()
    x = axis_of({"parameter": "particle[0].stiffness", "start": 1.0, "stop": 2.0, "n": 33}, pair)
    y = axis_of(noise_axis(33, 1.04), pair)  # the last two are refused

    def checked(u, v):
        before = len(n_checked)
        points.scenario(u, v)
        return len(n_checked) > before

    lines = [phase_grids.lattice_lines(33, 4)] * 2
    points = Points(pair, x, y)
    assert points.scenario(16, 32) is None  # where four cells meet, or at the edge two
    assert checked(0, 0)
    points.trust(lines)
    assert [u for u in range(33) if checked(u, 30)] == list(range(8, 24))
    assert [v for v in range(31) if checked(15.5, v)] == list(range(24, 31))
    # one within a cell, that is met later
    points = Points(pair, x, y)
    points.trust(lines)
    assert not checked(5, 30)
    assert points.scenario(5, 31, checked=True) is None
    assert [u for u in range(33) if checked(u, 30)] == list(range(12))
    assert [v for v in range(31) if checked(5, v)] == list(range(24, 31))


def test_an_area_of_no_scenario_is_followed_from_cell_to_cell():
    """A tip of it, of which the lattice meets the root alone, grows through seven cells."""
    cross, own = 1.6 - 0.15 * np.abs(np.arange(33) - 14), np.linspace(1.0, 2.9, 65)
    entries = ["momentum_diffusion[0][1]", "momentum_diffusion[1][0]"]
    along = [{"parameter": entries, "values": np.maximum(cross, 0.0).tolist()}]
    x = {"parameter": "particle[0].stiffness", "start": 1.0, "stop": 2.0, "n": 33, "along": along}
    y = {"parameter": "momentum_diffusion[0][0]", "start": 1.0, "stop": 2.9, "n": 65}
    found = phase_diagram(reduced_pair(), x, y, coarse=4)
    missing = np.maximum(cross, 0.0)[:, None] ** 2 > own
    assert missing[::4].any(axis=0).argmin() <= 24 < 52 < missing.any(axis=0).argmin()
    np.testing.assert_array_equal(found.code == -1, missing)


def test_regimes_in_reduced_units():
    """The inequalities with the rates of unit mass and frequency, written out."""
    pair = reduced_pair()
    x = {"parameter": "coupling[0][1]", "start": -0.307, "stop": 0.321, "n": 15}
    found = phase_diagram(pair, x, noise_axis(13, 0.55), "regimes", exhaustive=True)
    codes = np.zeros((15, 13), int)
    for i, first in enumerate(np.linspace(-0.307, 0.321, 15)):
        for j, noise in enumerate(np.linspace(0.0, 0.55, 13)):
            on_0, on_1 = 0.5 * first, 0.05  # C / 2 m omega; D / hbar m omega is `noise` itself
            mean, half = abs(on_0 + on_1) / 2, abs(on_0 - on_1) / 2
            big, small = max(abs(on_0), on_1), min(abs(on_0), on_1)
            codes[i, j] = (mean > max(half, noise)) + 2 * (big > 2 * small)
            codes[i, j] += 4 * (half > max(mean, noise)) + 8 * (noise > 2 * big)
    np.testing.assert_array_equal(found.code, codes)
    assert len(np.unique(codes)) > 6


def test_oscillators_in_reduced_units():
    data = {"name": "pair", "kind": "oscillators", "units": "reduced", "coupling": [[0.0, 0.2], [-0.2, 0.0]]}
    one = {"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.1, "bath_temperature": 1.0}
    pair = scenario_from_dict({**data, "particle": [one, one]})
    x = {"parameter": "coupling[0][1]", "start": -0.5, "stop": 0.5, "n": 41}
    y = {"parameter": "particle[*].damping_rate", "start": 0.051, "stop": 0.351, "n": 31}
    found = phase_diagram(pair, x, y, coarse=4)
    # unstable where C12 C21 < 0 and sqrt(-C12 C21) / Omega > gamma, with Omega = 1
    truth = np.sqrt(np.maximum(0.2 * found.x.value[:, None], 0.0)) > found.y.value
    np.testing.assert_array_equal(found.code == 2, truth)
    (line,) = found.boundary("unstable", 1e-9)
    np.testing.assert_allclose(0.2 * line[:, 0], line[:, 1] ** 2, rtol=1e-6)
    assert not np.array_equal(found.code.T[: len(truth)][:31, :31] == 2, truth[:31, :31])  # the twin: axes swapped
    phase = phase_diagram(pair, x, y, "pt", coarse=4)
    np.testing.assert_array_equal(phase.code[found.x.value > 0.013], 2)
    np.testing.assert_array_equal(phase.code[found.x.value < -0.013], 0)


def test_a_diagram_of_400_by_400_points_takes_seconds(rieser):
    detuning, g_a = PlaneAxis("detuning", np.linspace(-4, 12, 400)), PlaneAxis("g_a", np.linspace(0, 3, 400))
    began = time.process_time()
    whole = phase_diagram(lambda x, y: pair_diagram(1.0, y, x).phase, detuning, g_a, exhaustive=True)
    assert time.process_time() - began < 1.0
    assert len(whole.areas()) == 3
    began = time.process_time()
    found = phase_diagram(rieser, phase_axis(400), power_axis(400))
    assert time.process_time() - began < 5.0
    assert found.code.shape == (400, 400)
    assert found.fraction_computed < 0.04


# What is many spectra at once is each of them


def test_spectra_of_many_are_those_of_one():
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(40, 5, 5)) - 1.2 * np.eye(5)
    matrix[:15, 2:, :2] = 0.0  # one way
    found = phase_spectra.spectra(matrix)
    for k, each in enumerate(matrix):
        equations = sb.Langevin(drift_matrix=each, noise_covariance=np.eye(5))
        verdict = equations.stability
        assert found.growth_rate[k] == pytest.approx(verdict.growth_rate, rel=1e-10)
        assert (found.verdict[k] == 0) == verdict.stable
        expected = np.linalg.eigvals(each)
        np.testing.assert_allclose(np.sort_complex(found.value[k]), np.sort_complex(expected), atol=1e-8)
        assert found.n_unstable[k] == ((expected.real > 0) & (expected.imag >= 0)).sum()


def test_one_way_chains_keep_their_damping():
    # taken together, three equal particles that drive one another in a row have errors of the cube root of round-off
    chain = np.kron([[0, 1], [0, 0]], np.eye(3)) + np.kron([[0, 0], [-1, 0]], np.eye(3) - 0.3 * np.eye(3, k=-1))
    chain[3:, 3:] -= 1e-7 * np.eye(3)
    found = phase_spectra.spectra(chain[None])
    assert found.verdict[0] == 0
    assert found.growth_rate[0] == pytest.approx(-5e-8, rel=1e-6)
    assert np.linalg.eigvals(chain).real.max() > 1e-7  # the twin: without the parts


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_axis": {"parameter": "particle[0].phse", "start": 0, "stop": 1, "n": 5}}, "did you mean `particle"),
        ({"x_axis": {"parameter": "particle[0].phase", "start": 0, "stop": 1}}, r"^axis.*`n` is missing"),
        ({"x_axis": {"parameter": "run.seed", "start": 0, "stop": 8, "n": 5}}, "`run.seed` takes whole numbers"),
        ({"x_axis": power_axis(5)}, "`particle\\[0\\].power` is changed by both axes"),
        ({"x_axis": {"parameter": "particle[0].phase", "values": [0.0, 2.0, 1.0]}}, "rise or fall throughout"),
        ({"x_axis": PlaneAxis("phase", np.arange(3.0))}, "must name a parameter"),
        ({"classify": "colour"}, '`classify` must be one of "stability"'),
        ({"classify": lambda scenario: 0.5}, "`classify` must give whole numbers"),
        ({"coarse": 6}, "`coarse` must be a power of two, but is 6"),
        ({"system": 3.0}, "`system` must be a scenario, or a function"),
        ({"y_axis": {"parameter": "particle[1].position[0]", "start": 1e-8, "stop": 2e-8, "n": 3}}, "No point of the"),
    ],
)
def test_wrong_arguments(rieser, change, message):
    given = {"system": rieser, "x_axis": phase_axis(5), "y_axis": power_axis(5), **change}
    with pytest.raises(ScenarioError, match=message):
        phase_diagram(**given)


def test_wrong_functions_names_and_rates(rieser):
    side = PlaneAxis("x", np.linspace(0, 1, 5))
    with pytest.raises(ScenarioError, match="must give one number for each point"):
        phase_diagram(lambda x, y: 1, side, side)
    found = phase_diagram(lambda x, y: x > 0.4, side, side)
    assert isinstance(found, PhaseDiagram)
    assert found.areas() == {"0": 0.4, "1": 0.6}
    with pytest.raises(ScenarioError, match="`name` must be one of 0, 1, but is 'broken'"):
        found.boundary("broken")
    with pytest.raises(ScenarioError, match="`tolerance` must be positive"):
        found.boundary("1", 0.0)
    for rates, message in (
        (([1.0, 2.0], [1.0, 2.0, 3.0]), "shapes of the rates must go together"),
        ((1.0, 1.0, 0.0, -1.0), "`damping` must be zero or positive"),
        ((1.0, math.nan), "`antireciprocal` must be finite"),
    ):
        with pytest.raises(ScenarioError, match=message):
            pair_diagram(*rates)
    with pytest.raises(ScenarioError, match="frequency less half the detuning"):
        pair_diagram(1.0, 1.0, 3.0, frequency=1.0)
    with pytest.raises(ScenarioError, match="for two particles that move along one axis"):
        phase_classes.rule("regimes", sb.Scenario.from_toml("scenarios/n_pair_refrigerator.toml"))
    with pytest.raises(ScenarioError, match="the motion is overdamped"):
        phase_classes.rule("pt", sb.Scenario.from_toml("scenarios/loos_klapp_pair.toml"))


def test_axes_from_words(rieser):
    axis = axis_of({**phase_axis(5), "name": "position"}, rieser)  # a name that datasets have
    assert axis.name == "position"
    assert len(axis) == 5
    with pytest.raises(ScenarioError, match="must have a unit"):
        axis_of(power_axis(5), rieser, with_units=True)


# Command line and figures

LINE = ["diagram", "rieser_like_pair", "--x", "particle[0].phase=0 deg:360 deg"]
POWER = "particle[0].power=0.25 W:0.35 W,particle[1].power=0.35 W:0.25 W"


@pytest.fixture
def command(monkeypatch, capsys):
    """Run a line, and return its exit code, output and messages."""
    from stochbind.cli.entry import main

    def run(*words):
        monkeypatch.setattr("sys.argv", ["stochbind", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return end.value.code, said.out, said.err

    return run


def test_the_command_writes_tables(command, tmp_path):
    code, out, err = command(*LINE, "--y", POWER, "-n", 12, "--of", "pt", "--coarse", 4, "-o", tmp_path / "a.json")
    assert code == 0
    assert "broken: 0." in out
    assert "written" in err
    data = json.loads((tmp_path / "a.json").read_text())
    assert np.shape(data["code"]) == (12, 12)
    assert data["rule"] == "pt"
    assert data["x"]["unit"] == "rad"
    code, _, _ = command(*LINE, "--y", POWER, "-n", 12, "--of", "pt", "--exhaustive", "-q", "-o", tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert code == 0
    assert len(rows) == 144
    assert [int(row["code"]) for row in rows] == np.ravel(data["code"]).tolist()
    assert {row["class"] for row in rows} == set(data["names"].values())
    assert float(rows[13]["particle[0].phase [rad]"]) == pytest.approx(2 * math.pi / 11)


def test_the_command_draws(command, tmp_path):
    code, _, err = command(*LINE, "--y", POWER, "-n", 9, "-q", "-o", tmp_path / "a.png")
    assert code == 0
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert "computed" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--y", POWER, "-o", "a.txt"), "`--output` must end in"),
        (("--y", "particle[0].power", "-o", "a.png"), "`--y` must be PATH=FROM:TO"),
        (("--y", "particle[0].power=0.2:0.3 W", "-o", "a.png"), "must have a unit"),
        (("--y", POWER, "--of", "colour", "-o", "a.png"), "`classify` must be one of"),
        (("--y", POWER, "-n", 3, "-o", "no/such/folder.png"), "cannot be written"),
    ],
)
def test_wrong_lines(command, words, message):
    code, _, err = command(*LINE, *words)
    assert code in (2, 74)
    assert re.search(re.escape(message), err)


def test_figures_draw_what_they_are_given(rieser):
    from matplotlib.figure import Figure

    from stochbind.plots import diagrams

    found = phase_diagram(rieser, phase_axis(17), power_axis(9), coarse=4)
    left, middle, right = Figure().subplots(1, 3)
    diagrams.class_map(left, found, lines=found.boundary("unstable", 0.1), computed=True)
    (mesh,) = left.collections
    shown = np.asarray(mesh.get_array()).reshape(9, 17)
    assert ((found.code == 2) == shown.T).all()  # rows of the picture are values of y
    assert left.get_xlabel() == "particle[0].phase (degrees)"
    assert left.get_xlim() == pytest.approx((0, 360))
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["stable", "unstable"]
    diagrams.rate_map(middle, found.x, found.y, found.growth_rate, label="growth rate", lines=[])
    assert middle.collections[0].norm.vmin == -middle.collections[0].norm.vmax
    detuning = np.linspace(-1, 5, 20)
    diagrams.eigenfrequency_curves(right, detuning, pair_diagram(1.0, 1.2, detuning).eigenfrequency, points=[2.0])
    assert len(right.lines) == 5


@pytest.fixture(scope="module")
def script():
    """The script of the figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(Path(__file__).parent.parent / "scripts" / "figures"))
        import phase_diagrams

        yield phase_diagrams
    for name in ("phase_diagrams", "saving"):
        sys.modules.pop(name)


def test_the_rotating_frame_and_the_full_drift_differ_little(script):
    rotating = script.plane(120)
    fraction = [np.mean(rotating.code != script.plane(120, frequency).code) for frequency in (25.0, 50.0)]
    assert fraction == pytest.approx([0.0146, 0.0070], abs=0.002)
    # the area inside the exceptional points, over the plane of 16 by 3
    area = 4 * (0.5 * 3 * math.sqrt(8) - 0.5 * math.acosh(3))
    cut = 4 * np.maximum(0, np.sqrt(np.linspace(1, 3, 9001) ** 2 - 1))
    beyond = np.maximum(0, 2 * np.linspace(1, 3, 9001) + cut / 2 - 12).mean() * 2
    assert rotating.areas()["broken"] == pytest.approx((area - beyond) / 48, abs=0.004)


def test_the_script_writes_figures(script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["figure", str(tmp_path)])
    script.main(60, 13)
    assert {path.name for path in tmp_path.iterdir()} == {"phase_diagrams.png", "growth_of_a_pair.png"}
    shipped = Path(__file__).parent.parent / "docs" / "images"
    for path in tmp_path.iterdir():
        assert 10_000 < (shipped / path.name).stat().st_size < 150_000
    said = capsys.readouterr().out
    assert "the two differ in 0.01" in said
    assert "1e-6 mbar: unstable: 0.2" in said
