"""Temperatures of modes and of steps, occupation numbers, histories, and heat that correlated recoil pumps."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from scipy import constants, integrate, linalg

import stochbind as sb
import systems
from stochbind.analysis import histories, temperatures, thermodynamics
from stochbind.engine import solvers
from stochbind.errors import PlanError, ScenarioError, TooFewSamplesError, UnstableError
from stochbind.oscillators import Oscillators

SCENARIOS = Path(__file__).parent.parent / "scenarios"


def steady(array):
    return array.langevin().stationary_covariance()


def chain(*, overdamped, temperature=0.7, seed=1, n=5):
    """Reciprocal, of unequal masses and friction, in one bath."""
    rng = np.random.default_rng(seed)
    coupling = 0.2 * rng.normal(size=(n, n))
    coupling = np.triu(coupling, 1) + np.triu(coupling, 1).T
    return Oscillators(
        mass=None if overdamped else rng.uniform(0.5, 2, n),
        stiffness=rng.uniform(1, 2, n), friction=rng.uniform(0.1, 2, n),
        bath_temperature=np.full(n, temperature), coupling=coupling, reduced=True,
    )  # fmt: skip


# ------------------------------------------------------------------------------------------------- normal modes


@pytest.mark.parametrize("overdamped", [False, True])
def test_equipartition_over_modes(overdamped):
    array = chain(overdamped=overdamped)
    second = steady(array)
    np.testing.assert_allclose(temperatures.mode_position_temperature(array, second), 0.7, rtol=1e-11)
    if not overdamped:
        np.testing.assert_allclose(temperatures.mode_kinetic_temperature(array, second), 0.7, rtol=1e-11)
    # The twins: those of single particles are not that of the bath, nor is equipartition kept by transposed shapes.
    assert np.abs(thermodynamics.position_temperature(array, second) / 0.7 - 1).max() > 0.02


def test_modes_of_an_identical_pair():
    """Centre of mass at sqrt((u - c)/m), stretch at sqrt((u + c)/m), and only the reciprocal part of c counts."""
    for c in ((0.3, 0.3), (0.5, 0.1), (0.6, 0.0)):
        modes = temperatures.normal_modes(systems.underdamped_pair(mass=(2, 2), u=(1.5, 1.5), c=c))
        np.testing.assert_allclose(modes.rate, np.sqrt(np.array([1.2, 1.8]) / 2), rtol=1e-14)
        np.testing.assert_allclose(modes.shape, np.array([[1, 1], [1, -1]]) / np.sqrt(2), rtol=1e-14)
    over = temperatures.normal_modes(systems.overdamped_pair(u=(1.5, 1.5), friction=(2, 2), c=(0.3, 0.3)))
    np.testing.assert_allclose(over.rate, np.array([1.2, 1.8]) / 2, rtol=1e-14)


@pytest.mark.parametrize("overdamped", [False, True])
def test_modes_are_those_of_the_motion(overdamped):
    """Without damping the drift's eigenvalues are i times the frequencies; overdamped they are minus the rates."""
    array = chain(overdamped=overdamped)
    modes = temperatures.normal_modes(array)
    np.testing.assert_allclose(modes.shape.T @ modes.shape, np.eye(5), atol=1e-14)
    equations = array.langevin()
    if overdamped:
        found = np.sort(-np.linalg.eigvals(equations.drift_matrix).real) / equations.time_unit
        np.testing.assert_allclose(found, modes.rate, rtol=1e-12)
    else:
        drift = equations.drift_matrix.copy()
        drift[5:, 5:] = 0.0
        found = np.sort(np.abs(np.linalg.eigvals(drift).imag))[::2] / equations.time_unit
        np.testing.assert_allclose(found, modes.rate, rtol=1e-12)


def test_energies_of_modes_add_up():
    """To kinetic energy, and to the potential of traps and the reciprocal part of the coupling, for any moments."""
    array = systems.underdamped_pair(c=(0.5, 0.2))
    rng = np.random.default_rng(3)
    factor = rng.normal(size=(7, 4, 4))
    second = factor @ factor.transpose(0, 2, 1)
    kinetic = temperatures.mode_kinetic_temperature(array, second)
    np.testing.assert_allclose(kinetic.sum(-1), thermodynamics.kinetic_temperature(array, second).sum(-1), rtol=1e-12)
    unit = array.langevin().unit
    position = (second * np.outer(unit, unit))[:, :2, :2]
    potential = np.einsum("nij,ij->n", position, array.force_matrix)  # the antireciprocal part drops out
    np.testing.assert_allclose(temperatures.mode_position_temperature(array, second).sum(-1), potential, rtol=1e-12)


