"""Protocols beside closed forms, mpmath and integrated differential equations."""

import math
import pickle
from dataclasses import replace
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from scipy import integrate, linalg

import stochbind as sb
import systems
from stochbind.errors import PlanError, ScenarioError, UnstableError
from stochbind.forces import Force
from stochbind.langevin import Langevin, Moments
from stochbind.oscillators import Oscillators
from stochbind.protocols import Drive, Kick, Protocol, in_units_of
from stochbind.protocols import protocol as module
from stochbind.protocols.maps import Composer
from stochbind.stability import Coordinate

AT_REST = Moments(np.zeros(2), np.zeros((2, 2)))


def spring(stiffness=1.0, damping=0.1, temperature=1.0, constant=0.0):
    """One underdamped particle of unit mass, in SI units of one."""
    return Langevin(
        drift_matrix=[[0.0, 1.0], [-stiffness, -damping]],
        noise_covariance=[[0.0, 0.0], [0.0, 2 * damping * temperature]],
        constant_drift=[0.0, constant],
        coordinate=(Coordinate("position", 0, "x"), Coordinate("velocity", 0, "x")),
    )


def overdamped(rate, noise=1.0, constant=0.0):
    return Langevin(drift_matrix=[[-rate]], noise_covariance=[[2 * noise]], constant_drift=[constant])


def walk(schedule, n_steps, initial, *, swapped=False, at_end=False):
    """Moments after each step, by the letter of the schedule; wrong on purpose if asked to be."""
    mean, covariance = initial
    for n in range(n_steps):
        index = n % schedule.period if schedule.period else n
        k = max((start, which) for start, which in zip(schedule.start, schedule.which, strict=True) if start <= index)[
            1
        ]
        shift = schedule.shift[k].copy()
        for f, drive in enumerate(schedule.drive[k]):
            now = n + 1 if at_end else n
            tau = ((int(schedule.phase[f]) + now * int(schedule.turn[f])) % 2**64) / 2**64
            c, s = math.cos(2 * math.pi * tau), math.sin(2 * math.pi * tau)
            shift += s * drive[0] + c * drive[1] if swapped else c * drive[0] + s * drive[1]
        e = schedule.matrix[k]
        mean = e @ mean + shift
        covariance = e @ covariance @ e.T + schedule.covariance[k]
        yield Moments(mean, covariance)


def last(iterator):
    *_, result = iterator
    return result


def by_integration(protocol, time, initial, *, repeats=1):
    """Moments by a Runge-Kutta integration of their equations of motion, event by event."""
    d = protocol.equations.dimension
    edge = np.cumsum([0.0] + [duration for duration, _ in protocol.pieces])
    total = edge[-1]
    repeats = repeats if protocol.periodic else 1
    kicks = sorted((k.time + i * total, j) for i in range(repeats) for j, k in enumerate(protocol.kicks))
    begins = [(t + i * total, e) for i in range(repeats) for t, (_, e) in zip(edge[:-1], protocol.pieces, strict=True)]
    y = np.concatenate([initial.mean, initial.covariance.ravel()])

    def slope(t, y, equations):
        x, s = y[:d], y[d:].reshape(d, d)
        a = equations.drift_matrix / equations.time_unit
        dx = a @ x + equations.constant_drift / equations.time_unit
        for drive in protocol.drives:
            dx = dx + drive_acceleration(drive, equations, t)
        ds = a @ s + s @ a.T + equations.noise_covariance / equations.time_unit
        return np.concatenate([dx, ds.ravel()])

    now = 0.0
    for until in sorted({time, *(t for t, _ in kicks if t < time), *(t for t, _ in begins if t < time)}):
        if until > now:
            equations = [e for t, e in begins if t < now + 1e-9][-1]
            y = integrate.solve_ivp(slope, (now, until), y, "DOP853", rtol=1e-12, atol=1e-13, args=(equations,)).y[
                :, -1
            ]
            now = until
        if until < time:
            for _, j in (kick for kick in kicks if kick[0] == until):
                kick = protocol.kicks[j]
                m = np.eye(d) if kick.matrix is None else kick.matrix
                x = m @ y[:d] + (0 if kick.shift is None else kick.shift)
                y = np.concatenate([x, (m @ y[d:].reshape(d, d) @ m.T).ravel()])
    return Moments(y[:d], y[d:].reshape(d, d))


def drive_acceleration(drive, equations, t):
    """Scaled drift per second by a force on a particle, from the SI meaning of the mobility."""
    result = np.zeros(equations.dimension)
    where = [i for i, c in enumerate(equations.coordinate) if c.quantity == "velocity"][drive.particle]
    force = drive.force * math.cos(drive.angular_frequency * t + drive.phase)
    result[where] = force * equations.mobility[drive.particle] / equations.unit[where]
    return result


