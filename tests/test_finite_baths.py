"""Finite baths: energy to round-off, the microcanonical law, exact averages, runs and their refusals."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr
from scipy import integrate, stats

import stochbind as sb
import systems
from stochbind.analysis import bath_comparisons, mean_field, thermodynamics
from stochbind.engine import bath_reference, bias
from stochbind.engine.independent import SOLVERS
from stochbind.engine.layout import Layout
from stochbind.engine.store import Store
from stochbind.engine.units import Task, run_unit
from stochbind.errors import IncompleteError, PlanError, ScenarioError, TooFewSamplesError, UnstableError
from stochbind.langevin import Moments
from stochbind.oscillators import Baths, Oscillators

RECOIL = np.array([[0.1, 0.05], [0.05, 0.2]])


def shared(array, *capacity, copies=1):
    """So many copies of an array; the first oscillators of all share the first bath, and so on."""
    n = len(capacity)
    vectors = {
        name: np.tile(getattr(array, name), copies)
        for name in ("mass", "stiffness", "friction", "bath_temperature")
        if getattr(array, name) is not None
    }
    return replace(
        array, **vectors, coupling=np.kron(np.eye(copies), array.coupling),
        diffusion=np.kron(np.eye(copies), array.diffusion),
        baths=Baths(member=np.tile(np.arange(n), copies), heat_capacity=np.array(capacity)),
    )  # fmt: skip


def pair(*capacity, copies=1, **options):
    return shared(systems.underdamped_pair(**options), *capacity, copies=copies)


def distance(sample, truth):
    """Of means from the truth, in standard errors."""
    return (sample.mean(axis=0) - truth) / (sample.std(axis=0) / np.sqrt(len(sample)))


# ---------------------------------------------------------------------- steps


@pytest.mark.parametrize("options", [{}, {"diffusion": RECOIL}])
def test_the_compiled_steps_are_those_of_the_reference_to_the_last_bit(options):
    array = pair(np.inf, 2.5, copies=2, **options)
    settings = {"step": 0.1, "n_steps": 30, "save_every": 3, "n_trajectories": 40, "seed": 3, "ledger": array}
    fast, plain = (sb.simulate(array, **settings, compiled=compiled) for compiled in (True, False))
    for name in ("position", "velocity", "bath_heat", "bath_temperature", "work", "heat"):
        assert np.array_equal(fast[name], plain[name]), name


def test_a_trajectory_does_not_depend_on_its_block_and_can_be_continued():
    array = pair(np.inf, 5.0)
    program = SOLVERS["finite_baths"].of(array).program(array.langevin(), 0.1)
    state, total = np.random.default_rng(1).normal(size=(4, 6)), np.zeros((2, 6))
    key = {"seed": 7, "save_every": 1}
    whole, heat = program.run(state.copy(), total.copy(), **key, first_trajectory=0, first_step=0, n_saves=8)
    part, given = state[:, 4:].copy(), total[:, 4:].copy()
    for first, count in ((0, 3), (3, 5)):  # an odd number of steps, after which the order of oscillators is reversed
        saved, saved_heat = program.run(part, given, **key, first_trajectory=4, first_step=first, n_saves=count)
    assert np.array_equal(saved[-1], whole[-1, :, 4:])
    assert np.array_equal(saved_heat[-1], heat[-1, :, 4:])
    part, given = state[:, 4:].copy(), total[:, 4:].copy()
    for first, count in ((0, 3), (2, 5)):  # the noise of a step twice, and oscillators in the wrong order
        saved, _ = program.run(part, given, **key, first_trajectory=4, first_step=first, n_saves=count)
    assert not np.array_equal(saved[-1], whole[-1, :, 4:])


@pytest.mark.parametrize("freedom", [4.0, 5.3, 40.0, 1e3, 1e9])
def test_a_component_of_a_bath_is_that_of_a_random_direction(freedom):
    array = shared(systems.oscillator(1.0), freedom / 2)
    c = SOLVERS["finite_baths"].of(array).linear_tables(array.langevin(), 0.1, 1)
    first, second = np.random.default_rng(0).normal(size=(2, 1000)) * np.linspace(0.0, 2.4, 1000)
    found = bath_reference.component(first, second, c["exchange_narrowing"][0], c["exchange_doublings"][0])
    q = (first**2 + second**2) / (freedom - 2.0)
    expected = np.where(q > 0, -np.expm1(-q) / np.where(q > 0, q, 1.0), 1.0)
    np.testing.assert_allclose(found, expected, rtol=3e-14)


def test_energy_is_conserved_to_round_off_in_each_trajectory():
    """Springs, reciprocal coupling and both baths are a closed system; no ledger is asked."""
    array = pair(3.0, 7.0, c=(0.4, 0.4))
    run = sb.simulate(array, step=0.3, n_steps=400, n_trajectories=20, seed=2, initial=array.initial_moments("thermal"))
    q, v = run.position.to_numpy(), run.velocity.to_numpy()
    own = 0.5 * (array.mass * v**2 + array.stiffness * q**2).sum(axis=-1) - 0.4 * q[..., 0] * q[..., 1]
    stored = run.bath_temperature.to_numpy() @ array.baths.heat_capacity
    assert np.ptp(own, axis=1).min() > 1.0  # much is exchanged
    assert np.ptp(own + stored, axis=1).max() < 1e-12
    assert np.ptp(own - stored, axis=1).min() > 1.0  # of heat with the wrong sign, one would see it


def test_the_first_law_holds_to_round_off_with_the_work_of_the_coupling():
    """The ledger's heat is what its work leaves; that of the baths is counted where it flows."""
    array = pair(np.inf, 6.0, copies=3)
    run = sb.simulate(array, step=0.2, n_steps=300, n_trajectories=20, seed=2, ledger=array)
    heat = array.baths.of_each(run.heat.to_numpy())
    np.testing.assert_allclose(heat, run.bath_heat, atol=2e-12)
    work = run.work.to_numpy()
    assert np.abs(work[:, -1]).sum(axis=(1, 2)).min() > 1.0
    transposed = heat + array.baths.of_each(work.sum(axis=-1) - work.sum(axis=-2))
    assert np.abs(transposed - run.bath_heat).max() > 1.0


