r"""Closed forms of steady states, written out here, against the functions that take any array, to 1e-10.

Overdamped pairs after Loos and Klapp, New J. Phys. 22, 123051 (2020); underdamped ones from the integrals of Routh and
Hurwitz: for :math:`\Delta(\omega)` with the coefficients :math:`a_0 \ldots a_4` and
:math:`h = a_1a_2a_3 - a_0a_3^2 - a_1^2a_4`,

.. math:: \int \frac{d\omega}{2\pi} \frac{\omega^2}{|\Delta|^2} = \frac{a_1}{2h}, \qquad
          \int \frac{d\omega}{2\pi} \frac{\omega^4}{|\Delta|^2} = \frac{a_3}{2h}.

Arrays are random, of any masses, springs, friction, temperatures and signs of the couplings. Where a small difference
of large terms costs digits, the test says so.

What has its test elsewhere: the closed forms of the package itself, coefficient of performance and windows of factors
in ``test_refrigerators``; information flow of overdamped pairs and the second law with it in ``test_information``;
entropy production with correlated recoil, and 4 tr(MK), in ``test_currents``; heat that correlated recoil pumps, by
quadrature, in ``test_temperatures``; the limits of stability of chains in ``test_thermodynamics``.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate

import stochbind as sb
import systems
from stochbind.analysis import currents, entropy, generating_functions, information, refrigerators, temperatures
from stochbind.analysis import thermodynamics as thermo
from tests.test_refrigerators import exact_heat, random_pair

PRECISION = 1e-10
SEEDS = range(100, 140)
both_dynamics = pytest.mark.parametrize("overdamped", [True, False], ids=["overdamped", "underdamped"])


def steady(array):
    """Covariance of the steady state in the units of the array."""
    unit = array.langevin().unit
    return array.langevin().stationary_covariance() * np.outer(unit, unit)


def numbers(array):
    """Arguments of the closed forms in ``systems``."""
    given = {"u": array.stiffness, "friction": array.friction, "temperature": array.bath_temperature}
    mass = {} if array.overdamped else {"mass": array.mass}
    return {**mass, **given, "c": (array.coupling[0, 1], array.coupling[1, 0])}


def closed_heat(array):
    """Heat from the bath to the particle."""
    if array.overdamped:
        return systems.overdamped_truth(**numbers(array))[1]
    return systems.underdamped_heat(**numbers(array))


def exchange(array):
    r""":math:`\Gamma`, and the determinant h of a pair with masses."""
    (u_a, u_b), (g_a, g_b) = array.stiffness, array.friction
    if array.overdamped:
        return 1.0 / (g_b * u_a + g_a * u_b), math.nan
    (m_a, m_b), product = array.mass, array.coupling[0, 1] * array.coupling[1, 0]
    a0, a1, a2 = m_a * m_b, m_a * g_b + m_b * g_a, m_a * u_b + m_b * u_a + g_a * g_b
    a3, a4 = g_a * u_b + g_b * u_a, u_a * u_b - product
    h = a1 * a2 * a3 - a0 * a3**2 - a1**2 * a4
    return g_a * g_b * a1 / h, h


def close(found, exact, term=0.0):
    """Whether numbers agree to 1e-10 of the largest of them, or of a term that they are the difference of."""
    scale = max(np.abs(exact).max(), np.abs(term).max())
    return bool(np.abs(np.asarray(found) - exact).max() <= PRECISION * scale)


# ---------------------------------------------------------------------- moments and heat of two particles


def test_moments_of_overdamped_pairs():
    """<x_A x_B>, <x_A^2>, <x_B^2>, and <x_B o dx_A/dt> = (c_A T_B - c_B T_A)/(gamma_B u_A + gamma_A u_B)."""
    for seed in SEEDS:
        array = random_pair(seed, overdamped=True)
        (t_a, t_b), (c_a, c_b) = array.bath_temperature, numbers(array)["c"]
        expected, _ = systems.overdamped_truth(**numbers(array))
        assert close(steady(array), expected)
        swapped, _ = systems.overdamped_truth(**{**numbers(array), "temperature": (t_b, t_a)})
        assert not close(steady(array), swapped)  # the twin
        unit = array.langevin().unit
        product = np.zeros((2, 2))
        product[1, 0] = unit[0] * unit[1]
        area = currents.Current("x_B dx_A", np.zeros((2, 2)), product)
        found = currents.mean_rate(array.langevin(), area, array.langevin().stationary_covariance())
        rate = exchange(array)[0] * (c_a * t_b - c_b * t_a)
        assert close(found, rate)
        assert not close(found, -rate)  # the twin: x_A o dx_B


@both_dynamics
def test_heat_and_entropy_of_pairs(overdamped):
    """Q_A, Q_B as heat, as work and as current along the path; entropy production is Q_A/T_A + Q_B/T_B into baths."""
    for seed in SEEDS:
        array = random_pair(seed, overdamped=overdamped)
        equations, second = array.langevin(), array.langevin().stationary_covariance()
        expected = closed_heat(array)
        assert close(thermo.heat_current(array, second), expected)
        assert close(-thermo.power(array, second).sum(axis=1), expected)
        along = [currents.mean_rate(equations, currents.heat_current(array, j), second) for j in (0, 1)]
        assert close(along, expected)
        produced = -(expected / array.bath_temperature)
        for found in (entropy.of_baths(array, second), entropy.medium(array, second)):
            assert close(found, produced)
        assert close(entropy.total(array, second), produced.sum())
        twins = (-expected, 2 * expected, closed_heat(replace(array, coupling=array.coupling.T)))
        assert not any(close(thermo.heat_current(array, second), twin) for twin in twins)


@both_dynamics
def test_second_laws_with_information(overdamped):
    """Information flows into A by L <x_A x_B>/det(S) overdamped; what A's bath gains is never less, in any pair."""
    for seed in SEEDS:
        array = random_pair(seed, overdamped=overdamped)
        second = array.langevin().stationary_covariance()
        flow = np.array(
            [information.flow(array.langevin(), second, information.coordinates(array, [j])) for j in (0, 1)]
        )
        gain = -closed_heat(array) / array.bath_temperature
        assert (gain - flow > 0).all()
        assert close(flow, [flow[0], -flow[0]])
        if overdamped:
            spread, heat = systems.overdamped_truth(**numbers(array))
            into_a = -heat[0] / array.coupling[0, 1] * spread[0, 1] / np.linalg.det(spread)
            assert flow[0] == pytest.approx(into_a, rel=PRECISION, abs=1e-13)
            assert flow[0] != pytest.approx(-into_a, rel=1e-3, abs=0)  # the twin


