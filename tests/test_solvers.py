"""Solvers: the compiled path against plain NumPy with injected noise, and an independent SDE library."""

import numpy as np
import pytest
import sdeint

import stochbind as sb
import systems
from stochbind.engine import noise
from stochbind.engine.ensemble import initial_state
from stochbind.engine.solvers import SOLVERS

PLAN = {"step": 0.4, "n_steps": 30, "n_trajectories": 11, "seed": 3}


def reference_path(plan, trajectories):
    """The same path in NumPy, one trajectory at a time, with noise drawn one step at a time."""
    coefficients, solver = plan.coefficients(), plan.solver_instance()
    columns = []
    for trajectory in trajectories:
        state = initial_state(plan, coefficients, range(trajectory, trajectory + 1))
        saved = []
        for step in range(plan.n_steps):
            normal = noise.normals(plan.seed, noise.Stream.BATH, [trajectory], step, len(state))
            state = solver.step(coefficients, state, normal)
            if (step + 1) % plan.save_every == 0:
                saved.append(state)
        columns.append(np.array(saved))
    return np.concatenate(columns, axis=-1)


@pytest.mark.parametrize("save_every", [1, 5])
def test_compiled_path_is_the_numpy_path_bit_for_bit(save_every):
    plan = sb.Plan(scenario=systems.pair_scenario(0.5, 0.2), **PLAN, save_every=save_every)
    coefficients = plan.coefficients()
    state = initial_state(plan, coefficients, range(2, 11))
    found = plan.solver_instance().path(
        coefficients, state, seed=3, first_trajectory=2, first_step=0, save_every=save_every, n_saves=plan.n_saves
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


def test_declared_exactness():
    solver = SOLVERS["exact"]
    assert solver.exact_if_linear
    assert solver.weak_order == float("inf")
    equations = systems.underdamped_pair().langevin()
    for step in (0.01, 1.0, 30.0):
        coefficients = solver.coefficients(equations, step)
        e, root = coefficients["matrix"], coefficients["root"]
        steady = equations.stationary_covariance()
        np.testing.assert_allclose(e @ steady @ e.T + root @ root.T, steady, rtol=0, atol=1e-14)


def test_an_independent_library_agrees_pathwise():
    """sdeint's Euler scheme, fed with the Brownian path of our exact steps, tends to the exact path."""
    equations = systems.overdamped_pair().langevin()
    a, b = equations.drift_matrix, equations.noise_matrix
    n, step = 4096, 2.0 / 4096
    normal = noise.normals(1, noise.Stream.BATH, [0], np.arange(n), 2)[:, :]
    increments = normal.reshape(2, n).T * np.sqrt(step)
    time = np.arange(n + 1) * step
    found = sdeint.itoEuler(lambda x, t: a @ x, lambda x, t: b, np.array([1.0, -0.5]), time, dW=increments)
    # the same Brownian path through the exact flow, with noise held constant over each small step
    e = equations.propagator(step * equations.time_unit).matrix
    state = np.array([1.0, -0.5])
    for increment in increments:
        state = e @ (state + b @ increment)
    np.testing.assert_allclose(found[-1], state, atol=2e-3)
    wrong = sdeint.itoEuler(lambda x, t: a.T @ x, lambda x, t: b, np.array([1.0, -0.5]), time, dW=increments)
    assert np.abs(wrong[-1] - state).max() > 2e-2  # the twin
