r"""Elementary functions for force fields: the same bits in NumPy and compiled, on every processor.

They hold only correctly rounded operations (sums, products, `numpy.floor`), no branches, and no call that keeps a
compiled loop from being vectorised. `numpy.sqrt` is correctly rounded too, and needs no function of our own.
A function written with these works on numbers, on arrays, and inside a compiled loop.
"""

from __future__ import annotations

from typing import Any

import numpy as np

#: Largest argument of `cos_sin` for which its error is as stated.
LARGEST_ANGLE = 1e6

_TWO_OVER_PI = 0.6366197723675814
# pi/2 in three parts. The first two have 33 bits, so that their products with a quadrant below 2^20 are exact.
_HALF_PI_1 = 1.5707963267341256
_HALF_PI_2 = 6.077100506303966e-11
_HALF_PI_3 = 2.0222662487959506e-21

# Taylor coefficients of sin(y)/y and cos(y) in y^2; up to y = pi/4 the terms left out are below 1e-17.
_S3, _S5, _S7, _S9 = -1.0 / 6.0, 1.0 / 120.0, -1.0 / 5040.0, 1.0 / 362880.0
_S11, _S13, _S15, _S17 = -1.0 / 39916800.0, 1.0 / 6227020800.0, -1.0 / 1307674368000.0, 1.0 / 355687428096000.0
_C2, _C4, _C6, _C8 = -0.5, 1.0 / 24.0, -1.0 / 720.0, 1.0 / 40320.0
_C10, _C12, _C14, _C16 = -1.0 / 3628800.0, 1.0 / 479001600.0, -1.0 / 87178291200.0, 1.0 / 20922789888000.0

#: Largest argument of `decay`.
LARGEST_DECAY = 88.0

_ONE_OVER_LOG_2 = 1.4426950408889634
# log(2) in two parts, the first of 33 bits: its products with whole numbers below 2^20 are exact.
_LOG_2_1 = 0.6931471804855391
_LOG_2_2 = 7.440617110012397e-11

# Taylor coefficients of exp(y); up to y = log(2)/2 the terms left out are below 1e-17.
_E3, _E4, _E5, _E6 = 1.0 / 6.0, 1.0 / 24.0, 1.0 / 120.0, 1.0 / 720.0
_E7, _E8, _E9, _E10 = 1.0 / 5040.0, 1.0 / 40320.0, 1.0 / 362880.0, 1.0 / 3628800.0
_E11, _E12, _E13, _E14 = 1.0 / 39916800.0, 1.0 / 479001600.0, 1.0 / 6227020800.0, 1.0 / 87178291200.0


def cos_sin(angle: Any) -> tuple[Any, Any]:
    r"""Cosine and sine, to an absolute error below 3e-16.

    The angle is reduced to :math:`|y| \le \pi/4` by subtracting a multiple of :math:`\pi/2` in three parts (Cody and
    Waite); the Taylor series of both functions are exchanged and signed by products with exact zeros and ones.

    Parameters
    ----------
    angle : float or (...) float
        [rad]; up to `LARGEST_ANGLE` in absolute value. Beyond, the numbers mean nothing.

    Returns
    -------
    cosine, sine : float or (...) float
        Same shape.
    """
    quadrant = np.floor(angle * _TWO_OVER_PI + 0.5)
    y = ((angle - quadrant * _HALF_PI_1) - quadrant * _HALF_PI_2) - quadrant * _HALF_PI_3
    w = y * y
    series = w * (_S9 + w * (_S11 + w * (_S13 + w * (_S15 + w * _S17))))
    sine = y + y * (w * (_S3 + w * (_S5 + w * (_S7 + series))))
    series = w * (_C10 + w * (_C12 + w * (_C14 + w * _C16)))
    cosine = 1.0 + w * (_C2 + w * (_C4 + w * (_C6 + w * (_C8 + series))))
    half = np.floor(quadrant * 0.5)
    odd = quadrant - 2.0 * half
    even = 1.0 - odd
    sin_sign = 1.0 - 2.0 * (half - 2.0 * np.floor(half * 0.5))
    cos_sign = sin_sign * (even - odd)
    return cos_sign * (even * cosine + odd * sine), sin_sign * (even * sine + odd * cosine)


def decay(x: Any) -> Any:
    r"""Exponential decay :math:`e^{-x}`, to a relative error below 3e-16.

    :math:`-x = y - n \log 2` with :math:`|y| \le \tfrac12 \log 2`; the Taylor series of :math:`e^y` times
    :math:`2^{-n}`, the product of one factor for each binary digit of n, all of them exact.

    Parameters
    ----------
    x : float or (...) float
        From 0 to `LARGEST_DECAY`. Beyond, the numbers mean nothing.

    Returns
    -------
    float or (...) float
        Same shape.
    """
    n = np.floor(x * _ONE_OVER_LOG_2 + 0.5)
    y = (n * _LOG_2_1 - x) + n * _LOG_2_2
    series = y * (_E9 + y * (_E10 + y * (_E11 + y * (_E12 + y * (_E13 + y * _E14)))))
    series = y * (_E3 + y * (_E4 + y * (_E5 + y * (_E6 + y * (_E7 + y * (_E8 + series))))))
    result = 1.0 + (y + y * (y * (0.5 + series)))
    for power in (0.5, 0.25, 0.0625, 0.00390625, 1.52587890625e-05, 2.3283064365386963e-10, 5.421010862427522e-20):
        half = np.floor(n * 0.5)
        digit = n - 2.0 * half
        result = result * ((1.0 - digit) + digit * power)
        n = half
    return result
