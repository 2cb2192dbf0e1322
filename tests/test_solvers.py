"""Solvers: compiled paths against NumPy, declared orders, the bias told before the run, and an independent library."""

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate

import stochbind as sb
import systems
from stochbind import fields
from stochbind.engine import bias, linearisation, noise, reference
from stochbind.engine.blocks import initial_state
from stochbind.engine.independent import SOLVERS
from stochbind.engine.solvers import OWN_SOLVERS
from stochbind.errors import PlanError
from stochbind.forces import Force
from stochbind.langevin import Moments
from stochbind.protocols import Drive, Protocol

PLAN = {"step": 0.4, "n_steps": 30, "n_trajectories": 11, "seed": 3}
KEY = {"seed": 3, "first_trajectory": 5, "first_step": 2, "save_every": 3, "n_saves": 5}


def reference_path(plan, trajectories):
    """The path of a plan in NumPy, one trajectory at a time; shape (n_saves, d, len(trajectories))."""
    program, c = plan.program(), plan.coefficients()
    columns = []
    for trajectory in trajectories:
        state = initial_state(plan.seed, c["initial_mean"], c["initial_root"], range(trajectory, trajectory + 1))
        saved, _ = program.run(
            state, np.zeros((program.n_totals, 1)), seed=plan.seed, first_trajectory=trajectory, first_step=0,
            save_every=plan.save_every, n_saves=plan.n_saves, compiled=False,
        )  # fmt: skip
        columns.append(saved)
    return np.concatenate(columns, axis=-1)


def stretched(x_j, x_k, p):
    stretch = x_k - x_j
    return p[0] * stretch * stretch * stretch


def anharmonic(equations):
    """All kinds of force at once, own ones included."""
    n = len(equations.select("position"))
    ones, rng = np.ones(n), np.random.default_rng(0)
    return equations.with_forces(
        fields.duffing(0.1 * ones),
        fields.gaussian_trap(ones, 3.0 * ones),
        fields.pendulum(0.5 * ones, 2.0 * ones),
        Force(function=stretched, parameters=rng.uniform(0.01, 0.05, (n, n, 1))),
        Force(function=lambda x, p: p[0] * x * x - p[1], parameters=rng.uniform(0.01, 0.05, (n, 2))),
    )


def both_ways(program, block=9, d=4):
    rng = np.random.default_rng(1)
    start, total = rng.normal(size=(d, block)), np.zeros((program.n_totals, block))
    results = []
    for compiled in (True, False):
        state, sums = start.copy(), total.copy()
        results.append((*program.run(state, sums, **KEY, compiled=compiled), state, sums))
    return results


@pytest.mark.parametrize("name", list(OWN_SOLVERS))
@pytest.mark.parametrize("array", [systems.underdamped_pair(), systems.overdamped_pair()])
def test_compiled_loops_make_the_bits_of_numpy(name, array):
    equations = array.langevin()
    if OWN_SOLVERS[name].takes_forces:
        equations = anharmonic(equations)
    program = OWN_SOLVERS[name].program(equations, 0.05, allowed_bias=10.0)
    compiled, plain = both_ways(program, d=equations.dimension)
    for left, right in zip(compiled, plain, strict=True):
        np.testing.assert_array_equal(left, right)
    other = replace(program, coefficients={**program.coefficients, "matrix": 1.001 * program.coefficients["matrix"]})
    assert np.abs(both_ways(other, d=equations.dimension)[0][0] - compiled[0]).max() > 1e-5  # the twin