def assert_same(found, expected, tolerance):
    scale = max(np.abs(expected.mean).max(), 1e-300)
    np.testing.assert_allclose(found.mean, expected.mean, rtol=0, atol=tolerance * scale)
    scale = max(np.abs(expected.covariance).max(), 1e-300)
    np.testing.assert_allclose(found.covariance, expected.covariance, rtol=0, atol=tolerance * scale)


# Drives


def driven_oscillator(quality, omega, phase, force, t):
    """Mean position and velocity at t from rest at the origin, in closed form with 40 digits."""
    mpmath.mp.dps = 40
    gamma, omega, t = mpmath.mpf(1.0 / quality), mpmath.mpf(omega), mpmath.mpf(t)
    free = mpmath.sqrt(1 - gamma**2 / 4)
    a = force * mpmath.expj(phase) / (1 - omega**2 + 1j * gamma * omega)
    steady = lambda t: (mpmath.re(a * mpmath.expj(omega * t)), mpmath.re(1j * omega * a * mpmath.expj(omega * t)))  # noqa: E731
    x0, v0 = (-value for value in steady(0))
    decay, c, s = mpmath.exp(-gamma * t / 2), mpmath.cos(free * t), mpmath.sin(free * t)
    x = decay * (x0 * (c + gamma / (2 * free) * s) + v0 * s / free)
    v = decay * (-x0 * s / free + v0 * (c - gamma / (2 * free) * s))
    return np.array([float(x + steady(t)[0]), float(v + steady(t)[1])])


@pytest.mark.parametrize("quality", [3.0, 1e6])
@pytest.mark.parametrize("omega", [1.0, 0.7318])
@pytest.mark.parametrize("cycles", [0.1, 37.0])
def test_driven_oscillator(quality, omega, cycles):
    """Transient and steady motion at any step, also on resonance at Q = 1e6."""
    step, phase, force, n = 2 * math.pi * cycles, 0.4, 0.3, 200
    protocol = Protocol.constant(systems.oscillator(quality).langevin(), drives=[Drive(0, force, omega, phase)])
    schedule = protocol.schedule(step, n)
    assert schedule.drive.shape == (1, 1, 2, 2)
    expected = driven_oscillator(quality, omega, phase, force, n * step)
    found = last(walk(schedule, n, AT_REST)).mean
    np.testing.assert_allclose(found, expected, rtol=0, atol=3e-12 * np.abs(expected).max())
    at_once = protocol.moments(n * step, AT_REST).mean
    np.testing.assert_allclose(at_once, expected, rtol=0, atol=3e-12 * np.abs(expected).max())
    if (omega, cycles) != (1.0, 37.0):  # there a step is a whole number of cycles
        for wrong in ({"swapped": True}, {"at_end": True}):
            other = last(walk(schedule, n, AT_REST, **wrong)).mean
            assert np.abs(other - expected).max() > 0.01 * np.abs(expected).max(), wrong


def test_steady_response():
    """Closed form, and the motion after transients, in SI."""
    array = Oscillators(
        mass=np.array([2e-18]),
        stiffness=np.array([5e-7]),
        friction=np.array([2e-18 * 3e4]),
        bath_temperature=np.array([300.0]),
        coupling=np.zeros((1, 1)),
    )
    equations = array.langevin()
    omega, phase, force = 4.7e5, 1.1, 3e-15
    drive = Drive(0, force, omega, phase)
    protocol = Protocol.constant(equations, drives=[drive])
    amplitude = protocol.steady_response(drive) * equations.unit
    expected = force * np.exp(-1j * phase) / (5e-7 - 2e-18 * omega**2 - 1j * omega * 2e-18 * 3e4)
    np.testing.assert_allclose(amplitude, [expected, -1j * omega * expected], rtol=1e-12)
    time = 40 / 3e4 + 1.234e-6
    found = protocol.moments(time, AT_REST).mean * equations.unit
    np.testing.assert_allclose(found, (amplitude * np.exp(-1j * omega * time)).real, rtol=1e-7)
    conjugated = (amplitude * np.exp(1j * omega * time)).real
    assert np.abs(found - conjugated).max() > 0.1 * np.abs(found).max()
    # a constant force is a drive of frequency zero
    still = Protocol.constant(equations, drives=[Drive(0, force, 0.0)]).moments(2e-3, AT_REST).mean
    assert still[0] * equations.unit[0] == pytest.approx(force / 5e-7, rel=1e-12, abs=0)
    # and in an overdamped array it drives the position
    slow = systems.overdamped_pair(u=(1.3, 0.8), c=(0.0, 0.0)).langevin()
    still = Protocol.constant(slow, drives=[Drive(1, 0.4, 0.0)]).moments(100.0, Moments(np.zeros(2), np.eye(2))).mean
    np.testing.assert_allclose(still * slow.unit, [0, 0.4 / 0.8], rtol=1e-12, atol=1e-15)


