"""Path functionals of one exact step: exact means, the first law, brute force and closed forms."""

import math

import mpmath
import numpy as np
import pytest
from scipy import integrate, linalg

import systems
from stochbind import bridge
from stochbind.analysis import thermodynamics
from stochbind.bridge import Drive
from stochbind.errors import PlanError, ScenarioError
from stochbind.langevin import Langevin, Moments
from stochbind.propagation import covariance_root

RECOIL = np.array([[0.4, 0.2 + 0.1j], [0.2 - 0.1j, 0.3]])
ARRAYS = {
    "overdamped": systems.overdamped_pair(),
    "overdamped, correlated noise": systems.overdamped_pair(diffusion=RECOIL),
    "underdamped": systems.underdamped_pair(),
    "underdamped, recoil": systems.underdamped_pair(diffusion=RECOIL),
    "underdamped, one way": systems.underdamped_pair(c=(0.5, 0.0)),
    "a bath at zero": systems.underdamped_pair(temperature=(1.0, 0.0)),
    "underdamped, one noise": systems.underdamped_pair(temperature=(0.0, 0.0), diffusion=np.full((2, 2), 0.4)),
    "overdamped, one noise": systems.overdamped_pair(temperature=(0.0, 0.0), diffusion=np.full((2, 2), 0.4)),
    "Q = 1e5": systems.underdamped_pair(friction=(1e-5, 2e-5)),
}
STEPS = (1e-3, 0.03, 1.0, 7.0, 100.0)
each_array = pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
both_kinds = pytest.mark.parametrize("make", [systems.overdamped_pair, systems.underdamped_pair])


def ends(equations, step):
    """Matrices that make the start and the end of a step from z = (1, x0, xi)."""
    exact = equations.propagator(step)
    d = equations.dimension
    start = np.hstack([np.zeros((d, 1)), np.eye(d), np.zeros((d, d))])
    return start, np.hstack([exact.shift[:, None], exact.matrix, covariance_root(exact.covariance)])


def energy_forms(array, state):
    """Energy of each particle as forms, for a state made from z by a matrix."""
    unit, n = array.langevin().unit, array.n_particles
    forms = 0.5 * (array.stiffness * unit[:n] ** 2)[:, None, None] * state[:n, :, None] * state[:n, None, :]
    if array.mass is not None:
        forms = forms + 0.5 * (array.mass * unit[n:] ** 2)[:, None, None] * state[n:, :, None] * state[n:, None, :]
    return forms


def tolerance_of(array):
    """Where all noise is one, directions that hold little but round-off are not conditioned on."""
    return 1e-5 if np.linalg.matrix_rank(array.force_noise) < array.n_particles and array.force_noise.all() else 1e-11


# -- exact means -------------------------------------------------------------------------------------------------------


@each_array
@pytest.mark.parametrize("step", STEPS)
def test_the_mean_work_of_a_step_is_the_steady_power(array, step):
    equations = array.langevin()
    seconds = step * equations.time_unit
    pairs, forms = bridge.work_forms(array, seconds)
    steady = equations.stationary
    power = thermodynamics.power(array, steady.covariance)
    found = bridge.expectation(forms, steady) / seconds
    expected = np.array([power[pair] for pair in pairs])
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    # twins: the effect on k of j; the ends alone; Ito's product, where the noise is correlated
    assert not np.allclose(found, [power[k, j] for j, k in pairs], rtol=1e-2)
    start, end = ends(equations, seconds)
    trapezoid = np.array([np.outer((start + end)[k] / 2, (end - start)[j]) for j, k in pairs])
    assert not np.allclose(bridge.expectation(trapezoid, steady), bridge.expectation(forms, steady), rtol=1e-9)
    if array is ARRAYS["overdamped, correlated noise"]:
        ito = [power[j, k] - array.coupling[j, k] * array.force_noise[j, k] / array.friction.prod() for j, k in pairs]
        assert not np.allclose(found, ito, rtol=1e-2)


