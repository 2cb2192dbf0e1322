"""The compiled inner loops: normals, and steps of linear equations.

State and noise are blocks of shape (coordinate, trajectory): every inner loop runs over trajectories and holds nothing
that does not vectorise. There is no fastmath and no BLAS, and every sum runs in a fixed order, so that the bits of a
trajectory depend neither on its neighbours in the block nor on the processor. The NumPy twins of these loops are
`stochbind.engine.noise.normals` and `stochbind.engine.reference.linear_step`; the tests tie them bit for bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.core import types
from numba.extending import intrinsic

from stochbind.engine import noise
from stochbind.engine.compiling import compiled, forced_inline, inline

_intrinsic: Any = intrinsic

_M0, _M1 = (np.uint64(value) for value in noise.PHILOX_MULTIPLIER)
_W0, _W1 = (np.uint64(value) for value in noise.PHILOX_WEYL)
_LOW, _32, _5, _6 = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(5), np.uint64(6)
_26, _16, _8 = np.uint64(67108864), np.uint64(16), np.uint64(8)
_UNIFORM = 1.0 / 9007199254740992.0
_LOG, _SIN, _COS = noise.LOG_COEFFICIENT, noise.SIN_COEFFICIENT, noise.COS_COEFFICIENT
_LOG_2, _HALF_PI = noise.LOG_2, noise.HALF_PI
_FRACTION, _SQRT2 = np.int64(0xFFFFFFFFFFFFF), np.int64(noise.SQRT_HALF_MANTISSA)


@_intrinsic
def _bits(context: Any, value: Any) -> Any:
    """The bits of a float64 as int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.int64))

    return types.int64(types.float64), generate