def test_a_drive_of_one_coordinate_is_that_of_its_particle():
    equations = systems.underdamped_pair().langevin()
    force = 0.7 / equations.force_scale[1]
    of_particle = Protocol.constant(equations, drives=[Drive(1, force, 0.9, 0.2)]).schedule(0.5, 3)
    of_coordinate = Protocol.constant(equations, drives=[Drive(None, 0.7, 0.9, 0.2, coordinate=3)]).schedule(0.5, 3)
    np.testing.assert_allclose(of_coordinate.drive, of_particle.drive, rtol=1e-14)
    assert of_coordinate.drive.any()


@pytest.mark.parametrize("strength", [1e-12, 1e12])
def test_the_strength_of_a_drive_only_scales(strength):
    equations = systems.oscillator(1e6).langevin()
    one = Protocol.constant(equations, drives=[Drive(0, 1.0, 1.0)]).schedule(20.0, 1).drive
    other = Protocol.constant(equations, drives=[Drive(0, strength, 1.0)]).schedule(20.0, 1).drive
    np.testing.assert_allclose(other, one * strength, rtol=1e-14)


def test_the_phase_is_exact_after_any_number_of_steps():
    mpmath.mp.dps = 60
    omega, phase, step, n = 2 * math.pi * 173.2e3, 2.5, 1.7e-7, 10**12
    protocol = Protocol.constant(spring(), drives=[Drive(0, 1.0, omega, phase), Drive(0, 1.0, 0.0, -phase)])
    schedule = protocol.schedule(step, n)
    assert schedule.turn.dtype == schedule.phase.dtype == np.uint64
    tau = ((int(schedule.phase[0]) + n * int(schedule.turn[0])) % 2**64) / 2**64
    exact = mpmath.frac((mpmath.mpf(omega) * mpmath.mpf(step) * n + mpmath.mpf(phase)) / (2 * mpmath.pi))
    error = abs(float(tau - exact))
    assert min(error, 1 - error) < 5e-8
    naive = (omega * step * n + phase) / (2 * math.pi) % 1.0  # what doubles make of it
    error = abs(float(naive - exact))
    assert min(error, 1 - error) > 5e-6
    assert (int(schedule.turn[1]), schedule.phase[1] / 2**64) == (0, pytest.approx(1 - phase / 2 / math.pi))


# Changing equations


@pytest.mark.parametrize("damping", [0.05, 0.4])
def test_quench_of_an_underdamped_oscillator(damping):
    """The variance oscillates at twice the new frequency, from that of the old trap to that of the new."""
    new = 2.3
    protocol = Protocol(pieces=((1.5, spring(1.0, damping)), (math.inf, spring(new, damping))))
    thermal = spring(1.0, damping).stationary
    free = math.sqrt(new - damping**2 / 4)
    for t in (0.1, 0.7, 3.0, 9.0):
        x = math.exp(-damping * t / 2) * (math.cos(free * t) + damping / (2 * free) * math.sin(free * t))
        v = -math.exp(-damping * t / 2) * new / free * math.sin(free * t)
        found = protocol.moments(1.5 + t, thermal).covariance
        change = 1 - 1 / new
        expected = [[1 / new + change * x**2, change * x * v], [change * x * v, 1 + change * v**2]]
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)
    backwards = Protocol(pieces=((1.5, spring(new, damping)), (math.inf, spring(1.0, damping))))
    assert abs(backwards.moments(1.5 + t, thermal).covariance[0, 0] - found[0, 0]) > 0.1
    np.testing.assert_allclose(protocol.moments(1.5, thermal).covariance, np.eye(2), atol=1e-13)


def test_quench_of_an_overdamped_particle():
    """In steps that do not fit the quench: one step crosses it."""
    protocol = Protocol(pieces=((1.0, overdamped(1.0)), (1.0, overdamped(3.0))))
    schedule = protocol.schedule(0.3, 20)
    start = Moments(np.array([2.0]), np.array([[1.0]]))
    for n, found in enumerate(walk(schedule, 20, start), 1):
        t = max(0.3 * n - 1, 0)
        assert found.covariance[0, 0] == pytest.approx(1 / 3 + (1 - 1 / 3) * math.exp(-6 * t), rel=1e-13, abs=0)
        assert found.mean[0] == pytest.approx(2 * math.exp(-min(0.3 * n, 1.0) - 3 * t), rel=1e-12, abs=0)
    assert schedule.start.tolist() == [0, 3, 4]
    assert schedule.which.tolist() == [0, 1, 2]
    assert schedule.period == 0


