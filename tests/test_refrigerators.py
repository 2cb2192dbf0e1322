"""Refrigerators: closed forms against the matrix route, laws of arrays of any size, and twins that must fail."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, optimize

import stochbind as sb
import systems
from stochbind.analysis import refrigerator_arrays, refrigerators, thermodynamics
from stochbind.analysis.refrigerator_pairs import Pair, carnot, cooling_window, cools, first_factor, performance
from stochbind.errors import ScenarioError, UnstableError
from stochbind.oscillators import Oscillators

SCENARIOS = Path(__file__).parent.parent / "scenarios"


def random_pair(seed, *, overdamped):
    """A stable pair of any numbers, its couplings of any signs."""
    rng = np.random.default_rng(seed)
    while True:
        u, friction, temperature = rng.uniform(0.3, 3.0, (3, 2))
        array = Oscillators(
            stiffness=u,
            friction=friction,
            bath_temperature=temperature,
            coupling=np.array([[0.0, rng.normal()], [rng.normal(), 0.0]]),
            mass=None if overdamped else rng.uniform(0.3, 3.0, 2),
            reduced=True,
        )
        if array.langevin().stability.stable:
            return array


def closed_heat(array):
    c = array.coupling
    return Pair.of(array).heat(c[0, 1], c[1, 0], *array.thermal_energy)


def exact_heat(array):
    return thermodynamics.heat_current(array, array.langevin().stationary_covariance())


# ---------------------------------------------------------------------- one pair


@pytest.mark.parametrize("overdamped", [True, False])
def test_closed_forms_of_a_pair_are_those_of_the_matrices(overdamped):
    for seed in range(40):
        array = random_pair(seed, overdamped=overdamped)
        expected, found = exact_heat(array), closed_heat(array)
        assert found == pytest.approx(expected, rel=1e-10, abs=0)
        cold = int(np.argmin(array.bath_temperature))
        c = array.coupling
        works = -expected.sum()
        assert refrigerators.balance(array).work == pytest.approx(works, rel=1e-10, abs=0)
        both = (c[1 - cold, cold], c[cold, 1 - cold])
        cold_to_hot = expected[cold] > 0 > expected[1 - cold]
        assert cools(*both, *array.bath_temperature[[1 - cold, cold]]) == cold_to_hot
        if cold_to_hot:
            assert refrigerators.balance(array).performance == pytest.approx(performance(*both), rel=1e-9, abs=0)
        for wrong in (  # the twins: signs, couplings, temperatures, a factor of two in the friction
            -found,
            Pair.of(array).heat(c[1, 0], c[0, 1], *array.thermal_energy),
            Pair.of(array).heat(c[0, 1], c[1, 0], *array.thermal_energy[::-1]),
            closed_heat(replace(array, friction=2 * array.friction)),
        ):
            assert np.abs(wrong - expected).max() > 1e-6 * np.abs(expected).max()


def test_closed_forms_at_high_quality():
    """Friction of a millionth: SI numbers of a levitated pair."""
    mass = np.array([1.0e-17, 1.2e-17])
    stiffness = mass * (2 * np.pi * 100e3) ** 2
    array = Oscillators(
        mass=mass, stiffness=stiffness, friction=mass * 1.0, bath_temperature=np.array([300.0, 200.0]),
        coupling=np.array([[0, 1e-2], [4e-3, 0]]) * stiffness[0],
    )  # fmt: skip
    assert closed_heat(array) == pytest.approx(exact_heat(array), rel=1e-7, abs=0)


def test_the_balance_of_the_shipped_pair(cold_to_hot):
    """c_B/c_A = 0.4 and T_B/T_A = 0.8: COP 2/3, Carnot 4, an efficiency of a sixth."""
    found = refrigerators.balance(cold_to_hot.oscillators())
    np.testing.assert_allclose(found.temperature, [0.8, 1.0])
    np.testing.assert_allclose(found.heat, [0.6 / 19, -1.5 / 19], rtol=1e-9)
    assert (found.cooling_power, found.heat_rejected) == pytest.approx((0.6 / 19, 1.5 / 19), rel=1e-9, abs=0)
    assert (found.performance, found.carnot, found.efficiency) == pytest.approx((2 / 3, 4.0, 1 / 6), rel=1e-9, abs=0)
    assert found.entropy_production == pytest.approx((1.5 - 0.6 / 0.8) / 19, rel=1e-9, abs=0)
    assert found.recoil_power == 0.0


@pytest.mark.parametrize("overdamped", [True, False])
def test_entropy_production_is_that_of_the_force_and_the_noise(overdamped):
    """tr(A^T D^-1 A S) + tr A overdamped; tr(G D_p^-1 G <pp>) - tr G underdamped."""
    for seed in range(5):
        array = random_pair(seed, overdamped=overdamped)
        equations = array.langevin()
        scale = np.outer(equations.unit, equations.unit)
        moment = equations.stationary_covariance() * scale
        if overdamped:
            drift = -array.force_matrix / array.friction[:, None]
            noise = np.diag(array.thermal_energy / array.friction)
            expected = np.trace(drift.T @ np.linalg.inv(noise) @ drift @ moment) + np.trace(drift)
        else:
            velocity = moment[2:, 2:]
            rate = np.diag(array.friction / array.mass)
            momentum = np.outer(array.mass, array.mass) * velocity
            noise = np.diag(array.friction * array.thermal_energy)
            expected = np.trace(rate @ np.linalg.inv(noise) @ rate @ momentum) - np.trace(rate)
        assert refrigerators.balance(array).entropy_production == pytest.approx(expected, rel=1e-9, abs=0)
        assert expected > 0


def test_where_a_pair_cools_most():
    over = Pair.of(systems.overdamped_pair())
    np.testing.assert_allclose(over.best_ratio(0.5, [0.2, 0.8]), [0.1, 0.4])
    array = systems.underdamped_pair(c=(0.6, 0.2))
    pair = Pair.of(array)
    best = float(pair.best_ratio(0.6, 0.8))
    assert best < 0.399  # not at half the ratio of the temperatures, as overdamped: the twin
    powers = pair.heat(0.6, 0.6 * np.array([best - 1e-3, best, best + 1e-3, 0.4]), 1.0, 0.8)[:, 1]
    assert powers.argmax() == 1
    found = refrigerators.best_cooling(array)
    assert found.ratio == pytest.approx(best, rel=1e-6, abs=0)
    assert found.balance.cooling_power == pytest.approx(powers[1], rel=1e-9, abs=0)
    unbounded = optimize.minimize_scalar(lambda r: -pair.heat(0.6, 0.6 * r, 1.0, 0.8)[1], bracket=(0.1, 0.3, 0.5))
    assert unbounded.x == pytest.approx(best, rel=1e-6, abs=0)


def test_closed_forms_tell_where_there_is_no_steady_state():
    """As the eigenvalues do: by growth, and by oscillation."""
    for make in (systems.overdamped_pair, systems.underdamped_pair):
        for c in ((2.0, 0.5), (2.0, 0.53), (0.5, -0.1), (3.0, -3.0), (0.9, -0.7)):
            array = make(c=c)
            stable = array.langevin().stability.stable
            assert np.isfinite(closed_heat(array)).all() == stable
    assert not systems.underdamped_pair(c=(3.0, -3.0)).langevin().stability.stable
    assert np.isnan(Pair.of(systems.underdamped_pair()).best_ratio(30.0, 0.8))


# ---------------------------------------------------------------------- non-reciprocity factors


def test_the_window_of_the_first_factor():
    ratio = np.linspace(-0.99, 0.99, 100)
    factor = first_factor(0.3, 0.3 * ratio)
    np.testing.assert_allclose(factor, np.where(ratio >= 0, (1 - ratio) / 2, (1 + np.abs(ratio)) / 2))
    low, high = cooling_window(0.8)
    inside = (factor > low) & (factor < high)
    np.testing.assert_array_equal(inside, cools(0.3, 0.3 * ratio, 1.0, 0.8))
    heat = np.array([exact_heat(systems.underdamped_pair(c=(0.3, 0.3 * r)))[1] for r in ratio])
    np.testing.assert_array_equal(inside, heat > 0)
    shifted = first_factor(0.3, -0.3 * ratio)  # the twin: forces of the other sign
    assert (((shifted > low) & (shifted < high)) != inside).any()


@pytest.mark.parametrize("name", ["second_kerker_pair", "silicon_pair", "electric_dipole_pair"])
def test_the_factor_of_the_light_decides_which_pairs_cool(name):
    """The factor comes from derivatives of the forces of light, the heat from the equations of motion."""
    scenario = sb.Scenario.from_toml(SCENARIOS / f"{name}.toml")
    factor = scenario.derived()["non_reciprocity_first"].value[0, 0]
    array = replace(scenario.oscillators(), bath_temperature=np.array([300.0, 240.0]), diffusion=None)
    couplings = array.coupling[0, 1], array.coupling[1, 0]
    assert first_factor(*couplings) == pytest.approx(factor, rel=1e-6, abs=0)
    low, high = cooling_window(0.8)
    cooled = refrigerators.balance(array).cooling_power > 0
    assert cooled == (low < factor < high) == cools(*couplings, 300.0, 240.0)
    assert cooled == (name != "electric_dipole_pair")  # both answers are there


# ---------------------------------------------------------------------- many particles


def random_network(seed, ratio, *, overdamped):
    """Six particles in two baths, their couplings across of one ratio, those inside reciprocal."""
    rng = np.random.default_rng(seed)
    n, cold = 6, np.array([False, True, True, False, False, True])
    c = np.triu(rng.uniform(-0.15, 0.25, (n, n)), 1)
    c = c + c.T
    c[cold[:, None] & ~cold[None, :]] *= ratio
    return Oscillators(
        stiffness=rng.uniform(1, 2, n), friction=rng.uniform(0.3, 2, n), coupling=c,
        bath_temperature=np.where(cold, 0.7, 1.0), mass=None if overdamped else rng.uniform(0.5, 2, n), reduced=True,
    )  # fmt: skip


@pytest.mark.parametrize("overdamped", [True, False])
def test_the_performance_of_any_network_is_that_of_a_pair(overdamped):
    for seed in range(5):
        for ratio in (0.2, 0.69, 0.71, 1.0, -0.5):
            found = refrigerators.balance(random_network(seed, ratio, overdamped=overdamped))
            assert (found.cooling_power > 0) == (0 < ratio < 0.7)
            if ratio == 1.0:
                assert found.work == pytest.approx(0.0, abs=1e-14)
                assert found.heat_rejected == pytest.approx(found.cooling_power, rel=1e-9, abs=0)
            else:
                assert found.cooling_power / found.work == pytest.approx(ratio / (1 - ratio), rel=1e-8, abs=0)
            assert found.heat.sum() + found.work == pytest.approx(0.0, abs=1e-14)
            assert found.entropy_production > 0
        still = refrigerators.balance(random_network(seed, 0.7, overdamped=overdamped))
        assert np.abs(still.oscillator_heat).max() < 1e-14
        array = random_network(seed, 0.5, overdamped=overdamped)
        uneven = np.array(array.coupling)
        uneven[1, 0] *= 1.5  # the twin: one coupling of another ratio
        found = refrigerators.balance(replace(array, coupling=uneven))
        assert abs(found.cooling_power / found.work - 1.0) > 1e-6


def test_pairs_side_by_side():
    pair = systems.underdamped_pair(diffusion=np.array([[0.2, 0.1], [0.1, 0.3]]))
    one, many = refrigerators.balance(pair), refrigerators.balance(refrigerator_arrays.copies(pair, 7))
    np.testing.assert_allclose(many.heat, 7 * one.heat, rtol=1e-10)
    assert (many.work, many.recoil_power) == pytest.approx((7 * one.work, 7 * one.recoil_power), rel=1e-10, abs=0)
    assert many.performance == pytest.approx(one.performance, nan_ok=True, rel=1e-9)


@pytest.mark.parametrize("mass", [None, 1.0])
@pytest.mark.parametrize("arrangement", ["alternating", "halves"])
def test_chains(arrangement, mass):
    powers = []
    for n in (2, 3, 8, 20):
        array = refrigerator_arrays.chain(
            n, coupling=0.3, ratio=0.4, temperature=(1.0, 0.8), arrangement=arrangement, mass=mass
        )
        found = refrigerators.balance(array)
        powers.append(found.cooling_power)
        assert found.performance == pytest.approx(2 / 3, rel=1e-8, abs=0)
        near = [j for j in range(n) if len({*array.bath_temperature[max(0, j - 1) : j + 2]}) > 1]
        most = np.argmax(np.abs(found.oscillator_heat))
        assert most in near  # heat crosses where the baths meet
    if arrangement == "alternating":
        assert powers[3] > 5 * powers[0]
    else:
        assert powers[3] < 1.5 * powers[0]


@pytest.mark.parametrize("n", [2, 3, 5])
def test_a_chain_with_baths_at_its_ends_multiplies_its_ratios(n):
    for ratio in (0.5, 0.9, 0.97):
        array = refrigerator_arrays.chain(
            n, coupling=0.3, ratio=ratio, temperature=(1.0, 0.8), arrangement="ends", friction=0.4, mass=1.0
        )
        found, whole = refrigerators.balance(array), ratio ** (n - 1)
        assert (found.cooling_power > 0) == (whole < 0.8)
        assert found.cooling_power / found.work == pytest.approx(whole / (1 - whole), rel=1e-7, abs=0)
        np.testing.assert_array_equal(found.oscillator_heat[1:-1], 0.0)
        assert n == 2 or found.cooling_power / found.work != pytest.approx(ratio / (1 - ratio), rel=0.01)  # the twin


# ---------------------------------------------------------------------- maps


@pytest.mark.parametrize("make", [systems.overdamped_pair, systems.underdamped_pair])
def test_the_map_is_that_of_the_closed_forms(make):
    array = make(c=(0.6, 0.1))
    ratio, temperature = np.linspace(-0.5, 1.2, 8), np.linspace(0.0, 1.0, 5)
    found = refrigerators.cooling_map(array, ratio, temperature)
    heat = Pair.of(array).heat(0.6, 0.6 * ratio[:, None], 1.0, temperature)
    np.testing.assert_allclose(found.cooling_power, heat[..., 1], rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(found.work, -heat.sum(axis=-1), rtol=1e-9, atol=1e-15)
    inside = cools(0.6, 0.6 * ratio[:, None], 1.0, temperature)
    np.testing.assert_array_equal(np.isfinite(found.performance), inside)
    expected = np.broadcast_to(performance(1.0, ratio)[:, None], inside.shape)
    np.testing.assert_allclose(found.performance[inside], expected[inside], rtol=1e-9)
    limit = np.broadcast_to(carnot(temperature, 1.0), inside.shape)
    assert (found.performance[inside] < limit[inside]).all()
    turned = refrigerators.cooling_map(array, ratio, temperature, bath=[1, 0])  # the hotter bath first
    np.testing.assert_allclose(turned.cooling_power, found.cooling_power, rtol=1e-12, atol=1e-16)


def test_a_map_with_recoil_is_that_of_its_points():
    """Also recoil heats, whatever the temperatures; unstable ratios are NaN."""
    array = systems.underdamped_pair(c=(0.9, 0.1), diffusion=np.array([[0.2, 0.1], [0.1, 0.3]]))
    found = refrigerators.cooling_map(array, [0.3, 3.0], [0.4, 0.9])
    for j, t in enumerate((0.4, 0.9)):
        alone = refrigerators.balance(
            replace(array, coupling=np.array([[0, 0.9], [0.27, 0]]), bath_temperature=np.array([1.0, t]))
        )
        flows = (found.cooling_power[0, j], found.work[0, j])
        assert flows == pytest.approx((alone.cooling_power, alone.work), rel=1e-9, abs=0)
    assert np.isnan(found.cooling_power[1]).all()
    assert np.isnan(found.performance[1]).all()


# ---------------------------------------------------------------------- recoil


def pumped(mass, u, friction, c, cross):
    """Heat from the baths that correlated recoil pumps: an integral over all frequencies."""
    (m_a, m_b), (g_a, g_b), (u_a, u_b) = mass, friction, u

    def density(w):
        delta = (u_a - m_a * w**2 - 1j * g_a * w) * (u_b - m_b * w**2 - 1j * g_b * w) - c[0] * c[1]
        return w**2 * (g_a * (u_b - m_b * w**2) - g_b * (u_a - m_a * w**2)) / abs(delta) ** 2

    gain = 2 * cross * integrate.quad(density, 0, np.inf, epsabs=0, epsrel=1e-10, limit=500)[0] / np.pi
    return gain * np.array([-c[0], c[1]])


def test_correlated_recoil_pumps_heat():
    numbers = {"mass": (1.2, 0.6), "u": (1.3, 0.8), "friction": (0.3, 0.5), "c": (0.5, 0.2)}
    for cross in (0.2, -0.15):
        array = systems.underdamped_pair(**numbers, diffusion=np.array([[0.3, cross], [cross, 0.3]]))
        expected = pumped(**numbers, cross=cross)
        assert refrigerators.pumped_by_recoil(array) == pytest.approx(expected, rel=1e-7, abs=0)
        assert np.abs(expected + refrigerators.pumped_by_recoil(array)).max() > 0.01  # the twin: the other sign
    same = {"mass": (1.2, 1.2), "u": (1.3, 1.3), "friction": (0.3, 0.3)}
    array = systems.underdamped_pair(**same, diffusion=np.array([[0.3, 0.2], [0.2, 0.3]]))
    assert np.abs(refrigerators.pumped_by_recoil(array)).max() < 1e-15


def test_correlated_recoil_turns_a_refrigerator_round():
    """Inside the window of two baths, and the colder one is heated; with the opposite correlation it is cooled more."""
    numbers = {"mass": (1.0, 1.0), "u": (1.0, 1.3), "friction": (0.1, 0.1), "c": (0.1, 0.05)}
    assert cools(0.1, 0.05, 1.0, 0.9)

    def cooling(cross):
        array = systems.underdamped_pair(
            **numbers, temperature=(1.0, 0.9), diffusion=np.array([[0.02, cross], [cross, 0.02]])
        )
        found = refrigerators.balance(array)
        assert found.heat.sum() + found.coupling_power + found.recoil_power == pytest.approx(0.0, abs=1e-14)
        return found.cooling_power - cold_recoil

    cold_recoil = -0.02  # what recoil alone puts into each bath, D/m
    parts = [cooling(cross) for cross in (-0.018, 0.0, 0.018)]
    assert parts[1] > 0
    assert min(parts[0], parts[2]) < 0 < max(parts[0], parts[2])
    assert parts[0] + parts[2] == pytest.approx(2 * parts[1], rel=1e-9, abs=0)  # linear in the correlation


# ---------------------------------------------------------------------- what is refused


def test_what_has_no_balance_is_refused():
    pair = systems.underdamped_pair()
    with pytest.raises(UnstableError, match="The balance of the baths needs a steady state"):
        refrigerators.balance(systems.underdamped_pair(c=(3.0, 1.0)))
    with pytest.raises(ScenarioError, match="All oscillators are in one bath, at 1: a refrigerator needs two"):
        refrigerators.balance(systems.underdamped_pair(temperature=(1.0, 1.0)))
    assert refrigerators.balance(systems.underdamped_pair(temperature=(1.0, 1.0)), bath=[0, 1]).carnot == np.inf
    with pytest.raises(ScenarioError, match="`bath_temperature` must be positive"):
        refrigerators.balance(systems.underdamped_pair(temperature=(1.0, 0.0)))
    with pytest.raises(ScenarioError, match=r"`bath` must number the baths from 0 on, but is \[0.0, 2.0\]"):
        refrigerators.balance(pair, bath=[0, 2])
    with pytest.raises(ScenarioError, match=r"Bath 0 has two temperatures, 0.8 and 1"):
        refrigerators.balance(refrigerator_arrays.copies(pair, 2), bath=[0, 0, 1, 0])
    with pytest.raises(ScenarioError, match="An overdamped array with momentum diffusion has no balance"):
        refrigerators.balance(systems.overdamped_pair(diffusion=np.eye(2)))
    with pytest.raises(ScenarioError, match="The forces are not linear"):
        refrigerators.balance(replace(pair, forces=(sb.fields.duffing(np.ones(2)),)))
    three = replace(refrigerator_arrays.copies(pair, 2), bath_temperature=np.array([1.0, 0.8, 1.0, 0.5]))
    assert np.isnan(refrigerators.balance(three).carnot)
    with pytest.raises(ScenarioError, match="Ratios of couplings are of two baths, but the array has 3"):
        refrigerators.with_ratio(three, 0.5)
    with pytest.raises(ScenarioError, match="No ratio of the couplings cools"):
        refrigerators.best_cooling(systems.underdamped_pair(c=(0.0, 0.0)))


def test_the_colder_bath_is_found_whatever_its_number():
    """Baths may be numbered in any order; the ratio is that of the coupling onto the colder one."""
    for temperature, bath, onto in (((1.0, 0.8), [0, 1], (1, 0)), ((0.8, 1.0), [1, 0], (0, 1))):
        array = systems.underdamped_pair(c=(0.4, 0.3), temperature=temperature)
        for numbers in (bath, bath[::-1], None):
            found = refrigerators.with_ratio(array, 0.5, bath=numbers).coupling
            expected = array.coupling.copy()
            expected[onto] = 0.5 * array.coupling[onto[::-1]]
            np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_what_has_no_closed_form_is_refused():
    with pytest.raises(ScenarioError, match="The closed forms are of 2 oscillators, but the array has 4"):
        Pair.of(refrigerator_arrays.copies(systems.underdamped_pair(), 2))
    with pytest.raises(ScenarioError, match="has momentum diffusion beside them"):
        Pair.of(systems.underdamped_pair(diffusion=np.eye(2)))
    with pytest.raises(ScenarioError, match="`stiffness` must be positive"):
        Pair(stiffness=np.array([1.0, -1.0]), friction=np.ones(2))
    with pytest.raises(ScenarioError, match="`temperature_ratio` must be T_B/T_A of a colder B"):
        cooling_window(1.2)


def test_impossible_arrays_are_refused():
    numbers = {"coupling": 0.3, "ratio": 0.5, "temperature": (1.0, 0.8)}
    with pytest.raises(ScenarioError, match="`n` must be at least 2"):
        refrigerator_arrays.chain(1, **numbers)
    with pytest.raises(ScenarioError, match="`arrangement` must be"):
        refrigerator_arrays.chain(3, **numbers, arrangement="ring")
    with pytest.raises(ScenarioError, match="needs `mass`"):
        refrigerator_arrays.chain(3, **numbers, arrangement="ends")
    with pytest.raises(ScenarioError, match="`number` must be at least 1"):
        refrigerator_arrays.copies(systems.underdamped_pair(), 0)
    with pytest.raises(ScenarioError, match="forces beyond the linear ones"):
        refrigerator_arrays.copies(replace(systems.underdamped_pair(), forces=(sb.fields.duffing(np.ones(2)),)), 2)
    with pytest.raises(ScenarioError, match="an overdamped array has none"):
        refrigerators.pumped_by_recoil(systems.overdamped_pair())
