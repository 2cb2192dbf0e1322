r"""Forces of light on spheres in Gaussian tweezers, as functions of where the spheres are along the beams.

Field of tweezer j on its axis: :math:`E_j h(z)` with :math:`h(z) = e^{ikz}/(1 + i z/z_R)`, amplitude and Gouy phase
included. The whole dipole field is kept, and single scattering.

Each builder gives the whole force as a function of the distance from the focus; or, with `about`, the remainder: the
force as a function of the displacement from there, less its value and its linear terms there. The linear terms are
those of `tweezer_slope` and `optical_binding_slopes`.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import constants

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.elementary import cos_sin
from stochbind.errors import ScenarioError
from stochbind.forces import Force


def tweezer_force(x: Any, p: Any) -> Any:
    """Scalar function of `tweezer`: ``p = (1/z_R, z_0/z_R, u z_R, F_0 k/kappa, 1/(k z_R), value, slope)``."""
    s = x * p[0] + p[1]
    n = 1.0 / (1.0 + s * s)
    force = p[3] * n * (1.0 - p[4] * n) - p[2] * s * (n * n)
    return force - (p[5] + p[6] * x)


def tweezer_slope(x: Any, p: Any) -> Any:
    """Derivative of `tweezer_force` beside its linear term."""
    s = x * p[0] + p[1]
    n = 1.0 / (1.0 + s * s)
    pressure = p[3] * (1.0 - 2.0 * p[4] * n) * (-2.0 * s * n * n)
    return p[0] * (pressure - p[2] * (1.0 - 3.0 * s * s) * (n * n * n))


def optical_binding_force(x_j: Any, x_k: Any, p: Any) -> Any:
    """Scalar function of `optical_binding`, with lengths in 1/k.

    ``p = (k, 1/(k z_R), (k d)^2, Re s_1, Im s_1, Re s_2, Im s_2, k z_j, k z_k, value, slope_j, slope_k)``.
    """
    z_j = x_j * p[0] + p[7]
    z_k = x_k * p[0] + p[8]
    # Amplitudes of the two beams, over their values at the foci: 1/(1 - i s_j) and 1/(1 + i s_k).
    s_j = z_j * p[1]
    s_k = z_k * p[1]
    w_j = 1.0 + s_j * s_j
    w_k = 1.0 + s_k * s_k
    both = 1.0 / (w_j * w_k)
    n_j = both * w_k
    # Green tensor between them: y = 1/kr, a = y (1 - y^2 + i y), b = y (-1 + 3 y^2 - 3 i y), without exp(ikr).
    u = z_j - z_k
    r = np.sqrt(p[2] + u * u)
    y = 1.0 / r
    y2 = y * y
    c = p[2] * y2
    a_re = 1.0 - y2
    b_re = c * (3.0 * y2 - 1.0)
    b_im = c * (-3.0 * y)
    q_re = p[3] * a_re - p[4] * y + p[5] * b_re - p[6] * b_im
    q_im = p[3] * y + p[4] * a_re + p[5] * b_im + p[6] * b_re
    # Their derivatives along r, where the projection c on the plane shrinks as 1/r^2.
    a_re = y * (3.0 * y2 - 2.0)
    a_im = 1.0 - 3.0 * y2
    b_re = c * y * (6.0 - 15.0 * y2)
    b_im = c * (15.0 * y2 - 1.0)
    t = u * y
    d_re = t * (p[3] * a_re - p[4] * a_im + p[5] * b_re - p[6] * b_im)
    d_im = t * (p[3] * a_im + p[4] * a_re + p[5] * b_im + p[6] * b_re)
    # d/dz_j acts on the beam at j, by the factor -g - i kappa, and on the Green tensor.
    g = s_j * n_j * p[1]
    kappa = 1.0 - n_j * p[1]
    f_re = d_re - g * q_re + kappa * q_im
    f_im = d_im - g * q_im - kappa * q_re
    # All phases in one: of the beams, of the way r, and of (1 + i s_j)(1 - i s_k).
    cosine, sine = cos_sin(r - u)
    m_re = 1.0 + s_j * s_k
    m_im = s_j - s_k
    h_re = cosine * m_re - sine * m_im
    h_im = cosine * m_im + sine * m_re
    return both * y * (h_re * f_re - h_im * f_im) - (p[9] + p[10] * x_j + p[11] * x_k)


def optical_binding_slopes(x_j: Any, x_k: Any, p: Any) -> tuple[Any, Any]:
    """Derivatives of `optical_binding_force` by both positions, beside its linear terms; in NumPy only."""
    k, b, distance = p[0], p[1], p[2]
    s_1, s_2 = p[3] + 1j * p[4], (p[5] + 1j * p[6]) * distance
    z_j, z_k = x_j * k + p[7], x_k * k + p[8]
    u = z_j - z_k
    r = np.sqrt(distance + u * u)
    y = 1.0 / r
    # Powers of 1/kr in the Green tensor, and their first two derivatives.
    value = s_1 * (y + 1j * y**2 - y**3) + s_2 * (-(y**3) - 3j * y**4 + 3 * y**5)
    first = s_1 * (-(y**2) - 2j * y**3 + 3 * y**4) + s_2 * (3 * y**4 + 12j * y**5 - 15 * y**6)
    second = s_1 * (2 * y**3 + 6j * y**4 - 12 * y**5) + s_2 * (-12 * y**5 - 60j * y**6 + 90 * y**7)
    q, q_1, q_2 = value, 1j * value + first, 2j * first + second - value
    t = u * y
    q_2 = t * t * q_2 + distance * y**3 * q_1
    q_1 = t * q_1
    beam_j = 1.0 / (1.0 - 1j * b * z_j)
    beam_k = 1.0 / (1.0 + 1j * b * z_k)
    log_j = -1j + 1j * b * beam_j
    log_k = 1j - 1j * b * beam_k
    scale = k * beam_j * beam_k * np.exp(1j * (r - u))
    slope_j = scale * ((log_j**2 - (b * beam_j) ** 2) * q + 2 * log_j * q_1 + q_2)
    slope_k = scale * (log_j * log_k * q + (log_k - log_j) * q_1 - q_2)
    return slope_j.real, slope_k.real


def tweezer(
    stiffness: FloatArray,
    radiation_pressure: FloatArray,
    wavenumber: float,
    z_r: float,
    about: FloatArray | None = None,
) -> Force:
    r"""Gradient force and radiation pressure of each particle's own tweezer.

    .. math::

        F(z) = -\frac{u z}{(1 + s^2)^2} + \frac{F_0}{\kappa}\,\frac{1}{1 + s^2}
               \left(k - \frac{1/z_R}{1 + s^2}\right), \qquad s = z/z_R, \quad \kappa = k - 1/z_R.

    The radiation pressure is intensity times the slope of the phase, :math:`\tfrac{\varepsilon_0}{2}\alpha^2
    \tfrac{k^3}{6\pi} |E h|^2\,\partial_z \arg h`.

    Parameters
    ----------
    stiffness : (N,) float
        u: stiffness of the trap at the focus [N/m]; see `stochbind.optics.beams.axial_stiffness`.
    radiation_pressure : (N,) float
        :math:`F_0` at the focus [N]; see `stochbind.optics.binding.radiation_pressure`.
    wavenumber, z_r : float
        k [1/m] and Rayleigh range [m].
    about : (N,) float, optional
        Distances from the foci [m]. Given, the result is the remainder about them.

    Returns
    -------
    Force
        Whole force, or the remainder.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, or wave number or Rayleigh range not positive.
    """
    u = checks.array("stiffness", stiffness, ("N",))
    n = len(u)
    pressure = checks.array("radiation_pressure", radiation_pressure, (n,))
    k, z = _beam(wavenumber, z_r)
    parameters = np.zeros((n, 7))
    parameters[:, 0] = 1.0 / z
    parameters[:, 2] = u * z
    parameters[:, 3] = pressure * k / (k - 1.0 / z)
    parameters[:, 4] = 1.0 / (k * z)
    if about is not None:
        parameters[:, 1] = checks.array("about", about, (n,)) / z
        rest = np.zeros(n)
        parameters[:, 6] = tweezer_slope(rest, parameters.T)
        parameters[:, 5] = tweezer_force(rest, parameters.T)
    return Force(function=tweezer_force, parameters=parameters)


def optical_binding(
    position: FloatArray,
    field: ComplexArray,
    polarizability: FloatArray,
    wavenumber: float,
    z_r: float,
    about: FloatArray | None = None,
) -> Force:
    r"""Force on j along the beams by the light that k scatters.

    .. math::

        F_{jk}(z_j, z_k) = \frac{\partial}{\partial z_j}\,\frac{\varepsilon_0}{2}\,\alpha_j\alpha_k\,
            \mathrm{Re}\left[E_j^* h^*(z_j)\; G(r_{jk})\; E_k h(z_k)\right], \qquad
        r_{jk} = \sqrt{d_{jk}^2 + (z_j - z_k)^2}.

    The derivative acts on the beam at j and on the Green tensor, at fixed source. At the foci, value and slope in
    :math:`z_k` are F and C of `stochbind.optics.binding.binding` with ``far_field=False``, without radiation pressure.
    The slope in :math:`z_j` is minus :math:`C` with :math:`\kappa^2 + 1/z_R^2` in place of :math:`\kappa^2`: the
    tweezer's own change of amplitude. Action does not equal reaction.

    Parameters
    ----------
    position : (N, 2) float
        Foci in the plane z = 0 [m].
    field : (N, 2) complex
        Field amplitude at each focus [V/m].
    polarizability : (N,) float
        :math:`\alpha = \chi V` [m^3].
    wavenumber, z_r : float
        k [1/m] and Rayleigh range [m].
    about : (N,) float, optional
        Distances from the foci [m]. Given, the result is the remainder about them.

    Returns
    -------
    Force
        Of all directed pairs: whole force, or the remainder. Right while k times the distance stays below 1e6.

    Raises
    ------
    ScenarioError
        If a shape is wrong, a number is not finite, wave number or Rayleigh range not positive, or two foci coincide.
    """
    place = checks.array("position", position, ("N", 2))
    n = len(place)
    e = checks.array("field", np.real(field), (n, 2)) + 1j * checks.array("field", np.imag(field), (n, 2))
    alpha = checks.array("polarizability", polarizability, (n,))
    k, z = _beam(wavenumber, z_r)
    off = ~np.eye(n, dtype=bool)
    separation = place[:, None, :] - place[None, :, :]
    distance = np.linalg.norm(separation, axis=-1)
    if (distance[off] == 0).any():
        j, other = (int(i) for i in np.argwhere(off & (distance == 0))[0])
        raise ScenarioError(f"`position` must hold different foci, but {j} and {other} coincide; move one.")
    np.fill_diagonal(distance, 1.0 / k)  # of no effect, and nothing to divide by zero
    direction = separation / distance[..., None]
    strength = off * constants.epsilon_0 * np.outer(alpha, alpha) * k**4 / (8.0 * math.pi)
    s_1 = strength * (e.conj() @ e.T)
    s_2 = strength * np.einsum("ja,jka,jkb,kb->jk", e.conj(), direction, direction, e)
    parameters = np.zeros((n, n, 12))
    parameters[..., 0] = k
    parameters[..., 1] = 1.0 / (k * z)
    parameters[..., 2] = (k * distance) ** 2
    for index, part in enumerate((s_1.real, s_1.imag, s_2.real, s_2.imag)):
        parameters[..., 3 + index] = part
    if about is not None:
        offset = k * checks.array("about", about, (n,))
        parameters[..., 7], parameters[..., 8] = offset[:, None], offset[None, :]
        rest, by_parameter = np.zeros((n, n)), np.moveaxis(parameters, -1, 0)
        slopes = optical_binding_slopes(rest, rest, by_parameter)
        parameters[..., 9] = optical_binding_force(rest, rest, by_parameter)
        parameters[..., 10], parameters[..., 11] = slopes
    return Force(function=optical_binding_force, parameters=parameters)


def _beam(wavenumber: float, z_r: float) -> tuple[float, float]:
    k = checks.positive("wavenumber", checks.array("wavenumber", wavenumber, ()))
    z = checks.positive("z_r", checks.array("z_r", z_r, ()))
    if k * z <= 1.0:
        raise ScenarioError(f"`z_r` must be above 1/wavenumber = {1.0 / k:.6g}, but is {z:.6g}.")
    return float(k), float(z)
