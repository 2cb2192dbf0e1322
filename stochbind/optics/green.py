r"""The dipole Green tensors, normalised so that a dipole p scatters the field :math:`G\,p/\varepsilon_0`.

All derivatives come from those of :math:`g(r) = e^{ikr}/4\pi r` by :math:`\frac1r\frac{d}{dr}`, which are spherical
Hankel functions: with :math:`z = kr`,

.. math::

    g_n = \left(\frac1r\frac{d}{dr}\right)^n g = \frac{k^{2n+1}}{4\pi}\,(-1)^n\,\frac{i\,j_n(z) - y_n(z)}{z^n}.

The imaginary part is computed apart from the real one, by its series where z is small: it is finite at r = 0, where
the usual formula loses all its digits.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError

#: Below this z = kr, spherical Bessel functions are summed as series.
_SERIES_BELOW = 4.0
#: Terms of the series: the first that is left out is below 1e-17 of the sum.
_N_TERMS = 24
_LEVI_CIVITA = np.zeros((3, 3, 3))
for _i, _j, _k in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
    _LEVI_CIVITA[_i, _j, _k], _LEVI_CIVITA[_i, _k, _j] = 1.0, -1.0


class InPlane(NamedTuple):
    """Green tensor between points of the plane z = 0, for fields in that plane.

    Attributes
    ----------
    value : (..., 2, 2) complex
        G [1/m^3].
    z_curvature : (..., 2, 2) complex
        Second derivative of G along the relative coordinate z, at z = 0 [1/m^5].
    """

    value: ComplexArray
    z_curvature: ComplexArray


def in_plane(separation: FloatArray, wavenumber: float, *, far_field: bool) -> InPlane:
    r"""Green tensor and its curvature along z, exact or to first order in 1/distance.

    With :math:`x = kr`, :math:`G = a\,1 + b\,n n`, where
    :math:`a = \frac{k^3}{4\pi} e^{ix}(1/x + i/x^2 - 1/x^3)` and
    :math:`b = \frac{k^3}{4\pi} e^{ix}(-1/x - 3i/x^2 + 3/x^3)`. Theory page, eq. (4).

    Parameters
    ----------
    separation : (..., 2) float
        Vector between the two points [m].
    wavenumber : float
        k [1/m].
    far_field : bool
        Keep only the terms of order 1/r; the curvature along z is then zero.

    Returns
    -------
    InPlane
        Tensor and curvature.

    References
    ----------
    Rudolph et al., Phys. Rev. A 110, 063507 (2024), eq. (2).
    """
    distance = np.linalg.norm(separation, axis=-1)
    x = (wavenumber * distance).astype(np.complex128)
    unit = separation / distance[..., None]
    identity = np.eye(2)
    dyad = unit[..., :, None] * unit[..., None, :]
    prefactor = wavenumber**3 / (4.0 * math.pi) * np.exp(1j * x)

    def tensor(a: npt.NDArray[np.complex128], b: npt.NDArray[np.complex128]) -> ComplexArray:
        result: ComplexArray = a[..., None, None] * identity + b[..., None, None] * dyad
        return result

    if far_field:
        value = tensor(prefactor / x, -prefactor / x)
        return InPlane(value, np.zeros_like(value))
    a = prefactor * (1 / x + 1j / x**2 - 1 / x**3)
    b = prefactor * (-1 / x - 3j / x**2 + 3 / x**3)
    a_slope = wavenumber * prefactor * (1j / x - 2 / x**2 - 3j / x**3 + 3 / x**4)
    b_slope = wavenumber * prefactor * (-1j / x + 4 / x**2 + 9j / x**3 - 9 / x**4)
    # r = sqrt(d^2 + z^2): r'' = 1/d at z = 0, and the in-plane part of nn shrinks as d^2/r^2.
    return InPlane(tensor(a, b), tensor(a_slope / distance, b_slope / distance - 2 * b / distance**2))


def radial(distance: FloatArray, wavenumber: float, order: int) -> list[ComplexArray]:
    r"""Derivatives :math:`g_0, \ldots, g_n` of :math:`e^{ikr}/4\pi r`, each part right to its own last places.

    Parameters
    ----------
    distance : (...) float
        r [m]. Zero gives the imaginary parts alone: what is left of a particle's own field without its near field.
    wavenumber : float
        k [1/m].
    order : int
        Largest n.

    Returns
    -------
    list of (...) complex
        :math:`g_n` [m^-(2n + 1)].
    """
    z = wavenumber * np.asarray(distance, dtype=np.float64)
    apart = z > 0.0
    safe = np.where(apart, z, 1.0)
    sine, cosine = np.sin(safe), np.cos(safe)
    regular = _regular(z, sine, cosine, wavenumber, order)
    inverse = np.where(apart, 1.0 / safe, 0.0)
    before, now = sine * inverse, -cosine * inverse  # y_{-1} and y_0
    result = []
    power = -wavenumber / (4.0 * math.pi) * np.ones_like(safe)
    for n in range(order + 1):
        value = np.empty(z.shape, dtype=np.complex128)
        value.real, value.imag = power * now, regular[n]
        result.append(value)
        before, now, power = now, (2 * n + 1) * inverse * now - before, -(wavenumber**2) * inverse * power
    return result


def regular_radial(distance: FloatArray, wavenumber: float, order: int) -> list[FloatArray]:
    r"""Imaginary parts of `radial`, :math:`\frac{k^{2n+1}}{4\pi}(-1)^n j_n(z)/z^n`, finite at r = 0."""
    z = wavenumber * np.asarray(distance, dtype=np.float64)
    return _regular(z, np.sin(z), np.cos(z), wavenumber, order)


def _regular(z: FloatArray, sine: FloatArray, cosine: FloatArray, wavenumber: float, order: int) -> list[FloatArray]:
    """As `regular_radial`, with the sine and cosine of z (which do not matter below `_SERIES_BELOW`)."""
    near = z < _SERIES_BELOW
    inverse = 1.0 / np.where(near, _SERIES_BELOW, z)
    squared = -0.5 * z[near] ** 2
    before, now = cosine * inverse, sine * inverse  # j_{-1} and j_0
    result = []
    unit = wavenumber / (4.0 * math.pi)
    power = unit * np.ones_like(z)
    for n in range(order + 1):
        value = np.asarray(power * now)
        if len(squared):
            value[near] = unit * _series(squared, n)
        result.append(value)
        unit *= -(wavenumber**2)
        before, now, power = now, (2 * n + 1) * inverse * now - before, -(wavenumber**2) * inverse * power
    return result


def _series(squared: FloatArray, n: int) -> FloatArray:
    """Sum of :math:`j_n(z)/z^n` in powers of ``squared`` = -z^2/2, by Horner's rule."""
    total = np.ones_like(squared)
    for m in range(_N_TERMS, 0, -1):
        total = 1.0 + squared / (m * (2 * (n + m) + 1)) * total
    result: FloatArray = total / math.prod(range(1, 2 * n + 2, 2))
    return result