@_intrinsic
def _float(context: Any, value: Any) -> Any:
    """The float64 of some bits in an int64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], context.get_value_type(types.float64))

    return types.float64(types.int64), generate


@inline
def _log(x: Any) -> Any:
    bits = _bits(x)
    fraction = bits & _FRACTION
    halved = np.int64(1) if fraction >= _SQRT2 else np.int64(0)
    exponent = (bits >> np.int64(52)) - np.int64(1023) + halved
    mantissa = _float(fraction | ((np.int64(1023) - halved) << np.int64(52)))
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square = s * s
    series = _LOG[0]
    for coefficient in _LOG[1:]:
        series = series * square + coefficient
    return np.float64(exponent) * _LOG_2 + 2.0 * s * series


@inline
def cos_sin_quarters(quarters: Any) -> Any:
    """Cosine and sine of so many quarters of a turn."""
    quadrant = np.floor(quarters + 0.5)
    y = (quarters - quadrant) * _HALF_PI
    square = y * y
    sine = _SIN[0]
    for coefficient in _SIN[1:]:
        sine = sine * square + coefficient
    sine = sine * y
    cosine = _COS[0]
    for coefficient in _COS[1:]:
        cosine = cosine * square + coefficient
    index = np.int64(quadrant) & np.int64(3)
    odd = (index & np.int64(1)) == 1
    cos_sign = -1.0 if (index == 1) | (index == 2) else 1.0
    sin_sign = -1.0 if index >= 2 else 1.0
    return cos_sign * (sine if odd else cosine), sin_sign * (cosine if odd else sine)


@compiled
def _uniform_pair(first: Any, second: Any, key: Any, pair: Any, trajectory: Any, step: Any, high: Any) -> None:
    """One Philox block for each trajectory: a uniform in (0, 1], and one in [0, 4)."""
    for b in range(first.shape[0]):
        index = trajectory + np.uint64(b)
        c0 = step
        c1 = index & _LOW
        c2 = pair
        c3 = high | ((index >> _32) << _8)
        k0, k1 = key & _LOW, key >> _32
        for _ in range(10):
            product0, product1 = _M0 * c0, _M1 * c2
            c0, c1, c2, c3 = (
                (product1 >> _32) ^ c1 ^ k0,
                product1 & _LOW,
                (product0 >> _32) ^ c3 ^ k1,
                product0 & _LOW,
            )
            k0 = (k0 + _W0) & _LOW
            k1 = (k1 + _W1) & _LOW
        first[b] = (np.float64(np.int64((c0 >> _5) * _26 + (c1 >> _6))) + 1.0) * _UNIFORM
        second[b] = np.float64(np.int64((c2 >> _5) * _26 + (c3 >> _6))) * _UNIFORM * 4.0


@compiled
def _radius(row: Any) -> None:
    for b in range(row.shape[0]):
        row[b] = np.sqrt(-2.0 * _log(row[b]))


@compiled
def _polar(first: Any, second: Any) -> None:
    """From radius and angle, in quarters of a turn, to the two normals."""
    for b in range(first.shape[0]):
        cosine, sine = cos_sin_quarters(second[b])
        radius = first[b]
        second[b] = radius * sine
        first[b] = radius * cosine


@compiled
def fill_normals(out: Any, seed: Any, stream: Any, first_trajectory: Any, step: Any) -> None:
    """Fill ``out[component, b]`` with the normals of trajectory ``first_trajectory + b`` at one step.

    Three passes over rows that stay in the cache: each alone keeps its constants in registers, all in one does not.
    """
    n_components = out.shape[0]
    low, high = np.uint64(step) & _LOW, ((np.uint64(step) >> _32) << _16) | np.uint64(stream)
    for pair in range((n_components + 1) // 2):
        first = out[2 * pair]
        second = out[2 * pair + 1] if 2 * pair + 1 < n_components else np.empty_like(first)
        _uniform_pair(first, second, np.uint64(seed), np.uint64(pair), np.uint64(first_trajectory), low, high)
        _radius(first)
        _polar(first, second)


@compiled
def aligned(rows: Any, n: Any) -> Any:
    """Room for rows of n numbers, at a multiple of 64 bytes: vectors that cross lines of the cache cost twice."""
    room = np.empty(rows * n + 8)
    start = (-room.ctypes.data % 64) // 8
    return room[start : start + rows * n].reshape((rows, n))


@forced_inline
def fill(row: Any, value: Any, n: Any) -> None:
    """Set the first n elements of a row."""
    for b in range(n):
        row[b] = value


@forced_inline
def add_one(row: Any, x: Any, a: Any, n: Any) -> None:
    """``row += a x``."""
    for b in range(n):
        row[b] += a * x[b]


@forced_inline
def add_to_two(
    p: Any, q: Any, x: Any, y: Any, z: Any, w: Any,
    a: Any, b: Any, c: Any, d: Any, e: Any, f: Any, g: Any, h: Any, n: Any,
) -> None:  # fmt: skip
    """``p += a x + b y + c z + d w`` and ``q += e x + f y + g z + h w``, from left to right.

    Two rows of four terms at a time: what is loaded once serves twice, and few enough rows that the loop is vectorised.
    """
    for i in range(n):
        first, second, third, fourth = x[i], y[i], z[i], w[i]
        p[i] = p[i] + a * first + b * second + c * third + d * fourth
        q[i] = q[i] + e * first + f * second + g * third + h * fourth


@compiled
def _add_products(out: Any, matrix: Any, x: Any) -> None:
    """``out += matrix x``, every sum in the order of its terms."""
    rows, columns = matrix.shape
    n = x.shape[1]
    m = matrix
    for i in range(0, rows - rows % 2, 2):
        p, q = out[i], out[i + 1]
        for j in range(0, columns - columns % 4, 4):
            add_to_two(
                p, q, x[j], x[j + 1], x[j + 2], x[j + 3],
                m[i, j], m[i, j + 1], m[i, j + 2], m[i, j + 3],
                m[i + 1, j], m[i + 1, j + 1], m[i + 1, j + 2], m[i + 1, j + 3], n,
            )  # fmt: skip
        for j in range(columns - columns % 4, columns):
            add_one(p, x[j], m[i, j], n)
            add_one(q, x[j], m[i + 1, j], n)
    if rows % 2:
        for j in range(columns):
            add_one(out[rows - 1], x[j], m[rows - 1, j], n)


@compiled
def linear_step(matrix: Any, shift: Any, root: Any, state: Any, normal: Any, out: Any) -> None:
    """One step ``out = E x + e + L z`` of a block of trajectories."""
    for i in range(out.shape[0]):
        fill(out[i], shift[i], out.shape[1])
    _add_products(out, matrix, state)
    _add_products(out, root, normal)