def test_modes_of_the_shipped_pair_in_si(unidirectional):
    """One-way coupling: both normal modes are warmer than the bath, and no longer equally warm in position."""
    array = unidirectional.oscillators()
    found = temperatures.mode_kinetic_temperature(array, steady(array))
    kinetic = thermodynamics.kinetic_temperature(array, steady(array))
    assert found.sum() == pytest.approx(kinetic.sum(), rel=1e-10, abs=0)
    assert found.min() > 301.0


def test_modes_that_do_not_hold_are_refused():
    with pytest.raises(ScenarioError, match="reciprocal part of the force matrix has the eigenvalue -0"):
        temperatures.normal_modes(systems.underdamped_pair(u=(1, 1), c=(2.5, 0)))
    with pytest.raises(ValueError, match="no velocities"):
        temperatures.mode_kinetic_temperature(systems.overdamped_pair(), np.eye(2))


# --------------------------------------------------------------------------------------------------- occupation


def test_occupation_of_a_thermal_oscillator():
    mass, frequency, temperature = 2e-18, 2 * np.pi * 60e3, 4e-3
    array = Oscillators(
        mass=np.array([mass]), stiffness=np.array([mass * frequency**2]), friction=np.array([mass * 100.0]),
        bath_temperature=np.array([temperature]), coupling=np.zeros((1, 1)),
    )  # fmt: skip
    expected = constants.k * temperature / (constants.hbar * frequency) - 0.5
    assert expected > 1000
    second = steady(array)
    for function in (temperatures.occupation, temperatures.mode_occupation):
        assert function(array, second)[0] == pytest.approx(expected, rel=1e-12, abs=0)
        assert function(array, 0 * second)[0] == -0.5  # at rest
    ground = np.diag([constants.hbar / (2 * mass * frequency), constants.hbar * frequency * mass / (2 * mass**2)])
    unit = array.langevin().unit
    assert temperatures.occupation(array, ground / np.outer(unit, unit))[0] == pytest.approx(0.0, abs=1e-12)


def test_occupations_of_modes_and_particles():
    """Uncoupled particles are modes; a reciprocal pair in one bath has kT/(hbar omega_k) - 1/2 in each mode."""
    array = systems.underdamped_pair(c=(0.0, 0.0))
    second = steady(array)
    modes = temperatures.normal_modes(array)
    order = np.argmax(np.abs(modes.shape), axis=0)
    found = temperatures.mode_occupation(array, second, reduced_planck=0.01)
    np.testing.assert_allclose(found, temperatures.occupation(array, second, reduced_planck=0.01)[order], rtol=1e-11)
    # in reduced units Planck's constant over two pi is one, unless another one is given
    np.testing.assert_allclose(temperatures.mode_occupation(array, second) + 0.5, 0.01 * (found + 0.5), rtol=1e-11)
    pair = systems.underdamped_pair(c=(0.4, 0.4), temperature=(0.9, 0.9))
    found = temperatures.mode_occupation(pair, steady(pair), reduced_planck=0.01)
    np.testing.assert_allclose(found, 0.9 / (0.01 * temperatures.normal_modes(pair).rate) - 0.5, rtol=1e-11)


def test_occupation_is_refused_where_it_means_nothing():
    pair = systems.underdamped_pair()
    with pytest.raises(ScenarioError, match="`reduced_planck` must be positive"):
        temperatures.mode_occupation(pair, steady(pair), reduced_planck=0.0)
    with pytest.raises(ScenarioError, match="overdamped"):
        temperatures.occupation(systems.overdamped_pair(), np.eye(2), reduced_planck=1.0)
    with pytest.raises(ScenarioError, match=r"stiffness\[1\] is -0.8"):
        temperatures.occupation(systems.underdamped_pair(u=(1.3, -0.8)), np.eye(4), reduced_planck=1.0)


# ------------------------------------------------------------------------------------------------ steps of a run


def plan_of(array, **given):
    particle = [
        {"mass": m, "stiffness": u, "friction": g, "bath_temperature": t}
        for m, u, g, t in zip(array.mass, array.stiffness, array.friction, array.bath_temperature, strict=True)
    ]
    scenario = sb.OscillatorScenario(name="x", units="reduced", coupling=array.coupling.tolist(), particle=particle)
    return sb.Plan.from_scenario(scenario, n_trajectories=512, seed=5, **given)


