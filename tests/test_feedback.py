"""Cold damping and optimal feedback: closed forms, integrals over frequency, and trajectories."""

import itertools
import math

import numpy as np
import pytest
from scipy import constants, integrate, linalg, optimize

import stochbind as sb
from measured_arrays import covariance_z, one, pair
from stochbind.errors import ScenarioError, UnstableError
from stochbind.oscillators import Oscillators
from stochbind.quantum.delays import pade_delay
from stochbind.quantum.feedback import best_gain, cold_damped_variance, cold_damping, loop_delay
from stochbind.quantum.measurement import Homodyne, conditional_covariance
from stochbind.quantum.regulators import regulated

DAMPING, TEMPERATURE, RECOIL, EFFICIENCY = 1e-3, 20.0, 0.01, 0.5
TOTAL = RECOIL + DAMPING * TEMPERATURE
WARM = Homodyne(one(RECOIL, damping=DAMPING, temperature=TEMPERATURE), EFFICIENCY)


def quanta(covariance, n):
    """Quanta of each of the N particles whose quadratures are the first 2N coordinates."""
    variance = np.diagonal(covariance)
    return 0.5 * (variance[:n] + variance[n : 2 * n]) - 0.5


def integrals(gain, bandwidth, delay, *, antidelay=False):
    """Variances of position and momentum as integrals over frequency, with the delay as it is."""
    imprecision, force = 1.0 / (8.0 * EFFICIENCY * RECOIL), 2.0 * TOTAL

    def spectrum(omega, power):
        turn = np.exp((-1j if antidelay else 1j) * omega * delay)
        loop = gain * -1j * omega * bandwidth / (bandwidth - 1j * omega) * turn
        answer = abs(1.0 / (1.0 - omega**2 - 1j * omega * DAMPING + loop)) ** 2
        return omega**power * answer * (force + abs(loop) ** 2 * imprecision) / math.pi

    edges = [0.0, 0.5, 0.9, 1.1, 2.0, 60.0, np.inf]
    return [
        sum(integrate.quad(spectrum, a, b, args=(power,), limit=4000)[0] for a, b in itertools.pairwise(edges))
        for power in (0, 2)
    ]


@pytest.mark.parametrize("delay", [0.0, 0.5, 1.2])
def test_cold_damping_is_what_the_integrals_over_frequency_say(delay):
    covariance = cold_damping(WARM, 0.05, 10.0, delay=delay).stationary_covariance()
    np.testing.assert_allclose(np.diagonal(covariance)[:2], integrals(0.05, 10.0, delay), rtol=1e-6)
    if delay:
        assert abs(integrals(0.05, 10.0, delay, antidelay=True)[0] / covariance[0, 0] - 1.0) > 0.05


def test_wide_loops_reach_the_closed_form():
    for gain in (0.004, 0.05, 0.4):
        expected = cold_damped_variance(DAMPING, TOTAL, EFFICIENCY * RECOIL, gain)
        off = [
            cold_damping(WARM, gain, width).stationary_covariance()[0, 0] / expected - 1.0
            for width in (30.0, 300.0, 3e4)
        ]
        assert abs(off[0]) > abs(off[1]) > abs(off[2])
        assert abs(off[2]) < 1e-4
        # half as much imprecision would be seen
        other = cold_damped_variance(DAMPING, TOTAL, 2.0 * EFFICIENCY * RECOIL, gain)
        assert abs(other / expected - 1.0) > 1e-3


def test_the_best_gain_is_the_best():
    told = DAMPING, TOTAL, EFFICIENCY * RECOIL
    best = best_gain(*told)
    found = optimize.minimize_scalar(
        lambda gain: cold_damped_variance(*told, gain), bounds=(1e-4, 1.0), method="bounded"
    )
    assert best == pytest.approx(found.x, rel=1e-4)
    assert cold_damped_variance(*told, best) == pytest.approx(best / (8.0 * EFFICIENCY * RECOIL), rel=1e-12)
    # without gas, the bound of any feedback for weak measurement
    alone = cold_damped_variance(0.0, RECOIL, EFFICIENCY * RECOIL, best_gain(0.0, RECOIL, EFFICIENCY * RECOIL))
    assert alone == pytest.approx(0.5 / math.sqrt(EFFICIENCY), rel=1e-12)
    with pytest.raises(ScenarioError, match="must not both be zero"):
        cold_damped_variance(0.0, TOTAL, RECOIL, 0.0)


