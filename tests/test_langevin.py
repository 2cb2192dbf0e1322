"""The exact truth, checked by routes that share no code with it (mpmath, block exponential, closed forms)."""

import mpmath
import numpy as np
import pytest
from scipy import linalg

import systems
from stochbind.engine import bias, reference
from stochbind.engine.noise import Stream
from stochbind.engine.solvers import Exact
from stochbind.errors import NoiseError, PlanError, ScenarioError, UnstableError
from stochbind.langevin import Langevin, Moments
from stochbind.propagation import covariance_root, lyapunov
from stochbind.stability import Coordinate

QUALITIES = (1e1, 1e3, 1e6, 1e9)
STEPS = (1e-3, 1e-1, 1.0, 1e1, 1e3)


def exact_step(quality, step):
    """Propagator and covariance of a unit oscillator, in closed form with 80 digits."""
    mpmath.mp.dps = 80
    gamma, t = 1 / mpmath.mpf(quality), mpmath.mpf(step)
    # the double nearest to 1/Q is what the library is given
    gamma = mpmath.mpf(1.0 / quality)
    omega = mpmath.sqrt(1 - gamma**2 / 4)
    decay, c, s = mpmath.exp(-gamma * t / 2), mpmath.cos(omega * t), mpmath.sin(omega * t)
    matrix = decay * mpmath.matrix(
        [[c + gamma / (2 * omega) * s, s / omega], [-s / omega, c - gamma / (2 * omega) * s]]
    )
    covariance = mpmath.eye(2) - matrix * matrix.T  # equilibrium at unit temperature
    return matrix, covariance


def as_float(matrix):
    return np.array(matrix.tolist(), dtype=float)


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("step", STEPS)
def test_one_step_probe(quality, step):
    """Feed the solver unit vectors, read off E and L, and compare with the closed form to 1e-12."""
    program = Exact().program(systems.oscillator(quality).langevin(), step)
    linear, forces, account = program.tables
    unit, zero, nothing = np.eye(2), np.zeros((2, 2)), np.zeros((0, 2))
    matrix = reference.step(program.scheme, linear, forces, {}, account, unit, nothing, zero, 0)
    root = reference.step(program.scheme, linear, forces, {}, account, zero, nothing, unit, 0)
    expected, covariance = (as_float(m) for m in exact_step(quality, step))
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    # each element relative to the standard deviations it joins: positions over a short step are tiny
    deviation = np.sqrt(np.diag(covariance))
    error = (root @ root.T - covariance) / np.outer(deviation, deviation)
    assert np.abs(error).max() < 1e-12
    if step == 1.0 and quality < 100:  # the twin: one per cent of damping is seen
        other, _ = (as_float(m) for m in exact_step(quality * 1.01, step))
        assert np.abs(matrix - other).max() > 1e-5


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("step", STEPS)
def test_rounded_coefficients_keep_the_temperature(quality, step):
    """Steady state of the very coefficients that run, by mpmath, and what the solver computes of it."""
    coefficients = Exact().program(systems.oscillator(quality).langevin(), step).tables[0]
    mpmath.mp.dps = 60
    e = mpmath.matrix(coefficients.matrix[0].tolist())
    root = mpmath.matrix(coefficients.root[0].tolist())
    s = root * root.T
    # vec(X) = (1 - E (x) E)^-1 vec(S)
    system = mpmath.eye(4)
    for i in range(2):
        for j in range(2):
            for k in range(2):
                for m in range(2):
                    system[2 * i + j, 2 * k + m] -= e[i, k] * e[j, m]
    x = mpmath.lu_solve(system, mpmath.matrix([s[0, 0], s[0, 1], s[1, 0], s[1, 1]]))
    error = max(abs(float(x[0] - 1)), abs(float(x[3] - 1)))
    assert error < 1e-3
    told = np.abs(bias.judge(Exact(), systems.oscillator(quality).langevin(), step).variance).max()
    assert told == pytest.approx(error, rel=0.01, abs=1e-13)


