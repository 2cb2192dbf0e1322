"""Homodyne detection: Riccati equations by other routes, closed forms, and where conditional states are entangled."""

import dataclasses
import math

import mpmath
import numpy as np
import pytest
from scipy import constants, integrate, linalg, optimize

import stochbind as sb
from conftest import SCENARIOS
from measured_arrays import one, pair
from stochbind.errors import NoiseError, ScenarioError, UnstableError
from stochbind.langevin import Moments
from stochbind.optics.pairs import Rates, far_field_rates
from stochbind.oscillators import Oscillators
from stochbind.quantum import riccati, symplectic
from stochbind.quantum.conditional_states import necessary_efficiency, oscillator_covariance
from stochbind.quantum.entanglement import logarithmic_negativity, transposed_eigenvalue
from stochbind.quantum.measurement import (
    Homodyne,
    conditional_covariance,
    largest_efficiency,
    measured,
    measured_moments,
)
from stochbind.quantum.quadratures import quadratures


def random_problem(seed, d=6, records=2):
    """An unstable system that is driven and measured."""
    rng = np.random.default_rng(seed)
    drift = rng.normal(size=(d, d))
    root, observation = rng.normal(size=(d, d)), rng.normal(size=(records, d))
    assert np.linalg.eigvals(drift).real.max() > 0.5
    return drift, root @ root.T, observation


def change(covariance, drift, noise, information):
    """Right-hand side of the Riccati equation."""
    return drift @ covariance + covariance @ drift.T + noise - covariance @ information @ covariance


def exact_oscillator(frequency, damping, diffusion, information, digits=40):
    """Steady conditional covariance of one oscillator from a root of its polynomial, to many digits."""
    with mpmath.workdps(digits):
        w, g, n, k = (
            mpmath.mpf(x) for x in (frequency, damping, 2 * mpmath.mpf(diffusion), 8 * mpmath.mpf(information))
        )

        def momentum_equation(zz):
            zp = k * zz**2 / (2 * w)
            pp = zz + (g + k * zz) * zp / w
            return -2 * w * zp - 2 * g * pp + n - k * zp**2

        guess = mpmath.mpf(oscillator_covariance(frequency, damping, diffusion, information)[0, 0]) * 1.01
        zz = mpmath.findroot(momentum_equation, guess)
        zp = k * zz**2 / (2 * w)
        return np.array([[zz, zp], [zp, zz + (g + k * zz) * zp / w]]).astype(float)


def bound(rate, recoil):
    """Rates of two particles that are bound conservatively, without correlated recoil."""
    return Rates(np.array(rate), np.array(0.0), np.full(2, recoil), np.array(0j))


def weakest(array, efficiency):
    """Smallest symplectic eigenvalue of the transposed steady state, less that of the vacuum."""
    return float(transposed_eigenvalue(conditional_covariance(Homodyne(array, efficiency)))) - 0.5


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_steady_covariances_are_those_of_scipy(seed):
    drift, noise, observation = random_problem(seed)
    found, settled = riccati.steady_covariance(drift, noise, observation.T @ observation)
    assert settled
    np.testing.assert_allclose(found, linalg.solve_continuous_are(drift.T, observation.T, noise, np.eye(2)), rtol=1e-9)


def test_transients_are_those_of_a_general_integrator():
    drift, noise, observation = random_problem(1)
    information = observation.T @ observation
    begin = 3.0 * np.eye(6)
    solution = integrate.solve_ivp(
        lambda _, v: change(v.reshape(6, 6), drift, noise, information).ravel(),
        (0.0, 0.7), begin.ravel(), method="DOP853", rtol=1e-11, atol=1e-12,
    )  # fmt: skip
    found = riccati.filtered_covariance(riccati.filtering(drift, noise, information, 0.7), begin)
    np.testing.assert_allclose(found, solution.y[:, -1].reshape(6, 6), rtol=1e-8, atol=1e-9)


def test_two_times_are_one():
    drift, noise, observation = random_problem(2)
    parts = drift, noise, observation.T @ observation
    short, rest, whole = (riccati.filtering(*parts, t) for t in (0.3, 0.9, 1.2))
    for found, expected in zip(riccati.then(short, rest), whole, strict=True):
        np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=1e-12)
    with pytest.raises(AssertionError):
        np.testing.assert_allclose(riccati.then(rest, short).matrix.astype(float), 1.01 * whole.matrix.astype(float))


