r"""Two particles in two tweezers: rates of coupling and of correlated recoil.

Rates are those of the dimensionless coordinates :math:`z_j \sqrt{m\omega/\hbar}` and :math:`p_j / \sqrt{\hbar m\omega}`
of Rudolph et al.: the force on 1 by 2 is :math:`C_{12} = 2 m\omega (g_r + g_a)` per displacement, that on 2 by 1
:math:`C_{21} = 2 m\omega (g_r - g_a)`, and :math:`D_{jk}` is the momentum diffusion in units of
:math:`\hbar m \omega`. :math:`C_{12} - C_{21} = 4\,\mathrm{Im} D_{12}/\hbar` makes :math:`\mathrm{Im} D_{12} = g_a`.

The first tweezer leads the second by the phase :math:`\varphi = \varphi_1 - \varphi_2`; the distance enters as
:math:`kd`. PRL stands for Phys. Rev. Lett. 133, 233603 (2024), PRA for Phys. Rev. A 110, 063507 (2024).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import constants

from stochbind import checks
from stochbind.checks import ComplexArray, FloatArray
from stochbind.errors import ScenarioError

BoolArray = npt.NDArray[np.bool_]


class Rates(NamedTuple):
    """Coupling and recoil rates of a pair [1/s], or in units of any rate.

    Attributes
    ----------
    reciprocal, antireciprocal : (...) float
        g_r and g_a; their sum is the effect on particle 1 of particle 2, their difference that on 2 of 1.
    recoil : (..., 2) float
        D11 and D22, recoil heating of each particle.
    recoil_correlation : (...) complex
        D12. Its real part is the correlation of the recoil, its imaginary part the antireciprocal coupling.
    """

    reciprocal: FloatArray
    antireciprocal: FloatArray
    recoil: FloatArray
    recoil_correlation: ComplexArray


class PairConstants(NamedTuple):
    """Constants of a pair in SI units, as `stochbind.optics.binding.Binding` has them.

    Attributes
    ----------
    coupling : (..., 2, 2) float
        C: force on j per displacement of k [N/m]; zero diagonal.
    stiffness : (..., 2) float
        K: stiffness added to the trap of j, the row sums of C [N/m].
    diffusion : (..., 2, 2) complex
        D: Hermitian momentum diffusion [N^2 s].
    """

    coupling: FloatArray
    stiffness: FloatArray
    diffusion: ComplexArray


def largest_coupling(
    distance: Any, polarizability: Any, field: Any, wavenumber: float, z_r: float, angle: Any = 0.5 * math.pi
) -> FloatArray:
    r"""The coupling that optical binding reaches in the far field, and has at a unidirectional point.

    .. math::

        C = \frac{\varepsilon_0 \alpha_1 \alpha_2 k^2 \kappa^2}{8\pi d} |E_1| |E_2| \sin\vartheta_1 \sin\vartheta_2,
        \qquad \kappa = k - 1/z_R

    Parameters
    ----------
    distance : (...) float
        d [m].
    polarizability, field : float or (2,) float
        :math:`\alpha = \chi V` [m^3] and amplitude at the focus [V/m] of both.
    wavenumber, z_r : float
        k [1/m] and Rayleigh range [m].
    angle : float or (2,) float
        Angle between the polarization of each tweezer and the line between them [rad].

    Returns
    -------
    (...) float
        C [N/m].

    Raises
    ------
    ScenarioError
        If a distance, wavenumber or Rayleigh range is not positive, or a number is not finite.

    References
    ----------
    PRA, eq. (92), which measures the angles from the perpendicular to the line.
    """
    d = checks.positive("distance", checks.real_numbers("distance", distance))
    alpha, amplitude = _both("polarizability", polarizability), _both("field", field)
    k, kappa = _wavenumbers(wavenumber, z_r)
    sine = np.sin(_both("angle", angle))
    product = np.prod(alpha * amplitude * sine)
    result: FloatArray = np.asarray(constants.epsilon_0 * k**2 * kappa**2 * product / (8.0 * math.pi * d))
    return result


def strength(
    mass: Any,
    angular_frequency: Any,
    polarizability: Any,
    field: Any,
    wavenumber: float,
    z_r: float,
    angle: Any = 0.5 * math.pi,
) -> float:
    r"""The constant G of the coupling rates, which are at most :math:`G/kd`.

    :math:`G = k d\, C / 2 \sqrt{m_1 m_2 \omega_1 \omega_2}`, with C of `largest_coupling`.

    Parameters
    ----------
    mass, angular_frequency : float or (2,) float
        Of each particle [kg], [rad/s].
    polarizability, field, wavenumber, z_r, angle
        As for `largest_coupling`.

    Returns
    -------
    float
        G [1/s].

    Raises
    ------
    ScenarioError
        If a mass or frequency is not positive, or as `largest_coupling` does.

    References
    ----------
    PRL, below eq. (6); PRA, eq. (98), for two equal particles.
    """
    momentum = _momentum_scale(mass, angular_frequency)
    coupling = largest_coupling(1.0, polarizability, field, wavenumber, z_r, angle)  # at 1 m: it falls off as 1/d
    return float(wavenumber * coupling / (2.0 * math.sqrt(momentum.prod())))


def recoil_ratio(wavenumber: float, z_r: float) -> float:
    r""":math:`D_{jj}/G` of two equal particles and tweezers polarized across the line between them.

    :math:`\frac{2}{15} (5 + 2 k^2/\kappa^2) \ge 14/15`: at distances above 0.171 wavelengths the recoil heating
    exceeds the coupling, which is at most :math:`G/kd`.

    Parameters
    ----------
    wavenumber, z_r : float
        k [1/m] and Rayleigh range [m].

    Returns
    -------
    float
        Ratio.

    Raises
    ------
    ScenarioError
        If one of them is not positive.

    References
    ----------
    PRA, eqs. (87a) and (98).
    """
    k, kappa = _wavenumbers(wavenumber, z_r)
    return 2.0 / 15.0 * (5.0 + 2.0 * (k / kappa) ** 2)


def far_field_rates(distance_phase: Any, phase: Any, strength: Any, recoil: Any) -> Rates:
    r"""Rates of a pair far apart.

    .. math::

        g_r = \frac{G}{kd} \cos kd \cos\varphi, \quad g_a = \frac{G}{kd} \sin kd \sin\varphi, \quad
        D_{12} = \frac{G}{kd} \sin kd \cos\varphi + i g_a

    Parameters
    ----------
    distance_phase : (...) float
        kd.
    phase : (...) float
        :math:`\varphi` [rad].
    strength : (...) float
        G [1/s].
    recoil : float or (..., 2) float
        D11 and D22 [1/s].

    Returns
    -------
    Rates
        Rates [1/s].

    Raises
    ------
    ScenarioError
        If kd is not positive, a recoil rate is negative, a shape does not fit, or a number is not
        finite.

    References
    ----------
    PRL, eqs. (6) and (8).
    """
    kd = checks.positive("distance_phase", checks.real_numbers("distance_phase", distance_phase))
    scale = checks.real_numbers("strength", strength) / kd
    angle = checks.real_numbers("phase", phase)
    heating = checks.positive("recoil", checks.real_numbers("recoil", recoil), or_zero=True)
    if heating.ndim and heating.shape[-1] != 2:
        raise ScenarioError(f"`recoil` must be a number or have shape (..., 2), but has shape {heating.shape}.")
    g_r, g_a, common = scale * np.cos(kd) * np.cos(angle), scale * np.sin(kd) * np.sin(angle), scale * np.sin(kd)
    both = heating if heating.ndim else np.full((*g_r.shape, 2), heating)
    return Rates(np.asarray(g_r), np.asarray(g_a), both, np.asarray(common * np.cos(angle) + 1j * g_a))


def rates_from(coupling: Any, diffusion: Any, mass: Any, angular_frequency: Any) -> Rates:
    r"""Rates of a pair from its constants in SI units.

    With :math:`s_j = m_j \omega_j`: :math:`g_r \pm g_a = C_{12}, C_{21} / 2\sqrt{s_1 s_2}` and
    :math:`D_{jk} / \hbar \sqrt{s_j s_k}`. For two equal particles this is the published form.

    Parameters
    ----------
    coupling : (..., 2, 2) float
        C, the effect on j of k [N/m], of `stochbind.optics.binding.Binding`.
    diffusion : (..., 2, 2) complex
        D [N^2 s].
    mass, angular_frequency : float or (2,) float
        Of each particle [kg], [rad/s].

    Returns
    -------
    Rates
        Rates [1/s]. g_a is that of the coupling; it is the imaginary part of D12 as well where both are of the same
        light.

    Raises
    ------
    ScenarioError
        If a shape does not fit, a mass or frequency is not positive, or a number is not finite.

    References
    ----------
    PRL, eqs. (6)-(8), with PRA, eqs. (85) and (90), the latter without the factor i of the relation printed below it.
    """
    c = checks.real_numbers("coupling", coupling)
    d_real, d_imaginary = (checks.real_numbers("diffusion", part(diffusion)) for part in (np.real, np.imag))
    for name, value in (("coupling", c), ("diffusion", d_real)):
        if value.shape[-2:] != (2, 2):
            raise ScenarioError(f"`{name}` must have shape (..., 2, 2), but has shape {value.shape}.")
    momentum = _momentum_scale(mass, angular_frequency)
    mean = math.sqrt(momentum.prod())
    on_first, on_second = c[..., 0, 1] / (2.0 * mean), c[..., 1, 0] / (2.0 * mean)
    recoil = np.diagonal(d_real, axis1=-2, axis2=-1) / (constants.hbar * momentum)
    cross = (d_real + 1j * d_imaginary)[..., 0, 1] / (constants.hbar * mean)
    return Rates(0.5 * (on_first + on_second), 0.5 * (on_first - on_second), recoil, np.asarray(cross))


def constants_from(rates: Rates, mass: Any, angular_frequency: Any) -> PairConstants:
    """Constants of a pair in SI units from its rates; undoes `rates_from`.

    Parameters
    ----------
    rates : Rates
        Rates [1/s].
    mass, angular_frequency : float or (2,) float
        Of each particle [kg], [rad/s].

    Returns
    -------
    PairConstants
        Coupling, stiffness and diffusion.

    Raises
    ------
    ScenarioError
        If a mass or frequency is not positive, or a number is not finite.

    References
    ----------
    PRL, eqs. (6)-(9).
    """
    momentum = _momentum_scale(mass, angular_frequency)
    mean = math.sqrt(momentum.prod())
    g_r, g_a = (
        checks.real_numbers("reciprocal", rates.reciprocal),
        checks.real_numbers("antireciprocal", rates.antireciprocal),
    )
    coupling = np.zeros((*np.broadcast_shapes(g_r.shape, g_a.shape), 2, 2))
    coupling[..., 0, 1] = 2.0 * mean * (g_r + g_a)
    coupling[..., 1, 0] = 2.0 * mean * (g_r - g_a)
    diffusion = np.zeros(coupling.shape, dtype=np.complex128)
    diffusion[..., 0, 0] = constants.hbar * momentum[0] * rates.recoil[..., 0]
    diffusion[..., 1, 1] = constants.hbar * momentum[1] * rates.recoil[..., 1]
    diffusion[..., 0, 1] = constants.hbar * mean * rates.recoil_correlation
    diffusion[..., 1, 0] = diffusion[..., 0, 1].conj()
    return PairConstants(coupling, coupling.sum(axis=-1), diffusion)


def frequency_shifts(rates: Rates) -> FloatArray:
    r"""Shifts of the mechanical frequencies by the light scattered between two equal particles.

    :math:`\delta\omega_1 = g_r + g_a` and :math:`\delta\omega_2 = g_r - g_a`, to first order in the rates over the
    frequency: :math:`\delta H_0 = \hbar \sum_j \delta\omega_j z_j^2` beside
    :math:`\hbar\omega (z_j^2 + p_j^2)/2`.

    Parameters
    ----------
    rates : Rates
        Rates of the pair.

    Returns
    -------
    (..., 2) float
        Shift of each particle, in the unit of the rates.

    References
    ----------
    PRL, eq. (9).
    """
    g_r, g_a = rates.reciprocal, rates.antireciprocal
    result: FloatArray = np.stack([g_r + g_a, g_r - g_a], axis=-1)
    return result


def completely_positive(rates: Rates) -> BoolArray:
    r"""Whether the recoil of two particles is one of quantum mechanics, :math:`D_{11} D_{22} \ge |D_{12}|^2`.

    In the far field it is so for equal particles at any phase if kd > 15/14. For more than two particles the inequality
    between all pairs does not suffice; the matrix D must have no negative eigenvalue.

    Parameters
    ----------
    rates : Rates
        Rates of the pair.

    Returns
    -------
    (...) bool
        Whether it holds.

    References
    ----------
    PRL, below eq. (8).
    """
    return np.asarray(rates.recoil.prod(axis=-1) >= np.abs(rates.recoil_correlation) ** 2)


def _both(name: str, value: Any) -> FloatArray:
    """A number for each particle, from one or two: (2,)."""
    given = np.asarray(value)
    return checks.array(name, np.broadcast_to(given, (2,)) if given.ndim == 0 else given, (2,))


def _momentum_scale(mass: Any, angular_frequency: Any) -> FloatArray:
    """Mass times frequency of each particle [kg/s]: (2,)."""
    result: FloatArray = checks.positive("mass", _both("mass", mass)) * checks.positive(
        "angular_frequency", _both("angular_frequency", angular_frequency)
    )
    return result


def _wavenumbers(wavenumber: float, z_r: float) -> tuple[float, float]:
    """The wavenumbers k, of the light, and kappa, at the focus of a tweezer."""
    k = float(checks.positive("wavenumber", checks.array("wavenumber", wavenumber, ())))
    z = float(checks.positive("z_r", checks.array("z_r", z_r, ())))
    if k * z <= 1.0:
        raise ScenarioError(f"`z_r` must be longer than 1/k, {1.0 / k:.6g} m, but is {z:.6g} m: no beam is that tight.")
    return k, k - 1.0 / z