@pytest.mark.parametrize("solver", ["exact", "strang", "heun", "euler_maruyama"])
def test_steady_state_of_the_steps(solver):
    """Against SciPy's discrete Lyapunov equation, with the step written out anew."""
    array = systems.underdamped_pair()
    step = 0.05
    plan = plan_of(array, solver=solver, step=step, n_steps=10, allowed_bias=1.0)
    found = temperatures.second_moment_of_steps(plan.coefficients())
    equations = array.langevin()
    h = step / equations.time_unit
    a, identity, noise = equations.drift_matrix * h, np.eye(4), equations.noise_covariance * h
    if solver == "euler_maruyama":
        expected = linalg.solve_discrete_lyapunov(identity + a, noise)
    elif solver == "heun":
        half = identity + 0.5 * a
        expected = linalg.solve_discrete_lyapunov(identity + a + 0.5 * a @ a, half @ noise @ half.T)
    else:
        expected = steady(array)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-13)
    error = np.abs(found / steady(array) - 1)[np.diag_indices(4)].max()
    assert (error > 0.03) == (solver == "euler_maruyama")  # the twin: the ideal state is not what this solver keeps


@pytest.mark.parametrize(("quality", "step"), [(10.0, 0.01), (1e4, 1e-6), (1e5, 2e-6)])
def test_temperature_of_euler_and_maruyama(quality, step):
    array = systems.oscillator(quality)
    plan = plan_of(array, solver="euler_maruyama", step=step, n_steps=10, allowed_bias=10.0)
    second = temperatures.second_moment_of_steps(plan.coefficients())
    found = thermodynamics.kinetic_temperature(array, second)[0]
    assert found == pytest.approx(1 / (1 - quality * step), rel=2 * step + 1e-5, abs=0)  # rounding of 1 - h / Q


def test_a_run_has_the_temperature_of_its_steps(tmp_path):
    array = systems.oscillator(10.0)
    plan = plan_of(array, solver="euler_maruyama", step=0.02, n_steps=20_000, save_every=100, allowed_bias=1.0)
    sb.run(plan, tmp_path / "run.zarr")
    second = temperatures.second_moment_of_steps(sb.Store.open(tmp_path / "run.zarr").coefficients)
    stepped = thermodynamics.kinetic_temperature(array, second)
    kinetic = partial(thermodynamics.kinetic_temperature, array)
    late = sb.open(tmp_path / "run.zarr").isel(time=slice(50, None))
    found = histories.history(late, kinetic, n_windows=1).found
    assert abs(found.z(stepped)[0, 0]) < 4
    assert abs(found.z(1.0)[0, 0]) > 8  # the twin: the temperature of the bath


def test_steps_with_a_constant_force():
    """The second moment holds the square of the mean."""
    plan = plan_of(systems.oscillator(5.0), solver="heun", step=0.01, n_steps=10)
    tables = {name: np.array(value) for name, value in plan.coefficients().items()}
    plain = temperatures.second_moment_of_steps(tables)
    tables["shift"][:] = [[0.0, 0.01 * 0.3]]  # h times a force, which moves the equilibrium by 0.3
    np.testing.assert_allclose((temperatures.second_moment_of_steps(tables) - plain)[0, 0], 0.09, rtol=1e-9)


def test_steps_without_a_steady_state_are_refused(cold_to_hot):
    heated = solvers.EulerMaruyama().linear_tables(systems.oscillator(1e3).langevin(), 0.01, 10)
    with pytest.raises(UnstableError, match="no steady state") as told:
        temperatures.second_moment_of_steps(heated)
    assert told.value.growth_rate > 0
    tables = sb.Plan.from_scenario(cold_to_hot).coefficients()
    with pytest.raises(PlanError, match="differ from each other"):
        temperatures.second_moment_of_steps({**tables, "matrix": np.repeat(tables["matrix"], 2, axis=0)})
    with pytest.raises(PlanError, match="sdeint"):
        temperatures.second_moment_of_steps({**tables, "drift_matrix": tables["matrix"][0]})
    with pytest.raises(PlanError, match="not linear"):
        temperatures.second_moment_of_steps({**tables, "force_kind": np.array([1])})


# ---------------------------------------------------------------------------------------------------- histories