def test_a_loop_that_waits_too_long_drives():
    gain, width = 0.05, 10.0

    def characteristic(rate, delay):
        return rate**2 + DAMPING * rate + 1.0 + gain * rate * width / (rate + width) * np.exp(-rate * delay)

    def growth(delay):
        root = optimize.root(
            lambda x: [(f := characteristic(complex(*x), delay)).real, f.imag], [-0.01, 1.0], tol=1e-13
        ).x  # fmt: skip
        return root[0]

    for delay in (0.3, 1.0):
        own = cold_damping(WARM, gain, width, delay=delay).stability
        assert own.growth_rate == pytest.approx(growth(delay), rel=1e-6)
    longest = optimize.brentq(growth, 0.5, 3.0)
    assert 1.3 < longest < 1.6  # a quarter of a period, less what the filter takes
    assert cold_damping(WARM, gain, width, delay=longest - 1e-3).stability.stable
    with pytest.raises(UnstableError, match=r"With this feedback the array is unstable: .* lower `gain`"):
        cold_damping(WARM, gain, width, delay=longest + 1e-3)
    with pytest.raises(UnstableError, match=r"not damped|unstable"):
        cold_damping(WARM, -2.0 * DAMPING, width)


def simulated(equations, n_particles, interval, *, n_steps=60, n_trajectories=6000, seed=4):
    """Quadratures of the array in its steady state: (samples, 2N), independent as good as they go."""
    run = sb.simulate(
        equations,
        step=interval,
        n_steps=n_steps,
        n_trajectories=n_trajectories,
        seed=seed,
        initial=equations.stationary,
    )
    both = np.concatenate([run["position"], run["velocity"]], axis=-1)
    return (both / equations.unit[: 2 * n_particles]).reshape(-1, 2 * n_particles), run


def test_simulated_occupations_are_the_exact_ones():
    cold = cold_damping(WARM, best_gain(DAMPING, TOTAL, EFFICIENCY * RECOIL), 10.0, delay=0.3)
    best = regulated(WARM, 0.3, delay=0.5).equations
    for equations, interval in ((cold, 250.0), (best, 200.0)):
        assert equations.stability.growth_rate * interval < -4.0  # between samples nearly all is forgotten
        exact = equations.stationary_covariance()[:2, :2]
        sample, _ = simulated(equations, 1, interval)
        assert np.abs(covariance_z(sample, exact)).max() < 5.0
        energy = 0.5 * (sample**2).sum(axis=1)
        assert energy.mean() == pytest.approx(0.5 * np.trace(exact), rel=0.01)
        open_loop = WARM.equations.stationary_covariance()
        assert np.abs(covariance_z(sample, open_loop)).max() > 50.0


def test_estimates_in_the_loop_are_what_they_should_be():
    closed = regulated(WARM, 0.3, delay=0.5)
    sample, run = simulated(closed.equations, 1, 200.0)
    estimate = np.concatenate([run["estimated_position"], run["estimated_velocity"]], axis=-1)
    estimate = (estimate / closed.equations.unit[-2:]).reshape(-1, 2)
    assert np.abs(covariance_z(sample - estimate, closed.conditional)).max() < 5.0
    assert np.abs(covariance_z(sample - estimate, 1.05 * closed.conditional)).max() > 5.0
    assert run["delay"].shape[-1] == len(closed.control_gain[0]) - 2