@each_array
@pytest.mark.parametrize("step", STEPS)
def test_the_mean_heat_of_a_step_is_the_steady_heat_current(array, step):
    steady = array.langevin().stationary
    seconds = step * array.langevin().time_unit
    found = bridge.expectation(bridge.heat_forms(array, seconds), steady) / seconds
    current = thermodynamics.heat_current(array, steady.covariance)
    current = current + thermodynamics.recoil_heating(array, steady.covariance)
    np.testing.assert_allclose(found, current, rtol=1e-10, atol=1e-10 * np.abs(current).max())
    assert not np.allclose(found, -current, rtol=1e-2)


def test_at_a_quality_of_1e9_the_mean_is_right_within_rounding_of_the_forms():
    array = systems.underdamped_pair(friction=(1e-9, 1e-9))
    equations = array.langevin()
    for step in (1e-3, 1.0, 1000.0):
        seconds = step * equations.time_unit
        pairs, forms = bridge.work_forms(array, seconds)
        power = thermodynamics.power(array, equations.stationary_covariance())
        error = bridge.expectation(forms, equations.stationary) - [power[pair] * seconds for pair in pairs]
        assert np.abs(error).max() < 1e-12 * np.abs(forms).max()


@both_kinds
def test_transient_means_are_those_of_the_moment_equations(make):
    linear = make(diffusion=RECOIL).langevin()
    d = linear.dimension
    drift, noise, constant = linear.drift_matrix, linear.noise_covariance, np.linspace(0.3, -0.4, d)
    equations = Langevin(drift_matrix=drift, noise_covariance=noise, constant_drift=constant)
    initial = Moments(np.linspace(-0.5, 0.7, d), np.diag(np.linspace(0.1, 0.6, d)))

    def rates(_, y):
        mean, second = y[:d], y[d : d + d * d].reshape(d, d)
        growth = drift @ second + np.outer(constant, mean)
        area = growth + 0.5 * noise  # [j, k]: mean rate of x_k o dx_j
        return np.concatenate([drift @ mean + constant, (growth + growth.T + noise).ravel(), area.ravel()])

    second = initial.covariance + np.outer(initial.mean, initial.mean)
    first = np.concatenate([initial.mean, second.ravel(), np.zeros(d * d)])
    step = 3.0
    expected = integrate.solve_ivp(rates, (0.0, step), first, rtol=1e-12, atol=1e-13).y[d + d * d :, -1]
    pairs = [(j, k) for j in range(d) for k in range(d)]
    found = bridge.expectation(bridge.area_forms(equations, step, pairs), initial)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)
    assert not np.allclose(found.reshape(d, d).T.ravel(), expected, rtol=1e-2)


# -- identities --------------------------------------------------------------------------------------------------------


@each_array
@pytest.mark.parametrize("step", STEPS)
def test_first_law_in_every_step(array, step):
    """Heat, from its definition, and work add up to the change of energy: as coefficients, so for every path."""
    seconds = step * array.langevin().time_unit
    start, end = ends(array.langevin(), seconds)
    change = energy_forms(array, end) - energy_forms(array, start)
    pairs, work = bridge.work_forms(array, seconds)
    heat = bridge.heat_forms(array, seconds)
    received, swapped = heat.copy(), heat.copy()
    for (j, k), form in zip(pairs, work, strict=True):
        received[j] += form
        swapped[k] += form
    tolerance = tolerance_of(array)
    np.testing.assert_allclose(received, change, rtol=0, atol=tolerance * np.abs(change).max())
    assert not np.allclose(swapped, change, rtol=0, atol=1e-4 * np.abs(change).max())


@each_array
@pytest.mark.parametrize("step", STEPS)
def test_both_orders_add_up_to_the_change_of_the_product(array, step):
    equations = array.langevin()
    seconds = step * equations.time_unit
    d = equations.dimension
    pairs = [(j, k) for j in range(d) for k in range(d)]
    forms = bridge.area_forms(equations, seconds, pairs).reshape(d, d, 2 * d + 1, 2 * d + 1)
    start, end = ends(equations, seconds)
    change = end[:, None, :, None] * end[None, :, None, :] - start[:, None, :, None] * start[None, :, None, :]
    change = 0.5 * (change + change.transpose(0, 1, 3, 2))
    tolerance = tolerance_of(array)
    total = forms + forms.transpose(1, 0, 2, 3)
    np.testing.assert_allclose(total, change, rtol=0, atol=tolerance * max(1.0, np.abs(change).max()))
    assert not np.allclose(2 * forms, change, rtol=0, atol=1e-4 * np.abs(change).max())