@pytest.mark.parametrize("quality", [1e4, 1e6, 1e7])
def test_exceptional_point(quality):
    """Antireciprocal pair exactly at its exceptional point: right, or refused; never wrong without a word."""
    gamma, g = 1 / quality, 0.05
    array = systems.underdamped_pair(
        mass=(1, 1), u=((1 + g) ** 2, (1 - g) ** 2), friction=(gamma, gamma), c=(2 * g, -2 * g), temperature=(1.0, 1.0)
    )
    equations = array.langevin()
    stability = equations.stability
    assert abs(stability.growth_rate + gamma / 2) < max(2 * stability.round_off, 1e-3 * gamma)
    if stability.stable:
        steady = equations.stationary_covariance()
        exact = lyapunov_by_mpmath(equations)
        assert np.abs(steady - exact).max() < 1e-5 * np.abs(exact).max()
    hopeless = systems.underdamped_pair(
        mass=(1, 1), u=((1 + g) ** 2, (1 - g) ** 2), friction=(1e-8, 1e-8), c=(2 * g, -2 * g), temperature=(1.0, 1.0)
    )
    with pytest.raises(UnstableError, match=r"as far as double precision can tell|cannot be resolved"):
        hopeless.langevin().stationary_covariance()


def lyapunov_by_mpmath(equations):
    mpmath.mp.dps = 50
    a, d = mpmath.matrix(equations.drift_matrix.tolist()), equations.dimension
    system = mpmath.zeros(d * d)
    for i in range(d):
        for j in range(d):
            for k in range(d):
                system[d * i + j, d * k + j] += a[i, k]
                system[d * i + j, d * i + k] += a[j, k]
    x = mpmath.lu_solve(system, -mpmath.matrix(equations.noise_covariance.ravel().tolist()))
    return np.array(x.tolist(), dtype=float).reshape(d, d)


def test_a_step_too_short_for_double_precision_is_refused():
    equations = systems.oscillator(1e9).langevin()
    with pytest.raises(PlanError, match="longer steps are just as exact"):
        Exact().program(equations, 1e-6)


def test_forty_particles_at_quality_1e9():
    """Propagator against scipy's expm, covariance against the block exponential's defining equation, in any split."""
    rng = np.random.default_rng(0)
    n = 40
    array = systems.Oscillators(
        mass=rng.uniform(0.5, 2, n),
        stiffness=rng.uniform(0.5, 2, n),
        friction=np.full(n, 1e-9),
        bath_temperature=np.ones(n),
        coupling=np.triu(rng.normal(size=(n, n)), 1) * 1e-2,  # one-way: stable at any strength
        reduced=True,
    )
    equations = array.langevin()
    steady = equations.stationary_covariance()
    assert equations.stability.stable
    residual = equations.drift_matrix @ steady
    residual = residual + residual.T + equations.noise_covariance
    assert np.abs(residual).max() < 1e-14 * np.abs(steady).max()
    for step in (1e-3, 1.0, 1e3):
        exact = equations.propagator(step)
        plain = linalg.expm(equations.drift_matrix * step / equations.time_unit)
        np.testing.assert_allclose(exact.matrix, plain, rtol=0, atol=1e-10 * np.abs(plain).max())
        half = equations.propagator(step / 2)
        joined = half.covariance + half.matrix @ half.covariance @ half.matrix.T
        np.testing.assert_allclose(joined, exact.covariance, rtol=0, atol=1e-12 * np.abs(joined).max())
        assert np.linalg.eigvalsh(exact.covariance)[0] > -1e-15 * np.abs(exact.covariance).max()


def test_stationary_covariance_of_a_degenerate_one_way_pair_at_high_quality():
    """Closed form of the identical pair at the exceptional point; a plain Lyapunov solver loses seven digits."""
    gamma, g = 1e-6, 3e-7
    array = systems.underdamped_pair(
        mass=(1, 1), u=(1, 1), friction=(gamma, gamma), c=(2 * g, 0.0), temperature=(1.0, 2.0)
    )
    covariance = array.langevin().stationary_covariance() * np.outer(*[array.langevin().unit] * 2)
    kinetic = np.diag(covariance)[2:]
    expected = systems.identical_pair_kinetic(gamma=gamma, g1=g, g2=0.0, temperature=(1.0, 2.0))
    np.testing.assert_allclose(kinetic, expected, rtol=1e-10)
    assert array.langevin().stability.growth_rate == pytest.approx(-gamma / 2, rel=1e-9, abs=0)