@pytest.mark.parametrize(
    ("damping", "diffusion", "information"),
    [(1e-9, 5e-10, 1e-10), (1e-9, 1e-3, 1e-13), (1e-3, 1e5, 1e-7), (1e-9, 3.0, 2.0), (0.0, 1e-6, 1e-7)],
)
def test_one_oscillator_is_right_to_the_last_digits_at_any_quality_factor(damping, diffusion, information):
    expected = exact_oscillator(1.0, damping, diffusion, information)
    closed = oscillator_covariance(1.0, damping, diffusion, information)
    np.testing.assert_allclose(closed, expected, rtol=1e-13)
    drift = np.array([[0.0, 1.0], [-1.0, -damping]])
    noise, seen = np.diag([0.0, 2.0 * diffusion]), np.diag([8.0 * information, 0.0])
    found, settled = riccati.steady_covariance(drift, noise, seen)
    assert settled
    np.testing.assert_allclose(found, expected, rtol=1e-13)


@pytest.mark.parametrize(("damping", "diffusion", "information"), [(1e-9, 1e-3, 1e-13), (1e-9, 0.3, 0.1)])
def test_many_oscillators_are_as_right_as_one(damping, diffusion, information):
    n = 16
    drift = np.kron([[0.0, 1.0], [-1.0, -damping]], np.eye(n))
    noise, seen = (
        np.kron(np.diag([0.0, 2.0 * diffusion]), np.eye(n)),
        np.kron(np.diag([8.0 * information, 0]), np.eye(n)),
    )
    found, settled = riccati.steady_covariance(drift, noise, seen)
    assert settled
    expected = np.kron(oscillator_covariance(1.0, damping, diffusion, information), np.eye(n))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_the_usual_solver_loses_four_digits_where_this_one_loses_none():
    drift, noise, seen = np.array([[0.0, 1.0], [-1.0, -1e-9]]), np.diag([0.0, 2e-3]), 8e-13
    plain = linalg.solve_continuous_are(drift.T, np.array([[1.0], [0.0]]), noise, np.array([[1.0 / seen]]))
    error = np.abs(plain / exact_oscillator(1.0, 1e-9, 1e-3, 1e-13) - 1.0).max()
    assert error > 1e-5


@pytest.mark.parametrize("efficiency", [1.0, 0.34, 1e-3])
@pytest.mark.parametrize("recoil", [1e-4, 0.3, 20.0])
def test_the_purity_of_one_oscillator_is_the_root_of_the_efficiency(efficiency, recoil):
    array = one(recoil, frequency=3.0)
    covariance = conditional_covariance(Homodyne(array, efficiency))
    assert symplectic.purity(covariance) == pytest.approx(math.sqrt(efficiency), rel=1e-10)
    assert symplectic.is_physical(covariance)
    np.testing.assert_allclose(covariance, oscillator_covariance(3.0, 0.0, recoil, efficiency * recoil))
    # noise of D in place of 2D would make states that are too pure to be
    half = riccati.steady_covariance(
        Homodyne(array, efficiency).equations.drift_matrix,
        0.5 * Homodyne(array, efficiency).equations.noise_covariance,
        Homodyne(array, efficiency).information_matrix,
    )[0]
    assert symplectic.purity(half) == pytest.approx(math.sqrt(2.0 * efficiency), rel=1e-10)


def test_gas_makes_it_less_pure():
    recoil, damping, temperature, efficiency = 0.02, 1e-5, 4000.0, 0.7
    covariance = conditional_covariance(Homodyne(one(recoil, damping=damping, temperature=temperature), efficiency))
    gas = damping * temperature
    assert symplectic.purity(covariance) == pytest.approx(math.sqrt(efficiency * recoil / (recoil + gas)), rel=1e-4)
    np.testing.assert_allclose(covariance, oscillator_covariance(1.0, damping, recoil + gas, efficiency * recoil))


def test_a_pure_state_loses_purity_as_if_only_the_undetected_light_heated_it():
    time, squeezed = 1e-6, np.diag([0.2, 1.25])
    lost = {}
    for efficiency in (0.25, 0.8):
        detected = conditional_covariance(Homodyne(one(0.3), efficiency), time, squeezed)
        lost[efficiency] = 1.0 - symplectic.purity(detected)
        heated = Homodyne(one((1.0 - efficiency) * 0.3), 1e-12).equations.moments(time, Moments(np.zeros(2), squeezed))
        assert lost[efficiency] == pytest.approx(1.0 - symplectic.purity(heated.covariance), rel=1e-4)
    assert lost[0.25] > 3.0 * lost[0.8]