@both_kinds
@pytest.mark.parametrize("step", [0.3, 20.0])
def test_parts_of_unequal_length_add_up_in_expectation(make, step):
    """Given the ends of the whole, the expected sum of the parts is the whole; by conditioning Gaussians."""
    equations = make(diffusion=RECOIL).langevin()
    d = equations.dimension
    first, last, whole = 0.3 * step, 0.7 * step, step
    pairs = [(0, 1), (1, 0), (0, 0)]
    part = {t: bridge.area_forms(equations, t * equations.time_unit, pairs) for t in (first, last, whole)}
    root = {t: covariance_root(equations.propagator(t * equations.time_unit).covariance) for t in (first, last, whole)}
    matrix = {t: equations.propagator(t * equations.time_unit).matrix for t in (first, last)}
    # w = (1, x0, xi_first, xi_last)
    zero, one = np.zeros((d, d)), np.eye(d)
    row = np.zeros((1, 3 * d + 1))
    row[0, 0] = 1.0
    column = np.zeros((d, 1))
    z_first = np.vstack([row, np.hstack([column, one, zero, zero]), np.hstack([column, zero, one, zero])])
    middle = np.hstack([column, matrix[first], root[first], zero])
    z_last = np.vstack([row, middle, np.hstack([column, zero, zero, one])])
    total = z_first.T @ part[first] @ z_first + z_last.T @ part[last] @ z_last
    # the whole's xi is a linear function of both parts' xi; condition on it
    made = np.linalg.solve(root[whole], np.hstack([matrix[last] @ root[first], root[last]]))
    lift = np.zeros((3 * d + 1, 2 * d + 1))
    lift[: d + 1, : d + 1] = np.eye(d + 1)
    lift[d + 1 :, d + 1 :] = made.T
    expected = lift.T @ total @ lift
    left = np.eye(2 * d) - made.T @ made
    expected[:, 0, 0] += np.einsum("pab,ab->p", total[:, d + 1 :, d + 1 :], left)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(part[whole], expected, rtol=0, atol=1e-12 * scale)
    without = (lift.T @ total @ lift)[:, 0, 0]
    assert not np.allclose(part[whole][:, 0, 0], without, rtol=1e-2, atol=0)


# -- other routes ------------------------------------------------------------------------------------------------------


def sampled(equations, step, x0, x1, pairs, *, n_steps=4096, n_paths=2000):
    """Stratonovich sums along paths sampled between both ends, one sub-step after another; (pairs, paths)."""
    rng = np.random.default_rng(5)
    d = equations.dimension
    small = equations.propagator(step / n_steps)
    # matrix and covariance of what is left of the step, for every number of sub-steps
    matrix, covariance = [np.eye(d)], [np.zeros((d, d))]
    for _ in range(n_steps - 1):
        covariance.append(small.covariance + small.matrix @ covariance[-1] @ small.matrix.T)
        matrix.append(small.matrix @ matrix[-1])
    state = np.repeat(x0[:, None], n_paths, axis=1)
    total = np.zeros((len(pairs), n_paths))
    for i in range(n_steps):
        rest, spread = matrix[n_steps - 1 - i], covariance[n_steps - 1 - i]
        mean = small.matrix @ state
        joint = small.covariance @ rest.T
        gain = np.linalg.solve(spread + rest @ joint, joint.T).T
        new = mean + gain @ (x1[:, None] - rest @ mean)
        new += covariance_root(small.covariance - gain @ joint.T) @ rng.standard_normal((d, n_paths))
        for total_of, (j, k) in zip(total, pairs, strict=True):
            total_of += 0.5 * (state[k] + new[k]) * (new[j] - state[j])
        state = new
    return total


