"""Exact statistics of currents against closed forms, quadrature, other routes, and trajectories."""

from __future__ import annotations

import math

import numpy as np
import pytest

import stochbind as sb
from stochbind.analysis import currents, entropy, generating_functions, thermodynamics
from stochbind.errors import NoiseError, PlanError, UnstableError
from stochbind.propagation import lyapunov


def pair(kind="underdamped", *, coupling=(0.6, 0.1), temperature=(1.0, 0.5), diffusion=None):
    """Two unlike oscillators in reduced units."""
    return sb.Oscillators(
        stiffness=np.array([1.0, 1.3]),
        friction=np.array([0.2, 0.3]) if kind == "underdamped" else np.array([1.0, 2.0]),
        bath_temperature=np.array(temperature),
        coupling=np.array([[0.0, coupling[0]], [coupling[1], 0.0]]),
        mass=np.array([1.0, 1.5]) if kind == "underdamped" else None,
        diffusion=diffusion,
        reduced=True,
    )


CORRELATED = np.array([[0.1, 0.05], [0.05, 0.1]])
ARRAYS = {
    "overdamped": pair("overdamped"),
    "underdamped": pair(),
    "recoil": pair(diffusion=CORRELATED),
    "overdamped with recoil": pair("overdamped", diffusion=CORRELATED),
}
each = pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())


def steady(array):
    return array.langevin().stationary_covariance()


@each
def test_means_are_those_of_the_moments(array):
    """Work and heat as currents, and as functions of the second moments, of any state."""
    equations = array.langevin()
    generator = np.random.default_rng(3)
    root = generator.normal(size=(2, equations.dimension, equations.dimension))
    second = root @ root.swapaxes(1, 2)
    power = thermodynamics.power(array, second)
    heat = thermodynamics.heat_current(array, second) + thermodynamics.recoil_heating(array, second)
    for j, k in ((0, 1), (1, 0)):
        current = currents.work_current(array, j, k)
        assert currents.mean_rate(equations, current, second) == pytest.approx(power[:, j, k], rel=1e-12)
        swapped = currents.work_current(array, k, j)
        assert currents.mean_rate(equations, swapped, second) != pytest.approx(power[:, j, k], rel=1e-2)
    for j in range(2):
        found = currents.mean_rate(equations, currents.heat_current(array, j), second)
        assert found == pytest.approx(heat[:, j], rel=1e-10)


@each
def test_first_law_of_fluctuations(array):
    """In the long run heat and work of a particle cancel on each path: their variances and covariances agree."""
    flows = [currents.heat_current(array, 0), currents.work_current(array, 0, 1)]
    found = currents.covariance_rates(array.langevin(), flows)
    assert found == pytest.approx(found[0, 0] * np.array([[1, -1], [-1, 1]]), rel=1e-9)
    assert currents.variance_rate(array.langevin(), flows[0] + flows[1]) == pytest.approx(0, abs=1e-9 * found[0, 0])


@pytest.mark.parametrize("array", [ARRAYS["underdamped"], ARRAYS["recoil"]], ids=["gas", "recoil"])
def test_variance_rate_of_a_smooth_current(array):
    """4 tr(M K) with A K + K A^T + S M S = 0, and the time integral of the autocovariance; a factor of two is seen."""
    equations, covariance = array.langevin(), steady(array)
    current = currents.work_current(array, 0, 1)
    smooth = 0.5 * (current.circulation @ equations.drift_matrix)
    smooth = smooth + smooth.T
    solution, _ = lyapunov(equations.drift_matrix, covariance @ smooth @ covariance)
    rate = 4 * np.sum(smooth * solution) / equations.time_unit
    assert currents.variance_rate(equations, current) == pytest.approx(float(rate), rel=1e-10)
    # cov(x^T M x (t), x^T M x (0)) = 2 tr(M E S M S E^T)
    times = np.linspace(0, 120, 60_001)
    step = equations.propagator(times[1]).matrix
    values, product = [], covariance.copy()
    for _ in times:
        values.append(2 * np.trace(smooth @ product @ smooth @ product.T))
        product = step @ product
    integral = 2 * np.trapezoid(values, times) / equations.time_unit**2
    assert integral == pytest.approx(float(rate), rel=1e-5)


