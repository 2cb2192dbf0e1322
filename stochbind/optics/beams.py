"""Gaussian tweezers that travel along z, with their foci in the plane z = 0."""

from __future__ import annotations

import math

import numpy as np
from scipy import constants

from stochbind.checks import ComplexArray, FloatArray


def peak_field(power: FloatArray, waist: float) -> FloatArray:
    r"""Field amplitude at the focus, :math:`|E|^2 = 4P/(\pi w^2 \varepsilon_0 c)`.

    Theory page, eq. (2).

    Parameters
    ----------
    power : (N,) float
        Power of each tweezer [W].
    waist : float
        Radius at which the field falls to 1/e [m].

    Returns
    -------
    (N,) float
        Peak amplitude [V/m]; the real field is :math:`\mathrm{Re}(E e^{-i\omega t})`.
    """
    return np.sqrt(4.0 * power / (math.pi * waist**2 * constants.epsilon_0 * constants.c))


def rayleigh_range(wavelength: float, waist: float) -> float:
    """Rayleigh range ``k w^2 / 2`` [m]."""
    return math.pi * waist**2 / wavelength


def axial_stiffness(susceptibility: FloatArray, volume: FloatArray, field: FloatArray, z_r: float) -> FloatArray:
    r"""Stiffness of the trap along the beam, :math:`\varepsilon_0 \chi V |E|^2 / 2 z_R^2`.

    Theory page, eq. (3).

    Parameters
    ----------
    susceptibility, volume, field : (N,) float
        Susceptibility [1], volume [m^3] and peak field amplitude [V/m].
    z_r : float
        Rayleigh range [m].

    Returns
    -------
    (N,) float
        Stiffness [N/m].

    References
    ----------
    Rudolph et al., Phys. Rev. A 110, 063507 (2024), eq. (79).
    """
    return constants.epsilon_0 * susceptibility * volume * field**2 / (2.0 * z_r**2)


def linear_polarization(field: FloatArray, phase: FloatArray, angle: FloatArray) -> ComplexArray:
    """Complex amplitudes of linearly polarized tweezers.

    Parameters
    ----------
    field, phase, angle : (N,) float
        Peak amplitude [V/m], optical phase [rad], angle between the field and the x axis [rad].

    Returns
    -------
    (N, 2) complex
        x and y components of the field at each focus [V/m].
    """
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    result: ComplexArray = (field * np.exp(1j * phase))[:, None] * direction
    return result


def overlap(position: FloatArray, waist: float) -> FloatArray:
    """Field of tweezer k at the focus of j relative to its peak, ``exp(-d^2/w^2)``; zero diagonal.

    Parameters
    ----------
    position : (N, 2) float
        Foci [m].
    waist : float
        Waist [m].

    Returns
    -------
    (N, N) float
        Overlap.
    """
    separation = np.linalg.norm(position[:, None, :] - position[None, :, :], axis=-1)
    result: FloatArray = np.exp(-((separation / waist) ** 2))
    np.fill_diagonal(result, 0.0)
    return result


def pushed_equilibrium(stiffness: FloatArray, force: FloatArray, z_r: float) -> tuple[FloatArray, FloatArray]:
    r"""Where radiation pressure moves a particle along its beam, and how much softer the trap is there.

    On the axis the gradient force is :math:`-u z/(1 + s^2)^2` and the radiation pressure :math:`F/(1 + s^2)`, with
    :math:`s = z/z_R`. They balance where :math:`s/(1 + s^2) = F/(u z_R)`, which is possible up to
    :math:`F = u z_R/2` only; the stiffness is then :math:`u (1 - s^2)/(1 + s^2)^3`.

    Parameters
    ----------
    stiffness, force : (N,) float
        u at the focus [N/m], and F there [N].
    z_r : float
        Rayleigh range [m].

    Returns
    -------
    displacement : (N,) float
        s, in Rayleigh ranges; NaN where there is no equilibrium.
    softening : (N,) float
        Stiffness relative to that at the focus; NaN where there is none.
    """
    push = force / (stiffness * z_r)
    with np.errstate(invalid="ignore", divide="ignore"):
        s = np.where(push == 0.0, 0.0, (1.0 - np.sqrt(1.0 - 4.0 * push**2)) / (2.0 * push))
    return s, (1.0 - s**2) / (1.0 + s**2) ** 3