@pytest.mark.parametrize("name", ["overdamped, correlated noise", "underdamped, recoil"])
def test_brute_force(name):
    equations = ARRAYS[name].langevin()
    d = equations.dimension
    step = 1.5 * equations.time_unit
    pairs = [(0, 1), (1, 0)]
    start = np.array([0.7, -1.1, 0.4, 0.9])[:d]
    normal = np.array([0.8, 1.2, -1.4, 0.6])[:d]
    exact = equations.propagator(step)
    end = exact.matrix @ start + exact.shift + covariance_root(exact.covariance) @ normal
    total = sampled(equations, step, start, end, pairs)
    error = total.std(axis=1) / math.sqrt(total.shape[1])
    found = bridge.evaluate(bridge.area_forms(equations, step, pairs), start, normal)
    assert (np.abs(total.mean(axis=1) - found) < 5 * error).all()
    # twins: transposed; and the noise of the other sign, which has the same ends only if it is zero
    assert (np.abs(total.mean(axis=1) - found[::-1]) > 20 * error).all()
    twin = bridge.evaluate(bridge.area_forms(equations, step, pairs), start, -normal)
    assert (np.abs(total.mean(axis=1) - twin) > 20 * error).all()


def test_brownian_pair_has_no_area():
    """Levy: given its ends, the mean area of a free Brownian path is zero, and so the straight line tells the mean."""
    covariance = np.array([[1.0, 0.6], [0.6, 2.0]])
    equations = Langevin(drift_matrix=np.zeros((2, 2)), noise_covariance=covariance)
    for step in (1e-6, 1.0, 1e6):
        start, end = ends(equations, step)
        forms = bridge.area_forms(equations, step, [(0, 1), (1, 0), (1, 1)])
        for form, (j, k) in zip(forms, [(0, 1), (1, 0), (1, 1)], strict=True):
            line = np.outer(0.5 * (start + end)[k], (end - start)[j])
            np.testing.assert_allclose(form, 0.5 * (line + line.T), rtol=1e-12, atol=1e-15 * max(1.0, step))
        # Ito's integral would have a constant
        assert forms[0, 0, 0] == pytest.approx(0.0, abs=1e-15 * step)


def test_free_inertial_particles_follow_cubics():
    """Under a white force the mean path between given positions and velocities is the cubic through them."""
    drift = np.zeros((4, 4))
    drift[:2, 2:] = np.eye(2)
    noise = np.zeros((4, 4))
    noise[2:, 2:] = [[1.0, 0.3], [0.3, 0.5]]
    equations = Langevin(drift_matrix=drift, noise_covariance=noise)
    for step in (1e-4, 0.7, 30.0):
        (form,) = bridge.area_forms(equations, step, [(0, 1)])
        start, end = ends(equations, step)
        s = np.polynomial.Polynomial([0.0, 1.0])
        basis = [2 * s**3 - 3 * s**2 + 1, (s**3 - 2 * s**2 + s) * step, -2 * s**3 + 3 * s**2, (s**3 - s**2) * step]

        def between(j, start=start, end=end, basis=basis):
            return [(basis[0], start[j]), (basis[1], start[2 + j]), (basis[2], end[j]), (basis[3], end[2 + j])]

        expected = sum(
            ((p * q.deriv()).integ()(1.0) * np.outer(a, b) for p, a in between(1) for q, b in between(0)),
            np.zeros((9, 9)),
        )
        expected = 0.5 * (expected + expected.T)
        scale = np.sqrt(np.outer(np.abs(expected).max(axis=1), np.abs(expected).max(axis=1)))
        np.testing.assert_array_less(np.abs(form - expected), 1e-12 * scale + 1e-14 * step**2)


def high_precision(equations, step, pair, nodes):
    """Quadratic part of one form with 40 digits, its propagators from block exponentials."""
    d = equations.dimension
    a = mpmath.matrix(equations.drift_matrix.tolist())
    n = mpmath.matrix(equations.noise_covariance.tolist())
    root = mpmath.matrix(covariance_root(equations.propagator(step).covariance).tolist())
    h = mpmath.mpf(step) / mpmath.mpf(equations.time_unit)

    def van_loan(t):
        block = mpmath.zeros(2 * d)
        block[:d, :d], block[:d, d:], block[d:, d:] = -a, n, a.T
        exponential = mpmath.expm(block * t, method="taylor")
        matrix = exponential[d:, d:].T
        return matrix, matrix * exponential[:d, d:]

    inverse = mpmath.inverse(van_loan(h)[1]) * root
    form = mpmath.zeros(2 * d)
    for guess in np.polynomial.legendre.leggauss(nodes)[0]:
        t = mpmath.findroot(lambda t: mpmath.legendre(nodes, t), mpmath.mpf(guess))
        slope = nodes * (t * mpmath.legendre(nodes, t) - mpmath.legendre(nodes - 1, t)) / (t * t - 1)
        s = (1 + t) / 2 * h
        matrix, spread = van_loan(s)
        backward = van_loan(h - s)[0].T * inverse
        path, rate = mpmath.zeros(d, 2 * d), mpmath.zeros(d, 2 * d)
        path[:, :d], path[:, d:], rate[:, d:] = matrix, spread * backward, n * backward
        rate = rate + a * path
        form = form + h / ((1 - t * t) * slope**2) * (path[pair[1], :].T * rate[pair[0], :])
    result = np.array((form / 2 + form.T / 2).tolist(), dtype=float)
    return result


