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

from stochbind.compiling import compiled, forced_inline, inline
from stochbind.engine import noise

_intrinsic: Any = intrinsic

_M0, _M1 = (np.uint64(value) for value in noise.PHILOX_MULTIPLIER)
_W0, _W1 = (np.uint64(value) for value in noise.PHILOX_WEYL)
_LOW, _32, _5, _6 = np.uint64(0xFFFFFFFF), np.uint64(32), np.uint64(5), np.uint64(6)
_26, _16, _8 = np.uint64(67108864), np.uint64(16), np.uint64(8)
_62, _63, _TOP = np.uint64(62), np.uint64(63), np.uint64(1 << 63)
_MAGNITUDE = np.int64((1 << 63) - 1)
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
def _cos_sin_eighth(y: Any) -> Any:
    square = y * y
    sine = _SIN[0]
    for coefficient in _SIN[1:]:
        sine = sine * square + coefficient
    cosine = _COS[0]
    for coefficient in _COS[1:]:
        cosine = cosine * square + coefficient
    return cosine, sine * y


@inline
def cos_sin_quarters(quarters: Any) -> Any:
    """Cosine and sine of so many quarters of a turn."""
    quadrant = np.floor(quarters + 0.5)
    cosine, sine = _cos_sin_eighth((quarters - quadrant) * _HALF_PI)
    index = np.int64(quadrant) & np.int64(3)
    odd = (index & np.int64(1)) == 1
    cos_sign = -1.0 if (index == 1) | (index == 2) else 1.0
    sin_sign = -1.0 if index >= 2 else 1.0
    return cos_sign * (sine if odd else cosine), sin_sign * (cosine if odd else sine)


@compiled
def _uniform_pair(first: Any, second: Any, key: Any, pair: Any, trajectory: Any, step: Any, high: Any) -> None:
    """One Philox block for each trajectory: two uniforms in (0, 1], with a random bit in the sign of each."""
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
        u = (np.float64(np.int64((c0 >> _5) * _26 + (c1 >> _6))) + 1.0) * _UNIFORM
        v = (np.float64(np.int64((c2 >> _5) * _26 + (c3 >> _6))) + 1.0) * _UNIFORM
        first[b] = _float(_bits(u) | np.int64((c3 << _62) & _TOP))
        second[b] = _float(_bits(v) | np.int64(c3 << _63))


@compiled
def _radius(row: Any) -> None:
    """From a uniform with a sign to a radius with that sign."""
    for b in range(row.shape[0]):
        bits = _bits(row[b])
        radius = np.sqrt(-2.0 * _log(_float(bits & _MAGNITUDE)))
        row[b] = _float(_bits(radius) | (bits & ~_MAGNITUDE))


@compiled
def _polar(first: Any, second: Any) -> None:
    """From radius and uniform, with their signs, to the two normals."""
    for b in range(first.shape[0]):
        v = second[b]
        cosine, sine = _cos_sin_eighth((np.abs(v) - 0.5) * _HALF_PI)
        radius, swapped = first[b], v < 0.0
        first[b] = radius * (sine if swapped else cosine)
        second[b] = radius * (cosine if swapped else sine)


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


def normals(seed: int, stream: int, trajectory: Any, step: int, n_components: int) -> Any:
    """Compiled twin of `stochbind.engine.noise.normals`, of trajectories that follow each other."""
    out = np.empty((n_components, len(trajectory)))
    key = np.uint64(seed), np.uint64(stream), np.int64(trajectory[0]), np.int64(step)
    fill_normals(out, *key)
    return out


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


@forced_inline
def _add_eight_to_two(
    p: Any, q: Any, first: Any, start: Any, next_start: Any, m: Any, i: Any, j: Any, x: Any, n: Any
) -> None:
    """Eight terms of rows i and i + 1 of ``m x``; the first of all begin with their starts instead of the rows."""
    a0, a1, a2, a3, a4, a5, a6, a7 = (
        m[i, j], m[i, j + 1], m[i, j + 2], m[i, j + 3], m[i, j + 4], m[i, j + 5], m[i, j + 6], m[i, j + 7],
    )  # fmt: skip
    k = i + 1
    b0, b1, b2, b3, b4, b5, b6, b7 = (
        m[k, j], m[k, j + 1], m[k, j + 2], m[k, j + 3], m[k, j + 4], m[k, j + 5], m[k, j + 6], m[k, j + 7],
    )  # fmt: skip
    x0, x1, x2, x3, x4, x5, x6, x7 = x[j], x[j + 1], x[j + 2], x[j + 3], x[j + 4], x[j + 5], x[j + 6], x[j + 7]
    if first:
        for b in range(n):
            p[b] = (
                start + a0 * x0[b] + a1 * x1[b] + a2 * x2[b] + a3 * x3[b] + a4 * x4[b] + a5 * x5[b] + a6 * x6[b]
                + a7 * x7[b]
            )  # fmt: skip
            q[b] = (
                next_start + b0 * x0[b] + b1 * x1[b] + b2 * x2[b] + b3 * x3[b] + b4 * x4[b] + b5 * x5[b] + b6 * x6[b]
                + b7 * x7[b]
            )  # fmt: skip
    else:
        for b in range(n):
            p[b] = (
                p[b] + a0 * x0[b] + a1 * x1[b] + a2 * x2[b] + a3 * x3[b] + a4 * x4[b] + a5 * x5[b] + a6 * x6[b]
                + a7 * x7[b]
            )  # fmt: skip
            q[b] = (
                q[b] + b0 * x0[b] + b1 * x1[b] + b2 * x2[b] + b3 * x3[b] + b4 * x4[b] + b5 * x5[b] + b6 * x6[b]
                + b7 * x7[b]
            )  # fmt: skip


#: Columns of a product that are taken together: their rows of x stay in the cache while all rows of out pass.
_CHUNK = 64


@compiled
def product(m: Any, shift: Any, x: Any, out: Any) -> None:
    """``out = shift + m x``, sums from left to right: a linear step of ``m = (E, L)`` and ``x = (state, normals)``.

    Two rows of eight terms at a time: what is loaded once serves twice, and few enough rows for vectors.
    """
    rows, columns = m.shape
    n = x.shape[1]
    eights, pairs = columns - columns % 8, rows - rows % 2
    for chunk in range(0, eights, _CHUNK):
        for i in range(0, pairs, 2):
            for j in range(chunk, min(chunk + _CHUNK, eights), 8):
                _add_eight_to_two(out[i], out[i + 1], j == 0, shift[i], shift[i + 1], m, i, j, x, n)
    for i in range(rows):
        row = out[i]
        if eights == 0 or i == pairs:
            fill(row, shift[i], n)
        for j in range(0 if i == pairs else eights, columns):
            add_one(row, x[j], m[i, j], n)