# ---------------------------------------------------------------------- refrigeration


@both_dynamics
def test_cold_to_hot_if_and_only_if(overdamped):
    """B, the colder, is cooled if and only if 0 < c_B/c_A < T_B/T_A, and then by Carnot's leave."""
    cooled = 0
    for seed in range(300):
        array = random_pair(seed, overdamped=overdamped)
        t_a, t_b = t = np.sort(array.bath_temperature)[::-1]
        array = replace(array, bath_temperature=t)
        (c_a, c_b), heat = numbers(array)["c"], exact_heat(array)
        cools = heat[1] > 0 and heat[0] < 0
        assert cools == (0 < c_b / c_a < t_b / t_a)
        cooled += cools
        if cools:
            found = refrigerators.balance(array)
            # heat is known to round-off of what the bath exchanges, not of its small difference
            assert found.performance == pytest.approx(c_b / (c_a - c_b), rel=1e-8, abs=0)
            assert found.performance < t_b / (t_a - t_b)
            assert found.performance != pytest.approx(c_a / (c_a - c_b), rel=1e-3, abs=0)  # the twin: as a heat pump
    assert 20 < cooled < 150


@both_dynamics
def test_carnot_is_reached_where_nothing_flows(overdamped):
    """Below the limit by a part e the efficiency is (1 - e)(1 - t)/(1 - t + t e): one where the flow stops."""
    for seed in range(10):
        array = random_pair(seed, overdamped=overdamped)
        array = replace(array, coupling=np.array([[0.0, 0.3], [0.2, 0.0]]), bath_temperature=np.array([1.0, 0.8]))
        for e, lost in ((0.3, 1e-9), (1e-2, 1e-8), (1e-4, 1e-6)):  # what is left of the flow is smaller by e
            near = refrigerators.balance(refrigerators.with_ratio(array, 0.8 * (1 - e)))
            assert near.efficiency == pytest.approx((1 - e) * 0.2 / (0.2 + 0.8 * e), rel=lost, abs=0)
        still = refrigerators.balance(refrigerators.with_ratio(array, 0.8))
        assert np.abs([*still.heat, still.work, still.entropy_production]).max() < 1e-14
        beyond = refrigerators.balance(refrigerators.with_ratio(array, 0.8 + 1e-4))
        assert beyond.cooling_power < 0