def test_moments_of_an_unstable_system():
    """An inverted oscillator: <x^2> from its closed form; it grows, and has no steady state."""
    a, d = 0.7, 0.3
    equations = Langevin(drift_matrix=[[a]], noise_covariance=[[2 * d]], constant_drift=[0.2])
    found = equations.moments(3.0, Moments(np.array([0.5]), np.array([[0.1]])))
    growth = np.exp(a * 3.0)
    assert found.mean[0] == pytest.approx(0.5 * growth + 0.2 * (growth - 1) / a, rel=1e-13, abs=0)
    assert found.covariance[0, 0] == pytest.approx(0.1 * growth**2 + d / a * (growth**2 - 1), rel=1e-13, abs=0)
    assert not equations.stability.stable
    with pytest.raises(
        UnstableError, match=r"unstable: the mode at 0 Hz of particle 0 \(100%\) grows at 0.7 1/s"
    ) as info:
        equations.stationary_covariance()
    assert info.value.growth_rate == pytest.approx(0.7)
    with pytest.raises(PlanError, match="outgrows floating point"):
        equations.propagator(1e4)


def test_constant_drift_moves_the_mean():
    equations = Langevin(drift_matrix=[[-2.0, 0.5], [0.0, -1.0]], noise_covariance=np.eye(2), constant_drift=[1.0, 3.0])
    np.testing.assert_allclose(equations.stationary.mean, [1.25, 3.0], rtol=1e-14)
    later = equations.moments(60.0, Moments(np.zeros(2), np.zeros((2, 2))))
    np.testing.assert_allclose(later.mean, [1.25, 3.0], rtol=1e-12)
    np.testing.assert_allclose(later.covariance, equations.stationary_covariance(), rtol=1e-12)


def test_stability_of_a_pair_changes_where_the_theory_says():
    """Identical springs: stable if and only if gamma^2 + 4 g1 g2 > 0."""
    gamma = 0.05
    for factor, stable in ((0.999, True), (1.001, False)):
        g = gamma / 2 * factor
        array = systems.underdamped_pair(
            mass=(1, 1), u=(1, 1), friction=(gamma, gamma), c=(2 * g, -2 * g), temperature=(1.0, 1.0)
        )
        stability = array.langevin().stability
        # the rotating-wave form of the limit holds to g^2
        assert stability.stable is stable
    assert set(stability.participation) == {0, 1}
    assert stability.participation[0] == pytest.approx(0.5, abs=1e-6)
    assert stability.angular_frequency == pytest.approx(1.0, rel=1e-2, abs=0)


def test_undamped_system_has_no_steady_state():
    array = systems.underdamped_pair(friction=(0.0, 0.0))
    with pytest.raises(UnstableError, match="not damped, as far as double precision can tell"):
        array.langevin().stationary_covariance()


def test_time_unit_and_units_only_rescale():
    array = systems.underdamped_pair()
    equations = array.langevin()
    physical = Langevin(
        drift_matrix=equations.drift_matrix * np.outer(equations.unit, 1 / equations.unit) / equations.time_unit,
        noise_covariance=equations.noise_covariance * np.outer(*[equations.unit] * 2) / equations.time_unit,
    )
    scale = np.outer(equations.unit, equations.unit)
    np.testing.assert_allclose(
        equations.stationary_covariance() * scale, physical.stationary_covariance(), rtol=1e-12, atol=1e-15
    )
    np.testing.assert_allclose(
        equations.propagator(0.8).covariance * scale, physical.propagator(0.8).covariance, rtol=1e-12
    )


@pytest.mark.parametrize("rank", [1, 3, 5])
def test_covariance_root(rank):
    rng = np.random.default_rng(rank)
    factor = rng.normal(size=(5, rank)) * np.array([1, 1e-6, 1e3, 1e-3, 1])[:, None]
    covariance = factor @ factor.T
    root = covariance_root(covariance)
    deviation = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(
        (root @ root.T) / np.outer(deviation, deviation), covariance / np.outer(deviation, deviation), atol=1e-13
    )
    nudged = covariance_root(covariance * (1 + 1e-15))
    np.testing.assert_allclose(nudged / deviation[:, None], root / deviation[:, None], atol=1e-6)
    assert not covariance_root(np.zeros((2, 2))).any()