def everything(*, periodic):
    """A pair with unequal pieces, kicks of both kinds (two at one time) and two drives."""
    rng = np.random.default_rng(5)
    base = systems.underdamped_pair().langevin()
    other = in_units_of(systems.underdamped_pair(u=(2.1, 0.5), c=(-0.4, 0.6), temperature=(0.3, 2.0)).langevin(), base)
    third = replace(base, constant_drift=[0.1, 0.0, -0.4, 0.2])
    return Protocol(
        pieces=((0.4, base), (0.25, other), (0.35, third)),
        periodic=periodic,
        kicks=(
            Kick(0.0, shift=[0.1, 0.2, 0.3, -0.4]),
            Kick(0.55, matrix=np.eye(4) + 0.3 * rng.normal(size=(4, 4))),
            Kick(0.55, shift=rng.normal(size=4)),
        ),
        drives=(Drive(0, 0.5, 3.1, 0.3), Drive(1, 0.2, 11.0)),
    )


START = Moments(np.array([1.0, -0.5, 0.2, 0.7]), np.diag([0.5, 0.2, 1.0, 0.3]))


@pytest.mark.parametrize("periodic", [False, True])
@pytest.mark.parametrize("step", [0.1, 0.35 * 3.7, 2.0, 3.7])
def test_any_step_is_exact(periodic, step, monkeypatch):
    """Steps across pieces, kicks and periods, beside the integrated equations of motion."""
    protocol = everything(periodic=periodic)
    n = max(3, math.ceil(1.3 / step))
    expected = by_integration(protocol, n * step, START, repeats=math.ceil(n * step) + 1)
    assert_same(last(walk(protocol.schedule(step, n), n, START)), expected, 1e-9)
    assert_same(protocol.moments(n * step, START), expected, 1e-9)
    if step > 0.1:
        right = Composer.then
        monkeypatch.setattr(Composer, "then", lambda self, first, second: right(self, second, first))
        wrong = last(walk(everything(periodic=periodic).schedule(step, n), n, START))
        assert np.abs(wrong.mean - expected.mean).max() > 0.01
        assert np.abs(wrong.covariance - expected.covariance).max() > 0.01


def test_one_step_of_a_schedule():
    schedule = everything(periodic=True).schedule(0.3, 50)
    assert np.array_equal(schedule.covariance, schedule.covariance.swapaxes(1, 2))
    before = START
    for n, after in enumerate(walk(schedule, 40, START)):
        matrix, shift, covariance = schedule.propagator(n)
        np.testing.assert_allclose(matrix @ before.mean + shift, after.mean, rtol=1e-12, atol=1e-13)
        np.testing.assert_allclose(
            matrix @ before.covariance @ matrix.T + covariance, after.covariance, rtol=1e-12, atol=1e-13
        )
        before = after


# Kicks


@pytest.mark.parametrize("angle", [0.0, 0.9])
def test_kicked_oscillator(angle):
    """Impulses p once a period (and a phase): after n of them the energy is p^2/2m (sin(n a/2) / sin(a/2))^2."""
    array = replace(systems.oscillator(1.0), mass=np.array([3.0]), stiffness=np.array([3.0]), friction=np.zeros(1))
    equations = array.langevin()
    period, impulse = 2 * math.pi + angle, 0.8
    kick = Kick.momentum(equations, 0.0, 0, impulse)
    protocol = Protocol(pieces=((period, equations),), periodic=True, kicks=(kick,))
    schedule = protocol.schedule(period / 4, 400)
    assert schedule.period == 4
    states = list(walk(schedule, 80, AT_REST))
    for n in (1, 7, 20):
        ratio = math.sin(n * angle / 2) / math.sin(angle / 2) if angle else n
        expected = impulse**2 / 2 / 3.0 * ratio**2
        for mean in (protocol.moments(n * period, AT_REST).mean, states[4 * n - 1].mean):
            x, v = mean * equations.unit
            assert 1.5 * (x**2 + v**2) == pytest.approx(expected, rel=1e-11, abs=0)


def test_a_state_at_the_time_of_a_kick_is_the_one_before():
    still = Langevin(drift_matrix=[[0.0]], noise_covariance=[[0.0]])
    protocol = Protocol.constant(still, kicks=[Kick(0.0, shift=[1.0]), Kick(0.3, shift=[10.0], matrix=[[2.0]])])
    nothing = Moments(np.zeros(1), np.zeros((1, 1)))
    assert [protocol.moments(t, nothing).mean[0] for t in (0.0, 1e-9, 0.3, 0.1 * 3, 0.31)] == [0, 1, 1, 1, 12]
    found = [moments.mean[0] for moments in walk(protocol.schedule(0.1, 5), 5, nothing)]
    assert found == [1, 1, 1, 12, 12]  # at 0.1, 0.2, 0.3 (before), 0.4, 0.5
    again = Protocol(pieces=((0.3, still),), periodic=True, kicks=(Kick(0.0, shift=[1.0]),))
    assert [again.moments(t, nothing).mean[0] for t in (0.3, 0.31, 0.1 * 6, 0.61, 300.0)] == [1, 2, 2, 3, 1000]