def test_overdamped_cooling_is_a_parabola():
    """Of c_B, with its top at c_B = c_A T_B/2T_A, where the power is (c_A T_B)^2 Gamma/4T_A."""
    for seed in range(20):
        array = random_pair(seed, overdamped=True)
        array = replace(array, coupling=np.array([[0.0, 0.25], [0.1, 0.0]]))
        (t_a, t_b), (c_a, _) = array.bath_temperature, numbers(array)["c"]
        best, where = c_a * t_b / (2 * t_a), np.array([0.0, 0.5, 1.0]) * t_b / t_a
        where = np.clip(where, 0.0, 0.5 * array.stiffness.prod() / c_a**2) * c_a

        def cooling(c_b, array=array):
            return exact_heat(replace(array, coupling=np.array([[0.0, 0.25], [c_b, 0.0]])))[1]

        shape = np.polynomial.polynomial.polyfit(where / best, [cooling(c_b) for c_b in where], 2)
        assert -shape[1] / (2 * shape[2]) == pytest.approx(1.0, rel=PRECISION, abs=0)
        top = (c_a * t_b) ** 2 / (4 * t_a) * exchange(array)[0]
        assert cooling(best) == pytest.approx(top, rel=PRECISION, abs=0)
        assert cooling(0.5 * best) != pytest.approx(top, rel=1e-2, abs=0)  # the twin: another factor in the optimum


@both_dynamics
def test_one_way_pairs(overdamped):
    """c_B = 0: Q_A = c_A^2 T_B Gamma whatever T_A, but not whatever u_A; the bath of B exchanges nothing."""
    for seed in range(20):
        array = random_pair(seed, overdamped=overdamped)
        (_, t_b), (c_a, _) = array.bath_temperature, numbers(array)["c"]
        array = replace(array, coupling=np.array([[0.0, c_a], [0.0, 0.0]]))
        expected = -(c_a**2) * t_b * exchange(array)[0]
        hottest = 100 * t_b
        terms = array.friction / (1.0 if overdamped else array.mass)
        for t_a in np.geomspace(0.01, 1, 5) * hottest:
            heat = exact_heat(replace(array, bath_temperature=np.array([t_a, t_b])))
            assert close(heat, [expected, 0.0], terms * t_a)  # the difference of what friction takes and noise brings
        stiffer = exact_heat(replace(array, stiffness=array.stiffness * [1.5, 1.0]))
        assert abs(stiffer[0] / expected - 1) > 1e-3
        turned = exact_heat(replace(array, coupling=array.coupling.T))
        assert not close(turned, [expected, 0.0])  # the twin: driven the other way


# ---------------------------------------------------------------------- identical underdamped particles