def test_work_of_the_flow_is_the_integral_along_it():
    """The area of a step without baths, by quadrature along the exact motion."""
    array = replace(pair(9.0, 9.0), friction=np.zeros(2))
    start = np.array([0.3, -0.7, 1.1, 0.4])
    run = sb.simulate(
        array, step=0.8, n_steps=1, ledger=array, initial=Moments(start, np.zeros((4, 4))), allowed_bias=1e9
    )
    equations = array.langevin()

    def power(time):
        q, v = np.split(equations.propagator(time).matrix @ start * equations.unit, 2)
        return array.coupling * q[None, :] * v[:, None]

    expected, _ = integrate.quad_vec(power, 0.0, 0.8, epsabs=1e-13)
    np.testing.assert_allclose(run.work[0, 0], expected, atol=1e-12)
    assert np.all(run.bath_heat == 0.0)


@pytest.mark.parametrize(("capacity", "step"), [(2.0, 1.0), (2.0, 0.1), (10.0, 1.0)])
def test_the_law_of_an_oscillator_in_an_isolated_bath_is_microcanonical(capacity, step):
    """Share of the energy in one of 2 + 2C/k_B quadratic degrees of freedom, which is a beta variate; at any step."""
    array = shared(systems.oscillator(1.0), capacity)
    run = sb.simulate(
        array, step=step, n_steps=round(30 / step), save_every=round(30 / step), n_trajectories=20_000, seed=1
    )
    share = 0.5 * run.velocity.to_numpy().ravel() ** 2 / capacity
    law = stats.beta(0.5, (1.0 + 2.0 * capacity) / 2.0)
    assert stats.kstest(share, law.cdf).pvalue > 1e-3
    temperature = capacity / (capacity + 1.0)  # the canonical law of the same energy
    assert stats.kstest(share, stats.gamma(0.5, scale=temperature / capacity).cdf).pvalue < 1e-4
    assert run.bath_temperature.min() > 0.0


# ---------------------------------------------------------------------- averages


def moment_recursion(array, step, n_steps, second, *, order=True):
    """Averages of steps of the solver, one matrix after the other: temperatures and heat are linear in the moments."""
    n, equations = array.n_oscillators, array.langevin()
    drift = equations.drift_matrix.copy()
    drift[n:, n:] = 0.0
    half = replace(equations, drift_matrix=drift).propagator(step / 2).matrix
    keep = np.exp(-array.friction / array.mass * step)
    energy = array.mass * equations.unit[n:] ** 2
    heat, first = np.zeros(len(array.baths.heat_capacity)), mean_field.bath_temperatures(array)
    for number in range(n_steps):
        second = half @ second @ half.T
        for j in range(n)[:: -1 if number % 2 and order else 1]:
            k = array.baths.member[j]
            temperature = first[k] - heat[k] / array.baths.heat_capacity[k]
            before = second[n + j, n + j]
            second[n + j] *= keep[j]
            second[:, n + j] *= keep[j]
            second[n + j, n + j] += (1 - keep[j] ** 2) * array.boltzmann * temperature / energy[j]
            heat[k] += 0.5 * energy[j] * (second[n + j, n + j] - before)
        second = half @ second @ half.T
    return second, heat