@pytest.mark.parametrize(("rate", "threshold"), [(0.02, 0.968), (0.1, 0.941)])
def test_the_steady_state_of_a_bound_pair_is_entangled_beyond_an_efficiency(rate, threshold):
    array = pair(2.0 * rate, 2.0 * rate, 10.0 * rate)
    found = optimize.brentq(lambda efficiency: weakest(array, efficiency), 0.5, 0.9999)
    assert found == pytest.approx(threshold, abs=6e-4)
    assert necessary_efficiency(bound(rate, 10.0 * rate)) == pytest.approx(0.9)
    assert logarithmic_negativity(conditional_covariance(Homodyne(array, 0.99))) > 0.01
    assert weakest(array, 0.95 * found) > 1e-3
    assert necessary_efficiency(bound(2.0 * rate, rate)) == 0.0


def test_below_the_necessary_efficiency_nothing_is_ever_entangled():
    rate = 0.1
    array = pair(2.0 * rate, 2.0 * rate, 10.0 * rate)
    times = np.linspace(0.0, 6.0, 61)
    for squeezing in (0.02, 0.2, 0.5, 2.0, 20.0):
        begin = np.diag([squeezing, 0.25 / squeezing, 0.25 / squeezing, squeezing])
        detected = Homodyne(array, 0.999 * float(necessary_efficiency(bound(rate, 10.0 * rate))))
        assert transposed_eigenvalue(conditional_covariance(detected, times, begin)).min() >= 0.5 - 1e-12
    more = conditional_covariance(Homodyne(array, 0.98), times, np.eye(4) / 2)
    assert transposed_eigenvalue(more).min() < 0.49


@pytest.mark.parametrize(("efficiency", "entangled"), [(0.899, False), (0.901, True), (0.92, True)])
def test_correlated_recoil_lowers_the_necessary_efficiency(efficiency, entangled):
    """With Re D12 = g_r: the coupling alone would tell 0.929, and no state below it were entangled."""
    rates = far_field_rates(2.25 * math.pi, 0.0, 0.1 * 2.25 * math.pi, 1.0)
    g, common = float(rates.reciprocal), float(rates.recoil_correlation.real)
    assert common == pytest.approx(g, rel=1e-12)
    assert necessary_efficiency(rates) == pytest.approx(0.9, rel=1e-12)
    assert 1.0 - g > 0.929
    array = pair(2.0 * g, 2.0 * g, 1.0, common=common)
    # conservative: the light allows more than is necessary
    assert largest_efficiency(array) == pytest.approx(1.0 - common, rel=1e-12)
    times, lowest = np.array([1e-3, 1e-2, 0.05, 0.2]), []
    for squeezing in (0.05, 0.5, 5.0):
        for other in (squeezing, 0.25 / squeezing):
            begin = np.diag([squeezing, other, 0.25 / squeezing, 0.25 / other])
            known = conditional_covariance(Homodyne(array, efficiency), times, begin)
            lowest.append(transposed_eigenvalue(known).min() - 0.5)
    assert (min(lowest) < -1e-7) == entangled
    assert entangled or min(lowest) > -1e-12


def test_the_necessary_efficiency_counts_both_recoils():
    rates = Rates(np.array([0.1, 0.1]), np.zeros(2), np.array([[0.5, 2.0], [0.25, 0.25]]), np.zeros(2, complex))
    np.testing.assert_allclose(necessary_efficiency(rates), [0.9, 0.6], rtol=1e-12)
    with pytest.raises(ScenarioError, match="`recoil` must be positive"):
        necessary_efficiency(bound(0.1, 0.0))


def test_antireciprocal_light_cannot_be_detected_twice_either():
    array = pair(0.0, 0.4, 0.3, common=0.1 - 0.1j)
    assert largest_efficiency(array) == pytest.approx(1.0 - math.hypot(0.1, 0.1) / 0.3, rel=1e-12)
    with pytest.raises(NoiseError, match="cannot get more information"):
        Homodyne(array, 0.6)  # the real part alone would allow 0.66
    assert Homodyne(array, 0.52).index.tolist() == [0, 1]


def test_conditional_states_are_physical_and_never_worse_than_unconditional_ones():
    array = pair(0.0, 0.4, 0.3, common=0.1 - 0.1j, damping=0.01, temperature=2.0)
    known, unknown = (
        conditional_covariance(Homodyne(array, 0.4)),
        Homodyne(array, 0.4).equations.stationary_covariance(),
    )
    assert symplectic.is_physical(known)
    assert np.linalg.eigvalsh(unknown - known).min() > 0
    assert np.linalg.eigvalsh(known - conditional_covariance(Homodyne(array, 0.5))).min() > 0
    # records of one particle only tell less
    assert np.linalg.eigvalsh(conditional_covariance(Homodyne(array, 0.4, [1])) - known).min() > 0


