"""Sine, cosine and exponential of our own, against mpmath and compiled."""

import math

import mpmath
import numba
import numpy as np
import pytest
from numba.extending import register_jitable

from stochbind import elementary
from stochbind.elementary import cos_sin, decay

register_jitable(cos_sin)
register_jitable(decay)


@numba.njit(error_model="numpy")
def compiled(angle, cosine, sine):
    for b in range(len(angle)):
        cosine[b], sine[b] = cos_sin(angle[b])


@numba.njit(error_model="numpy")
def compiled_decay(x, out):
    for b in range(len(x)):
        out[b] = decay(x[b])


def angles(top, n=2000):
    rng = np.random.default_rng(int(top))
    near = np.round(rng.uniform(-top, top, n) / (math.pi / 4)) * (math.pi / 4)  # where quadrants change, and zeros
    return np.concatenate([rng.uniform(-top, top, n), near, np.nextafter(near, np.inf)])


def error(found, angle):
    with mpmath.workdps(40):
        exact = [(mpmath.cos(mpmath.mpf(float(a))), mpmath.sin(mpmath.mpf(float(a)))) for a in angle]
        return max(
            float(abs(mpmath.mpf(float(value)) - truth))
            for values, truths in zip(found, zip(*exact, strict=True), strict=True)
            for value, truth in zip(values, truths, strict=True)
        )


@pytest.mark.parametrize("top", [1.0, 1e3, 1e5, elementary.LARGEST_ANGLE])
def test_cos_sin_against_mpmath(top):
    angle = angles(top)
    assert error(cos_sin(angle), angle) < 3e-16


def test_a_reduction_by_one_part_is_seen():
    angle = angles(1e5)
    rounded = (angle * (2 / math.pi)) % 4.0  # the twin: pi/2 to 53 bits only
    assert error((np.cos(rounded * (math.pi / 2)), np.sin(rounded * (math.pi / 2))), angle) > 1e-13


def test_compiled_loops_give_the_same_bits():
    angle = np.concatenate([angles(1e3), angles(1e6)])
    cosine, sine = np.empty_like(angle), np.empty_like(angle)
    compiled(angle, cosine, sine)
    expected = cos_sin(angle)
    assert np.array_equal(cosine, expected[0])
    assert np.array_equal(sine, expected[1])
    one = [cos_sin(float(a)) for a in angle[:100]]
    assert np.array_equal(one, np.stack(expected, axis=1)[:100])


def test_a_trajectory_that_blew_up_stays_seen():
    with np.errstate(all="ignore"):
        assert np.isnan(cos_sin(np.array([np.inf, -np.inf, np.nan]))).all()


# ---------------------------------------------------------------------- decay


def exponents(n=3000):
    rng = np.random.default_rng(5)
    change = (np.arange(int(elementary.LARGEST_DECAY / math.log(2))) + 0.5) * math.log(2)  # where the power of two does
    near = np.concatenate([np.nextafter(change, 0.0), np.nextafter(change, np.inf)])
    ends = [0.0, 1e-300, 1e-17, 1e-9, elementary.LARGEST_DECAY]
    return np.concatenate([rng.uniform(0.0, elementary.LARGEST_DECAY, n), rng.uniform(0.0, 1.0, n), near, ends])


def relative_error(found, x):
    with mpmath.workdps(40):
        exact = [mpmath.exp(-mpmath.mpf(float(value))) for value in x]
        return max(float(abs(mpmath.mpf(float(a)) / b - 1)) for a, b in zip(found, exact, strict=True))


def test_decay_against_mpmath():
    x = exponents()
    assert relative_error(decay(x), x) < 3e-16
    assert decay(0.0) == 1.0


def test_a_reduction_of_the_exponent_by_one_part_is_seen():
    x = exponents(500)
    n = np.floor(x / math.log(2) + 0.5)
    assert relative_error(np.exp(n * math.log(2) - x) * 0.5**n, x) > 1e-15  # the twin: log(2) to 53 bits only


def test_compiled_decay_has_the_same_bits():
    x = exponents()
    out = np.empty_like(x)
    compiled_decay(x, out)
    assert np.array_equal(out, decay(x))
    assert [decay(float(value)) for value in x[:100]] == list(out[:100])
    with np.errstate(all="ignore"):
        assert np.isnan(decay(np.array([np.inf, np.nan]))).all()
