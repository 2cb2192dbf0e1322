"""Dimensionless quadratures: their units, their equations, and the quantum baths that keep a ground state."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import constants

import systems
from stochbind import Oscillators, Scenario
from stochbind.errors import ScenarioError
from stochbind.forces import Force
from stochbind.langevin import Moments
from stochbind.optics import pairs
from stochbind.quantum import quadratures as q

HBAR = constants.hbar


@pytest.fixture(scope="module")
def pair():
    return Scenario.from_toml("scenarios/unidirectional_pair.toml").oscillators()


def test_the_unit_is_that_of_the_zero_point_motion(pair):
    unit = q.quadrature_unit(pair)
    omega = np.sqrt(pair.stiffness / pair.mass)
    # position times momentum of one unit each is hbar, and half the energy of either unit is hbar omega / 2
    np.testing.assert_allclose(unit[:2] * pair.mass * unit[2:], HBAR, rtol=1e-14)
    np.testing.assert_allclose(pair.stiffness * unit[:2] ** 2, HBAR * omega, rtol=1e-14)
    np.testing.assert_allclose(pair.mass * unit[2:] ** 2, HBAR * omega, rtol=1e-14)
    given = q.quadrature_unit(pair, 2 * omega[0])
    np.testing.assert_allclose(given[:2] * pair.mass * given[2:], HBAR, rtol=1e-14)
    np.testing.assert_allclose(pair.mass * given[2:] ** 2, 2 * HBAR * omega[0], rtol=1e-14)


def test_the_equations_hold_the_rates_of_optical_binding(pair):
    """dp_1/dt = -Omega z_1 + (g_r + g_a) 2 z_2, and the noise of p_1 is 2 D_11: PRL, eqs. (7) and (8)."""
    omega = np.sqrt(pair.stiffness / pair.mass)
    rates = pairs.rates_from(pair.coupling, pair.diffusion, pair.mass, omega)
    cold = replace(pair, bath_temperature=np.zeros(2), friction=np.zeros(2))
    equations = q.quadratures(cold)
    drift = equations.drift_matrix / equations.time_unit
    noise = equations.noise_covariance / equations.time_unit
    np.testing.assert_allclose(drift[:2, 2:], np.diag(omega), rtol=1e-13)
    np.testing.assert_allclose(np.diagonal(drift[2:, :2]), -omega, rtol=1e-13)
    assert drift[2, 1] == pytest.approx(2 * (rates.reciprocal + rates.antireciprocal), rel=1e-12, abs=0)
    # the pair is unidirectional: what 1 feels of 0 is round-off of what 0 feels of 1
    assert drift[3, 0] == pytest.approx(2 * (rates.reciprocal - rates.antireciprocal), rel=0, abs=1e-12 * drift[2, 1])
    assert noise[2, 2] == pytest.approx(2 * rates.recoil[0], rel=1e-12, abs=0)
    assert noise[2, 3] == pytest.approx(2 * rates.recoil_correlation.real, rel=1e-12, abs=0)
    assert noise[2, 3] != pytest.approx(2 * abs(rates.recoil_correlation), rel=1e-3, abs=0)
    assert not noise[:2].any()


def test_forces_beyond_the_linear_ones_are_left_out():
    force = Force(function=lambda x, p: -p[0] * x**3, parameters=np.array([[0.3], [0.1]]), vectorized=True)
    array = replace(systems.underdamped_pair(), forces=(force,))
    assert array.langevin().forces
    equations = q.quadratures(array)
    assert not equations.forces
    assert equations.stationary_covariance().shape == (4, 4)


def test_a_constant_push_moves_the_mean_alike(pair, monkeypatch):
    """Both equations come to rest at the same place in SI."""
    plain = Oscillators.langevin
    monkeypatch.setattr(
        Oscillators, "langevin", lambda array: replace(plain(array), constant_drift=np.array([0.0, 0.0, 0.3, -0.2]))
    )
    scaled, other = pair.langevin(), q.quadratures(pair)
    there = scaled.stationary.mean * scaled.unit
    np.testing.assert_allclose(other.stationary.mean * other.unit, there, rtol=1e-9, atol=1e-12 * np.abs(there).max())
    assert (np.abs(there[:2]) > 0).all()


def test_a_bath_at_zero_temperature_keeps_the_ground_state(pair):
    alone = replace(pair, coupling=np.zeros((2, 2)), diffusion=np.zeros((2, 2)), bath_temperature=np.zeros(2))
    quantum = q.quadratures(q.with_quantum_baths(alone)).stationary_covariance()
    np.testing.assert_allclose(quantum, 0.5 * np.eye(4), atol=1e-9)
    occupied = replace(alone, bath_temperature=np.full(2, 1e-5))
    omega = np.sqrt(pair.stiffness / pair.mass)
    thermal = 1 / np.expm1(HBAR * omega / (constants.k * 1e-5))
    found = q.quadratures(q.with_quantum_baths(occupied)).stationary_covariance()
    np.testing.assert_allclose(np.diagonal(found), np.tile(thermal + 0.5, 2), rtol=1e-7)
    # the classical bath misses half a quantum
    classical = q.quadratures(occupied).stationary_covariance()
    assert (np.abs(np.diagonal(classical) - np.tile(thermal + 0.5, 2)) > 1e-3).all()
    hot = q.with_quantum_baths(replace(alone, bath_temperature=np.full(2, 300.0)))
    np.testing.assert_allclose(hot.bath_temperature, 300.0, rtol=1e-12)


def test_there_and_back(pair):
    generator = np.random.default_rng(1)
    root = generator.normal(size=(4, 4))
    moments = Moments(generator.normal(size=4), root @ root.T)
    for frequency in (None, 3e5):
        back = q.to_scaled(pair, q.to_quadratures(pair, moments, frequency), frequency)
        np.testing.assert_allclose(back.mean, moments.mean, rtol=1e-14)
        np.testing.assert_allclose(back.covariance, moments.covariance, rtol=1e-14)


def test_the_ground_state_has_half_a_quantum(pair):
    for array in (pair, systems.underdamped_pair()):
        vacuum = q.to_quadratures(array, array.initial_moments("ground"))
        np.testing.assert_allclose(vacuum.covariance, 0.5 * np.eye(4), rtol=1e-13, atol=1e-15)


def test_what_has_no_quadratures(pair):
    with pytest.raises(ScenarioError, match="need velocities, but the array is overdamped"):
        q.quadratures(systems.overdamped_pair())
    with pytest.raises(ScenarioError, match=r"stiffness\[0\] is -0.1; make it positive"):
        q.quadrature_unit(systems.underdamped_pair(u=(-0.1, 1.0)))
    with pytest.raises(ScenarioError, match="`frequency` must be positive"):
        q.quadrature_unit(pair, [1.0, 0.0])
    assert isinstance(q.with_quantum_baths(pair), Oscillators)