@pytest.mark.parametrize("name", ["underdamped", "overdamped, correlated noise", "a bath at zero"])
@pytest.mark.parametrize(("step", "nodes"), [(1e-3, 8), (1.0, 20)])
def test_every_coefficient_against_40_digits(name, step, nodes):
    """Coefficients of very different size are each right, beside those of the same row and column."""
    equations = ARRAYS[name].langevin()
    seconds = step * equations.time_unit
    with mpmath.workdps(40):
        expected = high_precision(equations, seconds, (0, 1), nodes)
    found = bridge.area_forms(equations, seconds, [(0, 1)])[0, 1:, 1:]
    largest = np.abs(expected).max(axis=1)
    np.testing.assert_array_less(np.abs(found - expected), 1e-12 * np.sqrt(np.outer(largest, largest)))
    swapped = bridge.area_forms(equations, seconds, [(1, 0)])[0, 1:, 1:]
    assert (np.abs(swapped - expected) > 1e-3 * np.sqrt(np.outer(largest, largest))).any()


# -- drives ------------------------------------------------------------------------------------------------------------


def driven_system(make):
    array = make(diffusion=RECOIL).langevin()
    d = array.dimension
    equations = Langevin(
        drift_matrix=array.drift_matrix,
        noise_covariance=array.noise_covariance,
        constant_drift=np.linspace(0.2, -0.3, d),
    )
    drives = [Drive(np.linspace(-0.4, 0.5, d), 1.7), Drive(np.linspace(0.6, 0.1, d), 0.4)]
    return equations, drives, np.array([0.3, -1.1])


@both_kinds
@pytest.mark.parametrize("step", [0.2, 9.0])
def test_drives(make, step):
    """The mean path by an ODE solver, its part in the noise by block exponentials, the integrals by the solver."""
    equations, drives, phase = driven_system(make)
    d = equations.dimension
    drift, noise = equations.drift_matrix, equations.noise_covariance
    rng = np.random.default_rng(1)
    start, normal = rng.standard_normal((2, d))
    exact = equations.propagator(step)
    end_noise = np.linalg.solve(exact.covariance, covariance_root(exact.covariance) @ normal)

    # Given the end, the noise pushes along N lambda(s), with lambda' = -A^T lambda and lambda(h) = S^-1 L xi.
    def rates(s, y):
        x = y[:d]
        dx = drift @ x + equations.constant_drift + noise @ (linalg.expm(drift.T * (step - s)) @ end_noise)
        for drive, theta in zip(drives, phase, strict=True):
            dx = dx + drive.vector * math.cos(theta + drive.angular_frequency * s)
        cosine = math.cos(phase[1] + drives[1].angular_frequency * s)
        return np.concatenate([dx, [x[1] * dx[0], x[1] * x[0], cosine * dx[0]]])

    end = integrate.solve_ivp(rates, (0.0, step), np.concatenate([start, np.zeros(3)]), rtol=1e-10, atol=1e-11).y[:, -1]
    area = bridge.area_forms(equations, step, [(0, 1)], drives)
    time = bridge.time_forms(equations, step, [(0, 1)], drives)
    push = bridge.drive_forms(equations, step, [(0, 1)], drives)
    # what the bridge adds is a constant, the same for equations without drives
    constant = [
        form(Langevin(drift_matrix=drift, noise_covariance=noise), step, [(0, 1)])[0, 0, 0]
        for form in (bridge.area_forms, bridge.time_forms)
    ]
    assert bridge.evaluate(area, start, normal, phase)[0] - constant[0] == pytest.approx(end[d], rel=1e-8, abs=1e-9)
    assert bridge.evaluate(time, start, normal, phase)[0] - constant[1] == pytest.approx(end[d + 1], rel=1e-8, abs=1e-9)
    assert bridge.evaluate(push, start, normal, phase)[0] == pytest.approx(end[d + 2], rel=1e-8, abs=1e-9)
    # twin: the phase of the other sign
    assert bridge.evaluate(push, start, normal, -phase)[0] != pytest.approx(end[d + 2], rel=1e-2, abs=0)