def test_history_of_a_record_and_of_moments(tmp_path, cold_to_hot):
    """From rest the temperatures rise; each window agrees with its own exact value, and not with the steady one."""
    plan = sb.Plan.from_scenario(
        cold_to_hot, n_steps=512, step=0.05, n_trajectories=512, initial="rest",
        statistics=[sb.statistics.MomentStatistic(window=16)],
    )  # fmt: skip
    sb.run(plan, tmp_path / "run.zarr")
    dataset = sb.open(tmp_path / "run.zarr")
    array = cold_to_hot.oscillators()
    kinetic = partial(thermodynamics.kinetic_temperature, array)
    record = histories.history(dataset, kinetic, n_windows=8)
    moments = histories.history(dataset.drop_vars(["position", "velocity"]), kinetic, n_windows=8)
    for one in (record, moments):
        assert one.found.value.shape == one.exact.shape == (8, 2)
        assert np.abs(one.found.z(one.exact)).max() < 4.5
        assert np.abs(one.found.z(kinetic(steady(array)))).max() > 10  # the twin
    assert (np.diff(record.exact[:, 0]) > 0).all()
    np.testing.assert_allclose(moments.stop[:-1] + 0.05, moments.start[1:], rtol=1e-12)
    # by hand: the states of the last window
    late = dataset.velocity.sel(time=slice(record.start[-1] - 0.01, None)).to_numpy()[..., 0]
    np.testing.assert_allclose(record.found.value[-1], (late**2).mean((0, 1)), rtol=1e-10)
    alone = (late**2).mean(1).std(0) / np.sqrt(512)
    np.testing.assert_allclose(record.found.stderr[-1], alone, rtol=0.45)  # an error bar of 32 groups
    for bad, error, words in ((0, PlanError, "at least 1"), (400, TooFewSamplesError, "2 states")):
        with pytest.raises(error, match=words):
            histories.history(dataset, kinetic, n_windows=bad)
    assert len(histories.history(dataset.drop_vars(["position", "velocity"]), kinetic, n_windows=400).start) == 32


# ------------------------------------------------------------------------------------------- correlated recoil


def pumped(*, cross, c=(0.3, 0.3), temperature=(1.0, 1.0)):
    """An unequal pair whose recoil heating is that of baths warmer by 1.5, and correlated."""
    friction = (0.3, 0.5)
    diffusion = np.diag(1.5 * np.array(friction)) + cross * (1 - np.eye(2))
    return systems.underdamped_pair(friction=friction, c=c, temperature=temperature, diffusion=diffusion)


def correlated_rate(array, cross):
    """What correlation adds to <q_1 v_0>: an integral over frequencies, by adaptive quadrature."""
    (m_a, m_b), (g_a, g_b), (u_a, u_b) = array.mass, array.friction, array.stiffness

    def density(w):
        delta = (u_a - m_a * w**2 - 1j * g_a * w) * (u_b - m_b * w**2 - 1j * g_b * w) - np.prod(
            array.coupling[[0, 1], [1, 0]]
        )
        return w**2 * (g_a * (u_b - m_b * w**2) - g_b * (u_a - m_a * w**2)) / abs(delta) ** 2

    # the density falls as w^-4: the tail beyond 50 by inversion
    inner = integrate.quad(density, 0, 50, limit=400, points=[1.0, 1.5], epsabs=1e-13, epsrel=1e-12)[0]
    tail = integrate.quad(lambda s: density(1 / s) / s**2, 1e-9, 1 / 50, epsabs=1e-13, epsrel=1e-12)[0]
    return 2 * cross * 2 * (inner + tail) / (2 * np.pi)


@pytest.mark.parametrize("c", [(0.3, 0.3), (0.5, 0.2), (0.4, -0.2)])
@pytest.mark.parametrize("cross", [0.3, -0.2])
def test_pumped_heat_has_the_size_and_the_sign_of_the_quadrature(c, cross):
    array, plain = pumped(cross=cross, c=c), pumped(cross=0.0, c=c)
    gain = (thermodynamics.power(array, steady(array)) - thermodynamics.power(plain, steady(plain))).sum(axis=1)
    rate = correlated_rate(array, cross)
    assert abs(rate) > 0.05
    np.testing.assert_allclose(gain, [c[0] * rate, -c[1] * rate], rtol=1e-9)
    lost = thermodynamics.heat_current(array, steady(array)) - thermodynamics.heat_current(plain, steady(plain))
    np.testing.assert_allclose(lost, -gain, rtol=1e-9)  # the gas takes what comes; recoil heating is the same
    assert np.abs(gain - [c[1] * rate, -c[0] * rate]).max() > 0.01 or c[0] == c[1]  # the twin: transposed coupling