@each
def test_cumulants_are_derivatives(array):
    """Of the scaled generating function, found by another equation (Riccati's instead of Lyapunov's)."""
    equations = array.langevin()
    for current in (
        currents.work_current(array, 0, 1),
        currents.heat_current(array, 1),
        currents.entropy_current(array),
    ):
        rates = currents.cumulant_rates(equations, current)
        h = 0.02 * abs(rates[0]) / rates[1]
        grid = h * np.arange(-3, 4)
        values = [generating_functions.scaled(equations, current, k) for k in grid]
        derivatives = np.polynomial.polynomial.polyfit(grid / h, values, 6)
        for n, tolerance in ((1, 1e-7), (2, 1e-6), (3, 2e-3)):
            assert math.factorial(n) * derivatives[n] / h**n == pytest.approx(rates[n - 1], rel=tolerance)
        assert rates[1] == pytest.approx(currents.variance_rate(equations, current), rel=1e-9)


@each
def test_symmetry_of_entropy(array):
    """Gallavotti's and Cohen's for entropy between its ends, and for no current with another weight of the baths."""
    equations = array.langevin()
    current = currents.entropy_current(array)
    for k in (-0.05, -0.3, -0.49):
        mirrored = generating_functions.scaled(equations, current, -1 - k)
        assert generating_functions.scaled(equations, current, k) == pytest.approx(mirrored, rel=1e-9)
    wrong = currents.Current("twice", 2 * current.rate, 2 * current.circulation)
    left, right = (generating_functions.scaled(equations, wrong, k) for k in (-0.2, -0.8))
    assert left != pytest.approx(right, rel=1e-2)


@each
def test_ends_of_the_range_are_told(array):
    """At k = -1 the exact mean of exp(-entropy) grows by the contraction of phase space: first and last states rule."""
    equations = array.langevin()
    current = currents.entropy_current(array)
    assert generating_functions.scaled(equations, current, -1.0) == math.inf
    for duration in (1.0, 5.0):
        found = generating_functions.logarithm(equations, current, np.array([-1.0]), duration)[0].real
        trace = np.trace(equations.drift_matrix) / equations.time_unit
        assert found == pytest.approx(-duration * trace, rel=1e-9)


@each
def test_long_times(array):
    """The logarithm of the mean of exp(kJ) grows by the scaled function; slopes of two times remove the ends."""
    equations = array.langevin()
    current = currents.work_current(array, 0, 1)
    k = np.array([-0.05, 0.03])
    late, later = (generating_functions.logarithm(equations, current, k, t).real for t in (150.0, 200.0))
    exact = [generating_functions.scaled(equations, current, value) for value in k]
    assert (later - late) / 50.0 == pytest.approx(exact, rel=1e-6)


def test_generating_function_against_a_known_law():
    """The energy of thermal light of a Lorentzian line, one real amplitude (Bedard, Phys. Rev. 151, 1038 (1966))."""
    equations = sb.Langevin(drift_matrix=-np.eye(1), noise_covariance=2.0 * np.eye(1))
    current = currents.Current("energy", np.eye(1), np.zeros((1, 1)))
    s = np.array([-0.1, 0.3, 5.0, 2.0j, 40.0j])

    def exact(time, s):
        nu = np.sqrt(1 + 4 * s.astype(complex))
        return 0.5 * (
            time + np.log(4 * nu) - np.log((1 + nu) ** 2 * np.exp(nu * time) - (1 - nu) ** 2 * np.exp(-nu * time))
        )

    for time in (0.01, 1.0, 30.0):
        found = generating_functions.logarithm(equations, current, -s, time)
        assert np.exp(2 * found) == pytest.approx(np.exp(2 * exact(time, s)), rel=1e-9)  # roots have two signs
        assert np.exp(2 * found) != pytest.approx(np.exp(4 * exact(time, s)), rel=1e-2)  # of a complex amplitude
    assert generating_functions.scaled(equations, current, 0.3) == math.inf  # resonance: nu is imaginary