def test_a_fast_drive_of_a_free_particle():
    """Closed form, over fifty periods of a step in which nothing else happens."""
    equations = Langevin(drift_matrix=np.zeros((1, 1)), noise_covariance=np.eye(1))
    amplitude, omega, theta, step, normal = 0.8, 400.0, 0.6, 0.77, -1.3
    drives = [Drive(np.array([amplitude]), omega)]
    (found,) = bridge.evaluate(
        bridge.drive_forms(equations, step, [(0, 0)], drives), np.array([0.4]), np.array([normal]), [theta]
    )
    last = theta + omega * step
    expected = amplitude * (step / 2 + (math.sin(2 * last) - math.sin(2 * theta)) / (4 * omega))
    expected += normal / math.sqrt(step) * (math.sin(last) - math.sin(theta)) / omega
    assert found == pytest.approx(expected, rel=1e-12, abs=0)


@both_kinds
def test_a_drive_that_stands_still_is_a_constant(make):
    equations, _, _ = driven_system(make)
    vector = np.linspace(0.1, 0.8, equations.dimension)
    shifted = Langevin(
        drift_matrix=equations.drift_matrix,
        noise_covariance=equations.noise_covariance,
        constant_drift=equations.constant_drift + vector,
    )
    start, normal = np.random.default_rng(2).standard_normal((2, equations.dimension, 7))
    driven = bridge.area_forms(equations, 2.0, [(0, 1)], [Drive(vector, 0.0)])
    expected = bridge.evaluate(bridge.area_forms(shifted, 2.0, [(0, 1)]), start, normal)
    np.testing.assert_allclose(bridge.evaluate(driven, start, normal, [0.0]), expected, rtol=1e-12)
    assert not np.allclose(bridge.evaluate(driven, start, normal, [math.pi]), expected, rtol=1e-2)


@both_kinds
def test_mean_work_of_a_resonant_drive_is_that_of_the_response(make):
    """Over whole periods of the steady motion, the mean of cos dx is that of the susceptibility."""
    array = make()
    equations = array.langevin()
    omega = 0.9
    vector = np.zeros(equations.dimension)
    vector[equations.driven[0]] = 0.7
    drive = Drive(vector, omega)
    response = equations.susceptibility(omega / equations.time_unit) @ vector  # of x, for cos = Re exp(-i omega t)
    initial = Moments(response.real, equations.stationary_covariance())
    seconds = 2 * math.pi / omega * equations.time_unit
    (found,) = bridge.expectation(bridge.drive_forms(equations, seconds, [(0, 0)], [drive]), initial, [0.0])
    # the mean of cos(wt) dx/dt over a period, x = Re(r e^{-iwt}), is w Im(r) / 2
    assert found == pytest.approx(math.pi * response[0].imag, rel=1e-10, abs=0)
    assert response[0].imag > 0


# -- variance ----------------------------------------------------------------------------------------------------------


def variance(form, covariance):
    """Variance of z^T Q z for Gaussian z of mean zero."""
    product = form @ covariance
    return 2 * np.trace(product @ product)


def variance_per_time(equations, step, n_steps, pair):
    """Variance of the sum of forms over consecutive steps of a steady state, per time."""
    d = equations.dimension
    exact = equations.propagator(step)
    root = covariance_root(exact.covariance)
    (form,) = bridge.area_forms(equations, step, [pair])
    form = form[1:, 1:]
    size = d * (n_steps + 1)
    state = np.zeros((d, size))
    state[:, :d] = covariance_root(equations.stationary_covariance())
    total = np.zeros((size, size))
    for i in range(n_steps):
        z = np.zeros((2 * d, size))
        z[:d] = state
        z[d:, d * (i + 1) : d * (i + 2)] = np.eye(d)
        total += z.T @ form @ z
        state = exact.matrix @ state
        state[:, d * (i + 1) : d * (i + 2)] = root
    return variance(total, np.eye(size)) / (step * n_steps)