def test_compiled_loops_make_the_bits_of_numpy_with_drives_quenches_and_ledgers():
    array = systems.underdamped_pair()
    equations = anharmonic(array.langevin())
    driven = Protocol.constant(equations, drives=[Drive(0, 0.7, 1.3, 0.2), Drive(1, 0.1, 0.4)])
    program = SOLVERS["strang"].program(driven, 0.05, 100)
    from stochbind.engine import accounts

    program.coefficients.update(accounts.ledger_tables(array, driven, 0.05))
    assert program.n_totals == 1 + 2 + 10
    for left, right in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(left, right)
    softer = replace(equations, drift_matrix=0.9 * equations.drift_matrix)
    quenched = Protocol(pieces=((0.33, equations), (0.2, softer)), periodic=True)
    program = SOLVERS["strang"].program(quenched, 0.05, 1000)
    assert len(program.coefficients["matrix"]) > 2
    for left, right in zip(*both_ways(program), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("save_every", [1, 5])
def test_compiled_path_of_a_plan_is_the_numpy_path_bit_for_bit(save_every):
    plan = sb.Plan(scenario=systems.pair_scenario(0.5, 0.2), **PLAN, save_every=save_every)
    c = plan.coefficients()
    state = initial_state(3, c["initial_mean"], c["initial_root"], range(2, 11))
    found, _ = plan.program().run(
        state, np.zeros((0, 9)), seed=3, first_trajectory=2, first_step=0, save_every=save_every, n_saves=plan.n_saves
    )
    expected = reference_path(plan, range(2, 11))
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(state, expected[-1])
    other = reference_path(sb.Plan(scenario=systems.pair_scenario(0.2, 0.5), **PLAN, save_every=save_every), [2])
    assert np.abs(other[..., 0] - found[..., 0]).max() > 1e-3  # the twin


def test_save_every_does_not_change_the_path():
    plans = [sb.Plan(scenario=systems.pair_scenario(0.5, 0.2), **PLAN, save_every=n) for n in (1, 5)]
    fine, coarse = (reference_path(plan, [4]) for plan in plans)
    np.testing.assert_array_equal(fine[4::5], coarse)


# ---------------------------------------------------------------------- one step, probed with unit vectors


def probed(solver, equations, step):
    """One-step matrices of a linear system, read off from the response to unit states and unit normals."""
    d = equations.dimension
    program = solver.program(equations, step, allowed_bias=math.inf)
    linear, forces, account = program.tables

    def one(state, normal):
        return reference.step(program.scheme, linear, forces, {}, account, state, np.zeros((0, d)), normal, 0)

    return bias.Step(one(np.eye(d), np.zeros((d, d))), one(np.zeros((d, d)), np.eye(d)))


@pytest.mark.parametrize("name", list(OWN_SOLVERS))
def test_the_step_that_is_judged_is_the_step_that_is_taken(name):
    equations = systems.underdamped_pair().langevin()
    solver = OWN_SOLVERS[name]
    judged = solver.linear_step(equations.drift_matrix, np.zeros((4, 4)), equations, 0.1)
    taken = probed(solver, equations, 0.1)
    np.testing.assert_allclose(judged.matrix, taken.matrix, atol=1e-15)
    np.testing.assert_allclose(judged.root @ judged.root.T, taken.root @ taken.root.T, atol=1e-15)


@pytest.mark.parametrize("name", ["sdeint:itoEuler", "sdeint:stratHeun", "sdeint:itoSRI2", "sdeint:stratSRS2"])
def test_the_step_of_sdeint_is_the_one_that_is_judged(name):
    equations = systems.underdamped_pair().langevin()
    judged = SOLVERS[name].linear_step(equations.drift_matrix, np.zeros((4, 4)), equations, 0.1)
    program = SOLVERS[name].program(equations, 0.1, allowed_bias=math.inf)
    start = np.random.default_rng(0).normal(size=(4, 3))
    state = start.copy()
    program.run(state, np.zeros((0, 3)), seed=1, first_trajectory=0, first_step=0, save_every=1, n_saves=1)
    normal = noise.normals(1, noise.Stream.BATH, np.arange(3), 0, 4)
    np.testing.assert_allclose(state, judged.matrix @ start + judged.root @ normal, atol=1e-14)


@pytest.mark.parametrize("name", ["exact", "strang"])
@pytest.mark.parametrize("step", [0.01, 1.0, 30.0])
def test_declared_exactness(name, step):
    equations = systems.underdamped_pair().langevin()
    one = probed(SOLVERS[name], equations, step)
    steady = equations.stationary_covariance()
    np.testing.assert_allclose(one.matrix @ steady @ one.matrix.T + one.root @ one.root.T, steady, atol=1e-14)
    wrong = probed(SOLVERS["heun"], equations, 0.5)
    assert np.abs(wrong.matrix @ steady @ wrong.matrix.T + wrong.root @ wrong.root.T - steady).max() > 1e-3


@pytest.mark.parametrize("name", list(OWN_SOLVERS))
def test_declared_weak_orders_of_linear_systems(name):
    """The steady covariance of the step, without sampling: slope of its error in the step."""
    equations = systems.underdamped_pair().langevin()
    solver = OWN_SOLVERS[name]
    steps = np.array([0.02, 0.01, 0.005])
    error = [np.abs(bias.judge(solver, equations, step).variance).max() for step in steps]
    if solver.exact_if_linear:
        assert max(error) < 1e-12
    else:
        assert np.polyfit(np.log(steps), np.log(error), 1)[0] == pytest.approx(solver.weak_order, abs=0.1)


@pytest.mark.parametrize(
    ("quality", "points", "euler", "heun"),
    [(10, 100, 2.70, 0.99963), (100, 100, None, 1.0052), (1000, 100, None, 1.065), (1e5, 1000, None, 1.0062)],
)
def test_published_temperature_errors(quality, points, euler, heun):
    """Second moment of an oscillator, 1 if exact, for so many steps a period."""
    equations = systems.oscillator(quality).langevin()
    step = 2 * math.pi / points
    found = bias.judge(SOLVERS["euler_maruyama"], equations, step).variance
    if euler is None:
        assert np.isinf(found).all()
    else:
        assert 1 + found[1] == pytest.approx(euler, abs=0.01)
    assert 1 + bias.judge(SOLVERS["heun"], equations, step).variance[1] == pytest.approx(heun, abs=1e-3)
    assert np.abs(bias.judge(SOLVERS["exact"], equations, step).variance).max() < 1e-9


# ---------------------------------------------------------------------- orders with forces


def duffing_system(*, overdamped, cubic=0.3, friction=0.5):
    array = systems.oscillator(1.0) if not overdamped else None
    if overdamped:
        array = sb.Oscillators(
            stiffness=np.ones(1), friction=np.ones(1), bath_temperature=np.ones(1), coupling=np.zeros((1, 1)),
            reduced=True,
        )  # fmt: skip
    else:
        array = replace(array, friction=np.array([friction]))
    return array.langevin().with_forces(fields.duffing(np.array([cubic])))


def boltzmann_variance(cubic):
    def weight(x):
        return math.exp(-0.5 * x * x - 0.25 * cubic * x**4)

    return integrate.quad(lambda x: x * x * weight(x), -9, 9)[0] / integrate.quad(weight, -9, 9)[0]


def test_weak_order_two_of_strang_with_overdamped_forces():
    """The steady law of the step on a grid, without sampling: variance against Boltzmann's."""
    cubic, grid = 0.3, np.linspace(-6, 6, 1201)
    exact = boltzmann_variance(cubic)
    program_of = SOLVERS["strang"].program
    errors = []
    for step in (0.2, 0.1, 0.05):
        program = program_of(duffing_system(overdamped=True, cubic=cubic), step, allowed_bias=1.0)
        linear, forces, account = program.tables
        kinds = {0: reference.Kind(fields.traps.duffing_force, False, 1)}
        zero = np.zeros((1, grid.size))
        # Kick, flow with the mean of the noise, kick: the kicks map points, the flow is Gaussian.
        kicked = grid[None, :].copy()
        reference._kick(kicked, forces, kinds, zero[:0], account.lever)
        mean, deviation = linear.matrix[0, 0, 0] * kicked[0], linear.root[0, 0, 0]
        kernel = np.exp(-0.5 * ((grid[None, :] - mean[:, None]) / deviation) ** 2)
        kernel /= kernel.sum(axis=1, keepdims=True)
        # From points before a flow to points after it, then the last kick of this step and the first of the next.
        twice = kicked.copy()
        reference._kick(twice, forces, kinds, zero[:0], account.lever)
        mean = linear.matrix[0, 0, 0] * twice[0]
        kernel = np.exp(-0.5 * ((grid[None, :] - mean[:, None]) / deviation) ** 2)
        kernel /= kernel.sum(axis=1, keepdims=True)
        law = np.full(grid.size, 1.0 / grid.size)
        for _ in range(200):
            law = law @ kernel
            if step < 0.2:
                law = law @ kernel
        errors.append((law @ kicked[0] ** 2) / exact - 1.0)
    slopes = np.log2(np.abs(np.array(errors[:-1]) / np.array(errors[1:])))
    assert np.all(np.abs(slopes - 2.0) < 0.3), (errors, slopes)


@pytest.mark.parametrize(("name", "order"), [("strang", 2.0), ("heun", 2.0), ("euler_maruyama", 1.0)])
def test_order_of_the_flow_without_noise(name, order):
    """Deterministic parts: the path of a cold oscillator with all kinds of force, against a fine ODE solution."""
    array = replace(systems.underdamped_pair(), bath_temperature=np.zeros(2))
    equations = anharmonic(array.langevin())
    start = np.array([1.0, -0.7, 0.3, 0.5])
    truth = integrate.solve_ivp(lambda t, x: equations.drift(x), (0, 2.0), start, rtol=1e-12, atol=1e-13).y[:, -1]
    error = []
    for n in (40, 80, 160):
        step = 2.0 * equations.time_unit / n
        state = start[:, None].copy()
        program = SOLVERS[name].program(equations, step, allowed_bias=math.inf)
        program.run(state, np.zeros((0, 1)), seed=0, first_trajectory=0, first_step=0, save_every=n, n_saves=1)
        error.append(np.abs(state[:, 0] - truth).max())
    slopes = np.log2(np.array(error[:-1]) / np.array(error[1:]))
    assert np.all(np.abs(slopes - order) < 0.15), (error, slopes)


@pytest.mark.parametrize("name", ["strang", "heun", "euler_maruyama"])
def test_declared_strong_orders(name):
    """Paths on the same Brownian motion: differences between a step and two half steps."""
    solver = SOLVERS[name]
    equations = duffing_system(overdamped=True)
    difference = []
    finest = 512
    rng = np.random.default_rng(5)
    increments = rng.normal(size=(finest, 1, 400)) * math.sqrt(2.0 / finest)
    ends = []
    for n in (32, 64, 128, 512):
        h = 2.0 / n
        program = solver.program(equations, h, allowed_bias=math.inf)
        linear, forces, account = program.tables
        kinds = {0: reference.Kind(fields.traps.duffing_force, False, 1)}
        state = np.full((1, 400), 0.5)
        # The same Brownian path: for the flow, noise held constant in a step has the same increments to order 3/2.
        for increment in increments.reshape(n, -1, 1, 400).sum(axis=1):
            normal = increment * equations.noise_matrix[0, 0] / linear.root[0, 0, 0]
            if name == "strang":
                normal = normal * math.exp(-h / 2)
            state = reference.step(program.scheme, linear, forces, kinds, account, state, np.zeros((0, 400)), normal, 0)
        ends.append(state[0])
    difference = [np.sqrt(np.mean((end - ends[-1]) ** 2)) for end in ends[:3]]
    slopes = np.log2(np.array(difference[:-1]) / np.array(difference[1:]))
    assert np.all(slopes > solver.strong_order - 0.25), (difference, slopes)


def test_kinetic_temperature_and_variance_of_a_duffing_particle():
    """Equilibrium of an underdamped anharmonic particle: Boltzmann's variance, and equipartition of the velocity."""
    equations = duffing_system(overdamped=False)
    start = Moments(np.zeros(2), np.eye(2))
    record = sb.simulate(equations, step=0.1, n_steps=400, n_trajectories=40_000, save_every=400, seed=2, initial=start)
    for name, exact in (("position", boltzmann_variance(0.3)), ("velocity", 1.0)):
        square = record[name].to_numpy().ravel() ** 2
        z = (square.mean() - exact) / (square.std() / math.sqrt(square.size))
        assert abs(z) < 5, (name, z)
        if name == "position":
            assert abs(square.mean() - 1.0) > 20 * square.std() / math.sqrt(square.size)  # the twin: harmonic


# ---------------------------------------------------------------------- refusals


def test_steps_that_give_wrong_temperatures_are_refused_with_the_number():
    equations = systems.oscillator(10.0).langevin()
    with pytest.raises(PlanError, match=r"'euler_maruyama' would make the steady variance of the velocity 0 wrong by"):
        SOLVERS["euler_maruyama"].program(equations, 2 * math.pi / 100)
    SOLVERS["euler_maruyama"].program(equations, 2 * math.pi / 100, allowed_bias=2.0)
    with pytest.raises(PlanError, match="heats without bound"):
        SOLVERS["euler_maruyama"].program(systems.oscillator(1000.0).langevin(), 2 * math.pi / 100, allowed_bias=10.0)
    with pytest.raises(PlanError, match=r'use solver = "exact", or a step of'):
        SOLVERS["heun"].program(systems.oscillator(1000.0).langevin(), 2 * math.pi / 100)
    stiff = (
        systems.oscillator(10.0)
        .langevin()
        .with_forces(Force(function=lambda x, p: -p[0] * x, parameters=np.array([[30.0]])))
    )
    with pytest.raises(PlanError, match="too long"):
        SOLVERS["strang"].program(stiff, 0.5)


def test_forces_without_slope_at_the_equilibrium_are_judged_where_particles_are():
    """A cubic force: at the equilibrium the step seems right; the true error of <v^2> at step 0.4 is -1.6 %."""
    equations = duffing_system(overdamped=False)
    assert not linearisation.force_slope(equations, np.zeros(2))[1].any()
    told = bias.judge(SOLVERS["strang"], equations, 0.4).variance
    assert -0.04 < told[1] < -0.016
    assert abs(bias.judge(SOLVERS["strang"], equations, 0.1).largest) < 0.01
    with pytest.raises(PlanError, match="use a step of"):
        SOLVERS["strang"].program(equations, 0.8)


def test_undamped_systems_are_refused_only_if_the_solver_heats_them():
    free = replace(systems.oscillator(10.0), friction=np.zeros(1)).langevin()
    SOLVERS["exact"].program(free, 0.5, 10_000)
    SOLVERS["strang"].program(free, 0.5, 10_000)
    with pytest.raises(PlanError, match="changes amplitudes by"):
        SOLVERS["heun"].program(free, 0.5, 10_000)
    SOLVERS["heun"].program(free, 0.01, 1000)


def test_solvers_say_what_they_cannot_solve():
    equations = systems.underdamped_pair().langevin()
    with pytest.raises(PlanError, match='solver = "strang"'):
        SOLVERS["exact"].program(anharmonic(equations), 0.1)
    for name in ("heun", "euler_maruyama", "sdeint:stratHeun"):
        with pytest.raises(PlanError, match="do not change with time"):
            SOLVERS[name].program(Protocol.constant(equations, drives=[Drive(0, 1.0, 1.0)]), 0.001)
    with pytest.raises(PlanError, match="slow reference"):
        sb.simulate(equations, step=0.01, n_steps=10**6, n_trajectories=1000, solver="sdeint:itoEuler", allowed_bias=10)


# ---------------------------------------------------------------------- the independent library


@pytest.mark.parametrize(("theirs", "ours"), [("sdeint:itoEuler", "euler_maruyama"), ("sdeint:stratHeun", "heun")])
@pytest.mark.parametrize("array", [systems.underdamped_pair(), systems.overdamped_pair()])
def test_an_independent_library_agrees_path_by_path(theirs, ours, array):
    equations = anharmonic(array.langevin())
    start = Moments(np.zeros(equations.dimension), np.eye(equations.dimension))
    options = {"step": 0.01, "n_steps": 200, "n_trajectories": 3, "save_every": 50, "initial": start, "allowed_bias": 1}
    a = sb.simulate(equations, solver=theirs, **options)
    b = sb.simulate(equations, solver=ours, **options)
    np.testing.assert_allclose(a.position, b.position, atol=1e-12)
    c = sb.simulate(equations, solver=ours, **{**options, "seed": 1})
    assert np.abs(c.position - b.position).max() > 0.1  # the twin
    wrong = replace(equations, drift_matrix=equations.drift_matrix.T.copy())
    if equations.dimension == 2:
        d = sb.simulate(wrong, solver=ours, **options)
        assert np.abs(d.position - b.position).max() > 1e-3


def double_well(**change):
    array = replace(
        systems.oscillator(2.0), stiffness=np.array([-1.0]), friction=np.array([0.5]), bath_temperature=np.array([0.1]),
        **change,
    )  # fmt: skip
    return array.langevin().with_forces(fields.duffing(np.array([1.0])))


def test_steps_are_judged_in_the_wells_where_the_origin_does_not_hold():
    """Two wells of stiffness 2 at x = +-1; the top between them is an equilibrium too, but nobody is there."""
    equations = double_well()
    states = linearisation.equilibria(equations)
    assert sorted(float(state[0] * equations.unit[0]) for state in states) == pytest.approx([-1.0, 1.0], abs=1e-6)
    assert bias.judge(SOLVERS["strang"], equations, 0.6).largest < -0.05
    for name, step in (("strang", 0.6), ("euler_maruyama", 0.1)):
        with pytest.raises(PlanError, match="too long"):
            SOLVERS[name].program(equations, step)
    SOLVERS["strang"].program(equations, 0.1)
    runaway = replace(equations, forces=(fields.duffing(np.array([-1.0])),))
    assert math.isnan(bias.judge(SOLVERS["strang"], runaway, 0.1).largest)  # nothing holds, nothing is told


def test_solvers_that_grow_too_slowly_are_refused_too():
    inverted = replace(systems.oscillator(2.0), stiffness=np.array([-1.0]), friction=np.array([0.5])).langevin()
    with pytest.raises(PlanError, match=r"changes amplitudes by -"):
        SOLVERS["euler_maruyama"].program(inverted, 0.1, 100)
    SOLVERS["exact"].program(inverted, 0.1, 100)


def test_all_pieces_of_a_protocol_with_forces_are_judged():
    cold = duffing_system(overdamped=True, cubic=1.0)
    hot = replace(cold, noise_covariance=100.0 * cold.noise_covariance)
    for first, second in ((cold, hot), (hot, cold)):
        alternating = Protocol(pieces=((1.0, first), (1.0, second)) * 16, periodic=True)
        with pytest.raises(PlanError, match="too long"):
            SOLVERS["strang"].program(alternating, 0.05, 100)


def test_jumps_of_positions_beside_forces_are_refused():
    """A force acts before a jump and after it; halving its kick around it is of first order only."""
    from stochbind.protocols import Kick

    equations = duffing_system(overdamped=False)
    jump = Protocol.constant(equations, kicks=[Kick(0.35, shift=np.array([0.5, 0.0]))])
    with pytest.raises(PlanError, match=r"kicks\[0\] moves positions"):
        SOLVERS["strang"].program(jump, 0.1, 10)
    SOLVERS["strang"].program(Protocol.constant(equations, kicks=[Kick(0.35, shift=np.array([0.0, 0.5]))]), 0.1, 10)


def test_slopes_of_forces_are_those_of_the_whole_drift():
    equations = anharmonic(systems.underdamped_pair().langevin())
    state = np.array([0.3, -0.2, 0.1, 0.4])
    drift, slope = linearisation.force_slope(equations, state)
    np.testing.assert_allclose(drift, equations.drift(state) - equations.drift_matrix @ state, atol=1e-13)
    for i in range(4):
        change = 1e-6 * np.eye(4)[i]
        whole = (equations.drift(state + change) - equations.drift(state - change)) / 2e-6
        np.testing.assert_allclose(slope[:, i], whole - equations.drift_matrix[:, i], atol=1e-8)
    assert np.abs(slope - slope.T).max() > 1e-3


def test_whole_paths_have_the_same_bits_on_another_processor(tmp_path):
    """Nonlinear, with drives and ledger, compiled for a processor without wide vectors, from the same tables."""
    array = systems.underdamped_pair()
    driven = Protocol.constant(anharmonic(array.langevin()), drives=[Drive(0, 0.7, 1.3)])
    from stochbind.engine import accounts

    program = SOLVERS["strang"].program(driven, 0.05, 100)
    program.coefficients.update(accounts.ledger_tables(array, driven, 0.05))
    np.savez(tmp_path / "tables.npz", **program.coefficients)
    code = (
        "import sys, hashlib, numpy as np\n"
        "sys.path.insert(0, sys.argv[2])\n"
        "import test_solvers as t, systems\n"
        "from stochbind.engine.programs import Program\n"
        "forces = t.anharmonic(systems.underdamped_pair().langevin()).forces\n"
        "program = Program(t.SOLVERS['strang'].scheme, dict(np.load(sys.argv[1])), forces)\n"
        "result = t.both_ways(program)[0]\n"
        "print(hashlib.sha256(b''.join(part.tobytes() for part in result)).hexdigest())\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "tables.npz"), str(Path(__file__).parent)]
    digests = []
    for extra in ({}, {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}):
        environment = {**os.environ, **extra}
        done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        digests.append(done.stdout)
    assert digests[0] == digests[1]


def few(n, *, damping=0.1, temperature=1.0):
    return sb.Oscillators(
        mass=np.ones(n), stiffness=np.ones(n), friction=np.full(n, damping), coupling=np.zeros((n, n)), reduced=True,
        bath_temperature=np.broadcast_to(np.asarray(temperature, float), n).copy(),
    ).langevin()  # fmt: skip


def test_pairs_are_judged_stretched_and_hot_neighbours_hide_nothing():
    """All particles displaced alike stretch no pair; a pendulum that turns over must not switch the judgement off."""
    strang = SOLVERS["strang"]
    pair = few(2).with_forces(Force(function=stretched, parameters=np.full((2, 2, 1), 10.0)))
    assert math.isinf(bias.judge(strang, pair, 0.2).largest)
    hot = few(2, temperature=(4.0, 1.0)).with_forces(
        fields.pendulum(np.ones(2), np.array([1.0, 1e6])), fields.duffing(np.array([0.0, 10.0]))
    )
    assert abs(bias.judge(strang, hot, 0.4).largest) > 0.1
    assert (
        abs(
            bias.judge(
                strang, few(1, temperature=4.0).with_forces(fields.pendulum(np.ones(1), np.ones(1))), 1.0
            ).largest
        )
        > 0.05
    )
    for temperature in (0.05, 1e-3, 1e-5):  # wells of 5, 250 and 25 000 k_B T
        wells = few(1, damping=0.5, temperature=temperature).with_forces(
            Force(function=lambda x, p: 2 * x - x * x * x, parameters=np.ones((1, 1)))
        )
        assert len(linearisation.equilibria(wells)) == 2
        assert abs(bias.judge(strang, wells, 0.5).largest) > 0.03
    soft = replace(few(1, damping=0.5), drift_matrix=np.array([[0.0, 1.0], [-1e-4, -0.5]]))
    soft = soft.with_forces(fields.duffing(np.ones(1)))
    assert abs(bias.judge(strang, soft, 0.1).largest) < 0.01  # measured: -0.3 +- 0.6 %