def test_an_impulse_moves_an_overdamped_particle_by_itself_over_friction():
    equations = systems.overdamped_pair(friction=(0.7, 1.9)).langevin()
    kick = Kick.momentum(equations, 0.0, 1, 0.5)
    np.testing.assert_allclose(kick.shift * equations.unit, [0, 0.5 / 1.9], rtol=1e-14)


# Periodic equations


def parametric(modulation, damping, n_pieces, temperature=1.0, frequency=1.0):
    """Spring of unit frequency, its stiffness modulated at twice that."""

    def at(t):
        return spring(1 + modulation * math.cos(2 * frequency * t), damping, temperature)

    return Protocol.sampled(at, math.pi / frequency, n_pieces, periodic=True)


def monodromy(modulation, damping):
    def slope(t, y):
        x, v = y.reshape(2, 2)
        return np.concatenate([v, -(1 + modulation * math.cos(2 * t)) * x - damping * v])

    result = integrate.solve_ivp(slope, (0, math.pi), np.eye(2).ravel(), "DOP853", rtol=1e-13, atol=1e-14)
    return result.y[:, -1].reshape(2, 2)


@pytest.mark.parametrize("modulation", [0.3, 1.5])
def test_floquet_multipliers_and_the_order_of_sampling(modulation):
    """Beside the integrated monodromy matrix: errors fall with the square of the number of pieces."""
    exact = linalg.eigvals(monodromy(modulation, 0.2))
    exact = exact[np.argsort(-np.abs(exact))]
    number = np.array([25, 50, 100, 200])
    error = []
    for n in number:
        found = parametric(modulation, 0.2, n).multipliers()
        assert np.prod(found).real == pytest.approx(math.exp(-0.2 * math.pi), rel=1e-12, abs=0)  # Liouville
        error.append(np.abs(found - exact).max())
    slope = -np.polyfit(np.log(number), np.log(error), 1)[0]
    assert 1.9 < slope < 2.1
    assert error[-1] < 1e-4
    first = Protocol.sampled(  # the twin: sampled at the beginnings of the pieces
        lambda t: spring(1 + modulation * math.cos(2 * (t - math.pi / 100) + 0.7), 0.2), math.pi, 50, periodic=True
    )
    middle = Protocol.sampled(lambda t: spring(1 + modulation * math.cos(2 * t + 0.7), 0.2), math.pi, 50, periodic=True)

    def shifted(t, y):
        x, v = y.reshape(2, 2)
        return np.concatenate([v, -(1 + modulation * math.cos(2 * t + 0.7)) * x - 0.2 * v])

    truth = integrate.solve_ivp(shifted, (0, math.pi), np.eye(2).ravel(), "DOP853", rtol=1e-12, atol=1e-13)
    truth = truth.y[:, -1].reshape(2, 2)
    wrong, right = (np.abs(p.schedule(math.pi, 1).matrix[0] - truth).max() for p in (first, middle))
    assert wrong > 10 * right


def test_parametric_growth_and_threshold():
    """Growth rate eps Omega / 4 - gamma / 2, so that the threshold is eps = 2 gamma / Omega."""
    damping = 0.004
    for modulation in (0.002, 0.02):
        protocol = parametric(modulation, damping, 100)
        assert protocol.growth_rate == pytest.approx(modulation / 4 - damping / 2, abs=2e-5 * modulation / 0.02)
        assert protocol.stable is (modulation < 2 * damping)
    assert parametric(2 * damping * 0.99, damping, 100).stable
    assert not parametric(2 * damping * 1.01, damping, 100).stable
    assert not parametric(0.0, 0.0, 4).stable  # a multiplier on the circle


def test_periodic_state():
    """The state to which integrated moments settle."""
    protocol = parametric(0.4, 0.5, 12)
    found = protocol.periodic_state()
    assert_same(by_integration(protocol, 40 * math.pi, AT_REST, repeats=41), found, 1e-9)
    unmodulated = spring(1.0, 0.5).stationary_covariance()
    assert np.abs(found.covariance - unmodulated).max() > 0.05
    full = replace(everything(periodic=True), drives=(Drive(0, 0.5, 2 * math.pi, 0.3), Drive(1, 0.2, 6 * math.pi)))
    full = replace(full, pieces=tuple((duration, damped(equations)) for duration, equations in full.pieces))
    later = by_integration(full, 40.0, START, repeats=41)
    assert_same(full.periodic_state(), later, 1e-9)
    without = replace(full, drives=()).periodic_state()
    np.testing.assert_allclose(without.covariance, full.periodic_state().covariance, rtol=1e-12)
    assert np.abs(without.mean - later.mean).max() > 0.01


def damped(equations):
    return replace(equations, drift_matrix=equations.drift_matrix - np.eye(4))