@pytest.mark.parametrize(("make", "order"), [(systems.overdamped_pair, 1), (systems.underdamped_pair, 4)])
def test_order_at_which_the_variance_is_complete(make, order):
    """The variance that the forms lack, over a fixed time, vanishes with this order of the step."""
    equations = make().langevin()
    duration = 0.8 * equations.time_unit
    value = [variance_per_time(equations, duration / n, n, (0, 1)) for n in (1, 2, 4, 8, 16)]
    gained = np.diff(value)
    assert (gained > 0).all()  # conditioning on more ends tells more
    slope = np.log2(gained[:-1] / gained[1:])
    assert slope[-1] == pytest.approx(order, abs=0.15)


def test_variance_of_a_brownian_step_lacks_levys_area():
    """E Var(area | ends) = h^2/4 for a Brownian pair: the variance that one step lacks, and n steps divide by n."""
    equations = Langevin(drift_matrix=np.zeros((2, 2)), noise_covariance=np.eye(2))
    step = 0.37
    true = step**2 / 2  # of the integral of x_1 dx_0 from rest
    for n in (1, 2, 8):
        exact = covariance_root(equations.propagator(step / n).covariance)
        (form,) = bridge.area_forms(equations, step / n, [(0, 1)])
        # x0 of step i is the sum of i increments, each independent
        total = np.zeros((2 * n, 2 * n))
        for i in range(n):
            z = np.zeros((4, 2 * n))
            for before in range(i):
                z[:2, 2 * before : 2 * before + 2] = exact
            z[2:, 2 * i : 2 * i + 2] = np.eye(2)
            total += z.T @ form[1:, 1:] @ z
        assert variance(total, np.eye(2 * n)) == pytest.approx(true - step**2 / (4 * n), rel=1e-12, abs=0)


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [0.0, -1.0, math.inf, math.nan])
def test_a_bad_step_is_refused(step):
    with pytest.raises(PlanError, match=r"^`step` must be positive, but is "):
        bridge.area_forms(systems.overdamped_pair().langevin(), step, [(0, 1)])


def test_bad_pairs_and_drives_are_refused():
    equations = systems.overdamped_pair().langevin()
    with pytest.raises(ScenarioError, match=r"`pairs\[1\]\[0\]` must be at most 1, but is 2\."):
        bridge.area_forms(equations, 1.0, [(0, 1), (2, 0)])
    with pytest.raises(ScenarioError, match=r"`pairs\[0\]` must be two indices, but is \(1,\)\."):
        bridge.time_forms(equations, 1.0, [(1,)])
    with pytest.raises(ScenarioError, match=r"`pairs\[0\]\[1\]` must be a whole number, but is 0\.5\."):
        bridge.noise_forms(equations, 1.0, [(1, 0.5)])
    with pytest.raises(ScenarioError, match=r"`pairs\[0\]\[1\]` is 0, but there are no drives\."):
        bridge.drive_forms(equations, 1.0, [(1, 0)], [])
    with pytest.raises(ScenarioError, match=r"`drives\[0\].vector` must have shape \(2,\), but has shape \(3,\)\."):
        bridge.area_forms(equations, 1.0, [(0, 1)], [Drive(np.ones(3), 1.0)])
    with pytest.raises(ScenarioError, match=r"`drives\[0\].angular_frequency` must be finite, but .* is nan\."):
        bridge.area_forms(equations, 1.0, [(0, 1)], [Drive(np.ones(2), math.nan)])


def test_no_pairs_no_forms():
    array = systems.overdamped_pair(c=(0.0, 0.0))
    pairs, forms = bridge.work_forms(array, 1.0)
    assert pairs == []
    assert forms.shape == (0, 5, 5)


def test_growth_beyond_floating_point_is_refused():
    equations = Langevin(drift_matrix=np.eye(1), noise_covariance=np.eye(1))
    assert np.isfinite(bridge.area_forms(equations, 20.0, [(0, 0)])).all()
    with pytest.raises(PlanError, match="outgrows floating point"):
        bridge.area_forms(equations, 1e4, [(0, 0)])