def electric(separation: FloatArray, wavenumber: float) -> ComplexArray:
    r"""Green tensor :math:`G = (\nabla\nabla + k^2) g` of an electric dipole's electric field.

    Parameters
    ----------
    separation : (..., 3) float
        From the dipole to the point [m], not zero.
    wavenumber : float
        k [1/m]; zero gives the electrostatic tensor.

    Returns
    -------
    (..., 3, 3) complex
        G [1/m^3].

    Raises
    ------
    ScenarioError
        If a separation is zero.

    References
    ----------
    Rudolph et al., Phys. Rev. A 110, 063507 (2024), eqs. (2), (4); electrostatic: (8), (9).
    """
    distance = _apart(separation)
    if wavenumber == 0.0:
        return _tensor(separation, _static_radial(distance), 0.0)
    return _tensor(separation, radial(distance, wavenumber, 2), wavenumber)


def transverse(separation: FloatArray, wavenumber: float) -> ComplexArray:
    r"""What retardation adds to the electrostatic tensor, :math:`G - G_0`, right where both are huge.

    Near the dipole it is :math:`\frac{k^2}{8\pi}\frac{r^2 1 + r r}{r^3} + i\frac{k^3}{6\pi} 1`.

    Parameters, result
        As of `electric`.

    References
    ----------
    Rudolph et al., Phys. Rev. A 110, 063507 (2024), eqs. (64), (66).
    """
    distance = _apart(separation)
    z = wavenumber * distance
    exact = radial(distance, wavenumber, 2)
    static = _static_radial(distance)
    near = z < 1.0
    small = np.where(near, z, 0.5)
    unit = wavenumber**3 / (4.0 * math.pi)
    first = -unit * _retarded(small, 1) / small
    second = unit * wavenumber**2 * _retarded(small, 2) / small**3
    parts = [
        exact[0],
        np.where(near, first, exact[1].real - static[1]) + 1j * exact[1].imag,
        np.where(near, second, exact[2].real - static[2]) + 1j * exact[2].imag,
    ]
    return _tensor(separation, parts, wavenumber)


def _retarded(z: FloatArray, n: int) -> FloatArray:
    r"""Series of :math:`(c + zs - 1)/z^2`, or for n = 2 of :math:`(3c + 3zs - z^2 c - 3)/z^2`; c and s of z."""
    total = np.zeros_like(z)
    for m in range(12, 0, -1):
        factor = (1 - 2 * m) if n == 1 else (2 * m - 1) * (2 * m - 3)
        total = total * z**2 + (-1.0) ** m / math.factorial(2 * m) * factor
    return total


def _apart(separation: FloatArray) -> FloatArray:
    """Distances, none of them zero."""
    distance = np.asarray(np.linalg.norm(separation, axis=-1), dtype=np.float64)
    if (distance == 0.0).any():
        raise ScenarioError("`separation` must not be zero: the field of a dipole at its own place is infinite.")
    return distance


def _static_radial(distance: FloatArray) -> list[ComplexArray]:
    r = distance.astype(np.complex128)
    return [coefficient / (4.0 * math.pi * r ** (2 * n + 1)) for n, coefficient in enumerate((1.0, -1.0, 3.0))]


def _tensor(separation: FloatArray, g: list[ComplexArray], wavenumber: float) -> ComplexArray:
    dyad = separation[..., :, None] * separation[..., None, :]
    diagonal = (wavenumber**2 * g[0] + g[1])[..., None, None] * np.eye(3)
    result: ComplexArray = diagonal + g[2][..., None, None] * dyad
    return result


def magnetic(separation: FloatArray, wavenumber: float) -> ComplexArray:
    r"""Tensor of :math:`v \mapsto ik\,\nabla\times(g v)`: the electric field of a magnetic dipole.

    A magnetic dipole m has the electric field ``magnetic @ (eta m)``, and an electric dipole p the magnetic field
    ``-magnetic @ p / eps0 / eta``, with the wave impedance :math:`\eta`.

    Parameters, result
        As of `electric`.
    """
    slope = radial(_apart(separation), wavenumber, 1)[1]
    result: ComplexArray = (
        1j * wavenumber * slope[..., None, None] * np.einsum("ibj,...b->...ij", _LEVI_CIVITA, separation)
    )
    return result