def test_periodic_state_of_equations_that_do_not_change_is_the_steady_one():
    """Beside the refined Lyapunov solution; the period has nothing to do with it."""
    equations = systems.underdamped_pair(friction=(1e-6, 3e-6)).langevin()
    protocol = Protocol(pieces=((0.3, equations), (0.5, replace(equations))), periodic=True)
    found = protocol.periodic_state().covariance
    exact = equations.stationary_covariance()
    assert np.abs(found - exact).max() < 1e-9 * np.abs(exact).max()
    assert protocol.growth_rate == pytest.approx(equations.stability.growth_rate, rel=1e-8, abs=0)
    pull = replace(equations, constant_drift=[0.0, 0.0, 1.0, 2.0])
    mean = Protocol(pieces=((0.3, pull),), periodic=True).periodic_state().mean
    np.testing.assert_allclose(mean, pull.stationary.mean, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("quality", [1e6, 1e9])
def test_the_rounding_of_a_periodic_state_is_known(quality):
    """Equipartition, through half a period in fifty pieces; the error is within what decides on refusal."""
    array = systems.oscillator(quality)
    pieces = tuple((math.pi / 50, replace(array.langevin())) for _ in range(50))
    protocol = Protocol(pieces=pieces, periodic=True)
    error = np.abs(protocol.periodic_state().covariance - np.eye(2)).max()
    assert error < 4e-15 * math.sqrt(50) * quality
    assert protocol.growth_rate == pytest.approx(-0.5 / quality, rel=1e-5, abs=0)


def test_the_mean_of_a_kicked_particle():
    rate, period, jump = 0.8, 1.3, 0.6
    protocol = Protocol(pieces=((period, overdamped(rate)),), periodic=True, kicks=(Kick(0.0, shift=[jump]),))
    decay = math.exp(-rate * period)
    assert protocol.periodic_state().mean[0] == pytest.approx(jump * decay / (1 - decay), rel=1e-13, abs=0)
    kicked = replace(protocol, kicks=(Kick(0.5, matrix=[[2.0]]),))
    assert kicked.multipliers() == pytest.approx([2 * decay])
    assert kicked.stable
    assert not replace(protocol, kicks=(Kick(0.5, matrix=[[3.0]]),)).stable


def test_stability_of_a_protocol_that_does_not_repeat_is_that_of_its_last_piece():
    good, bad = overdamped(1.0), overdamped(-0.5)
    assert Protocol(pieces=((1.0, bad), (1.0, good))).stable
    assert Protocol.constant(good).growth_rate == pytest.approx(-1.0)
    assert not Protocol(pieces=((1.0, good), (1.0, bad))).stable
    assert Protocol(pieces=((1.0, good), (1.0, bad))).growth_rate == pytest.approx(0.5)


# Schedules as tables


def test_equal_steps_share_their_coefficients():
    a, b = spring(1.0), spring(2.0)
    constant = Protocol.constant(a).schedule(0.1, 10**15)
    assert constant.start.tolist() == constant.which.tolist() == [0]
    assert constant.drive.shape == (1, 0, 2, 2)
    exact = a.propagator(0.1)
    assert all(np.array_equal(x[0], y) for x, y in zip(constant[:3], exact, strict=True))
    assert len(Protocol(pieces=((0.25, a), (9.0, a))).schedule(0.1, 100).matrix) == 1
    switched = Protocol(pieces=((0.3, a), (0.3, b), (0.3, a), (0.3, b))).schedule(0.1, 10**9)
    assert switched.start.tolist() == [0, 3, 6, 9]
    assert switched.which.tolist() == [0, 1, 0, 1]
    square = Protocol(pieces=((0.3, a), (0.7, b)), periodic=True)
    for step, n_steps, period, sets in (
        (0.1, 10**9, 10, 2),
        (0.1, 5, 0, 2),
        (0.2, 10**9, 5, 3),
        (1.0, 10**9, 1, 1),
        (1000.0, 10**9, 1, 1),
        (0.3, 10**9, 10, 6),
        (3.7, 10**9, 10, 10),
        (1e-6, 10**9, 10**6, 2),
    ):
        found = square.schedule(step, n_steps)
        assert (found.period, len(found.matrix)) == (period, sets), step


def test_a_thousand_pieces_of_one_step_each():
    """No rounding of sums makes a step of its own."""
    pieces = tuple((0.1, overdamped(1 + i / 1000)) for i in range(1000))
    for protocol in (Protocol(pieces=pieces), Protocol(pieces=pieces, periodic=True)):
        schedule = protocol.schedule(0.1, 5000)
        assert np.array_equal(schedule.which, np.arange(1000))
        assert np.array_equal(schedule.start, np.arange(1000))
        np.testing.assert_allclose(schedule.matrix[:, 0, 0], np.exp(-0.1 * (1 + np.arange(1000) / 1000)), rtol=1e-14)
    sampled = Protocol.sampled(lambda t: overdamped(1 + t), 1.0, 1000, periodic=True).schedule(0.001, 10**6)
    assert (sampled.period, len(sampled.matrix)) == (1000, 1000)
    long = Protocol.sampled(lambda t: overdamped(1 + t), 1e-3 / 3, 7, periodic=True).schedule(1e-3 / 3 / 7e6, 10**9)
    assert (long.period, len(long.matrix)) == (7 * 10**6, 7)


def test_many_periods_in_one_step_and_at_once():
    """Floquet's theorem: M periods are the M-th power of one."""
    protocol = parametric(0.3, 0.2, 10)
    one = protocol.schedule(math.pi, 1)
    step = protocol.schedule(math.pi * 12345, 3)
    assert (len(step.matrix), step.period) == (1, 1)
    np.testing.assert_allclose(step.covariance[0], protocol.periodic_state().covariance, rtol=1e-12)
    seven = protocol.schedule(math.pi * 7, 3)
    np.testing.assert_allclose(seven.matrix[0], np.linalg.matrix_power(one.matrix[0], 7), rtol=1e-12, atol=1e-15)


def test_a_step_that_fits_no_period_is_refused():
    protocol = Protocol(pieces=((1.0, spring()), (1.0, spring(2.0))), periodic=True)
    with pytest.raises(PlanError, match=r"`step` is 0.314159265, of which .* periods of 2; use 0.3333333333333333\."):
        protocol.schedule(math.pi / 10, 10)
    with pytest.raises(PlanError, match=r"use 6.0\."):
        protocol.schedule(2 * math.pi, 10)
    assert protocol.schedule(1 / 3, 10).period == 6


def test_a_schedule_too_large_for_memory_is_refused(monkeypatch):
    monkeypatch.setattr(module, "LARGEST_SCHEDULE", 2**12)
    pieces = tuple((1.0, spring(1 + i)) for i in range(100))
    Protocol(pieces=pieces[:50]).schedule(1.0, 100)
    with pytest.raises(PlanError, match=r"The 100 different steps .* need 0 MiB .* fewer pieces"):
        Protocol(pieces=pieces).schedule(1.0, 100)


# What a protocol is


def test_a_protocol_crosses_to_another_process():
    protocol = everything(periodic=True)
    other = pickle.loads(pickle.dumps(protocol))
    for a, b in zip(protocol.schedule(0.3, 50), other.schedule(0.3, 50), strict=True):
        assert np.array_equal(a, b)


def test_in_units_of_another():
    """The physics stays: SI moments of the same equations in two systems of units."""
    soft, stiff = (systems.underdamped_pair(u=(u, 0.8), mass=(0.5, 2.0)).langevin() for u in (0.4, 9.0))
    soft = replace(soft, constant_drift=[0.0, 0.1, 0.2, 0.3])
    moved = in_units_of(soft, stiff)
    assert moved.time_unit == stiff.time_unit != soft.time_unit
    for equations in (soft, moved):
        start = Moments(START.mean / equations.unit, START.covariance / np.outer(equations.unit, equations.unit))
        later = equations.moments(1.7, start)
        found = Moments(later.mean * equations.unit, later.covariance * np.outer(equations.unit, equations.unit))
        if equations is soft:
            expected = found
    assert_same(found, expected, 1e-13)
    np.testing.assert_allclose(
        moved.force_scale / moved.time_unit * moved.unit[2:], soft.force_scale / soft.time_unit * soft.unit[2:]
    )
    with pytest.raises(ScenarioError, match=r"`pieces\[1\].unit` is .*; bring all pieces to the same units"):
        Protocol(pieces=((1.0, stiff), (1.0, soft)))


def test_forces_must_be_the_same_in_all_pieces():
    force = Force(function=lambda x, p: -p[0] * x**3, parameters=[[1.0]])
    a, b = spring().with_forces(force), spring(2.0).with_forces(force)
    assert Protocol(pieces=((1.0, a), (1.0, b))).equations.forces == (force,)
    for other in (spring(2.0), spring(2.0).with_forces(replace(force))):
        with pytest.raises(ScenarioError, match="very forces of the first piece"):
            Protocol(pieces=((1.0, a), (1.0, other)))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Protocol(pieces=()), "`pieces` must hold at least one"),
        (
            lambda: Protocol(pieces=((0.0, spring()),)),
            r"`pieces\[0\]\[0\]`, a duration, must be positive and finite, but is 0.0",
        ),
        (lambda: Protocol(pieces=((math.inf, spring()), (1.0, spring()))), "only the last piece"),
        (lambda: Protocol(pieces=((math.inf, spring()),), periodic=True), "only the last piece"),
        (lambda: Protocol(pieces=((math.nan, spring()),)), "is nan"),
        (lambda: Protocol(pieces=(("1 s", spring()),)), "is '1 s'"),
        (lambda: Protocol(pieces=((1.0, systems.oscillator(3.0)),)), r"`pieces\[0\]\[1\]` must be `Langevin`"),
        (lambda: Protocol(pieces=((1.0, spring()), (1.0, overdamped(1.0)))), "coordinates of the first piece"),
        (lambda: Protocol(pieces=((1.0, spring()),), periodic=True, kicks=(Kick(1.0, shift=[0, 1]),)), "of 1 s, but"),
        (lambda: Protocol.constant(spring(), kicks=[Kick(1.0, shift=[1.0])]), r"`kicks\[0\].shift` must have shape"),
        (lambda: Protocol.constant(spring(), drives=[Drive(1, 1.0, 1.0)]), "`particle` must be at most 0, but is 1"),
        (lambda: Kick.momentum(spring(), 0.0, -1, 1.0), "`particle` must be at least 0"),
        (lambda: Kick(-1.0), "`time` must be zero or positive"),
        (lambda: Kick(0.0, matrix=np.ones((2, 3))), "`matrix` must have shape"),
        (lambda: Drive(0, 1.0, -1.0), "`angular_frequency` must be zero or positive, but is -1"),
        (lambda: Drive(0, math.nan, 1.0), "`force` must be finite"),
        (lambda: Drive(None, 1.0, 1.0), "with `particle` None on one `coordinate`"),
        (lambda: Protocol.sampled(lambda t: spring(), 1.0, 0), "`n_pieces` must be at least 1"),
        (lambda: Protocol.sampled(lambda t: spring(), -1.0, 3), "`duration` must be positive"),
    ],
)
def test_a_wrong_protocol_is_refused(make, words):
    with pytest.raises(ScenarioError, match=words):
        make()