def test_pumping_needs_unequal_particles_and_a_coupling():
    diffusion = np.array([[0.5, 0.4], [0.4, 0.5]])
    equal = systems.underdamped_pair(
        mass=(1, 1), u=(1, 1), friction=(0.3, 0.3), c=(0.3, 0.3), temperature=(1, 1), diffusion=diffusion
    )
    assert np.abs(thermodynamics.power(equal, steady(equal))).max() < 1e-14
    free = pumped(cross=0.3, c=(0.0, 0.0))
    assert np.abs(thermodynamics.power(free, steady(free))).max() == 0.0
    np.testing.assert_allclose(thermodynamics.kinetic_temperature(free, steady(free)), 2.5, rtol=1e-12)


def test_correlated_recoil_reverses_the_cold_to_hot_condition():
    """Bath and recoil together make 2.5 and 2.0; without correlation 1 loses heat iff 0 < c_B/c_A < 0.8."""

    def received(ratio, cross):
        """By 1 from gas and recoil; positive if 1 passes on what its surroundings give, as the cooled particle does."""
        array = pumped(cross=cross, c=(0.3, 0.3 * ratio), temperature=(1.0, 0.5))
        second = steady(array)
        heat = thermodynamics.heat_current(array, second) + thermodynamics.recoil_heating(array, second)
        np.testing.assert_allclose(heat, -thermodynamics.power(array, second).sum(axis=1), rtol=1e-9)
        return heat[1]

    inside, outside = 0.5, 1.0
    assert received(inside, 0.0) > 0.02
    assert received(outside, 0.0) < -0.02
    assert received(inside, -0.55) < -0.003  # reversed: within the window heat flows from hot to cold
    assert received(outside, 0.55) > 0.02  # reversed: a reciprocal pair passes heat from cold to hot
    # The gas alone never gives more for it: recoil only adds to the velocities.
    array = pumped(cross=0.55, c=(0.3, 0.15), temperature=(1.0, 0.5))
    plain = systems.underdamped_pair(friction=(0.3, 0.5), c=(0.3, 0.15), temperature=(1.0, 0.5))
    gas = thermodynamics.heat_current(array, steady(array))
    assert (gas < thermodynamics.heat_current(plain, steady(plain))).all()


def test_shipped_pump(tmp_path):
    """As its description says: 3.55 and 2.45; without correlation 3 and 3; with the opposite one exchanged."""
    scenario = sb.Scenario.from_toml(SCENARIOS / "correlated_recoil_pump.toml")
    array = scenario.oscillators()
    kinetic = thermodynamics.kinetic_temperature(array, steady(array))
    np.testing.assert_allclose(kinetic, [3.55, 2.45], atol=0.005)
    rate = correlated_rate(array, 0.16)
    assert thermodynamics.power(array, steady(array))[0, 1] == pytest.approx(0.1 * rate, rel=1e-9, abs=0)
    other = scenario.model_copy(update={"momentum_diffusion": ((0.2, -0.16), (-0.16, 0.2))}).oscillators()
    np.testing.assert_allclose(thermodynamics.kinetic_temperature(other, steady(other)), 6 - kinetic, rtol=1e-12)
    sb.run(sb.Plan.from_scenario(scenario, n_trajectories=256), tmp_path / "run.zarr")
    found = sb.validate(sb.open(tmp_path / "run.zarr"))
    assert found.agrees
    assert found.value("power", "0 <- 1").value > 20 * found.value("power", "0 <- 1").stderr


def test_shipped_loos_klapp_pair():
    scenario = sb.Scenario.from_toml(SCENARIOS / "loos_klapp_pair.toml")
    array = scenario.oscillators()
    _, expected = systems.overdamped_truth(u=(1, 1), friction=(1, 1), c=(0.8, 0.32))
    heat = thermodynamics.heat_current(array, steady(array))
    np.testing.assert_allclose(heat, expected, rtol=1e-12)
    work = thermodynamics.non_reciprocal_power(array, steady(array))
    assert heat[1] == pytest.approx(0.0512, rel=1e-12, abs=0)
    assert work == pytest.approx(0.0768, rel=1e-12, abs=0)
    for c in (0.31, 0.33):  # the colder bath is cooled most here
        other = scenario.model_copy(update={"coupling": ((0.0, 0.8), (c, 0.0))}).oscillators()
        assert thermodynamics.heat_current(other, steady(other))[1] < heat[1]