@pytest.mark.parametrize("step", [0.1, 2.0])
def test_averages_of_steps_are_those_of_their_moments(step):
    array = pair(np.inf, 5.0)
    initial = array.initial_moments("thermal")
    n = round(30 / step)
    run = sb.simulate(
        array,
        step=step,
        n_steps=n,
        save_every=n,
        n_trajectories=round(1e5 * step),
        seed=5,
        initial=initial,
        allowed_bias=10.0,
    )
    second, heat = moment_recursion(array, step, n, initial.covariance.copy())
    assert np.abs(distance(run.bath_heat.to_numpy()[:, 0], heat)).max() < 5.0
    kinetic = array.mass * run.velocity.to_numpy()[:, 0] ** 2
    assert np.abs(distance(kinetic, np.diagonal(second)[2:])).max() < 5.0
    exact = mean_field.relaxation(array, [30.0])
    wrong = np.abs(distance(run.bath_heat.to_numpy()[:, 0], exact.bath_heat[0])).max()
    assert (wrong > 5.0) == (step == 2.0)  # what a long step costs is seen


def test_the_declared_order_is_that_of_averages():
    """Two, but for a part of order step/n of n degrees of freedom."""
    array = pair(np.inf, 400.0, friction=(1.0, 1.5), temperature=(1.0, 0.2))
    initial = array.initial_moments("thermal")
    exact = mean_field.relaxation(array, [8.0]).bath_heat[0]
    found = {h: moment_recursion(array, h, round(8 / h), initial.covariance.copy())[1] - exact for h in (0.4, 0.2, 0.1)}
    slopes = [np.log2(np.abs(found[h] / found[h / 2])) for h in (0.4, 0.2)]
    assert np.all(np.abs(np.array(slopes) - SOLVERS["finite_baths"].weak_order) < 0.15), slopes


@pytest.mark.parametrize("capacity", [(np.inf, 5.0), (4.0, 9.0)])
def test_averages_agree_with_independent_equations(capacity):
    """Moment equations of a pair, written out and integrated numerically."""
    m, u, g, c = (1.2, 0.6), (1.3, 0.8), (0.3, 0.5), (0.5, 0.2)
    array = pair(*capacity, diffusion=RECOIL)

    def rate(t, y):
        qq, vv, q1v2, q2v1, q1q2, v1v2, q1v1, q2v2, heat = *np.split(y[:4], 2), *y[4:10], y[10:]
        temperature = np.array([1.0, 0.8]) - heat / np.array(capacity)
        back = np.array(g) * (temperature / np.array(m) - vv)
        d = np.array(RECOIL) / np.outer(m, m)
        a = -u[0] / m[0] * qq[0] + c[0] / m[0] * q1q2  # <q_1 dv_1/dt> but for friction
        b = -u[1] / m[1] * qq[1] + c[1] / m[1] * q1q2
        return np.concatenate([
            [2 * q1v1, 2 * q2v2],
            [
                2 * (-u[0] * q1v1 + c[0] * q2v1) / m[0] + 2 * back[0] / m[0] + 2 * d[0, 0],
                2 * (-u[1] * q2v2 + c[1] * q1v2) / m[1] + 2 * back[1] / m[1] + 2 * d[1, 1],
            ],
            [
                v1v2 + (-u[1] * q1q2 + c[1] * qq[0] - g[1] * q1v2) / m[1],
                v1v2 + (-u[0] * q1q2 + c[0] * qq[1] - g[0] * q2v1) / m[0],
                q2v1 + q1v2,
                (-u[0] * q1v2 + c[0] * q2v2 - g[0] * v1v2) / m[0] + (-u[1] * q2v1 + c[1] * q1v1 - g[1] * v1v2) / m[1]
                + 2 * d[0, 1],
                vv[0] + a - g[0] / m[0] * q1v1,
                vv[1] + b - g[1] / m[1] * q2v2,
            ],
            back,
        ])  # fmt: skip

    begin = np.concatenate([[1.0 / u[0], 0.8 / u[1], 1.0 / m[0], 0.8 / m[1]], np.zeros(8)])
    time = np.array([0.0, 0.7, 3.0, 20.0, 21.0])
    truth = integrate.solve_ivp(rate, (0.0, 21.0), begin, t_eval=time, rtol=1e-11, atol=1e-13, method="DOP853").y.T
    found = mean_field.relaxation(array, time)
    np.testing.assert_allclose(found.bath_heat, truth[:, 10:], atol=1e-8)
    np.testing.assert_allclose(found.kinetic_temperature, truth[:, 2:4] * np.array(m), rtol=1e-8)
    np.testing.assert_allclose(found.position_temperature, truth[:, :2] * np.array(u), rtol=1e-8)
    halved = mean_field.relaxation(pair(*np.array(capacity) / 2, diffusion=RECOIL), time)
    assert np.abs(halved.bath_temperature - found.bath_temperature).max() > 0.01