def test_bad_arrays_are_refused():
    good = {"drift_matrix": -np.eye(2), "noise_covariance": np.eye(2)}
    Langevin(**good)
    with pytest.raises(NoiseError, match="smallest eigenvalue is -1"):
        Langevin(**{**good, "noise_covariance": [[1.0, 2.0], [2.0, 1.0]]})
    with pytest.raises(NoiseError, match="symmetric"):
        Langevin(**{**good, "noise_covariance": [[1.0, 0.5], [0.0, 1.0]]})
    with pytest.raises(ScenarioError, match=r"drift_matrix\[0, 1\] is nan"):
        Langevin(**{**good, "drift_matrix": [[1.0, np.nan], [0.0, 1.0]]})
    with pytest.raises(ScenarioError, match=r"must have shape \(d, d\), but has shape \(2, 3\)"):
        Langevin(**{**good, "drift_matrix": np.ones((2, 3))})
    with pytest.raises(ScenarioError, match="must name 2 coordinates"):
        Langevin(**good, coordinate=(Coordinate("position", 0, "z"),))
    with pytest.raises(PlanError, match="zero or positive"):
        Langevin(**good).propagator(-1.0)


def test_streams_are_distinct():
    assert len({int(stream) for stream in Stream}) == len(Stream)
    assert all(0 <= stream < 256 for stream in Stream)


