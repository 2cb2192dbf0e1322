"""Coupled oscillators: the map to Langevin equations, and steady states against closed forms."""

import numpy as np
import pytest
from scipy import constants

import stochbind as sb
import systems
from stochbind.errors import NoiseError, PlanError, ScenarioError, UnstableError


def si_covariance(array):
    equations = array.langevin()
    return equations.stationary_covariance() * np.outer(equations.unit, equations.unit)


def test_overdamped_pair_covariance():
    expected, _ = systems.overdamped_truth()
    np.testing.assert_allclose(si_covariance(systems.overdamped_pair()), expected, rtol=1e-12)
    transposed, _ = systems.overdamped_truth(c=(0.2, 0.5))
    assert np.abs(transposed / expected - 1).max() > 0.1  # the twin: a transposed coupling is seen


def test_uncoupled_particles_equilibrate_with_their_baths():
    found = si_covariance(systems.underdamped_pair(c=(0.0, 0.0)))
    np.testing.assert_allclose(np.diag(found), [1 / 1.3, 0.8 / 0.8, 1 / 1.2, 0.8 / 0.6], rtol=1e-12)


def test_reciprocal_coupling_at_equal_temperature_is_the_gibbs_state():
    array = systems.underdamped_pair(c=(0.4, 0.4), temperature=(0.9, 0.9))
    found = si_covariance(array)
    np.testing.assert_allclose(found[:2, :2], 0.9 * np.linalg.inv([[1.3, -0.4], [-0.4, 0.8]]), rtol=1e-12)
    np.testing.assert_allclose(found[2:, 2:], 0.9 * np.diag([1 / 1.2, 1 / 0.6]), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(("g1", "g2"), [(0.3, 0.1), (0.2, 0.0), (0.1, -0.02), (0.2, 0.2)])
def test_identical_pair_kinetic_temperatures(g1, g2):
    gamma, temperature = 0.4, (1.0, 0.7)
    array = systems.underdamped_pair(
        mass=(1, 1), u=(1, 1), friction=(gamma, gamma), c=(2 * g1, 2 * g2), temperature=temperature
    )
    expected = systems.identical_pair_kinetic(gamma=gamma, g1=g1, g2=g2, temperature=temperature)
    np.testing.assert_allclose(np.diag(si_covariance(array))[2:], expected, rtol=1e-12)


def test_recoil_heats_and_correlates():
    """Uncoupled, D: <p_j p_k> = (m gamma k T delta_jk + Re D_jk)/gamma; the imaginary part is no noise."""
    gamma, mass = 0.2, 1.5
    diffusion = np.array([[0.3, 0.1 + 0.05j], [0.1 - 0.05j, 0.3]])
    array = systems.underdamped_pair(
        mass=(mass, mass),
        u=(2, 2),
        friction=(gamma * mass, gamma * mass),
        c=(0, 0),
        temperature=(1.0, 1.0),
        diffusion=diffusion,
    )
    momentum = si_covariance(array)[2:, 2:] * mass**2
    np.testing.assert_allclose(momentum, (mass * gamma * np.eye(2) + diffusion.real) / gamma, rtol=1e-12)
    wrong = (mass * gamma * np.eye(2) + np.abs(diffusion)) / gamma  # the twin: |D| in place of Re D is seen
    assert np.abs(wrong - momentum).max() > 0.01


def test_si_units():
    """k_B T = m <v^2> in SI, for a nanoparticle."""
    scenario = sb.OscillatorScenario(
        name="one",
        particle=[{"mass": 9e-18, "frequency": 55e3, "damping_rate": 1e3, "bath_temperature": 300.0}],
    )
    array = scenario.oscillators()
    covariance = si_covariance(array)
    np.testing.assert_allclose(9e-18 * covariance[1, 1], constants.k * 300, rtol=1e-12)
    np.testing.assert_allclose(9e-18 * (2 * np.pi * 55e3) ** 2 * covariance[0, 0], constants.k * 300, rtol=1e-12)


def test_langevin_labels():
    equations = systems.underdamped_pair().langevin()
    assert [c.quantity for c in equations.coordinate] == ["position"] * 2 + ["velocity"] * 2
    assert [c.particle for c in equations.coordinate] == [0, 1, 0, 1]
    np.testing.assert_array_equal(equations.select("velocity"), [2, 3])
    assert systems.overdamped_pair().langevin().dimension == 2


def test_drift_row_receives():
    """coupling[0, 1] moves particle 0 when particle 1 is displaced."""
    array = systems.underdamped_pair(c=(0.5, 0.0))
    equations = array.langevin()
    physical = equations.drift_matrix * np.outer(equations.unit, 1 / equations.unit) / equations.time_unit
    assert physical[2, 1] == pytest.approx(0.5 / 1.2)
    assert physical[3, 0] == 0.0


@pytest.mark.parametrize("initial", ["thermal", "stationary", "rest", "ground"])
def test_initial_states(initial):
    array = systems.underdamped_pair()
    equations = array.langevin()
    covariance = array.initial_moments(initial).covariance * np.outer(equations.unit, equations.unit)
    expected = {
        "thermal": np.diag([1 / 1.3, 1.0, 1 / 1.2, 0.8 / 0.6]),
        "stationary": si_covariance(array),
        "rest": np.zeros((4, 4)),
        # hbar omega / 2 in either form of energy: hbar / 2 sqrt(m u) and hbar omega / 2 m
        "ground": np.diag(
            [
                0.5 / np.sqrt(1.2 * 1.3),
                0.5 / np.sqrt(0.6 * 0.8),
                0.5 * np.sqrt(1.3 / 1.2**3),
                0.5 * np.sqrt(0.8 / 0.6**3),
            ]
        ),
    }[initial]
    np.testing.assert_allclose(covariance, expected, rtol=1e-12)


def test_initial_states_that_cannot_be():
    unstable = systems.underdamped_pair(c=(2.0, 2.0))
    with pytest.raises(UnstableError, match=r'The initial state "stationary" needs a steady state'):
        unstable.initial_moments("stationary")
    with pytest.raises(PlanError, match="needs traps that hold"):
        systems.underdamped_pair(u=(-0.1, 1.0)).initial_moments("thermal")
    with pytest.raises(PlanError, match="needs masses"):
        systems.overdamped_pair().initial_moments("ground")
    with pytest.raises(PlanError, match="'hot'"):
        systems.underdamped_pair().initial_moments("hot")


def test_impossible_numbers_are_refused():
    with pytest.raises(ScenarioError, match=r"`mass` must be positive, but mass\[1\] is -1"):
        systems.underdamped_pair(mass=(1.0, -1.0))
    with pytest.raises(ScenarioError, match="zero diagonal"):
        systems.Oscillators(
            stiffness=np.ones(1), friction=np.ones(1), bath_temperature=np.ones(1), coupling=np.ones((1, 1))
        )
    with pytest.raises(NoiseError, match="positive semidefinite"):
        systems.underdamped_pair(diffusion=np.array([[0.1, 0.2], [0.2, 0.1]]))
    with pytest.raises(ScenarioError, match=r"friction\[0\] is 0"):
        systems.overdamped_pair(friction=(0.0, 1.0))