@pytest.mark.parametrize(("copies", "capacity"), [(1, 4.0), (20, 3.0)])
def test_simulated_averages_are_exact_for_any_number_of_copies_and_any_capacity(copies, capacity):
    array = pair(np.inf, capacity * copies, copies=copies)
    n = 20_000 // copies
    run = sb.simulate(
        array, step=0.1, n_steps=400, save_every=40, n_trajectories=n, seed=11, initial=array.initial_moments("thermal")
    )
    exact = mean_field.relaxation(array, run.time.to_numpy())
    cold = run.bath_temperature.to_numpy()[..., 1]
    truth = exact.bath_temperature[:, 1]
    assert np.abs(distance(cold, truth)).max() < 5.0
    assert np.abs(cold.mean(axis=0) / truth - 1.0).max() < 0.01
    kinetic = array.mass * run.velocity.to_numpy() ** 2
    merged = kinetic.reshape(n, 10, copies, 2).mean(axis=2)
    assert np.abs(distance(merged, exact.kinetic_temperature[:, :2])).max() < 5.0
    assert truth[-1] < 0.65  # it has cooled, which the wrong theories have differently
    halved = mean_field.relaxation(pair(np.inf, capacity * copies / 2, copies=copies), run.time.to_numpy())
    assert np.abs(distance(cold, halved.bath_temperature[:, 1])).max() > 10.0
    assert np.abs(distance(cold, 2 * 0.8 - truth)).max() > 10.0  # heat of the wrong sign


def test_fluctuations_of_a_bath_vanish_with_the_number_of_copies():
    scatter = []
    for copies in (2, 32):
        array = pair(np.inf, 5.0 * copies, copies=copies)
        run = sb.simulate(array, step=0.2, n_steps=150, save_every=150, n_trajectories=500, seed=1)
        scatter.append(float(run.bath_temperature[:, 0, 1].std()))
    assert scatter[0] / scatter[1] == pytest.approx(4.0, rel=0.15)


def test_recoil_is_energy_of_the_light_and_not_of_the_bath():
    array = pair(np.inf, 8.0, diffusion=RECOIL)
    run = sb.simulate(
        array, step=0.1, n_steps=300, save_every=100, n_trajectories=8000, seed=3, ledger=array,
        initial=array.initial_moments("thermal"),
    )  # fmt: skip
    exact = mean_field.relaxation(array, run.time.to_numpy())
    assert np.abs(distance(run.bath_heat.to_numpy(), exact.bath_heat)).max() < 5.0
    light = run.heat.to_numpy() - run.bath_heat.to_numpy()
    rate = np.diagonal(RECOIL) / array.mass
    assert np.abs(distance(light, rate * run.time.to_numpy()[:, None])).max() < 5.0
    assert np.abs(distance(light, 2 * rate * run.time.to_numpy()[:, None])).max() > 10.0


def test_a_bath_of_great_capacity_is_one_that_keeps_its_temperature():
    array = pair(np.inf, 1e12)
    initial = array.initial_moments("thermal")
    run = sb.simulate(array, step=0.1, n_steps=100, save_every=50, n_trajectories=20_000, seed=2, initial=initial)
    assert np.abs(run.bath_temperature - np.array([1.0, 0.8])).max() < 1e-10
    state = np.concatenate([run.position, run.velocity], axis=-1) / array.langevin().unit
    for index, time in enumerate(run.time.to_numpy()):
        covariance = array.langevin().moments(time, initial).covariance
        product = state[:, index, :, None] * state[:, index, None, :]
        assert np.abs(distance(product, covariance)).max() < 5.0
        assert np.abs(distance(product, 1.1 * covariance)).max() > 5.0


@pytest.mark.parametrize("make", [systems.underdamped_pair, systems.overdamped_pair])
def test_the_cold_bath_ends_where_the_heat_current_vanishes(make):
    array = shared(make(c=(0.5, 0.2)), np.inf, 30.0)
    final = mean_field.final_temperatures(array)
    np.testing.assert_allclose(final, [1.0, 0.4], rtol=1e-10)
    late = mean_field.relaxation(array, [1e5]).bath_temperature[0]
    np.testing.assert_allclose(late, final, rtol=1e-8)
    swapped = shared(make(c=(0.2, 0.5)), np.inf, 30.0)
    assert mean_field.final_temperatures(swapped)[1] == pytest.approx(2.5, rel=1e-9)


def test_baths_with_reciprocal_coupling_end_at_one_temperature():
    """Energy of baths and particles over all capacity, half a Boltzmann constant for each quadratic one."""
    under, over = (shared(make(c=(0.4, 0.4)), 5.0, 8.0) for make in (systems.underdamped_pair, systems.overdamped_pair))
    stored = 5.0 * 1.0 + 8.0 * 0.8
    np.testing.assert_allclose(mean_field.final_temperatures(under), (stored + 1.8) / (13.0 + 2.0), rtol=1e-10)
    np.testing.assert_allclose(mean_field.final_temperatures(over), (stored + 0.9) / (13.0 + 1.0), rtol=1e-10)
    equal = pair(5.0, 8.0, c=(0.4, 0.4), temperature=(0.9, 0.9))
    still = mean_field.relaxation(equal, [1.0, 50.0], initial="stationary")
    np.testing.assert_allclose(still.bath_temperature, 0.9, rtol=1e-12)
    np.testing.assert_allclose(still.kinetic_temperature, 0.9, rtol=1e-12)