def test_nearly_discontinuous_current_is_refused():
    """Over a very short time the work is a product of two normals, whose density has a logarithmic peak."""
    array = ARRAYS["underdamped"]
    with pytest.raises(PlanError, match="too sharp a peak"):
        generating_functions.distribution(array.langevin(), currents.work_current(array, 0, 1), 1e-3, np.array([0.0]))


@pytest.mark.parametrize("name", ["overdamped", "recoil"])
def test_distribution_against_trajectories(name):
    """Work added up along 10 000 paths; the law of twice the time, is refused."""
    array = ARRAYS[name]
    start = array.initial_moments("stationary")
    run = sb.simulate(
        array, step=0.02, n_steps=150, n_trajectories=10_000, save_every=150, initial=start, ledger=array, seed=5
    )
    work = np.sort(run["work"].to_numpy()[:, -1, 0, 1])
    edge = np.quantile(work, np.linspace(0.02, 0.98, 25))
    empirical = np.searchsorted(work, edge, side="right") / len(work)
    current = currents.work_current(array, 0, 1)
    limit = 1.95 / math.sqrt(len(work))  # one in a thousand, after Kolmogorov

    def distance(system, duration):
        exact = generating_functions.distribution(system.langevin(), current, duration, edge)
        return np.abs(exact - empirical).max()

    assert distance(array, 3.0) < limit
    assert distance(array, 6.0) > 3 * limit


@each
def test_entropy_production_by_three_routes(array):
    """Of the paths, of the state at an instant, and of the baths where there is no recoil."""
    covariance = steady(array)
    whole = float(entropy.medium(array, covariance).sum())
    assert entropy.total(array, covariance) == pytest.approx(whole, rel=1e-10)
    current = currents.entropy_current(array)
    assert currents.mean_rate(array.langevin(), current, covariance) == pytest.approx(whole, rel=1e-10)
    if not np.any(array.diffusion):
        heat = thermodynamics.heat_current(array, covariance)
        assert entropy.medium(array, covariance) == pytest.approx(-heat / array.bath_temperature, rel=1e-9)
        assert entropy.of_baths(array, covariance).sum() == pytest.approx(whole, rel=1e-10)


def test_entropy_production_of_momenta_formula():
    """tr[G D_p^-1 G <pp>] - tr G, in unscaled momenta; Im D has no part in it."""
    array = pair(diffusion=CORRELATED + 0.03j * np.array([[0, 1], [-1, 0]]))
    covariance = steady(array)
    unit = array.langevin().unit[2:]
    momenta = covariance[2:, 2:] * np.outer(unit, unit) * np.outer(array.mass, array.mass)
    gamma = np.diag(array.friction / array.mass)
    diffusion = np.diag(array.friction * array.bath_temperature) + CORRELATED
    exact = np.trace(gamma @ np.linalg.inv(diffusion) @ gamma @ momenta) - np.trace(gamma)
    assert entropy.medium(array, covariance).sum() == pytest.approx(exact, rel=1e-10)
    assert entropy.of_baths(array, covariance).sum() > exact  # what gas and recoil do to each other is not seen


def test_total_entropy_production_of_a_transient():
    """What leaves, plus what the state gains; zero in equilibrium."""
    array = ARRAYS["recoil"]
    equations = array.langevin()
    start = sb.Moments(np.zeros(4), np.diag([0.3, 1.1, 0.7, 2.0]))
    h = 1e-4
    before, now, after = (equations.moments(t, start).covariance for t in (1.0 - h, 1.0, 1.0 + h))
    gain = (np.linalg.slogdet(after)[1] - np.linalg.slogdet(before)[1]) / (4 * h)
    # an isolated phase space of this drift shrinks, which is entropy that leaves and is in `medium` already
    exact = entropy.medium(array, now).sum() + gain
    assert entropy.total(array, now) == pytest.approx(exact, rel=1e-6)
    for array in (
        pair(coupling=(0.3, 0.3), temperature=(1, 1)),
        pair("overdamped", coupling=(0.3, 0.3), temperature=(1, 1)),
    ):
        assert entropy.total(array, steady(array)) == pytest.approx(0, abs=1e-12)


