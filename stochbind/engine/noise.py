r"""Counter-based normals: noise as a function of (seed, stream, trajectory, step, component), and of nothing else.

One Philox4x32-10 block gives four 32-bit words, these two uniforms of 53 bits and two more bits, and these, by Box and
Muller, two normals: components 2b and 2b + 1. A uniform and the two bits make the angle: one within a quarter turn,
and which quarter. The key of the cipher is the seed; its counter holds the rest:

===== ======================================================
word  content
===== ======================================================
0     step, low 32 bits
1     trajectory, low 32 bits
2     pair b of components
3     step, high 16 bits; trajectory, high 8 bits; stream, 8 bits
===== ======================================================

Logarithm, sine and cosine are polynomials of our own, so that only correctly rounded operations remain (sums,
products, quotients, square roots): the numbers are the same on every processor and with every version of every
library. This module is the readable reference in NumPy; `stochbind.engine.kernels` makes the same bits in compiled
loops; the tests tie the two.
Normals reach to 8.6 standard deviations, where the true probability of more is 1e-17.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray

LARGEST_STEP = 2**48 - 1
LARGEST_TRAJECTORY = 2**40 - 1

#: Version of the map from keys to numbers: part of every plan, so that old runs are never continued with other noise.
SCHEME = "philox4x32-10/box-muller/2"

PHILOX_MULTIPLIER = (0xD2511F53, 0xCD9E8D57)
PHILOX_WEYL = (0x9E3779B9, 0xBB67AE85)

#: log m = 2 s (1 + s^2/3 + s^4/5 + ...) with s = (m - 1)/(m + 1) below 0.1716: this and the next two are polynomials in
#: the square, last coefficient first, that interpolate at Chebyshev nodes; right to 2e-17.
LOG_COEFFICIENT = (
    0.07308224842521703,
    0.07665860800278021,
    0.09091444562630861,
    0.1111110556739754,
    0.14285714312987743,
    0.19999999999949752,
    0.3333333333333335,
    1.0,
)
LOG_2 = 0.6931471805599453
SQRT_HALF_MANTISSA = 0x6A09E667F3BCD  # of sqrt(2) in [1, 2): mantissas from here on are halved

#: sin(y)/y and cos(y) up to y = pi/4.
SIN_COEFFICIENT = (
    1.5918129294866608e-10,
    -2.5051131845003624e-08,
    2.755731610255244e-06,
    -0.00019841269836758574,
    0.008333333333330948,
    -0.16666666666666666,
    1.0,
)
COS_COEFFICIENT = (
    -1.1367998654022494e-11,
    2.0875886738047052e-09,
    -2.7557315566341895e-07,
    2.480158729369346e-05,
    -0.0013888888888880775,
    0.04166666666666664,
    -0.5,
    1.0,
)
HALF_PI = 1.5707963267948966


class Stream(IntEnum):
    """Every use of noise, in one place, so that no two share a stream by accident. Numbers are never reused."""

    INITIAL_STATE = 0
    BATH = 1


def counter_words(stream: int, trajectory: Any, step: Any, pair: Any) -> tuple[Any, Any, Any, Any]:
    """The four counter words of a Philox block, as uint64 that hold 32 bits each; arguments broadcast."""
    trajectory, step, pair = (np.asarray(value, dtype=np.uint64) for value in (trajectory, step, pair))
    low = np.uint64(0xFFFFFFFF)
    last = ((step >> np.uint64(32)) << np.uint64(16)) | ((trajectory >> np.uint64(32)) << np.uint64(8))
    return step & low, trajectory & low, pair & low, last | np.uint64(stream)


def philox4x32(counter: tuple[Any, Any, Any, Any], key: tuple[int, int], rounds: int = 10) -> tuple[Any, ...]:
    """Philox4x32, on uint64 that hold 32 bits each.

    Parameters
    ----------
    counter : tuple of 4 arrays of uint64
        Counter words, which broadcast.
    key : tuple of 2 int
        Key words.
    rounds : int
        Number of rounds.

    Returns
    -------
    tuple of 4 arrays of uint64
        Random words of 32 bits.

    References
    ----------
    Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11 (2011).
    """
    low, shift = np.uint64(0xFFFFFFFF), np.uint64(32)
    c0, c1, c2, c3 = counter
    for index in range(rounds):
        k0 = np.uint64((key[0] + index * PHILOX_WEYL[0]) & 0xFFFFFFFF)
        k1 = np.uint64((key[1] + index * PHILOX_WEYL[1]) & 0xFFFFFFFF)
        first = np.uint64(PHILOX_MULTIPLIER[0]) * c0
        second = np.uint64(PHILOX_MULTIPLIER[1]) * c2
        c0, c1, c2, c3 = (
            (second >> shift) ^ c1 ^ k0,
            second & low,
            (first >> shift) ^ c3 ^ k1,
            first & low,
        )
    return c0, c1, c2, c3


def log(x: FloatArray) -> FloatArray:
    """Natural logarithm of positive normal numbers, to two units in the last place of its terms."""
    bits = np.asarray(x, dtype=np.float64).view(np.int64)
    fraction = bits & np.int64(0xFFFFFFFFFFFFF)
    halved = (fraction >= np.int64(SQRT_HALF_MANTISSA)).astype(np.int64)
    exponent = (bits >> np.int64(52)) - np.int64(1023) + halved
    mantissa = (fraction | ((np.int64(1023) - halved) << np.int64(52))).view(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    series = np.full_like(s, LOG_COEFFICIENT[0])
    for coefficient in LOG_COEFFICIENT[1:]:
        series = series * square + coefficient
    result: FloatArray = exponent.astype(np.float64) * LOG_2 + 2.0 * s * series
    return result


def cos_sin_turn(turn: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cosine and sine of ``2 pi turn`` for 0 <= turn < 1."""
    return cos_sin_quarters(turn * 4.0)