def test_an_array_in_equilibrium_with_finite_baths_stays_there():
    array = pair(6.0, 9.0, c=(0.4, 0.4), temperature=(0.9, 0.9))
    run = sb.simulate(
        array, step=0.3, n_steps=100, save_every=50, n_trajectories=10_000, seed=6,
        initial=array.initial_moments("stationary"),
    )  # fmt: skip
    assert np.abs(distance(run.bath_temperature.to_numpy(), 0.9)).max() < 5.0
    assert np.abs(distance(array.mass * run.velocity.to_numpy() ** 2, 0.9)).max() < 5.0
    other = pair(6.0, 9.0, c=(0.5, 0.3), temperature=(0.9, 0.9))  # not reciprocal: it does not stay
    assert np.abs(mean_field.relaxation(other, [30.0]).bath_temperature - 0.9).max() > 0.02


def test_what_grows_without_bound_has_no_final_temperature():
    with pytest.raises(UnstableError, match="The final temperatures need moments and heat that settle"):
        mean_field.final_temperatures(pair(5.0, 8.0, c=(0.4, 0.4), diffusion=RECOIL))
    with pytest.raises(UnstableError):
        mean_field.final_temperatures(pair(np.inf, 8.0, c=(2.0, 2.0)))


@pytest.mark.parametrize(
    ("make", "truth"),
    [
        (systems.underdamped_pair, systems.underdamped_heat),
        (systems.overdamped_pair, lambda **options: systems.overdamped_truth(**options)[1]),
    ],
)
def test_conductance_gives_the_closed_forms(make, truth):
    matrix, constant = mean_field.conductance(make())
    for temperature in ((1.0, 0.8), (0.3, 2.0)):
        np.testing.assert_allclose(matrix @ temperature + constant, truth(temperature=temperature), rtol=1e-10)
    assert np.abs(matrix.T @ (1.0, 0.8) - truth()).max() > 1e-3  # transposed


@pytest.mark.parametrize("make", [systems.underdamped_pair, systems.overdamped_pair])
def test_conductance_of_recoil_and_copies_is_that_of_the_covariance(make):
    array = shared(make(diffusion=RECOIL), np.inf, 100.0, copies=3)
    found = mean_field.conductance(array)
    heat = thermodynamics.heat_current(array, array.langevin().stationary_covariance())
    np.testing.assert_allclose(found.matrix @ [1.0, 0.8] + found.constant, array.baths.of_each(heat), rtol=1e-10)


def test_slow_baths_follow_the_steady_currents():
    array = pair(np.inf, 1e6)
    time = np.array([0.0, 3e6, 2e7, 1e8])
    slow, exact = mean_field.slow_relaxation(array, time), mean_field.relaxation(array, time).bath_temperature
    np.testing.assert_allclose(slow, exact, rtol=1e-5)
    assert slow[-1, 1] < 0.45
    small = mean_field.relaxation(pair(np.inf, 4.0), time / 2.5e5).bath_temperature
    assert np.abs(small - slow).max() > 0.01  # particles hold heat themselves


@pytest.mark.parametrize("make", [systems.overdamped_pair, systems.underdamped_pair])
def test_slow_baths_are_heated_by_recoil(make):
    """Against the currents of the covariance at the temperatures of each moment, followed by SciPy."""
    capacity = np.array([500.0, 2000.0])
    array = shared(make(c=(0.4, 0.1), diffusion=RECOIL), *capacity)

    def rate(_time, temperature):
        now = replace(array, bath_temperature=temperature, baths=None)
        return -thermodynamics.heat_current(now, now.langevin().stationary_covariance()) / capacity

    time = np.array([0.0, 500.0, 5000.0])
    solution = integrate.solve_ivp(rate, (0, time[-1]), array.bath_temperature, t_eval=time, rtol=1e-9, atol=1e-9)
    slow = mean_field.slow_relaxation(array, time)
    np.testing.assert_allclose(slow, solution.y.T, rtol=1e-6)
    without = mean_field.slow_relaxation(replace(array, diffusion=0.0 * RECOIL), time)
    assert np.abs(slow[-1] - without[-1]).max() > 0.02  # the twin


def test_light_particles_in_baths_are_overdamped_ones_in_baths_with_their_kinetic_energy():
    """Overdamped equations leave out half a Boltzmann constant for each oscillator."""
    light = pair(5.0, 8.0, mass=(1e-4, 1e-4), u=(1.3, 0.8), friction=(0.7, 1.9))
    heavy = shared(systems.overdamped_pair(), 5.5, 8.5)
    time = [0.5, 3.0, 20.0]
    found, expected = (mean_field.relaxation(array, time).bath_temperature for array in (light, heavy))
    np.testing.assert_allclose(found, expected, rtol=2e-4)
    without = mean_field.relaxation(shared(systems.overdamped_pair(), 5.0, 8.0), time).bath_temperature
    assert np.abs(found / without - 1.0).max() > 2e-3


