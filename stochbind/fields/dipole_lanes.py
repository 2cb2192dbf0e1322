r"""Light at dipoles and its forces, for a few trajectories side by side: what the loops over particles are made of.

Everything is a row of `LANES` numbers, one for each trajectory, or several such rows in one: component i of a complex
vector has its real parts at ``2 i LANES`` and its imaginary parts right behind. Every loop runs over a constant number
of trajectories, so that the compiler knows how rows lie to each other and works on several trajectories at a time. All
operations are correctly rounded and in a fixed order: a trajectory has the same bits anywhere, and in plain Python.

Lengths are in units of 1/k: separations are kr, and dipoles and polarizabilities are multiplied by :math:`k^3`. The
formulas are those of `stochbind.optics.waves`; forces are contracted with the dipoles from the start, without the
gradients of all components of the field.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from stochbind.elementary import cos_sin, decay
from stochbind.optics.waves.lasers import LARGEST_EXPONENT

#: Trajectories side by side: with fewer, compilers unroll the loops instead of making vectors of them.
LANES = 32


def get(row: Any, i: Any, b: Any) -> Any:
    """Component i of a complex vector."""
    return complex(row[2 * i * LANES + b], row[(2 * i + 1) * LANES + b])


def put(row: Any, i: Any, b: Any, value: Any) -> None:
    """Set component i of a complex vector."""
    row[2 * i * LANES + b] = value.real
    row[(2 * i + 1) * LANES + b] = value.imag


def add(row: Any, i: Any, b: Any, value: Any) -> None:
    """Add to component i of a complex vector."""
    row[2 * i * LANES + b] += value.real
    row[(2 * i + 1) * LANES + b] += value.imag


def times(x: Any, value: Any) -> Any:
    """A real number times a complex one."""
    return complex(x * value.real, x * value.imag)


def conjugate(value: Any) -> Any:
    """The complex conjugate."""
    return complex(value.real, -value.imag)


def real_of_product(x: Any, y: Any) -> Any:
    """Real part of a product of complex numbers."""
    return x.real * y.real - x.imag * y.imag


def clear(row: Any) -> None:
    """Set all to zero."""
    for i in range(row.shape[0]):
        row[i] = 0.0


# ---------------------------------------------------------------------- places


def mark_nowhere(lost: Any, place: Any) -> None:
    """Set to one where a place is not finite."""
    for b in range(LANES):
        x, y, z = place[b], place[LANES + b], place[2 * LANES + b]
        found = (x - x) + (y - y) + (z - z) == 0.0
        lost[b] = lost[b] if found else 1.0


def mark_touching(lost: Any, one: Any, other: Any, distance: Any) -> None:
    """Set to one where two places are not further apart than this."""
    for b in range(LANES):
        x, y, z = one[b] - other[b], one[LANES + b] - other[LANES + b], one[2 * LANES + b] - other[2 * LANES + b]
        lost[b] = 1.0 if np.sqrt(x * x + y * y + z * z) <= distance else lost[b]


# ---------------------------------------------------------------------- light


def local_place(local: Any, place: Any, wave: Any, k: Any) -> None:
    """Coordinates along the axes of a beam from its focus, in 1/k."""
    for i in range(3):
        x, y, z = k * wave[1 + 3 * i], k * wave[2 + 3 * i], k * wave[3 + 3 * i]
        focus_x, focus_y, focus_z = wave[10], wave[11], wave[12]
        for b in range(LANES):
            across = x * (place[b] - focus_x) + y * (place[LANES + b] - focus_y)
            local[i * LANES + b] = across + z * (place[2 * LANES + b] - focus_z)


def plane_phase(out: Any, local: Any) -> None:
    """The phase factor of a plane wave."""
    for b in range(LANES):
        cosine, sine = cos_sin(local[2 * LANES + b])
        put(out, 0, b, complex(cosine, sine))


def tweezer_mode(out: Any, width: Any, local: Any, square: Any) -> None:
    r"""Mode :math:`u = e^{iz - s(x^2 + y^2)}/q` of a tweezer, and s in `width`; `square` is :math:`(kw)^2`."""
    inverse = 1.0 / square
    for b in range(LANES):
        x, y, z = local[b], local[LANES + b], local[2 * LANES + b]
        turn = 2.0 * inverse * z
        n = 1.0 / (1.0 + turn * turn)
        s = n * inverse
        across = x * x + y * y
        exponent = s * across
        near = exponent < LARGEST_EXPONENT
        size = n * decay(exponent if near else 0.0)
        cosine, sine = cos_sin(z + turn * exponent)
        size = size if near else 0.0
        put(out, 0, b, complex(size * (cosine + turn * sine), size * (sine - turn * cosine)))
        put(width, 0, b, complex(s, -turn * s))


def next_slope(out: Any, last: Any, before: Any, width: Any, x: Any, n: Any) -> None:
    """Derivative n + 1 of the mode from those before, ``-2 s (x u_n + n u_(n-1))``."""
    count = float(n)
    for b in range(LANES):
        inner = times(x[b], get(last, 0, b)) + times(count, get(before, 0, b))
        put(out, 0, b, times(-2.0, get(width, 0, b) * inner))


def multiply(out: Any, x: Any, y: Any) -> None:
    """Product of two complex rows."""
    for b in range(LANES):
        put(out, 0, b, get(x, 0, b) * get(y, 0, b))


def add_rows(out: Any, x: Any, y: Any) -> None:
    """Sum of two rows of any length."""
    for i in range(out.shape[0]):
        out[i] = x[i] + y[i]


def copy(out: Any, x: Any) -> None:
    """Copy a row of any length."""
    for i in range(out.shape[0]):
        out[i] = x[i]


def subtract_scaled(out: Any, x: Any, amount: Any) -> None:
    """``out -= amount x`` of real rows."""
    for b in range(LANES):
        out[b] -= amount * x[b]


def keep_larger(size: Any, value: Any) -> None:
    """Keep the larger of a row, and the squares of a complex one."""
    for b in range(LANES):
        other = value[b] * value[b] + value[LANES + b] * value[LANES + b]
        size[b] = other if other > size[b] else size[b]


def invert(row: Any) -> None:
    """The reciprocals of a complex row."""
    for b in range(LANES):
        x, y = row[b], row[LANES + b]
        size = 1.0 / (x * x + y * y)
        put(row, 0, b, complex(x * size, -y * size))


def subtract_product(out: Any, x: Any, y: Any) -> None:
    """``out -= x y`` of complex rows."""
    for b in range(LANES):
        add(out, 0, b, -(get(x, 0, b) * get(y, 0, b)))


def add_field(field: Any, mode: Any, coefficient: Any) -> None:
    """Add the part of a field that a derivative of the mode makes."""
    x = complex(coefficient[0], coefficient[1])
    y = complex(coefficient[2], coefficient[3])
    z = complex(coefficient[4], coefficient[5])
    for b in range(LANES):
        u = get(mode, 0, b)
        add(field, 0, b, x * u)
        add(field, 1, b, y * u)
        add(field, 2, b, z * u)


def add_weight(weight: Any, dipole: Any, coefficient: Any) -> None:
    """Add what a derivative of the mode weighs in the energy of a dipole."""
    x = complex(coefficient[0], coefficient[1])
    y = complex(coefficient[2], coefficient[3])
    z = complex(coefficient[4], coefficient[5])
    for b in range(LANES):
        p, q, r = conjugate(get(dipole, 0, b)), conjugate(get(dipole, 1, b)), conjugate(get(dipole, 2, b))
        add(weight, 0, b, p * x + q * y + r * z)


def push_along(force: Any, weight: Any, mode: Any) -> None:
    """Add the force of a mode along the beam, where its phase alone changes."""
    for b in range(LANES):
        w, u = get(weight, 0, b), get(mode, 0, b)
        force[2 * LANES + b] -= w.real * u.imag + w.imag * u.real


def push_across(force: Any, weight: Any, x: Any, y: Any) -> None:
    """Add the force of a mode along both transverse axes, from its derivatives."""
    for b in range(LANES):
        w = get(weight, 0, b)
        force[b] += real_of_product(w, get(x, 0, b))
        force[LANES + b] += real_of_product(w, get(y, 0, b))


def push_spread(force: Any, weight: Any, xx: Any, yy: Any) -> None:
    """Add the force along the beam of the transverse Laplacian of a mode."""
    for b in range(LANES):
        w, u = get(weight, 0, b), times(0.5, get(xx, 0, b) + get(yy, 0, b))
        force[2 * LANES + b] -= w.real * u.imag + w.imag * u.real


def turn_back(force: Any, local: Any, wave: Any) -> None:
    """Add a force along the axes of a beam to one along x, y, z."""
    for i in range(3):
        x, y, z = wave[1 + i], wave[4 + i], wave[7 + i]
        for b in range(LANES):
            force[i * LANES + b] += x * local[b] + y * local[LANES + b] + z * local[2 * LANES + b]


# ---------------------------------------------------------------------- dipoles


def induce(dipole: Any, field: Any, alpha: Any) -> None:
    """Dipole in a field, by a (3, 3) complex polarizability in a row of 18 numbers."""
    for i in range(3):
        x = complex(alpha[6 * i], alpha[6 * i + 1])
        y = complex(alpha[6 * i + 2], alpha[6 * i + 3])
        z = complex(alpha[6 * i + 4], alpha[6 * i + 5])
        for b in range(LANES):
            put(dipole, i, b, x * get(field, 0, b) + y * get(field, 1, b) + z * get(field, 2, b))


def add_recoil(force: Any, electric: Any, magnetic: Any, amount: Any) -> None:
    """Add ``amount Re(P* x M)``."""
    for b in range(LANES):
        p, q, r = conjugate(get(electric, 0, b)), conjugate(get(electric, 1, b)), conjugate(get(electric, 2, b))
        x, y, z = get(magnetic, 0, b), get(magnetic, 1, b), get(magnetic, 2, b)
        force[b] += amount * (real_of_product(q, z) - real_of_product(r, y))
        force[LANES + b] += amount * (real_of_product(r, x) - real_of_product(p, z))
        force[2 * LANES + b] += amount * (real_of_product(p, y) - real_of_product(q, x))