def cos_sin_quarters(quarters: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cosine and sine of so many quarters of a turn, 0 to 4."""
    quadrant = np.floor(quarters + 0.5)
    cosine, sine = _cos_sin_eighth((quarters - quadrant) * HALF_PI)
    index = quadrant.astype(np.int64) & np.int64(3)
    odd = (index & np.int64(1)) == 1
    cos_sign = np.where((index == 1) | (index == 2), -1.0, 1.0)
    sin_sign = np.where(index >= 2, -1.0, 1.0)
    return cos_sign * np.where(odd, sine, cosine), sin_sign * np.where(odd, cosine, sine)


def _cos_sin_eighth(y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Cosine and sine up to an eighth of a turn either way."""
    square = y * y
    sine = np.full_like(y, SIN_COEFFICIENT[0])
    for coefficient in SIN_COEFFICIENT[1:]:
        sine = sine * square + coefficient
    cosine = np.full_like(y, COS_COEFFICIENT[0])
    for coefficient in COS_COEFFICIENT[1:]:
        cosine = cosine * square + coefficient
    return cosine, sine * y


def normals(seed: int, stream: int, trajectory: npt.ArrayLike, step: npt.ArrayLike, n_components: int) -> FloatArray:
    r"""Standard normals by their key.

    Parameters
    ----------
    seed : int
        0 to 2^64 - 1.
    stream : int
        A member of `Stream`.
    trajectory, step : array_like of int
        Indices, which broadcast; below 2^40 and 2^48.
    n_components : int
        Number of normals for each index.

    Returns
    -------
    (n_components, ...) float
        Normals; the trailing axes are those of the indices.
    """
    trajectory, step = np.broadcast_arrays(np.asarray(trajectory, dtype=np.uint64), np.asarray(step, dtype=np.uint64))
    result = np.empty((n_components, *trajectory.shape))
    key = (seed & 0xFFFFFFFF, (seed >> 32) & 0xFFFFFFFF)
    for pair in range((n_components + 1) // 2):
        w0, w1, w2, w3 = philox4x32(counter_words(stream, trajectory, step, np.uint64(pair)), key)
        first, second = uniforms(w0, w1, w2, w3)
        cosine, sine = _cos_sin_eighth((second - 0.5) * HALF_PI)
        swapped = (w3 & np.uint64(1)) == 1
        length = np.where((w3 & np.uint64(2)) == 2, -1.0, 1.0) * np.sqrt(-2.0 * log(first))
        result[2 * pair] = length * np.where(swapped, sine, cosine)
        if 2 * pair + 1 < n_components:
            result[2 * pair + 1] = length * np.where(swapped, cosine, sine)
    return result


def uniforms(w0: Any, w1: Any, w2: Any, w3: Any) -> tuple[FloatArray, FloatArray]:
    """Two uniforms in (0, 1], never zero, of 53 bits each; the two lowest bits of the last word are not in them."""
    first = (w0 >> np.uint64(5)) * np.uint64(67108864) + (w1 >> np.uint64(6))
    second = (w2 >> np.uint64(5)) * np.uint64(67108864) + (w3 >> np.uint64(6))
    scale = 1.0 / 9007199254740992.0
    # uint64 to float64 is exact below 2^53; through int64, which has a vector instruction.
    return tuple((word.astype(np.int64).astype(np.float64) + 1.0) * scale for word in (first, second))