def identical(rng, *, c=None, temperature=None, diffusion=None):
    """A pair of equal masses, springs and friction; g_1 and g_2 within the limits of stability."""
    m, w, gamma = rng.uniform(0.5, 2.0, 3)
    if c is None:
        g = rng.uniform(-0.4, 0.4, 2) * [w, 0.2 * gamma**2 / w]
        c = 2 * m * w * rng.permutation(g)
    return systems.underdamped_pair(
        mass=(m, m), u=(m * w**2, m * w**2), friction=(m * gamma, m * gamma), c=c,
        temperature=rng.uniform(0.2, 2.0, 2) if temperature is None else temperature, diffusion=diffusion,
    )  # fmt: skip


def test_identical_pairs_with_correlated_recoil():
    """All second moments; recoil adds D_jj/(m gamma) to the bath, and Re D_12 correlates without heating."""
    for seed in SEEDS:
        rng = np.random.default_rng(seed)
        factor = rng.normal(size=(2, 2)) + 1j * rng.normal(size=(2, 2))
        diffusion = 0.3 * factor @ factor.conj().T
        array = identical(rng, diffusion=diffusion)
        m, u = array.mass[0], array.stiffness[0]
        gamma, (c_12, c_21) = array.friction[0] / m, numbers(array)["c"]
        hot = array.bath_temperature + np.diagonal(diffusion).real / (m * gamma)
        g = np.array([c_12, c_21]) / (2 * math.sqrt(m * u))
        kinetic = systems.identical_pair_kinetic(gamma=gamma, g1=g[0], g2=g[1], temperature=hot)
        moment = steady(array)
        found = thermo.kinetic_temperature(array, array.langevin().stationary_covariance())
        assert close(found, kinetic)
        momenta = diffusion[0, 1].real / gamma
        assert close(moment[2, 3] * m**2, momenta)
        across = (momenta / m + (c_21 * kinetic[0] + c_12 * kinetic[1]) / (2 * u)) / (u - c_12 * c_21 / u)
        square = (kinetic[0] + c_12 * across) / u, (kinetic[1] + c_21 * across) / u
        assert close([moment[0, 0], moment[1, 1], moment[0, 1]], [*square, across])
        # the twins: recoil with another factor of two, |D_12| in place of its real part, couplings exchanged
        double = array.bath_temperature + 2 * np.diagonal(diffusion).real / (m * gamma)
        assert not close(found, systems.identical_pair_kinetic(gamma=gamma, g1=g[0], g2=g[1], temperature=double))
        assert not close(found, systems.identical_pair_kinetic(gamma=gamma, g1=g[1], g2=g[0], temperature=hot))
        assert not close(moment[2, 3] * m**2, abs(diffusion[0, 1]) / gamma)