# ---------------------------------------------------------------------- scenarios and runs


def scenario(copies=3, **changes):
    particle = {"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.3}
    cold = {"name": "cold", "temperature": 0.8, "heat_capacity": 4.0 * copies}
    fields = {
        "name": "pairs", "units": "reduced", "copies": copies, "coupling": [[0.0, 0.5], [0.2, 0.0]],
        "bath": [{"name": "hot", "temperature": 1.0}, cold],
        "particle": [{**particle, "bath": "hot"}, {**particle, "bath": "cold"}],
    }  # fmt: skip
    return sb.OscillatorScenario(**{**fields, **changes})


def test_copies_are_blocks_that_share_baths_only():
    array = scenario().oscillators()
    np.testing.assert_array_equal(array.cluster, [0, 0, 1, 1, 2, 2])
    np.testing.assert_array_equal(array.coupling[2:4, 2:4], [[0.0, 0.5], [0.2, 0.0]])
    assert np.count_nonzero(array.coupling) == 6
    np.testing.assert_array_equal(array.baths.member, [0, 1] * 3)
    np.testing.assert_array_equal(array.baths.heat_capacity, [np.inf, 12.0])
    assert array.baths.name == ("hot", "cold")
    alone = scenario(
        particle=[{"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.3, **bath} for bath in
                  ({"bath_temperature": 3.0}, {"bath": "cold"})],
        bath=[{"name": "cold", "temperature": 0.8, "heat_capacity": 50.0}],
    ).oscillators()  # fmt: skip
    assert alone.baths.name == ("cold", "of particle 0", "of particle 2", "of particle 4")
    np.testing.assert_array_equal(alone.bath_temperature, [3.0, 0.8] * 3)


def test_a_scenario_with_baths_reads_back_and_has_an_identity_of_its_own(tmp_path):
    file = tmp_path / "pairs.toml"
    file.write_text(scenario().to_toml())
    assert sb.Scenario.from_toml(file) == scenario()
    settings = {"step": 0.1, "n_steps": 10, "n_trajectories": 2}
    plan = sb.Plan(scenario=scenario(), **settings)
    assert plan.solver == "finite_baths"
    other = scenario(
        bath=[{"name": "hot", "temperature": 1.0}, {"name": "cold", "temperature": 0.8, "heat_capacity": 8.0}]
    )
    infinite = scenario(bath=[{"name": "hot", "temperature": 1.0}, {"name": "cold", "temperature": 0.8}])
    assert len({sb.Plan(scenario=one, **settings).fingerprint for one in (scenario(), other, infinite)}) == 3
    assert sb.Plan(scenario=infinite, **settings).solver == "exact"


@pytest.fixture(scope="module")
def plan():
    return sb.Plan(scenario=scenario(), step=0.1, n_steps=240, save_every=4, n_trajectories=200, seed=4, ledger=True)


def test_a_run_that_was_interrupted_ends_with_the_same_bits(plan, tmp_path):
    store = Store.create(tmp_path / "run.zarr", plan, Layout(100, 15))
    for block, segment in ((0, 0), (0, 1), (1, 0)):
        run_unit((), Task(store.place.address, block, segment))
    with pytest.warns(UserWarning, match="not finished"), pytest.raises(IncompleteError):
        sb.validate(sb.open(tmp_path / "run.zarr"))
    sb.run(plan, tmp_path / "run.zarr")
    found, array = sb.open(tmp_path / "run.zarr"), plan.scenario.oscillators()
    once = sb.simulate(
        array, step=0.1, n_steps=240, save_every=4, n_trajectories=200, seed=4, ledger=array,
        initial=array.initial_moments("thermal"),
    )  # fmt: skip
    assert list(found.bath.to_numpy()) == ["hot", "cold"]
    assert np.array_equal(found.position[..., 0], once.position)
    for name in ("bath_heat", "bath_temperature", "heat", "work"):
        assert np.array_equal(found[name], once[name]), name
    assert np.array_equal(found.bath_temperature[..., 0], np.ones((200, 60)))


def test_a_sweep_over_the_capacity_has_the_temperatures_of_each_point(tmp_path):
    file = tmp_path / "pairs.toml"
    run = "[run]\nstep = 0.1\nn_steps = 40\nn_trajectories = 3\n"
    axis = '[[sweep.axis]]\nparameter = "bath[1].heat_capacity"\nname = "capacity"\nvalues = [12.0, 24.0]\n'
    file.write_text(f"{scenario().to_toml()}\n{run}\n{axis}")
    sb.run(sb.Sweep.from_toml(file), tmp_path / "sweep.zarr", workers="serial")
    found = sb.open(tmp_path / "sweep.zarr")
    expected = np.array([1.0, 0.8]) - found.bath_heat / (found.capacity * xr.DataArray([np.inf, 1.0], dims="bath"))
    np.testing.assert_allclose(found.bath_temperature, expected, rtol=1e-14)
    one = sb.simulate(
        scenario().oscillators(), step=0.1, n_steps=40, n_trajectories=3,
        initial=scenario().oscillators().initial_moments("thermal"),
    )  # fmt: skip
    assert np.array_equal(found.bath_temperature[0], one.bath_temperature)
    assert np.array_equal(found.bath_temperature[0, 1:, -1, 1], one.bath_temperature[1:, -1, 1])


def test_validation_compares_a_transient_exactly_and_sees_another_capacity(plan, tmp_path):
    sb.run(replace(plan, n_trajectories=1000, ledger=False), tmp_path / "run.zarr", workers="serial")
    found = sb.open(tmp_path / "run.zarr")
    table = sb.validate(found)
    assert table.agrees, table.worst
    assert {row.where for row in table.rows} == {"hot", "cold", "0", "1"}
    assert table.value("bath temperature at the end", "cold").steady == pytest.approx(0.4, rel=1e-9)
    wrong = sb.validate(found, scenario(bath=[
        {"name": "hot", "temperature": 1.0}, {"name": "cold", "temperature": 0.8, "heat_capacity": 6.0},
    ]))  # fmt: skip
    assert not wrong.agrees


def test_the_figure_of_a_run_draws_its_baths_beside_the_exact_averages(plan, tmp_path):
    sb.run(replace(plan, ledger=False, n_steps=80), tmp_path / "run.zarr", workers="serial")
    found, array = sb.open(tmp_path / "run.zarr"), plan.scenario.oscillators()
    exact = mean_field.relaxation(array, found.time.to_numpy()).bath_temperature
    response = sb.plots.Response(np.ones(2), np.ones((2, 2, 2)), array.names, (0, 1))
    figure = sb.plots.overview(
        found, sb.validate(found), response, None, bath_temperature=array.bath_temperature, reduced=True,
        relaxation=exact,
    )  # fmt: skip
    hot, dashed_hot, cold, dashed, _ = figure.axes[2].get_lines()
    assert (hot.get_label(), cold.get_label()) == ("hot", "cold")
    np.testing.assert_array_equal(dashed.get_ydata(), exact[:, 1])
    np.testing.assert_array_equal(dashed_hot.get_ydata(), 1.0)
    np.testing.assert_allclose(cold.get_ydata(), found.bath_temperature[..., 1].mean("trajectory"), rtol=1e-12)


def test_validation_says_what_it_needs(plan, tmp_path):
    bare = replace(plan, record=False, ledger=False, statistics=("moments",), n_steps=256, n_trajectories=4)
    sb.run(bare, tmp_path / "bare.zarr", workers="serial")
    with pytest.raises(PlanError, match="give `record = true`"):
        sb.validate(sb.open(tmp_path / "bare.zarr"))
    array = scenario().oscillators()
    one = sb.simulate(array, step=0.1, n_steps=10, n_trajectories=1)
    with pytest.raises(TooFewSamplesError):
        list(bath_comparisons.bath_comparisons(one, array, initial="rest", notes=[]))


def test_heat_is_told_from_time_zero_on():
    """Particles at rest take most of their heat before the first state that is kept."""
    array, start = pair(8.0, 5.0), Moments(mean=np.zeros(4), covariance=np.zeros((4, 4)))
    one = sb.simulate(array, step=0.1, n_steps=80, save_every=40, n_trajectories=400, initial=start, seed=6)
    rows = bath_comparisons.bath_comparisons(one, array, initial="rest", notes=[])
    heat = next(row for row in rows if row.quantity == "heat from bath")
    given, time = one["bath_heat"].to_numpy(), one["time"].to_numpy()
    np.testing.assert_allclose(heat.estimate.value, given[:, -1].mean(axis=0) / time[-1], rtol=1e-12)
    assert np.abs(heat.estimate.z(heat.truth)).max() < 4
    later = (given[:, -1] - given[:, 0]).mean(axis=0) / (time[-1] - time[0])
    assert (np.abs(later - heat.truth) > 5 * heat.estimate.stderr).all()  # the twin


# ---------------------------------------------------------------------- refusals


def test_what_finite_baths_cannot_do_is_refused():
    array, settings = pair(np.inf, 5.0), {"step": 0.1, "n_steps": 10}
    with pytest.raises(
        PlanError, match=r"'exact' keeps the temperatures of baths fixed, .*use solver = \"finite_baths\""
    ):
        sb.simulate(array, solver="exact", **settings)
    with pytest.raises(PlanError, match="needs oscillators with a bath of finite heat capacity"):
        sb.simulate(systems.underdamped_pair(), solver="finite_baths", **settings)
    with pytest.raises(PlanError, match=r"which overdamped particles do not have; give the particles a mass"):
        sb.simulate(shared(systems.overdamped_pair(), np.inf, 5.0), **settings)
    with pytest.raises(PlanError, match="leave out the forces beyond the linear ones, or the heat capacity"):
        sb.simulate(replace(array, forces=(sb.fields.duffing(np.ones(2)),)), **settings)
    driven = sb.Protocol.constant(array.langevin(), drives=[sb.Drive(0, 1.0, 1.0)])
    with pytest.raises(PlanError, match="leave out the drives, or the heat capacity"):
        sb.simulate(driven, ledger=array, **settings)
    with pytest.raises(PlanError, match=r"too long: the solver 'finite_baths' .*; use a step of"):
        sb.simulate(array, step=1.5, n_steps=10)
    with pytest.raises(PlanError, match="simulate `Oscillators`"):
        SOLVERS["finite_baths"].program(array.langevin(), 0.1)
    with pytest.raises(PlanError, match="'exact' keeps the temperatures"):
        sb.Plan(scenario=scenario(), solver="exact", n_trajectories=2, **settings)


def test_the_step_is_judged_by_its_own_steady_state():
    array = pair(np.inf, 5.0, diffusion=RECOIL)
    solver = SOLVERS["finite_baths"].of(array)
    small, large = (bias.judge(solver, array.langevin(), h).largest for h in (0.1, 0.2))
    assert 1e-5 < abs(small) < 1e-2
    assert large / small == pytest.approx(4.0, rel=0.1)


@pytest.mark.parametrize(
    ("member", "capacity", "message"),
    [
        ([0, 2], [5.0, 5.0], "`baths.member` must name every bath"),
        ([0, 1, 1], [np.inf, 5.0], "`baths.member` must hold 2 numbers"),
        ([0, 1], [np.inf, 1.9], "must be at least 2 k_B, which is 2, but is 1.9"),
        ([0, 1], [np.inf, np.nan], "must be at least 2 k_B"),
        ([0, 0], [5.0], "must be the same for all oscillators of bath 0, but that of oscillator 1 differs"),
    ],
)
def test_baths_that_are_none_are_refused(member, capacity, message):
    with pytest.raises(ScenarioError, match=message):
        replace(systems.underdamped_pair(), baths=Baths(member=np.array(member), heat_capacity=np.array(capacity)))
    with pytest.raises(ScenarioError, match=r"`baths.name` must hold 2 different names"):
        Baths(member=np.array([0, 1]), heat_capacity=np.full(2, np.inf), name=("a", "a"))


PARTICLE = {"mass": 1.0, "stiffness": 1.0, "damping_rate": 0.3}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"particle": [PARTICLE]}, r"particle\[0\]: needs either `bath_temperature` or `bath`, and not both"),
        ({"particle": [{**PARTICLE, "bath": "hot", "bath_temperature": 1.0}]}, "and not both"),
        ({"particle": [{**PARTICLE, "bath": "warm"}] * 2}, r"particle\[0\].bath must be the name of a bath"),
        ({"particle": [{**PARTICLE, "bath": "hot"}] * 2}, r"bath\[1\] has no particles"),
        ({"bath": [{"name": "hot", "temperature": 1.0}] * 2}, r"bath\[1\].name must differ"),
        ({"copies": 5001}, "`copies` must be at most 5000"),
        ({"bath": [{"name": "hot", "temperature": 1.0}, {"name": "cold", "temperature": 1.0, "heat_capacity": 0.1}]},
         "`heat_capacity` of bath cold must be at least 2 k_B"),
        ({"drive": [{"particle": 0, "force": 1.0, "frequency": 1.0}]}, "`drive` cannot be beside baths"),
        ({"particle": [{**PARTICLE, "bath": "hot", "cubic_stiffness": 1.0}, {**PARTICLE, "bath": "cold"}]},
         "must be those of harmonic traps"),
    ],
)  # fmt: skip
def test_scenarios_with_impossible_baths_are_refused(changes, message):
    with pytest.raises(ScenarioError, match=message):
        scenario(**changes)


def test_exact_averages_refuse_what_they_cannot_tell():
    array = pair(np.inf, 5.0)
    with pytest.raises(PlanError, match="`time` must be zero or positive, and must not decrease"):
        mean_field.relaxation(array, [1.0, 0.5])
    with pytest.raises(ScenarioError, match="`initial` must be of 4 coordinates"):
        mean_field.relaxation(array, [1.0], initial=Moments(np.zeros(2), np.eye(2)))
    with pytest.raises(PlanError, match="forces beyond the linear ones"):
        mean_field.relaxation(replace(array, forces=(sb.fields.duffing(np.ones(2)),)), [1.0])
    n = 40
    ring = Oscillators(
        mass=np.ones(n), stiffness=np.full(n, 5.0), friction=np.ones(n), bath_temperature=np.ones(n),
        coupling=np.roll(np.eye(n), 1, axis=0), reduced=True,
    )  # fmt: skip
    with pytest.raises(PlanError, match="Exact averages would need 3281 unknowns"):
        mean_field.relaxation(ring, [1.0])
