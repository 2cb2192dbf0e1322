"""Damping of a sphere by a dilute gas."""

from __future__ import annotations

import math

import numpy as np
from scipy import constants

from stochbind.checks import FloatArray

#: Molar mass of dry air [kg/mol].
AIR_MOLAR_MASS = 0.0289647


def air_viscosity(temperature: float) -> float:
    r"""Viscosity of air by Sutherland's law [Pa s].

    :math:`\eta = 1.716\times10^{-5} (T/273)^{3/2} (273 + 111)/(T + 111)`.

    References
    ----------
    White, Viscous Fluid Flow, 3rd ed. (2006), table 1-2.
    """
    return 1.716e-5 * math.pow(temperature / 273.0, 1.5) * (273.0 + 111.0) / (temperature + 111.0)


def mean_free_path(pressure: float, temperature: float, molar_mass: float, viscosity: float) -> float:
    r"""Mean free path :math:`\frac{\eta}{p}\sqrt{\pi k_B T/2 m_g}` [m]."""
    molecule = molar_mass / constants.N_A
    return viscosity / pressure * math.sqrt(math.pi * constants.k * temperature / (2.0 * molecule))


def friction(
    radius: FloatArray, pressure: float, temperature: float, molar_mass: float, viscosity: float
) -> FloatArray:
    r"""Friction coefficient of a sphere in a gas, from free molecules to continuum.

    .. math::

        m\gamma = 6\pi\eta R\, \frac{0.619}{0.619 + \mathrm{Kn}} (1 + c_K), \qquad
        c_K = \frac{0.31\,\mathrm{Kn}}{0.785 + 1.152\,\mathrm{Kn} + \mathrm{Kn}^2}

    with :math:`\mathrm{Kn} = \ell/R`. For :math:`\mathrm{Kn} \gg 1` the viscosity drops out and Epstein's law
    with diffuse reflection remains, :math:`m\gamma = \tfrac83 (1 + \tfrac\pi8) \sqrt{2\pi m_g/k_B T}\, R^2 p`.
    Theory page, eq. (9).

    Parameters
    ----------
    radius : (N,) float
        Radius [m].
    pressure, temperature, molar_mass, viscosity : float
        Of the gas [Pa], [K], [kg/mol], [Pa s]. At zero pressure there is no friction.

    Returns
    -------
    (N,) float
        Friction coefficient, damping rate times mass [kg/s].

    References
    ----------
    Beresnev, Chernyak and Fomyagin, J. Fluid Mech. 219, 405 (1990); Epstein, Phys. Rev. 23, 710 (1924).
    """
    if pressure == 0.0:
        return np.zeros_like(radius)
    knudsen = mean_free_path(pressure, temperature, molar_mass, viscosity) / radius
    slip = 0.31 * knudsen / (0.785 + 1.152 * knudsen + knudsen**2)
    stokes = 6.0 * math.pi * viscosity * radius
    return stokes * 0.619 / (0.619 + knudsen) * (1.0 + slip)
