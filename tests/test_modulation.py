"""Running phases: the closed forms against the full equations, and both against trajectories."""

import numpy as np
import pytest

import stochbind as sb
from stochbind.analysis.gaussian_states import recorded_state
from stochbind.errors import ScenarioError
from stochbind.optics import pairs
from stochbind.quantum import entanglement, modulation, squeezing, states, symplectic
from stochbind.quantum import master_equation as me

DIFFERENCE = np.array([[-1.0, 1.0]]) / np.sqrt(2)
G = 1.0
VACUUM = states.vacuum(2)


def quadrature(angle):
    """Of the difference mode, at an angle from z."""
    return np.array([-np.cos(angle), np.cos(angle), -np.sin(angle), np.sin(angle)]) / np.sqrt(2)


@pytest.mark.parametrize("n_half_waves", [4, 5])
@pytest.mark.parametrize("recoil", [0.5, 1.0, 2.0, 5.0])
def test_the_squeezed_variance_tends_to_recoil_over_twice_the_coupling(recoil, n_half_waves):
    kd, omega = n_half_waves * np.pi, 100.0
    protocol = modulation.running_phase(kd, G * kd, recoil, omega)
    begin = round(4.0 / protocol.duration)
    course = [
        squeezing.mode_variance(
            symplectic.mixed(protocol.moments((begin + part) * protocol.duration, VACUUM).covariance, DIFFERENCE)
        )[0]
        for part in np.arange(16) / 16
    ]
    # within a turn it swings by g/omega, which the rotating frame does not show
    assert np.mean(course) == pytest.approx(recoil / (2 * G), rel=1e-3)
    assert np.abs(np.array(course) / (recoil / (2 * G)) - 1).max() < 1.5 * G / omega
    assert (np.mean(course) >= 0.4999) == (recoil >= G)
    closed = modulation.squeezed_pair(kd, G * kd, recoil, 4.0)
    assert np.mean(course) == pytest.approx(closed.squeezed, rel=2e-3)
    assert modulation.squeezed_pair(kd, G * kd, recoil, np.inf).squeezed == pytest.approx(recoil / 2, rel=1e-12)


@pytest.mark.parametrize("phase", [0.0, 0.7])
def test_the_rotating_frame_is_the_limit_of_the_full_equations(phase):
    kd, recoil, gas = 14.0, 0.8, {"damping": 0.3, "occupation": 2.0}
    error = []
    for omega in (100.0, 200.0, 400.0):
        protocol = modulation.running_phase(kd, G * kd, recoil, omega, phase=phase, n_pieces=128, **gas)
        time = round(1.2 / protocol.duration) * protocol.duration
        full = modulation.to_rotating_frame(protocol.moments(time, VACUUM).covariance, omega * time)
        averaged = next(
            me.evolved(modulation.rotating_frame(kd, G * kd, recoil, phase=phase, **gas), VACUUM.covariance, time)
        )
        error.append(np.abs(full - averaged).max() / np.abs(averaged).max())
    assert error[0] < 0.02
    assert error[1] / error[0] == pytest.approx(0.5, abs=0.12)
    assert error[2] / error[1] == pytest.approx(0.5, abs=0.12)
    # twins: the other phase, the other distance, and no correlated recoil are all further away
    for wrong in (
        modulation.rotating_frame(kd, G * kd, recoil, phase=phase + 0.3, **gas),
        modulation.rotating_frame(-kd + 10 * np.pi, G * (-kd + 10 * np.pi), recoil, phase=phase, **gas),
        modulation.rotating_frame(kd, G * kd, recoil, phase=phase, **gas)._replace(noise=(recoil + 0.75) * np.eye(4)),
    ):
        assert np.abs(full - next(me.evolved(wrong, VACUUM.covariance, time))).max() / np.abs(full).max() > 0.05