def test_a_wrong_question_is_refused():
    protocol = parametric(0.3, 0.01, 20)
    with pytest.raises(UnstableError, match=r"largest has modulus 1 \+0\.2") as info:
        protocol.periodic_state()
    assert info.value.growth_rate == pytest.approx(0.3 / 4 - 0.01 / 2, rel=0.02, abs=0)
    with pytest.raises(UnstableError, match="inside the unit circle"):
        parametric(0.0, 0.0, 4).periodic_state()
    once = Protocol.constant(spring())
    for question in (once.multipliers, once.periodic_state):
        with pytest.raises(PlanError, match="are of periodic protocols; this one is not"):
            question()
    with pytest.raises(PlanError, match=r"`drives\[0\]` makes 0.5 cycles in a period"):
        replace(parametric(0.1, 0.5, 4), drives=(Drive(0, 1.0, 1.0),)).periodic_state()
    with pytest.raises(PlanError, match="`steady_response` needs equations that do not change"):
        protocol.steady_response(Drive(0, 1.0, 1.0))
    with pytest.raises(UnstableError, match="The steady response needs a steady state"):
        Protocol.constant(overdamped(-1.0)).steady_response(Drive(0, 1.0, 1.0))
    with pytest.raises(PlanError, match="`time` must be zero or positive, but is -1"):
        once.moments(-1.0, AT_REST)
    with pytest.raises(PlanError, match="`step` must be positive"):
        once.schedule(0.0, 10)
    with pytest.raises(PlanError, match="`n_steps` must be at least 1"):
        once.schedule(1.0, 0)
    with pytest.raises(PlanError, match="outgrows floating point"):
        protocol.moments(1e5, AT_REST)