@pytest.mark.parametrize("delay", [0.0, 0.7, 3.0])
def test_estimate_and_what_is_not_known_add_up(delay):
    array = pair(0.05, 0.15, 0.3, common=-0.025j, damping=0.01, temperature=4.0)
    detected = Homodyne(array, 0.6)
    closed = regulated(detected, 0.4, delay=delay)
    covariance = closed.equations.stationary_covariance()
    np.testing.assert_allclose(closed.conditional, conditional_covariance(detected), rtol=1e-13)
    np.testing.assert_allclose(covariance[:4, :4], closed.conditional + covariance[-4:, -4:], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(covariance[:4, -4:], covariance[-4:, -4:], rtol=1e-10, atol=1e-11)


def test_the_gain_and_the_cost_are_those_of_the_theory():
    rate, time = 0.4, WARM.equations.time_unit
    closed = regulated(WARM, rate)
    drift, push, price = WARM.equations.drift_matrix, np.array([[0.0], [1.0]]), (rate * time) ** 2
    value = linalg.solve_continuous_are(drift, push, np.eye(2), np.array([[1.0 / price]]))
    np.testing.assert_allclose(closed.control_gain, price * push.T @ value, rtol=1e-9)
    covariance = closed.equations.stationary_covariance()
    force = closed.control_gain @ covariance[2:, 2:] @ closed.control_gain.T / price
    cost = np.trace(covariance[:2, :2]) + force[0, 0]
    surprise = closed.filter_gain * WARM.relative_noise @ closed.filter_gain.T
    assert cost == pytest.approx(np.trace(closed.conditional) + np.trace(value @ surprise), rel=1e-9)
    # no cold damping costs less, whatever its gain and bandwidth
    for gain in (0.05, 0.2, 0.6):
        for width in (0.5, 2.0, 10.0):
            loop = cold_damping(WARM, gain, width)
            spread = loop.stationary_covariance()
            assert np.trace(spread[:2, :2]) > np.trace(covariance[:2, :2])


@pytest.mark.parametrize("efficiency", [1.0, 0.5, 0.12, 0.1])
def test_ground_state_cooling_takes_a_ninth_of_the_light(efficiency):
    found = regulated(Homodyne(one(1e-6), efficiency), 50.0).equations.stationary_covariance()
    n = quanta(found, 1)[0]
    assert n + 0.5 == pytest.approx(0.5 / math.sqrt(efficiency), rel=1e-5)
    assert (n < 1.0) == (efficiency > 1.0 / 9.0)


def test_strong_measurement_kicks_more_than_feedback_can_take_back():
    detected = Homodyne(one(0.3), 0.9)
    found = quanta(regulated(detected, 100.0).equations.stationary_covariance(), 1)[0]
    bound = quanta(conditional_covariance(detected), 1)[0]
    assert bound < found - 0.1
    assert found == pytest.approx(quanta(regulated(detected, 1e4).equations.stationary_covariance(), 1)[0], abs=0.01)


def test_a_delay_costs_and_is_paid_the_less_the_better_it_is_known():
    detected = Homodyne(one(0.05, damping=1e-3, temperature=3.0), 0.6)
    n = [
        quanta(regulated(detected, 1.0, delay=delay).equations.stationary_covariance(), 1)[0]
        for delay in (0, 0.3, 1, 3)
    ]
    assert n == sorted(n)
    assert n[-1] < 0.5  # half a period late
    with pytest.raises(UnstableError):
        cold_damping(detected, 0.2, 10.0, delay=3.0)


@pytest.mark.parametrize(("on_first", "on_second"), [(0.0, 0.05), (0.05, 0.0)])
def test_feedback_on_one_particle_cools_the_one_that_it_drives_and_no_other(on_first, on_second):
    common = 0.25j * (on_first - on_second)
    array = pair(on_first, on_second, 0.05, common=common, damping=0.02, temperature=20.0, stiffness=1.0)
    detected = Homodyne(array, 0.5, [0])
    before = quanta(detected.equations.stationary_covariance(), 2)
    loop = cold_damping(detected, 0.2, 20.0)
    after = quanta(loop.stationary_covariance(), 2)
    assert after[0] < 0.2 * before[0]
    sample, _ = simulated(loop, 2, 250.0, n_steps=40, n_trajectories=3000)
    assert np.abs(covariance_z(sample, loop.stationary_covariance()[:4, :4])).max() < 5.0
    assert np.abs(covariance_z(sample, detected.equations.stationary_covariance())).max() > 50.0
    if on_second:  # what the first one shakes it by is gone, and nothing else
        assert before[1] > 90.0
        assert 21.0 < after[1] < 24.0
        # watching both, forces on the first one alone cool the second below its bath
        aimed = regulated(Homodyne(array, 0.5), 0.5, actuators=[0], weight=[0.0, 1.0]).equations
        assert quanta(aimed.stationary_covariance(), 2)[1] < 7.0
    else:
        assert after[1] == pytest.approx(before[1], rel=1e-9)
        aimed = regulated(Homodyne(array, 0.5), 0.5, actuators=[0], weight=[0.0, 1.0]).equations
        np.testing.assert_allclose(quanta(aimed.stationary_covariance(), 2), before, rtol=1e-9)


def test_a_record_can_act_on_another_particle():
    array = pair(0.0, 0.05, 0.05, common=-0.0125j, damping=0.02, temperature=20.0, stiffness=1.0)
    before = quanta(Homodyne(array, 0.5).equations.stationary_covariance(), 2)
    crossed = cold_damping(Homodyne(array, 0.5, [1, 0]), [0.02, 0.2], 20.0, targets=[1, 0])
    straight = cold_damping(Homodyne(array, 0.5, [0, 1]), [0.2, 0.02], 20.0)
    np.testing.assert_allclose(
        quanta(crossed.stationary_covariance(), 2), quanta(straight.stationary_covariance(), 2), rtol=1e-9
    )
    other = cold_damping(Homodyne(array, 0.5, [1]), 0.01, 20.0, targets=[0])
    assert quanta(other.stationary_covariance(), 2)[1] != pytest.approx(before[1], rel=0.05)


@pytest.fixture(scope="module")
def unequal():
    """Two detected particles of other masses and frequencies, in a unit of time that is not one."""
    mass, omega = np.array([2e-18, 5e-18]), np.array([2e5, 9e5])
    array = Oscillators(
        mass=mass, stiffness=mass * omega**2, friction=1e3 * mass, bath_temperature=np.full(2, 1e-3),
        coupling=np.zeros((2, 2)), diffusion=np.diag(1e3 * constants.hbar * mass * omega),
    )  # fmt: skip
    assert array.langevin().time_unit != pytest.approx(1.0, rel=0.1)
    return Homodyne(array, 0.5)


def in_si(equations):
    """Drift of the coordinates in their units [1/s]."""
    return equations.drift_matrix * equations.unit[:, None] / equations.unit / equations.time_unit


@pytest.mark.parametrize("delay", [0.0, 2e-7])
def test_a_crossed_loop_pushes_as_told_in_si(unequal, delay):
    """What a velocity of one particle does to the other one, frequency by frequency, from the drift matrix alone."""
    rates, width = np.array([3e3, 5e2]), 4e6
    loop = cold_damping(unequal, rates, width, delay=delay, targets=[1, 0])
    drift = in_si(loop)
    for sensor, target in ((0, 1), (1, 0)):
        for omega in (1e5, 1e6, 3e6):
            inner = np.linalg.solve(-1j * omega * np.eye(len(drift) - 4) - drift[4:, 4:], drift[4:, sensor])
            found = drift[2 + target, sensor] + drift[2 + target, 4:] @ inner
            velocity = -1j * omega * width / (width - 1j * omega)
            expected = -rates[sensor] * velocity * np.exp(1j * omega * delay)
            assert abs(found / expected - 1.0) < 1e-5
    if delay:  # the coordinates of the delay hold the velocity over a time, in the unit of the particle pushed
        wait = pade_delay(delay, 4.0 * 9e5)
        for index, sensor in enumerate((0, 1)):
            line = slice(6 + index * wait.order, 6 + (index + 1) * wait.order)
            np.testing.assert_allclose(drift[line, sensor], wait.entry * width, rtol=1e-9)
            np.testing.assert_allclose(drift[line, line], wait.drift, rtol=1e-9, atol=1e-9 / delay)
            expected = loop.unit[2 + (1, 0)[index]] * math.sqrt(loop.time_unit)
            np.testing.assert_allclose(loop.unit[line], expected, rtol=1e-12)


def test_delayed_forces_are_accelerations_in_si(unequal):
    delay = 2e-7
    closed = regulated(unequal, 3e4, delay=delay, actuators=[1, 0]).equations
    drift, wait = in_si(closed), pade_delay(delay, 4.0 * 9e5)
    for index, actuator in enumerate((1, 0)):
        line = slice(4 + index * wait.order, 4 + (index + 1) * wait.order)
        # the control looks at the delay, too, and pushes at once and through it
        seen = (drift[2 + actuator, line] - wait.exit) / wait.direct
        np.testing.assert_allclose(drift[line, line], wait.drift + np.outer(wait.entry, seen), rtol=1e-9, atol=1e-2)
        assert np.abs(seen).max() < 0.1 * np.abs(wait.exit).max()
        # what enters the delay is what passes it at once, an acceleration, but for the sign of the latter
        at_once = drift[2 + actuator, -4:-2] / wait.direct
        np.testing.assert_allclose(drift[line, -4:-2], np.outer(wait.entry, at_once), rtol=1e-9, atol=1e-9)
        expected = closed.unit[2 + actuator] / math.sqrt(closed.time_unit)
        np.testing.assert_allclose(closed.unit[line], expected, rtol=1e-12)


@pytest.mark.parametrize(("own", "fastest"), [(2e5, 9e5), (3e6, 3e6)])
def test_the_phase_of_a_delay_is_right_up_to_the_fastest_of_array_and_loop(unequal, own, fastest):
    found = loop_delay(unequal, 5e-7, None, 1e-6, own)
    assert found.order == pade_delay(5e-7, 4.0 * fastest).order
    assert found.order > pade_delay(5e-7, 4.0 * 2e5).order
    assert loop_delay(unequal, 5e-7, 1e5, 1e-6, own).order == pade_delay(5e-7, 1e5).order


def test_one_oscillator_may_be_named_by_its_number():
    array = pair(0.0, 0.05, 0.05, common=-0.0125j, damping=0.02, temperature=20.0, stiffness=1.0)
    assert regulated(Homodyne(array, 0.5), 0.5, actuators=0).control_gain.shape == (1, 4)
    loops = [cold_damping(Homodyne(array, 0.5, 1), 0.01, 20.0, targets=one) for one in (0, [0])]
    np.testing.assert_array_equal(loops[0].drift_matrix, loops[1].drift_matrix)


def test_filters_are_integrated_and_named_in_units():
    loop = cold_damping(Homodyne(pair(0.1, 0.1, 0.2), 0.5, [1]), 0.2, 5.0, delay=0.2)
    names = [c.quantity for c in loop.coordinate]
    assert names[:5] == ["position", "position", "velocity", "velocity", "filter"]
    assert set(names[5:]) == {"delay"}
    assert all(c.particle == 1 for c in loop.coordinate[4:])


def test_si_and_reduced_units_agree():
    mass, omega = 9e-18, 2 * math.pi * 55e3
    recoil = RECOIL * omega * constants.hbar * mass * omega
    kelvin = TEMPERATURE * constants.hbar * omega / constants.k
    array = Oscillators(
        mass=[mass], stiffness=[mass * omega**2], friction=[DAMPING * mass * omega], bath_temperature=[kelvin],
        coupling=[[0.0]], diffusion=[[recoil]],
    )  # fmt: skip
    detected = Homodyne(array, EFFICIENCY)
    loops = (
        cold_damping(detected, 0.05 * omega, 10.0 * omega, delay=0.5 / omega),
        cold_damping(WARM, 0.05, 10.0, delay=0.5),
    )
    np.testing.assert_allclose(loops[0].stationary_covariance(), loops[1].stationary_covariance(), rtol=1e-7, atol=1e-9)
    assert loops[0].unit[2] == pytest.approx(math.sqrt(constants.hbar / (mass * omega)), rel=1e-12, abs=0)
    best = regulated(detected, 0.3 * omega, delay=0.5 / omega).equations, regulated(WARM, 0.3, delay=0.5).equations
    np.testing.assert_allclose(best[0].stationary_covariance(), best[1].stationary_covariance(), rtol=1e-7, atol=1e-9)


def test_nanospheres_in_high_vacuum_come_near_the_ground_state():
    scenario = sb.Scenario.from_toml("scenarios/rieser_like_pair.toml")
    scenario = scenario.model_copy(update={"gas": scenario.gas.model_copy(update={"pressure": 1e-7})})
    detected = Homodyne(scenario.oscillators(), 0.8)
    found = regulated(detected, 1e7, delay=2e-7).equations
    covariance = found.stationary_covariance()
    known = conditional_covariance(detected)
    assert (quanta(covariance, 2) > quanta(known, 2)).all()
    assert quanta(covariance, 2).max() < 3.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cold_damping(WARM, [0.1, 0.2], 1.0), "`gain` must have shape"),
        (lambda: cold_damping(WARM, 0.1, 0.0), "`bandwidth` must be positive"),
        (lambda: cold_damping(WARM, 0.1, 1.0, targets=[1]), "`targets` must be at most 0"),
        (lambda: cold_damping(WARM, 0.1, 1.0, targets=[0, 0]), "must name 1 oscillators"),
        (lambda: cold_damping(WARM, 0.1, 1.0, delay=50.0), "A delay of 50 is too long"),
        (lambda: cold_damping(WARM, 0.1, 1.0, delay=-1.0), "`delay` must be zero or positive"),
        (lambda: cold_damping(WARM, 0.1, 1.0, targets=0.5), "`targets` must be a whole number"),
        (lambda: regulated(WARM, 1.0, actuators=1), "`actuators` must be at most 0"),
        (lambda: regulated(WARM, 0.0), "`control_rate` must be positive"),
        (lambda: regulated(WARM, 1.0, actuators=[]), "one or more different modes"),
        (lambda: regulated(WARM, 1.0, actuators=[0, 0]), "one or more different modes"),
        (lambda: regulated(WARM, 1.0, weight=[-1.0]), "`weight` must be zero or positive"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ScenarioError, match=message):
        call()


def test_motion_out_of_reach_is_refused():
    apart = Homodyne(pair(0.0, 0.0, 0.4), 0.5)
    with pytest.raises(UnstableError, match="within reach of the `actuators`"):
        regulated(apart, 1.0, actuators=[0])