def test_chain_of_the_paper():
    """Total entropy production of stable chains at 300 K, g = 0.3 gamma, gamma = 2 pi 2 kHz phase step pi/4."""
    gamma, omega = 2 * math.pi * 2e3, 20 * 2 * math.pi * 2e3
    for n, exact in ((2, 2.26e3), (10, 1.93e5)):
        distance = np.abs(np.subtract.outer(np.arange(n), np.arange(n)))
        shift = np.subtract.outer(np.arange(n), np.arange(n))
        with np.errstate(divide="ignore", invalid="ignore"):
            coupling = np.cos(math.pi / 4 * distance - math.pi / 4 * shift) / distance
        np.fill_diagonal(coupling, 0.0)
        array = sb.Oscillators(
            stiffness=np.full(n, omega**2), friction=np.full(n, gamma), mass=np.ones(n), reduced=True,
            bath_temperature=np.full(n, 300.0), coupling=2 * omega * 0.3 * gamma * coupling,
        )  # fmt: skip
        assert entropy.medium(array, steady(array)).sum() == pytest.approx(exact, rel=5e-3)


def test_frictionless_particles_move_reversibly():
    """Between two baths: the entropy is that of the baths, and the limit of weak friction."""

    def chain(friction):
        return sb.Oscillators(
            stiffness=np.ones(3), friction=np.array([0.3, friction, 0.3]), mass=np.ones(3), reduced=True,
            bath_temperature=np.array([1.0, 0.7, 0.5]), coupling=0.3 * np.array([[0, 1, 0], [0.9, 0, 1], [0, 0.9, 0]]),
        )  # fmt: skip

    array = chain(0.0)
    exact = -(thermodynamics.heat_current(array, steady(array)) / array.bath_temperature).sum()
    found = entropy.medium(array, steady(array))
    assert found.sum() == pytest.approx(exact, rel=1e-9)
    assert found[1] == 0.0
    assert entropy.total(array, steady(array)) == pytest.approx(exact, rel=1e-9)
    current = currents.entropy_current(array)
    assert currents.mean_rate(array.langevin(), current, steady(array)) == pytest.approx(exact, rel=1e-9)
    nearly = chain(1e-6)
    assert entropy.medium(nearly, steady(nearly)).sum() == pytest.approx(exact, rel=1e-4)


def test_bad_questions():
    with pytest.raises(NoiseError, match="particle 1 has friction and no noise"):
        currents.entropy_current(pair(temperature=(1.0, 0.0)))
    with pytest.raises(NoiseError, match="the same for several"):
        entropy.medium(pair(temperature=(0, 0), diffusion=np.ones((2, 2))), np.eye(4))
    with pytest.raises(PlanError, match="zero temperature is infinite, as that of particle 1"):
        entropy.of_baths(pair(temperature=(1.0, 0.0)), np.eye(4))
    with pytest.raises(PlanError, match="give masses"):
        entropy.of_baths(ARRAYS["overdamped with recoil"], np.eye(2))
    unstable = pair(coupling=(5.0, 5.0))
    with pytest.raises(UnstableError):
        currents.variance_rate(unstable.langevin(), currents.work_current(unstable, 0, 1))
    off_centre = sb.Langevin(drift_matrix=-np.eye(2), noise_covariance=np.eye(2), constant_drift=np.array([1.0, 0.0]))
    with pytest.raises(PlanError, match="constant_drift"):
        currents.variance_rate(off_centre, currents.Current("any", np.eye(2), np.zeros((2, 2))))


def test_high_quality():
    """At Q = 1e7 the variance rate of the work of a one-way pair keeps its closed limit: it scales as 1/gamma^3."""
    rates = []
    for quality in (1e6, 1e7):
        gamma = 1.0 / quality
        array = sb.Oscillators(
            stiffness=np.ones(2), friction=np.full(2, gamma), mass=np.ones(2), bath_temperature=np.ones(2),
            coupling=np.array([[0.0, 2 * gamma], [0.0, 0.0]]), reduced=True,
        )  # fmt: skip
        rates.append(currents.cumulant_rates(array.langevin(), currents.work_current(array, 0, 1), 3))
    assert rates[0] == pytest.approx(10 * rates[1], rel=1e-5)  # all cumulants are per energy and decay time
    assert rates[0][0] == pytest.approx(2e-6, rel=1e-5)  # 2 g^2 T / gamma