def test_the_phase_of_a_turn_needs_pi_to_all_its_digits():
    mpmath.mp.dps = 90
    from stochbind.protocols.actions import TWO_PI

    assert abs(mpmath.mpf(TWO_PI.numerator) / TWO_PI.denominator - 2 * mpmath.pi) < mpmath.mpf(10) ** -85
    assert Drive(0, 1.0, 1.0).turns(Fraction(0)) == 0


def test_pieces_that_forces_would_drive_otherwise_are_refused():
    force = sb.fields.duffing(np.array([1.0]))

    def overdamped(friction):
        return sb.Oscillators(
            stiffness=np.ones(1), friction=np.array([friction]), bath_temperature=np.ones(1), coupling=np.zeros((1, 1)),
            reduced=True, forces=(force,),
        ).langevin()  # fmt: skip

    first = overdamped(1.0)
    with pytest.raises(ScenarioError, match="mobility"):
        Protocol(pieces=((1.0, first), (1.0, in_units_of(overdamped(10.0), first))))


@pytest.mark.parametrize("wrong", [{"drives": [(0, 1.0, 1.0)]}, {"kicks": [1.0]}, {"drives": 3}])
def test_what_is_no_kick_or_drive_is_told(wrong):
    with pytest.raises(ScenarioError, match=f"`{next(iter(wrong))}"):
        Protocol(pieces=((1.0, sb.Langevin(drift_matrix=[[-1.0]], noise_covariance=[[1.0]])),), **wrong)


def test_pieces_without_a_comma_are_told():
    equations = sb.Langevin(drift_matrix=[[-1.0]], noise_covariance=[[1.0]])
    for wrong in ((1.0, equations), [equations], equations):
        with pytest.raises(ScenarioError, match="`pieces"):
            Protocol(pieces=wrong)