@pytest.mark.parametrize("d", [47, 48, 49, 131, 260])
def test_steady_states_by_halves_are_those_of_scipy(d):
    """Any drift, of real and of complex eigenvalues, cut in many places; and with the transposed drift."""
    rng = np.random.default_rng(d)
    drift = rng.standard_normal((d, d)) / np.sqrt(d) - 1.3 * np.eye(d)
    factor = rng.standard_normal((d, d // 2))
    noise = factor @ factor.T
    found, resolved = lyapunov(drift, noise)
    np.testing.assert_allclose(found, linalg.solve_continuous_lyapunov(drift, -noise), rtol=0, atol=1e-11 * d)
    assert resolved
    assert np.abs(drift @ found + found @ drift.T + noise).max() < 1e-12 * np.abs(found).max()
    assert np.abs(lyapunov(drift.T.copy(), noise)[0] - found).max() > 1e-2 * np.abs(found).max()


def test_steady_state_of_an_array_of_five_hundred():
    """Uncoupled neighbours keep the closed form; coupled ones obey the Lyapunov equation."""
    n = 250
    coupling = np.zeros((n, n))
    coupling[0, 1] = 0.2
    array = systems.Oscillators(
        mass=np.ones(n), stiffness=np.ones(n), friction=np.full(n, 0.1), bath_temperature=np.linspace(1, 2, n),
        coupling=coupling, reduced=True,
    )  # fmt: skip
    equations = array.langevin()
    covariance = equations.stationary_covariance() * np.outer(equations.unit, equations.unit)
    np.testing.assert_allclose(np.diagonal(covariance)[2:n], array.bath_temperature[2:], rtol=1e-10)
    driven = systems.identical_pair_kinetic(gamma=0.1, g1=0.1, g2=0.0, temperature=array.bath_temperature[:2])
    np.testing.assert_allclose(np.diagonal(covariance)[n : n + 2], driven, rtol=1e-10)


def test_large_steady_states_are_found_whatever_the_rates():
    slow = Langevin(drift_matrix=-1e-17 * np.eye(401), noise_covariance=1e-17 * np.eye(401))
    np.testing.assert_allclose(np.diagonal(slow.stationary_covariance()), 0.5, rtol=1e-9)
    rate = np.logspace(-9, 3, 401)
    spread = Langevin(drift_matrix=-np.diag(rate), noise_covariance=np.eye(401))
    np.testing.assert_allclose(np.diagonal(spread.stationary_covariance()), 0.5 / rate, rtol=1e-6)
    assert not lyapunov(np.zeros((2, 2)), np.eye(2))[1]


@pytest.mark.parametrize("damping", [(0.3, 0.3), (0.1, 0.7)])
def test_steps_of_a_large_array_are_those_of_its_parts(damping):
    """Seventy equal pairs, taken together, make the step that a pair makes alone in extended precision."""
    n = 70
    pair = systems.underdamped_pair(friction=damping, c=(0.3, 0.1)).langevin()
    drift = np.kron(np.eye(n), pair.drift_matrix).reshape(n, 2, 2, n, 2, 2).transpose(1, 0, 2, 4, 3, 5)
    noise = np.kron(np.eye(n), pair.noise_covariance).reshape(n, 2, 2, n, 2, 2).transpose(1, 0, 2, 4, 3, 5)
    shape = (4 * n, 4 * n)
    whole = Langevin(drift_matrix=drift.reshape(shape), noise_covariance=noise.reshape(shape)).propagator(1.7)
    alone = pair.propagator(1.7 * pair.time_unit)
    assert not whole.matrix[:2, 2 : 2 * n].any()
    for found, exact in ((whole.matrix, alone.matrix), (whole.covariance, alone.covariance)):
        where = [0, 1, 2 * n, 2 * n + 1]
        np.testing.assert_allclose(found[np.ix_(where, where)], exact, atol=1e-15)
    assert np.abs(whole.matrix[np.ix_(where, where)] - alone.matrix.T).max() > 0.1


@pytest.mark.parametrize("damping", [0.1, 1e-7, 3.0])
def test_steady_states_of_large_second_order_systems(damping):
    """Against SciPy, where modes oscillate and where they creep; and in equilibrium against Boltzmann's law."""
    n = 80
    rng = np.random.default_rng(n)
    between = 0.005 * rng.standard_normal((n, n))
    symmetric = np.eye(n) + between + between.T
    unequal = np.eye(n) + between if damping > 0.01 else symmetric
    zero, one = np.zeros((n, n)), np.eye(n)
    noise = np.block([[zero, zero], [zero, 2 * damping * one]])
    drift = np.block([[zero, one], [-unequal, -damping * one]])
    found, resolved = lyapunov(drift, noise)
    assert resolved
    expected = linalg.solve_continuous_lyapunov(drift, -noise)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-15 / damping + 1e-12)
    found, _ = lyapunov(np.block([[zero, one], [-symmetric, -damping * one]]), noise)
    boltzmann = np.block([[np.linalg.inv(symmetric), zero], [zero, one]])
    np.testing.assert_allclose(found, boltzmann, rtol=0, atol=1e-15 / damping + 1e-12)
    assert np.abs(lyapunov(drift, 2 * noise)[0] - boltzmann).max() > 0.5


@pytest.mark.parametrize(("least", "most"), [(0.01, 3.0), (1e5, 2e5), (2.0**20, 2.0**20)])
def test_steady_states_of_large_arrays_in_unequal_gas(least, most):
    """In equilibrium friction plays no part, equal or not, weak or strong: Boltzmann's law."""
    n = 80
    rng = np.random.default_rng(n)
    between = 0.05 * rng.standard_normal((n, n)) / np.sqrt(n)
    stiffness = np.eye(n) + between + between.T
    damping = np.linspace(least, most, n)
    zero = np.zeros((n, n))
    drift = np.block([[zero, np.eye(n)], [-stiffness, -np.diag(damping)]])
    noise = np.block([[zero, zero], [zero, 2 * np.diag(damping)]])
    boltzmann = np.block([[np.linalg.inv(stiffness), zero], [zero, np.eye(n)]])
    found, resolved = lyapunov(drift, noise)
    assert resolved
    np.testing.assert_allclose(found, boltzmann, rtol=0, atol=1e-11)
    # the twin: noise of the mean friction in gas that is not, or at twice the temperature
    wrong = noise * 2 if least == most else noise / noise.max() * 2 * damping.mean()
    assert np.abs(lyapunov(drift, wrong)[0] - boltzmann).max() > 0.1


def test_friction_that_leaves_nothing_to_resolve_is_named():
    """Positions that creep are told from exceptional points, whose cure is another."""
    with pytest.raises(UnstableError, match=r"zero within .* leave the inertia out \(no masses\)"):
        systems.oscillator(1e-9).langevin().stationary_covariance()
    slow = systems.oscillator(1e-5).langevin()
    np.testing.assert_allclose(np.diagonal(slow.stationary_covariance()), 1.0, rtol=1e-9)
    undamped = systems.underdamped_pair(friction=(0.0, 0.0)).langevin()
    growing = systems.underdamped_pair(u=(-1.0, 1.0)).langevin()
    for equations in (undamped, growing):
        with pytest.raises(UnstableError, match="Add damping or change the coupling"):
            equations.stationary_covariance()