@pytest.mark.parametrize("kd", [4 * np.pi, 13.1, 14.0, 15.0, 5 * np.pi])
@pytest.mark.parametrize("gas", [{}, {"damping": 0.4, "occupation": 1.5}])
def test_closed_form_of_the_difference_mode(kd, gas):
    recoil, time = 0.7, 0.9
    found = next(me.evolved(modulation.rotating_frame(kd, G * kd, recoil, **gas), VACUUM.covariance, time))
    closed = modulation.squeezed_pair(kd, G * kd, recoil, time, **gas)
    quiet = quadrature(np.sign(np.cos(kd)) * np.pi / 4)
    loud = quadrature(-np.sign(np.cos(kd)) * np.pi / 4)
    assert quiet @ found @ quiet == pytest.approx(closed.squeezed, rel=1e-10)
    assert loud @ found @ loud == pytest.approx(closed.antisqueezed, rel=1e-10)
    assert closed.squeezed < closed.antisqueezed


def test_at_the_edge_of_growth_the_variance_grows_evenly():
    kd = 4 * np.pi
    one = modulation.squeezed_pair(kd, G * kd, 0.3, 2.0, damping=2.0)
    assert one.antisqueezed == pytest.approx(0.5 + (0.3 + 1.0) * 2.0)
    near = modulation.squeezed_pair(kd, G * kd, 0.3, 2.0, damping=2.0 + 1e-9)
    assert near.antisqueezed == pytest.approx(one.antisqueezed, rel=1e-7)
    assert modulation.squeezed_pair(kd, G * kd, 0.3, np.inf).antisqueezed == np.inf
    damped = modulation.squeezed_pair(kd, G * kd, 0.3, np.inf, damping=3.0)
    assert damped.antisqueezed == pytest.approx((0.3 + 1.5) / (3.0 - 2.0))


@pytest.mark.parametrize("kd", [4 * np.pi, 12.9, 13.35, 14.0, 4.5 * np.pi, 15.3])
def test_thresholds_in_the_rotating_frame(kd):
    """Squeezing of the vacuum needs less recoil than g sqrt((1 + |cos kd|) / 2), entanglement less than g/2."""
    squeezes = float(modulation.squeezing_threshold(kd, G * kd))
    assert abs(np.cos(kd)) * G - 1e-12 <= squeezes <= G
    for edge, measure, limit in (
        (squeezes, squeezing.smallest_variance, 0.5),
        (0.5, entanglement.transposed_eigenvalue, 0.5),
    ):
        for ratio, quiet in ((0.999, True), (1.001, False)):
            equation = modulation.rotating_frame(kd, G * kd, ratio * edge)
            course = measure(np.array(list(me.evolved(equation, VACUUM.covariance, 1e-5, 20))))
            assert (course.min() < limit) == quiet
            late = measure(np.array(list(me.evolved(equation, VACUUM.covariance, 0.02, 100))))
            assert quiet or late.min() >= limit
        assert entanglement.creates_no_negativity(modulation.rotating_frame(kd, G * kd, 0.5 * G * 1.001))
        assert not entanglement.creates_no_negativity(modulation.rotating_frame(kd, G * kd, 0.5 * G * 0.999))


def lowest(recoil, omega, start=VACUUM, *, duration=2.5, measure=entanglement.transposed_eigenvalue):
    """Smallest value over time with the running phase, in all detail, at kd of whole turns."""
    kd, pieces = 4 * np.pi, 64
    length = np.pi / omega / pieces
    phase = 2 * omega * length * (np.arange(pieces) + 0.5)
    stack = me.pair_generator(pairs.far_field_rates(kd, phase, G * kd, recoil), omega)
    steps = [me.equations_of_motion(me.Generator(*one)).propagator(length) for one in zip(*stack, strict=True)]
    v, found = start.covariance, []
    for i in range(round(duration / length)):
        step = steps[i % pieces]
        v = step.matrix @ v @ step.matrix.T + step.covariance
        found.append(v)
    return measure(np.array(found)).min()


def test_entanglement_with_a_running_phase():
    # never with as much recoil as coupling, of whatever product state
    for start in (VACUUM, states.squeezed([1.5, 1.5]), states.squeezed([1.2, -1.2], 0.3)):
        assert lowest(1.001, 20.0, start) >= 0.5 - 1e-12
    # below that at once, by the order of g/omega, since at the start the phase is zero
    assert 0 < 0.5 - lowest(0.9, 20.0) < 2e-3
    assert 0 < 0.5 - lowest(0.9, 100.0) < 2e-4
    # what builds up over many turns needs the recoil of the rotating frame, g/2
    assert 0.5 - lowest(0.55, 100.0) < 2e-3
    assert 0.5 - lowest(0.4, 100.0) > 0.03