def test_stability_of_identical_pairs():
    """Stable if and only if gamma^2 + 4 g_1 g_2 > 0 and 4 g_1 g_2 < W^2, on both sides of each limit."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        array = identical(rng, c=(0.0, 0.0))
        m, u = array.mass[0], array.stiffness[0]
        gamma, w, ratio = array.friction[0] / m, math.sqrt(u / m), rng.uniform(0.1, 10)
        for limit in (-(gamma**2) / 4, w**2 / 4):
            for part in (1 - 1e-6, 1 + 1e-6):
                g_1, g_2 = math.sqrt(abs(limit) * part * ratio), math.sqrt(abs(limit) * part / ratio)
                g_2 = math.copysign(g_2, limit)
                c = 2 * m * w * np.array([[0.0, g_1], [g_2, 0.0]])
                assert replace(array, coupling=c).langevin().stability.stable == (part < 1)
                g_r, g_a = (g_1 + g_2) / 2, (g_1 - g_2) / 2
                if limit < 0:
                    assert (math.sqrt(g_a**2 - g_r**2) < gamma / 2) == (part < 1)


def test_one_way_identical_pairs():
    """T_driven = T + 2 (g/gamma)^2 T_driver, with g = C/(2 m W)."""
    for seed in range(20):
        array = identical(np.random.default_rng(seed), c=(0.7, 0.0))
        m, gamma = array.mass[0], array.friction[0] / array.mass[0]
        strength = 2 * (0.7 / (2 * m * math.sqrt(array.stiffness[0] / m)) / gamma) ** 2
        t = array.bath_temperature
        found = thermo.kinetic_temperature(array, array.langevin().stationary_covariance())
        assert close(found, [t[0] + strength * t[1], t[1]])
        assert not close(found, [t[0] + strength * t[0], t[1]])  # the twin: its own temperature
        assert not close(found, [t[0] + 2 * strength * t[1], t[1]])


def test_common_and_relative_motion_with_correlated_recoil():
    """T_pm = T + (D_11 +- Re D_12)/(m gamma), uncoupled or reciprocally coupled; reheated by (D_11 +- Re D_12)/m."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        cross = rng.uniform(-0.3, 0.3) + 1j * rng.uniform(-0.1, 0.1)
        diffusion = np.array([[0.4, cross], [np.conj(cross), 0.4]])
        array = identical(rng, c=(0.0, 0.0), temperature=(1.0, 1.0), diffusion=diffusion)
        m, friction = array.mass[0], array.friction[0]
        expected = 1.0 + (0.4 + np.array([1, -1]) * cross.real) / friction
        velocity = steady(array)[2:, 2:]
        assert close(m * (velocity[0, 0] + np.array([1, -1]) * velocity[0, 1]), expected)
        bound = replace(array, coupling=0.1 * array.stiffness[0] * (1 - np.eye(2)))  # the common motion is the softer
        found = temperatures.mode_kinetic_temperature(bound, bound.langevin().stationary_covariance())
        assert close(found, expected)
        assert not close(found, expected[::-1])  # the twin
        free = replace(array, friction=np.zeros(2))
        equations, time = free.langevin(), 3.7
        covariance = equations.moments(time, free.initial_moments("rest")).covariance
        covariance = covariance * np.outer(equations.unit, equations.unit)
        energy = 0.5 * m * covariance[2:, 2:] + 0.5 * array.stiffness[0] * covariance[:2, :2]
        gain = energy[0, 0] + np.array([1, -1]) * energy[0, 1]
        assert close(gain / time, (0.4 + np.array([1, -1]) * cross.real) / m)


def test_correlated_recoil_pumps_by_the_difference_of_squared_frequencies():
    """The integral in closed form: L gains 2 Re D_12 gamma_A gamma_B (m_A u_B - m_B u_A)/h."""
    for seed in SEEDS:
        array = random_pair(seed, overdamped=False)
        cross = 0.2 * (-1) ** seed
        array = replace(array, diffusion=np.array([[0.3, cross], [cross, 0.3]]))
        (u_a, u_b), (g_a, g_b), (m_a, m_b) = array.stiffness, array.friction, array.mass
        (c_a, c_b), (_, h) = numbers(array)["c"], exchange(array)
        gain = 2 * cross * g_a * g_b * (m_a * u_b - m_b * u_a) / h
        found = refrigerators.pumped_by_recoil(array)
        assert close(found, [-c_a * gain, c_b * gain])
        assert not close(found, [c_a * gain, -c_b * gain])  # the twins: sign, factor of two
        assert not close(found, [-0.5 * c_a * gain, 0.5 * c_b * gain])
        alike = replace(array, stiffness=array.mass * u_a / m_a)  # other masses and friction, one frequency
        if alike.langevin().stability.stable:
            assert np.abs(refrigerators.pumped_by_recoil(alike)).max() < PRECISION * np.abs(exact_heat(alike)).max()


# ---------------------------------------------------------------------- fluctuations of work


