"""Delays as linear coordinates: Pade's approximants by another route, and how good they are."""

import math

import numpy as np
import pytest
from scipy import linalg

from stochbind.errors import ScenarioError
from stochbind.quantum.delays import pade_delay


@pytest.mark.parametrize("band", [0.01, 0.5, 2.0, 6.0, 12.0])
def test_it_is_pades_approximant_of_the_exponential(band):
    delay = pade_delay(2.0, band / 2.0, tolerance=1e-4)
    m = delay.order
    share = [math.comb(m, k) * math.factorial(2 * m - k) / math.factorial(2 * m) for k in range(m + 1)]
    for angle in (0.0, 0.3, band):
        above, below = (sum(c * (sign * 1j * angle) ** k for k, c in enumerate(share)) for sign in (1, -1))
        expected = above / below
        assert delay.response(angle / 2.0) == pytest.approx(expected, rel=1e-6)
        assert abs(delay.response(angle / 2.0)) == pytest.approx(1.0, rel=1e-13)


def test_the_phase_is_as_told_and_no_lower_order_is_enough():
    delay = pade_delay(3e-6, 2 * math.pi * 4e5, tolerance=1e-5)
    for share in (0.1, 0.5, 0.9, 1.0):
        omega = share * 2 * math.pi * 4e5
        off = np.angle(delay.response(omega) * np.exp(-1j * omega * 3e-6))
        assert abs(off) <= delay.phase_error * (1 + 1e-6) <= 1e-5
    assert pade_delay(3e-6, 2 * math.pi * 4e5, tolerance=1.01 * delay.phase_error).order == delay.order
    assert pade_delay(3e-6, 2 * math.pi * 4e5, tolerance=0.99 * delay.phase_error).order == delay.order + 1
    assert pade_delay(3e-6, 2 * math.pi * 4e5, tolerance=1e-12).order > delay.order


@pytest.mark.parametrize(("duration", "order"), [(20.0, 11), (15.0, 8), (25.0, 13), (28.0, 15), (32.0, 17)])
def test_a_phase_that_has_lost_whole_turns_is_not_taken_for_right(duration, order):
    """At a tolerance so wide that lower orders, a turn or more behind, look right as complex numbers do."""
    delay = pade_delay(duration, 1.0, tolerance=0.5)
    assert delay.order == order
    angle = np.linspace(0.0, 1.0, 401)
    phase = np.unwrap(np.angle([delay.response(omega) for omega in angle]))
    assert np.abs(phase - duration * angle).max() <= 0.5


def test_a_pulse_comes_out_after_the_delay_and_white_noise_as_white():
    delay = pade_delay(1.0, 22.0)
    # The answer to a smooth pulse: a Gaussian far from its own beginning.
    time = np.linspace(0.0, 4.0, 4001)
    # Exact for an input that is straight between the times.
    straight = np.zeros((delay.order + 2, delay.order + 2))
    straight[:-2, :-2], straight[:-2, -2], straight[-2, -1] = delay.drift, delay.entry, 1.0
    step = linalg.expm(straight * 0.001)
    held, ramp = step[:-2, -2], step[:-2, -1] / 0.001
    pulse = np.exp(-((time - 1.0) ** 2) / 2 / 0.2**2)
    state, out = np.zeros(delay.order), []
    for now, after in zip(pulse, np.append(pulse[1:], 0.0), strict=True):
        out.append(delay.exit @ state + delay.direct * now)
        state = step[:-2, :-2] @ state + (held - ramp) * now + ramp * after
    assert np.abs(np.array(out) - np.exp(-((time - 2.0) ** 2) / 2 / 0.2**2)).max() < 1e-4
    # white noise fills every coordinate alike: it is a lossless line
    filled = linalg.solve_continuous_lyapunov(delay.drift, -np.outer(delay.entry, delay.entry))
    np.testing.assert_allclose(filled, np.eye(delay.order), atol=1e-11)


def test_no_delay_has_no_coordinates():
    none = pade_delay(0.0, 1.0)
    assert none.order == 0
    assert none.response(7.0) == 1.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"duration": 1.0, "band": 100.0}, "off by .* rad there"),
        ({"duration": -1.0, "band": 1.0}, "`duration` must be zero or positive"),
        ({"duration": 1.0, "band": 0.0}, "`band` must be positive"),
        ({"duration": 1.0, "band": 1.0, "tolerance": 0.0}, "`tolerance` must be positive"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(ScenarioError, match=message):
        pade_delay(**given)
