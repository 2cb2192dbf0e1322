r"""Light that dipoles scatter to each other, and its forces, for a few trajectories side by side.

Rows, units and rules are those of `stochbind.fields.dipole_lanes`, the formulas those of
`stochbind.optics.interaction`. A row of a pair holds the radial functions of its separation, and the separation.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from stochbind.elementary import cos_sin
from stochbind.fields.dipole_lanes import LANES, add, conjugate, get, put, real_of_product, times

#: Rows of a pair: radial functions, and the separation.
NEAR, SLOPE, SECOND, THIRD, RADIALLY, BESIDE_FIRST, BESIDE_SECOND = range(7)
APART = 14
PAIR_ROWS = 17

_UNIT = 1.0 / (4.0 * math.pi)
#: Below this (kr)^2, imaginary parts of the radial functions are summed as series: the closed forms lose digits.
_SERIES_BELOW = 2.0
#: Factors of the series of :math:`j_n(z)/z^n` in :math:`-z^2/2`, the last one first: the first term left out is below
#: 1e-17 of the sum.
_SERIES_2 = tuple(1.0 / (m * (2 * (2 + m) + 1)) for m in range(11, 0, -1))
_SERIES_3 = tuple(1.0 / (m * (2 * (3 + m) + 1)) for m in range(11, 0, -1))


def separate(pair: Any, one: Any, other: Any, k: Any) -> None:
    """Separation of a pair, from `other` to `one`, in 1/k."""
    for i in range(3):
        start, out = i * LANES, (APART + i) * LANES
        for b in range(LANES):
            pair[out + b] = k * (one[start + b] - other[start + b])


def exact_radial(pair: Any) -> None:
    r"""Radial functions :math:`g_n = (\frac{1}{z}\frac{d}{dz})^n e^{iz}/4\pi z` of a pair, and their sums."""
    for b in range(LANES):
        x, y, z = pair[APART * LANES + b], pair[(APART + 1) * LANES + b], pair[(APART + 2) * LANES + b]
        square = x * x + y * y + z * z
        distance = np.sqrt(square)
        cosine, sine = cos_sin(distance)
        inverse = 1.0 / square
        u = _UNIT / distance
        wave = complex(u * cosine, u * sine)
        g_1 = times(inverse, wave * complex(-1.0, distance))
        g_2 = times(inverse * inverse, wave * complex(3.0 - square, -3.0 * distance))
        third = complex(6.0 * square - 15.0, distance * (15.0 - square))
        g_3 = times(inverse * inverse * inverse, wave * third)
        close = square < _SERIES_BELOW
        t = -0.5 * square if close else 0.0
        j_2, j_3 = 1.0, 1.0
        for factor in _SERIES_2:
            j_2 = 1.0 + t * factor * j_2
        for factor in _SERIES_3:
            j_3 = 1.0 + t * factor * j_3
        j_2, j_3 = j_2 * (1.0 / 15.0), j_3 * (1.0 / 105.0)
        j_1 = 5.0 * j_2 - square * j_3
        g_1 = complex(g_1.real, -_UNIT * j_1 if close else g_1.imag)
        g_2 = complex(g_2.real, _UNIT * j_2 if close else g_2.imag)
        g_3 = complex(g_3.real, -_UNIT * j_3 if close else g_3.imag)
        put(pair, NEAR, b, wave + g_1)
        put(pair, SLOPE, b, g_1)
        put(pair, SECOND, b, g_2)
        put(pair, THIRD, b, g_3)
        put(pair, RADIALLY, b, g_1 + g_2)
        put(pair, BESIDE_FIRST, b, g_1)
        put(pair, BESIDE_SECOND, b, g_2)


def far_radial(pair: Any) -> None:
    """What is left of them far away, where every derivative along r is a factor i, and what is beside is zero."""
    for b in range(LANES):
        x, y, z = pair[APART * LANES + b], pair[(APART + 1) * LANES + b], pair[(APART + 2) * LANES + b]
        distance = np.sqrt(x * x + y * y + z * z)
        inverse = 1.0 / distance
        cosine, sine = cos_sin(distance)
        wave = complex(_UNIT * inverse * cosine, _UNIT * inverse * sine)
        g_1 = complex(-inverse * wave.imag, inverse * wave.real)
        put(pair, NEAR, b, wave)
        put(pair, SLOPE, b, g_1)
        put(pair, SECOND, b, times(-inverse * inverse, wave))
        put(pair, THIRD, b, times(-inverse * inverse, g_1))
        put(pair, RADIALLY, b, g_1)
        put(pair, BESIDE_FIRST, b, complex(0.0, 0.0))
        put(pair, BESIDE_SECOND, b, complex(0.0, 0.0))


def own_field(pair: Any, b: Any, x: Any, y: Any, z: Any) -> Any:
    """Electric field of an electric dipole, or magnetic field of a magnetic one."""
    r, s, t = pair[APART * LANES + b], pair[(APART + 1) * LANES + b], pair[(APART + 2) * LANES + b]
    near = get(pair, NEAR, b)
    along = get(pair, SECOND, b) * (times(r, x) + times(s, y) + times(t, z))
    return near * x + times(r, along), near * y + times(s, along), near * z + times(t, along)


def turned_field(pair: Any, b: Any, sign: Any, x: Any, y: Any, z: Any) -> Any:
    """Electric field ``i g_1 r x M`` of a magnetic dipole; with the other sign, magnetic field of an electric one."""
    r, s, t = pair[APART * LANES + b], pair[(APART + 1) * LANES + b], pair[(APART + 2) * LANES + b]
    g = get(pair, SLOPE, b)
    turn = complex(-sign * g.imag, sign * g.real)
    return (
        turn * (times(s, z) - times(t, y)),
        turn * (times(t, x) - times(r, z)),
        turn * (times(r, y) - times(s, x)),
    )


def add_own(out: Any, pair: Any, source: Any) -> None:
    """Add the field of a dipole of the same kind."""
    for b in range(LANES):
        x, y, z = own_field(pair, b, get(source, 0, b), get(source, 1, b), get(source, 2, b))
        add(out, 0, b, x)
        add(out, 1, b, y)
        add(out, 2, b, z)


def add_turned(out: Any, pair: Any, source: Any, sign: Any) -> None:
    """Add the field of a dipole of the other kind."""
    for b in range(LANES):
        x, y, z = turned_field(pair, b, sign, get(source, 0, b), get(source, 1, b), get(source, 2, b))
        add(out, 0, b, x)
        add(out, 1, b, y)
        add(out, 2, b, z)


def own_column(out: Any, pair: Any, x: Any, y: Any, z: Any) -> None:
    """Minus the field of the dipole (x, y, z): part of a column of ``1 - G alpha``."""
    for b in range(LANES):
        p, q, r = own_field(pair, b, x, y, z)
        put(out, 0, b, -p)
        put(out, 1, b, -q)
        put(out, 2, b, -r)


def turned_column(out: Any, pair: Any, sign: Any, x: Any, y: Any, z: Any) -> None:
    """The same of the dipole of the other kind."""
    for b in range(LANES):
        p, q, r = turned_field(pair, b, sign, x, y, z)
        put(out, 0, b, -p)
        put(out, 1, b, -q)
        put(out, 2, b, -r)


def pull_own(force: Any, pair: Any, receiver: Any, source: Any, sign: Any) -> None:
    """Add the force on a dipole in the field of one of the same kind; the sign is that of the separation."""
    for b in range(LANES):
        r, s, t = pair[APART * LANES + b], pair[(APART + 1) * LANES + b], pair[(APART + 2) * LANES + b]
        p, q, w = conjugate(get(receiver, 0, b)), conjugate(get(receiver, 1, b)), conjugate(get(receiver, 2, b))
        x, y, z = get(source, 0, b), get(source, 1, b), get(source, 2, b)
        out = times(r, p) + times(s, q) + times(t, w)
        back = times(r, x) + times(s, y) + times(t, z)
        trace = p * x + q * y + w * z
        radially = real_of_product(get(pair, RADIALLY, b), trace) + real_of_product(get(pair, THIRD, b), out * back)
        beside = get(pair, BESIDE_SECOND, b)
        force[b] += sign * (real_of_product(beside, p * back + x * out) + radially * r)
        force[LANES + b] += sign * (real_of_product(beside, q * back + y * out) + radially * s)
        force[2 * LANES + b] += sign * (real_of_product(beside, w * back + z * out) + radially * t)


def pull_turned(force: Any, pair: Any, receiver: Any, source: Any, sign: Any) -> None:
    r"""Add the force on a dipole in the field of one of the other kind.

    With :math:`q = \pm i\, v \times u^*` of receiver u and source v it is the real part of
    :math:`h_1 q + g_2 (q \cdot r)\, r`.
    """
    for b in range(LANES):
        r, s, t = pair[APART * LANES + b], pair[(APART + 1) * LANES + b], pair[(APART + 2) * LANES + b]
        p, q, w = conjugate(get(receiver, 0, b)), conjugate(get(receiver, 1, b)), conjugate(get(receiver, 2, b))
        x, y, z = get(source, 0, b), get(source, 1, b), get(source, 2, b)
        normal_x, normal_y, normal_z = y * w - z * q, z * p - x * w, x * q - y * p
        first, second = get(pair, BESIDE_FIRST, b), get(pair, SECOND, b)
        turn = complex(-sign * first.imag, sign * first.real)
        along = times(r, normal_x) + times(s, normal_y) + times(t, normal_z)
        radially = -sign * (second.real * along.imag + second.imag * along.real)
        force[b] += real_of_product(turn, normal_x) + radially * r
        force[LANES + b] += real_of_product(turn, normal_y) + radially * s
        force[2 * LANES + b] += real_of_product(turn, normal_z) + radially * t