def fourth_moment(array):
    r""":math:`\int \omega^4/|\Delta|^4\,d\omega/2\pi` over all frequencies, by quadrature."""
    (u_a, u_b), (g_a, g_b), (m_a, m_b) = array.stiffness, array.friction, array.mass
    product = array.coupling[0, 1] * array.coupling[1, 0]

    def density(w):
        delta = (u_a - m_a * w**2 - 1j * g_a * w) * (u_b - m_b * w**2 - 1j * g_b * w) - product
        return w**4 / abs(delta) ** 4

    lines = np.sqrt(array.stiffness / array.mass).tolist()
    inner = integrate.quad(density, 0, 20, points=lines, epsabs=0, epsrel=1e-13, limit=500)[0]
    tail = integrate.quad(density, 20, np.inf, epsabs=0, epsrel=1e-8)[0]  # of the order of 20^-11
    return (inner + tail) / math.pi


@both_dynamics
def test_generating_function_of_work(overdamped):
    r"""All cumulants of the work on A, from :math:`|\Delta|^2 - \kappa(k)\omega^2`: an independent route to 4 tr(MK).

    :math:`\kappa = 4\gamma_A\gamma_B[k c_A(c_A T_B - c_B T_A) + k^2 c_A^2 T_A T_B]` and
    :math:`\lambda = -\int d\omega \ln(1 - \kappa\omega^2/|\Delta|^2)/4\pi`. Overdamped
    :math:`\lambda = (\tau - \sqrt{\tau^2 - \kappa/(\gamma_A\gamma_B)^2})/2`, with the sum of the rates
    :math:`\tau = u_A/\gamma_A + u_B/\gamma_B` (as for linear systems in the plane, Kwon, Noh and Park, Phys. Rev. E 83,
    061145 (2011)), and the variance rate is :math:`2c_A^2T_AT_B\Gamma + 2\gamma_A\gamma_B\Gamma\langle W\rangle^2`.
    """
    for seed in range(100, 110):
        array = random_pair(seed, overdamped=overdamped)
        (u_a, u_b), (g_a, g_b), (t_a, t_b) = array.stiffness, array.friction, array.bath_temperature
        (c_a, c_b), (rate, _) = numbers(array)["c"], exchange(array)
        current = currents.work_current(array, 0, 1)
        mean = c_a * rate * (c_a * t_b - c_b * t_a)
        slope = 4 * g_a * g_b * c_a * (c_a * t_b - c_b * t_a)
        if overdamped:
            rest = 2 * g_a * g_b * rate * mean**2
            k = np.array([-0.1, 0.1]) / (abs(c_a) * math.sqrt(t_a * t_b))
            kappa = (k * slope + k**2 * 4 * g_a * g_b * c_a**2 * t_a * t_b) / (g_a * g_b) ** 2
            tau = u_a / g_a + u_b / g_b
            exact = kappa / (2 * (tau + np.sqrt(tau**2 - kappa)))  # the difference with its root, without loss
            found = [generating_functions.scaled(array.langevin(), current, value) for value in k]
            assert found == pytest.approx(exact, rel=1e-9, abs=0)  # Riccati's equation, solved by eigenvectors
        else:
            rest = slope**2 * fourth_moment(array) / 2
        variance = 2 * c_a**2 * t_a * t_b * rate + rest
        found = currents.variance_rate(array.langevin(), current)
        assert found == pytest.approx(variance, rel=PRECISION, abs=0)
        assert found != pytest.approx(variance - 0.5 * rest, rel=1e-6, abs=0)  # the twins: factors of two
        assert found != pytest.approx(2 * variance, rel=1e-2, abs=0)


# ---------------------------------------------------------------------- many particles


