r"""The dipole Green tensor, normalised so that a dipole p scatters the field :math:`G\,p/\varepsilon_0`."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind.checks import ComplexArray, FloatArray


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