def test_an_array_that_is_not_stable_has_a_steady_conditional_state():
    # each feels the other with the opposite sign: one mode grows
    array = pair(0.3, -0.3, 0.4, common=0.15j, stiffness=1.0)
    detected = Homodyne(array, 0.5)
    assert detected.equations.stability.growth_rate > 0.1
    covariance = conditional_covariance(detected)
    late = conditional_covariance(detected, 200.0, 5.0 * np.eye(4))
    np.testing.assert_allclose(covariance, late, rtol=1e-9, atol=1e-12)
    observation = detected.observation
    noise = np.diag(detected.relative_noise)
    drift, force = detected.equations.drift_matrix, detected.equations.noise_covariance
    scipys = linalg.solve_continuous_are(drift.T, observation.T, force, noise)
    np.testing.assert_allclose(covariance, scipys, rtol=1e-9, atol=1e-12)


def test_motion_that_is_neither_damped_nor_detected_has_none():
    array = pair(0.0, 0.0, 0.4)
    with pytest.raises(UnstableError, match="neither damped nor detected"):
        conditional_covariance(Homodyne(array, 0.5, [0]))
    assert conditional_covariance(Homodyne(array, 0.5, [0]), 3.0, np.eye(4))[1, 1] > 1.0


def test_a_measurement_too_weak_for_double_precision():
    """It is detected, if hardly: the steady state is there, but cannot be told."""
    with pytest.raises(UnstableError, match="rate of measurement of 8e-21 is below what double precision resolves"):
        conditional_covariance(Homodyne(one(1e-12), 1e-9))
    # one of two equal modes is not in the record, whatever the mixture of both that eigenvectors are
    coupled = pair(0.0, 0.0, 0.4)
    assert riccati.unseen(quadratures(coupled).drift_matrix, np.eye(4)[:1])
    assert not riccati.unseen(quadratures(pair(0.01, 0.01, 0.4)).drift_matrix, np.eye(4)[:1])
    assert not riccati.unseen(quadratures(pair(0.0, 0.0, 0.4, damping=1e-3)).drift_matrix, np.eye(4)[:1])


def test_a_solution_that_the_last_steps_change_is_none(monkeypatch):
    drift, noise, observation = random_problem(3)
    parts = drift, noise, observation.T @ observation
    assert riccati.steady_covariance(*parts)[1]
    monkeypatch.setattr(riccati, "lyapunov", lambda drift, noise: (0.01 * np.eye(len(drift)), None))
    assert not riccati.steady_covariance(*parts)[1]


def test_a_nanosphere_in_high_vacuum():
    mass, frequency, quality = 9e-18, 2 * math.pi * 55e3, 1e9
    recoil = 1.1e6 * constants.hbar * mass * frequency
    array = Oscillators(
        mass=[mass],
        stiffness=[mass * frequency**2],
        friction=[mass * frequency / quality],
        bath_temperature=[300.0],
        coupling=[[0.0]],
        diffusion=[[recoil]],
    )
    detected = Homodyne(array, 0.3)
    assert detected.record_noise[0] == pytest.approx(constants.hbar**2 / (8 * 0.3 * recoil), rel=1e-12, abs=0)
    gas = frequency / quality * constants.k * 300.0 / (constants.hbar * frequency)
    expected = exact_oscillator(frequency, frequency / quality, 1.1e6 + gas, 0.3 * 1.1e6)
    np.testing.assert_allclose(conditional_covariance(detected), expected, rtol=1e-11)


