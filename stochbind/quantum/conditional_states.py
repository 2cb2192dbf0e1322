r"""Conditional states in closed form: one oscillator, and the efficiency that entanglement takes."""

from __future__ import annotations

import math

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.optics.pairs import Rates
from stochbind.quantum.entanglement import entanglement_threshold


def oscillator_covariance(frequency: float, damping_rate: float, diffusion: float, information: float) -> FloatArray:
    r"""Steady conditional covariance of one oscillator, in closed form.

    With :math:`k = 8\eta D` and :math:`u = \Omega(\sqrt{\Omega^2 + 2D_\mathrm{tot}k} - \Omega)`,

    .. math::

        V_{zz} = \frac{\sqrt{\gamma^2 + 2u} - \gamma}{k}, \quad V_{zp} = \frac{k V_{zz}^2}{2\Omega}, \quad
        V_{pp} = V_{zz} + \frac{(\gamma + kV_{zz}) V_{zp}}{\Omega}

    Without gas :math:`\det V = 1/4\eta`, so that the purity is :math:`\sqrt\eta`.

    Parameters
    ----------
    frequency, damping_rate : float
        :math:`\Omega` [rad/s] and :math:`\gamma` [1/s].
    diffusion : float
        :math:`D_\mathrm{tot} = D + \gamma k_BT/\hbar\Omega`, recoil and gas, of the dimensionless momentum [1/s].
    information : float
        :math:`\eta D` [1/s].

    Returns
    -------
    (2, 2) float
        V, of z and p.

    Raises
    ------
    ScenarioError
        If a number is not positive; the damping rate may be zero.
    """
    omega, d, eta_d = (
        float(checks.positive(name, checks.array(name, value, ())))
        for name, value in {"frequency": frequency, "diffusion": diffusion, "information": information}.items()
    )
    gamma = float(checks.positive("damping_rate", checks.array("damping_rate", damping_rate, ()), or_zero=True))
    k = 8.0 * eta_d
    # sqrt(x^2 + y) - x as y / (sqrt(x^2 + y) + x), which loses no digits to weak measurement.
    u = omega * 2.0 * d * k / (math.sqrt(omega**2 + 2.0 * d * k) + omega)
    zz = 2.0 * u / (math.sqrt(gamma**2 + 2.0 * u) + gamma) / k
    zp = k * zz**2 / (2.0 * omega)
    return np.array([[zz, zp], [zp, zz + (gamma + k * zz) * zp / omega]])


def necessary_efficiency(rates: Rates) -> FloatArray:
    r"""The efficiency up to which optical binding of a pair entangles no conditional state.

    A record of one particle keeps states that are not entangled so; what is left of the master equation is that with
    the diffusion :math:`(1 - \eta)D_{jj}`, which entangles nothing as long as

    .. math:: (1 - \eta)\sqrt{D_{11}D_{22}} \ge \sqrt{(\mathrm{Re}D_{12})^2 + g_r^2},

    in the far field :math:`(1 - \eta)D_{11} \ge (G/kd)|\cos\varphi|`. Beyond it some product states become entangled;
    the steady state of a weakly bound pair takes more, 0.968 in place of 0.9 at :math:`D_{11} = 10g_r`,
    :math:`g_r = 0.02\Omega`.

    Parameters
    ----------
    rates : Rates
        Of the pair.

    Returns
    -------
    (...) float
        Efficiency; zero where no detection is needed. What light carries,
        `stochbind.quantum.measurement.largest_efficiency`, is above it only where :math:`|g_a| < |g_r|`.

    Raises
    ------
    ScenarioError
        If a recoil is not positive.

    References
    ----------
    Rudolph et al., Phys. Rev. Lett. 133, 233603 (2024), way (i), which has :math:`g_r` on the right-hand side: that is
    so where :math:`\mathrm{Re}D_{12} = 0`.
    """
    recoil = checks.positive("recoil", checks.real_numbers("recoil", rates.recoil))
    return np.asarray(np.maximum(0.0, 1.0 - entanglement_threshold(rates) / np.sqrt(recoil.prod(axis=-1))))