def test_transient_squeezing_beyond_the_rotating_frame():
    deep = [0.5 - lowest(1.5, omega, measure=squeezing.smallest_variance) for omega in (50.0, 100.0)]
    assert 0 < deep[1] < G / 100.0
    assert deep[0] / deep[1] == pytest.approx(2.0, rel=0.1)


def test_trajectories_with_a_running_phase():
    kd, omega = 4 * np.pi, 60.0
    protocol = modulation.running_phase(kd, G * kd, 0.3, omega)
    assert protocol.duration == pytest.approx(np.pi / omega)
    step = 4 * protocol.duration
    record = sb.simulate(protocol, step=step, n_steps=5, save_every=5, n_trajectories=300_000, initial=VACUUM, seed=3)
    found = recorded_state(record, protocol.equations)
    exact = protocol.moments(found.time, VACUUM).covariance
    covariance = found.covariance()
    assert np.abs(covariance.z(exact)).max() < 5
    for function in (
        entanglement.transposed_eigenvalue,
        entanglement.logarithmic_negativity,
        squeezing.smallest_variance,
        symplectic.symplectic_eigenvalues,
    ):
        estimate, truth = found.estimate(function), function(exact)
        assert np.abs(estimate.z(truth)).max() < 5
        np.testing.assert_allclose(estimate.value, truth, rtol=0.01 if truth.min() > 0.25 else 0.03)
    assert squeezing.smallest_variance(exact) < 0.2
    # twins: a phase that stays, or runs the other way
    still = me.pair_generator(pairs.far_field_rates(kd, 0.0, G * kd, 0.3), omega)
    *_, wrong = me.evolved(still, VACUUM.covariance, step, 5)
    assert np.abs(covariance.z(wrong)).max() > 20


def test_records_in_si():
    unit = np.array([1e-12, 1e-12, 1e-6, 1e-6])
    protocol = modulation.running_phase(13.0, 13e3, 1e4, 3e5, unit=unit, reduced=False, phase_rate=5e5)
    assert protocol.duration == pytest.approx(2 * np.pi / 5e5)
    np.testing.assert_array_equal(protocol.equations.unit, unit)
    assert not protocol.equations.reduced


def test_rotation_of_the_frame():
    v = states.squeezed([0.5, -0.2], [0.1, 0.9]).covariance
    angle = np.array([0.0, 0.6])
    turned = modulation.to_rotating_frame(v, angle)
    expected = [states.squeezed([0.5, -0.2], [0.1 + a, 0.9 + a]).covariance for a in angle]
    np.testing.assert_allclose(turned, expected, atol=1e-14)
    # free motion stands still in it
    free = me.generator(3.0 * np.eye(4), np.zeros((4, 4)))
    after = next(me.evolved(free, v, 0.2))
    np.testing.assert_allclose(modulation.to_rotating_frame(after, 0.6), v, atol=1e-12)
    assert np.abs(modulation.to_rotating_frame(after, -0.6) - v).max() > 0.1


BAD = [
    (lambda: modulation.running_phase(13.0, 13.0, 1.0, 0.0), "`frequency`"),
    (lambda: modulation.running_phase(13.0, 13.0, 1.0, 9.0, phase_rate=-1.0), "`phase_rate`"),
    (lambda: modulation.running_phase(-1.0, 13.0, 1.0, 9.0), "`distance_phase`"),
    (lambda: modulation.rotating_frame(13.0, 13.0, -1.0), "`recoil`"),
    (lambda: modulation.rotating_frame(13.0, 13.0, 1.0, damping=-1.0), "`damping`"),
    (lambda: modulation.squeezed_pair(13.0, 13.0, 1.0, -1.0), "`time`"),
    (lambda: modulation.squeezed_pair(13.0, -13.0, 1.0, 1.0), "`strength`"),
    (lambda: modulation.squeezing_threshold(0.0, 1.0), "`distance_phase`"),
    (lambda: modulation.to_rotating_frame(np.eye(4), np.nan), "`angle`"),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input(call, message):
    with pytest.raises(ScenarioError, match=message):
        call()
