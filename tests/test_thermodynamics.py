"""Temperatures, heat and work of exact states against closed forms."""

import numpy as np
import pytest
from scipy import linalg

import systems
from stochbind.analysis import thermodynamics, transfer
from stochbind.langevin import Langevin

COUPLINGS = [(0.5, 0.2), (0.5, 0.0), (0.3, 0.3), (0.4, -0.2), (0.1, 0.6)]


def steady(array):
    return array.langevin().stationary_covariance()


@pytest.mark.parametrize("c", COUPLINGS)
def test_overdamped_heat(c):
    array = systems.overdamped_pair(c=c)
    _, expected = systems.overdamped_truth(c=c)
    found = thermodynamics.heat_current(array, steady(array))
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(found, -thermodynamics.power(array, steady(array)).sum(axis=1), rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("c", COUPLINGS)
def test_underdamped_heat(c):
    array = systems.underdamped_pair(c=c)
    expected = systems.underdamped_heat(c=c)
    second = steady(array)
    np.testing.assert_allclose(thermodynamics.heat_current(array, second), expected, rtol=1e-10, atol=1e-14)
    np.testing.assert_allclose(thermodynamics.power(array, second).sum(axis=1), -expected, rtol=1e-10, atol=1e-14)
    kinetic = thermodynamics.kinetic_temperature(array, second)
    # the heat that flows in per k_B is the friction rate times what the bath is hotter by
    friction_rate = array.friction / array.mass
    np.testing.assert_allclose(friction_rate * (array.bath_temperature - kinetic), expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("make", [systems.overdamped_pair, systems.underdamped_pair])
def test_cold_to_hot_if_and_only_if(make):
    """Particle 1 (T = 0.8, colder than 1.0) takes heat from its bath iff 0 < c_B/c_A < 0.8."""
    for ratio in (-0.5, -0.01, 0.01, 0.4, 0.79, 0.81, 1.5):
        array = make(c=(0.3, 0.3 * ratio))
        heat = thermodynamics.heat_current(array, steady(array))
        assert (heat[1] > 0) == (0 < ratio < 0.8), ratio
        if 0 < ratio < 0.8:
            assert heat[0] < 0
            work = thermodynamics.non_reciprocal_power(array, steady(array))
            cop = heat[1] / work
            assert cop == pytest.approx(ratio / (1 - ratio), rel=1e-9, abs=0)
            assert cop < 0.8 / 0.2  # Carnot
    at_zero = make(c=(0.3, 0.0))
    assert abs(thermodynamics.heat_current(at_zero, steady(at_zero))[1]) < 1e-15
    at_limit = make(c=(0.3, 0.24))
    assert np.abs(thermodynamics.heat_current(at_limit, steady(at_limit))).max() < 1e-15


def test_reciprocal_pair_at_equal_temperature_exchanges_nothing():
    for make in (systems.overdamped_pair, systems.underdamped_pair):
        array = make(c=(0.4, 0.4), temperature=(0.9, 0.9))
        second = steady(array)
        assert np.abs(thermodynamics.heat_current(array, second)).max() < 1e-15
        assert np.abs(thermodynamics.power(array, second)).max() < 1e-15
        assert thermodynamics.non_reciprocal_power(array, second) == 0.0
        unequal = make(c=(0.4, 0.4), temperature=(0.9, 0.5))
        assert thermodynamics.heat_current(unequal, steady(unequal))[0] > 1e-3  # the twin: hot gives, positive


def test_reciprocal_coupling_conserves_energy():
    array = systems.underdamped_pair(c=(0.4, 0.4))
    second = steady(array)
    power = thermodynamics.power(array, second)
    assert power.sum() == pytest.approx(0.0, abs=1e-15)
    assert thermodynamics.heat_current(array, second).sum() == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("diffusion", [None, np.array([[0.4, 0.25], [0.25, 0.3]])])
@pytest.mark.parametrize("make", [systems.overdamped_pair, systems.underdamped_pair])
@pytest.mark.parametrize("n", [2, 4])
def test_first_law_off_the_steady_state(make, diffusion, n):
    """The rates add up to d<E>/dt from the moment equation, for any second moments, with correlated noise."""
    rng = np.random.default_rng(n)
    if n == 2:
        array = make(diffusion=diffusion)
    else:
        factor = rng.normal(size=(n, n))
        array = systems.Oscillators(
            mass=None if make is systems.overdamped_pair else rng.uniform(0.5, 2, n),
            stiffness=rng.uniform(1, 2, n), friction=rng.uniform(0.5, 2, n), bath_temperature=rng.uniform(0, 2, n),
            coupling=rng.normal(size=(n, n)) * (1 - np.eye(n)), diffusion=factor @ factor.T, reduced=True,
        )  # fmt: skip
    equations = array.langevin()
    a, noise = equations.drift_matrix, equations.noise_covariance
    factor = rng.normal(size=(equations.dimension,) * 2)
    second = factor @ factor.T
    rate = (a @ second + second @ a.T + noise) / equations.time_unit
    gain = thermodynamics.energy(array, rate)
    received = (
        thermodynamics.heat_current(array, second)
        + thermodynamics.recoil_heating(array, second)
        + thermodynamics.power(array, second).sum(axis=1)
    )
    np.testing.assert_allclose(received, gain, rtol=1e-10, atol=1e-12)
    residual = thermodynamics.first_law(array, second, second, second + 0.5 * rate, 0.5)
    np.testing.assert_allclose(residual, 0, atol=1e-12)
    flipped = gain - received + 2 * thermodynamics.heat_current(array, second)
    assert np.abs(flipped).max() > 1e-3  # the twin: heat with the other sign is seen


def test_light_works_by_the_antireciprocal_part_and_by_recoil():
    """Energy of particles plus reciprocal interaction changes by heat and the light's power alone."""
    array = systems.underdamped_pair(diffusion=np.array([[0.2, 0.1], [0.1, 0.3]]))
    equations = array.langevin()
    rng = np.random.default_rng(0)
    factor = rng.normal(size=(4, 4))
    second = factor @ factor.T
    a, noise = equations.drift_matrix, equations.noise_covariance
    rate = (a @ second + second @ a.T + noise) / equations.time_unit
    reciprocal = 0.5 * (array.coupling + array.coupling.T)
    scale = np.outer(equations.unit, equations.unit)
    interaction = -0.5 * np.sum(reciprocal * (rate * scale)[:2, :2])
    gain = thermodynamics.energy(array, rate).sum() + interaction
    heat = thermodynamics.heat_current(array, second).sum()
    assert gain == pytest.approx(heat + thermodynamics.light_power(array, second), rel=1e-12, abs=0)


def test_correlated_recoil_pumps_heat_between_unequal_particles():
    """Loss of one equals gain of the other, zero for equal ones: an integral over frequencies, by quadrature."""
    u, friction, mass, c, cross = (1.3, 0.8), (0.3, 0.5), (1.2, 0.6), 0.3, 0.2
    diffusion = np.array([[0.3, cross], [cross, 0.3]])

    def current(diffusion):
        array = systems.underdamped_pair(
            mass=mass, u=u, friction=friction, c=(c, c), temperature=(0.0, 0.0), diffusion=diffusion
        )
        return thermodynamics.power(array, steady(array))[0, 1]

    pumped = current(diffusion) - current(np.diag(np.diag(diffusion)))
    w = np.linspace(-60, 60, 400_001)
    (m_a, m_b), (g_a, g_b), (u_a, u_b) = mass, friction, u
    delta = (u_a - m_a * w**2 - 1j * g_a * w) * (u_b - m_b * w**2 - 1j * g_b * w) - c * c
    density = w**2 * (g_a * (u_b - m_b * w**2) - g_b * (u_a - m_a * w**2)) / np.abs(delta) ** 2
    expected = c * 2 * cross * np.trapezoid(density, w) / (2 * np.pi)
    assert abs(pumped) > 1e-3
    assert abs(pumped) == pytest.approx(abs(expected), rel=1e-4, abs=0)


def test_unidirectional_pair_of_the_shipped_scenario(unidirectional):
    """T_driven = T + 2 (g/gamma)^2 T_driver, recoil added to the baths."""
    array = unidirectional.oscillators()
    gamma = array.friction / array.mass
    g = array.coupling[0, 1] / (2 * array.mass[0] * np.sqrt(array.stiffness[0] / array.mass[0]))
    effective = array.bath_temperature + np.diag(array.diffusion).real / (array.friction * array.boltzmann)
    expected = [effective[0] + 2 * (g / gamma[0]) ** 2 * effective[1], effective[1]]
    found = thermodynamics.kinetic_temperature(array, steady(array))
    np.testing.assert_allclose(found, expected, rtol=1e-6)  # the springs agree to 1e-7 only
    np.testing.assert_allclose(transfer.exact_energy_transfer(array, steady(array), transfer.Direction(0, 1))[1], 1.0)


def test_overdamped_has_no_kinetic_temperature():
    with pytest.raises(ValueError, match="no velocities"):
        thermodynamics.kinetic_temperature(systems.overdamped_pair(), np.eye(2))


def test_susceptibility_is_the_inverse_of_the_dynamic_matrix():
    """chi^-1 = (u - m w^2 - i gamma m w) delta - C: Rudolph et al. (100); strong and weak directions."""
    array = systems.underdamped_pair()
    for omega in (0.0, 0.7, 2.0):
        dynamic = np.diag(array.stiffness - array.mass * omega**2 - 1j * array.friction * omega) - array.coupling
        found = transfer.susceptibility(array, array.langevin(), omega)
        np.testing.assert_allclose(found, np.linalg.inv(dynamic), rtol=1e-12)
    over = systems.overdamped_pair()
    dynamic = np.diag(over.stiffness - 1j * over.friction * 0.7) - over.coupling
    np.testing.assert_allclose(transfer.susceptibility(over, over.langevin(), 0.7), np.linalg.inv(dynamic), rtol=1e-12)
    chi = transfer.resonant_susceptibility(array, array.langevin())
    pair = transfer.pairs(np.abs(chi) * (1 - np.eye(2)))[0]
    assert pair == transfer.Direction(receiver=0, sender=1)
    assert transfer.exact_response_transfer(chi, pair) == pytest.approx((0.4, 0.6 / 1.4), rel=1e-12, abs=0)
    square = 0.5 * (1.3 / 1.2 + 0.8 / 0.6)
    np.testing.assert_allclose(
        chi, np.where(np.eye(2), chi, transfer.susceptibility(array, array.langevin(), square**0.5))
    )


def test_strong_directions():
    assert transfer.pairs(np.array([[0.0, 0.1], [0.3, 0.0]])) == [(1, 0)]
    assert transfer.pairs(np.array([[0.0, 0.3], [0.3 * (1 + 1e-15), 0.0]])) == [(0, 1)]
    assert transfer.pairs(np.zeros((2, 2))) == []
    assert len(transfer.pairs(np.ones((5, 5)))) == 10


def test_chain_becomes_unstable_where_published():
    """g_c/gamma = 0.635 (N = 3), 0.4885 (4), 0.3270 (10) at omega_0 = 20 gamma: chain with k d = phase step = pi/4."""
    gamma, omega = 1.0, 20.0

    def growth(n, g):
        index = np.arange(n)
        distance = np.abs(index[:, None] - index[None, :])
        with np.errstate(divide="ignore", invalid="ignore"):
            c = 2 * omega * g / distance * np.cos(np.pi / 4 * (distance + (index[:, None] - index[None, :])))
        np.fill_diagonal(c, 0.0)
        array = systems.Oscillators(
            mass=np.ones(n), stiffness=np.full(n, omega**2), friction=np.full(n, gamma),
            bath_temperature=np.ones(n), coupling=c, reduced=True,
        )  # fmt: skip
        return array.langevin().stability.growth_rate

    for n, limit in ((3, 0.635), (4, 0.4885), (10, 0.3270)):
        assert growth(n, limit - 0.001) < 0 < growth(n, limit + 0.001)
    assert growth(10, 1.0) == pytest.approx(1.032, abs=0.001)
    assert growth(2, 50.0) == pytest.approx(-0.5, rel=1e-6, abs=0)  # two particles: one-way, stable at any strength


def test_block_exponential_agrees():
    """Van Loan's block exponential, where it does not overflow."""
    equations = systems.underdamped_pair().langevin()
    a, q, d = equations.drift_matrix, equations.noise_covariance, 4
    block = np.zeros((2 * d, 2 * d))
    block[:d, :d], block[:d, d:], block[d:, d:] = -a, q, a.T
    full = linalg.expm(block * 0.9)
    expected = full[d:, d:].T @ full[:d, d:]
    found = Langevin(drift_matrix=a, noise_covariance=q).propagator(0.9).covariance
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-15)