def test_a_bound_pair_in_high_vacuum():
    scenario = sb.Scenario.from_toml(SCENARIOS / "rieser_like_pair.toml")
    scenario = scenario.model_copy(update={"gas": scenario.gas.model_copy(update={"pressure": 1e-7})})
    array = scenario.oscillators()
    assert array.stiffness[0] / array.mass[0] > (1e10 * array.friction[0] / array.mass[0]) ** 2  # Q above 1e10
    most = largest_efficiency(array)
    assert most == pytest.approx(1 - abs(array.diffusion[0, 1]) / array.diffusion[0, 0].real, rel=1e-12)
    assert 0.9 < most < 0.99
    detected = Homodyne(array, 0.9)
    covariance = conditional_covariance(detected)
    equations = detected.equations
    with mpmath.workdps(40):
        a, n, s, v = (
            mpmath.matrix(m.tolist())
            for m in (equations.drift_matrix, equations.noise_covariance, detected.information_matrix, covariance)
        )
        left = a * v + v * a.T + n - v * s * v
        size = mpmath.mnorm(v * s * v)
        assert mpmath.mnorm(left) / size < 1e-13
    assert symplectic.is_physical(covariance)
    assert symplectic.purity(covariance) == pytest.approx(0.9, rel=0.01)  # of two particles, one root each
    with pytest.raises(NoiseError, match="cannot get more information"):
        Homodyne(array, 1.001 * most)


def test_records_are_positions_with_noise_of_the_right_strength():
    array = pair(0.1, 0.3, 0.2)
    detected = Homodyne(array, [0.5, 0.25], [1, 0])
    equations = measured(detected)
    assert [c[:2] for c in equations.coordinate[4:]] == [("record", 1), ("record", 0)]
    noise = 1.0 / (8.0 * np.array([0.5, 0.25]) * 0.2)
    np.testing.assert_allclose(detected.record_noise, noise)
    step = equations.propagator(1e-3)
    np.testing.assert_allclose(np.diagonal(step.covariance)[4:] * equations.unit[4:] ** 2, noise * 1e-3, rtol=1e-6)
    rate = step.matrix[4:, :2] * equations.unit[4:, None] / equations.unit[:2] / 1e-3
    np.testing.assert_allclose(rate, [[0, 1], [1, 0]], atol=1e-6)
    begin = measured_moments(detected, Moments(np.arange(4.0), np.eye(4)))
    assert begin.mean.tolist() == [0, 1, 2, 3, 0, 0]
    assert np.diagonal(begin.covariance).tolist() == [1, 1, 1, 1, 0, 0]


def test_the_physics_does_not_depend_on_the_unit_of_time():
    fast = conditional_covariance(Homodyne(one(3e3, damping=2e3, temperature=3e4, frequency=1e4), 0.4))
    slow = conditional_covariance(Homodyne(one(0.3, damping=0.2, temperature=3.0), 0.4))
    np.testing.assert_allclose(fast, slow, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"efficiency": 0.0}, ScenarioError, "`efficiency` must be positive"),
        ({"efficiency": 1.2}, ScenarioError, "at most 1, but is 1.2"),
        ({"efficiency": [0.1, 0.2, 0.3]}, ScenarioError, "must have shape"),
        ({"efficiency": 0.5, "particles": [0, 0]}, ScenarioError, "one or more different modes"),
        ({"efficiency": 0.5, "particles": []}, ScenarioError, "one or more"),
        ({"efficiency": 0.5, "particles": [2]}, ScenarioError, "at most 1"),
        ({"efficiency": "0.5"}, ScenarioError, "`efficiency` must be a number, but is '0.5'"),
        ({"efficiency": True}, ScenarioError, "`efficiency` must be a number, but is True"),
        ({"efficiency": 0.5, "particles": 2}, ScenarioError, "`particles` must be at most 1"),
        ({"efficiency": 0.5, "particles": "01"}, ScenarioError, "`particles` must be a whole number"),
        ({"efficiency": 0.7}, NoiseError, "cannot get more information than the light carries"),
    ],
)
def test_impossible_detectors_are_refused(given, error, message):
    with pytest.raises(error, match=message):
        Homodyne(pair(0.1, 0.1, 0.2, common=0.08), **given)


def test_dark_and_overdamped_particles_are_refused():
    dark = dataclasses.replace(pair(0.1, 0.1, 0.2), diffusion=np.diag([0.1, 0.0]))
    with pytest.raises(ScenarioError, match="Oscillator 1 cannot be detected"):
        Homodyne(dark, 0.5)
    assert Homodyne(dark, 0.5, [0]).index.tolist() == [0]
    assert Homodyne(dark, 0.5, 0).index.tolist() == [0]
    with pytest.raises(ScenarioError, match="Oscillator 1 cannot be detected"):
        largest_efficiency(dark)
    overdamped = dataclasses.replace(pair(0.1, 0.1, 0.2, damping=1.0), mass=None)
    with pytest.raises(ScenarioError, match="overdamped"):
        Homodyne(overdamped, 0.5)
    with pytest.raises(ScenarioError, match="given together"):
        conditional_covariance(Homodyne(one(0.1), 0.5), 1.0)