@both_dynamics
def test_traces_of_any_array(overdamped):
    """Entropy production by the trace formulas, and information flow as the mean of current velocity and score."""
    for seed in range(10):
        rng = np.random.default_rng(seed)
        factor = 0.3 * rng.normal(size=(4, 4))
        coupling = 0.4 * rng.normal(size=(4, 4)) * (1 - np.eye(4))
        array = sb.Oscillators(
            stiffness=rng.uniform(2, 3, 4), friction=rng.uniform(0.5, 2, 4), bath_temperature=rng.uniform(0.5, 2, 4),
            mass=None if overdamped else rng.uniform(0.5, 2, 4), coupling=coupling, diffusion=factor @ factor.T,
            reduced=True,
        )  # fmt: skip
        second, moment = array.langevin().stationary_covariance(), steady(array)
        noise = np.diag(array.friction * array.bath_temperature) + factor @ factor.T
        if overdamped:
            drift, friction = -array.force_matrix / array.friction[:, None], array.friction
            diffusion = noise / np.outer(friction, friction)
            expected = np.trace(drift.T @ np.linalg.inv(diffusion) @ drift @ moment) + np.trace(drift)
        else:
            rate = np.diag(array.friction / array.mass)
            drift = np.block([[np.zeros((4, 4)), np.eye(4)], [-array.force_matrix / array.mass[:, None], -rate]])
            diffusion = np.zeros((8, 8))
            diffusion[4:, 4:] = noise / np.outer(array.mass, array.mass)
            momenta = moment[4:, 4:] * np.outer(array.mass, array.mass)
            expected = np.trace(rate @ np.linalg.inv(noise) @ rate @ momenta) - np.trace(rate)
            wrong = np.trace(rate @ np.linalg.inv(2 * noise) @ rate @ momenta) - np.trace(rate)
            assert not close(entropy.total(array, second), wrong)  # the twin: noise covariance for D
        assert close(entropy.medium(array, second).sum(), expected)
        assert close(entropy.total(array, second), expected)
        group = information.coordinates(array, [0, 2])
        inside = np.ix_(group, group)
        velocity = drift + diffusion @ np.linalg.inv(moment)  # of the probability: J = velocity x p
        mine = np.linalg.solve(moment[inside], (velocity @ moment)[inside])
        assert close(information.flow(array.langevin(), second, group), np.trace(mine) - np.trace(velocity[inside]))


@pytest.mark.parametrize(
    ("n", "first", "last", "hottest", "produced"),
    [
        (2, 300, 354, 354, 2.26e3),
        (10, 384, 645, 949, 1.93e5),
        (20, 403, 772, 1141, 5.83e5),
        (40, 422, 897, 1313, 1.49e6),
    ],
)
def test_chains_of_tweezers(n, first, last, hottest, produced):
    """g = 0.3 gamma, k d and phase step pi/4, 300 K: the hottest particle is in the bulk (Rudolph et al., PRA 110)."""
    gamma, omega = 2 * math.pi * 2e3, 20 * 2 * math.pi * 2e3
    step = np.subtract.outer(np.arange(n), np.arange(n))
    with np.errstate(divide="ignore", invalid="ignore"):
        coupling = np.cos(math.pi / 4 * (np.abs(step) - step)) / np.abs(step)
    np.fill_diagonal(coupling, 0.0)
    array = sb.Oscillators(
        stiffness=np.full(n, omega**2), friction=np.full(n, gamma), mass=np.ones(n), reduced=True,
        bath_temperature=np.full(n, 300.0), coupling=2 * omega * 0.3 * gamma * coupling,
    )  # fmt: skip
    second = array.langevin().stationary_covariance()
    kinetic = thermo.kinetic_temperature(array, second)
    assert kinetic[[0, -1]] == pytest.approx([first, last], abs=0.5)
    assert kinetic.max() == pytest.approx(hottest, abs=0.5)
    assert n == 2 or 0 < kinetic.argmax() < n - 1
    assert entropy.of_baths(array, second).sum() == pytest.approx(produced, rel=2.5e-3, abs=0)  # printed to 3 digits
    turned = replace(array, coupling=array.coupling.T)  # the twin: the light runs the other way
    mirrored = thermo.kinetic_temperature(turned, turned.langevin().stationary_covariance())
    assert mirrored == pytest.approx(kinetic[::-1], rel=1e-9, abs=0)
    assert mirrored[-1] != pytest.approx(last, rel=0.1, abs=0)
