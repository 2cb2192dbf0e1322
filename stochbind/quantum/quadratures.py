r"""Dimensionless quadratures of trapped particles, in which quantum states are stated.

:math:`z = q\sqrt{m\Omega/\hbar}` and :math:`p = \dot q\sqrt{m/\hbar\Omega}`, all z first, then all p, so that
:math:`[z_j, p_k] = i\delta_{jk}` and the vacuum has the variance 1/2 in each. :math:`\Omega_j = \sqrt{u_j/m_j}` is the
frequency of a particle with all others held fixed. The covariance V of a Wigner function is that of classical
trajectories whose noise is symmetrised: :math:`\dot V = AV + VA^T + N` with the drift and noise of the `Langevin`
equations of the array, in these units. In reduced units :math:`\hbar` is one, as Boltzmann's constant is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError
from stochbind.langevin import Langevin, Moments
from stochbind.oscillators import Oscillators


def local_frequency(array: Oscillators) -> FloatArray:
    r""":math:`\Omega_j = \sqrt{u_j/m_j}` [rad/s], shape (N,).

    Raises
    ------
    ScenarioError
        If the array is overdamped, or a trap does not hold.
    """
    if array.mass is None:
        raise ScenarioError("Quantum states need velocities, but the array is overdamped; give it masses.")
    if (array.stiffness <= 0).any():
        j = int(np.flatnonzero(array.stiffness <= 0)[0])
        raise ScenarioError(
            f"Quantum states need traps that hold, but stiffness[{j}] is {array.stiffness[j]:.6g}; make it positive."
        )
    result: FloatArray = np.sqrt(array.stiffness / array.mass)
    return result


def quadrature_unit(array: Oscillators, frequency: Any = None) -> FloatArray:
    r"""Value of one unit of each quadrature, :math:`\sqrt{\hbar/m\Omega}` [m] and :math:`\sqrt{\hbar\Omega/m}` [m/s].

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped.
    frequency : float or (N,) float, optional
        Angular frequencies to take in place of `local_frequency` [rad/s].

    Returns
    -------
    (2N,) float
        Positions, then velocities.

    Raises
    ------
    ScenarioError
        If the array is overdamped, a trap does not hold, or a frequency is not positive.
    """
    omega = local_frequency(array)
    if frequency is not None:
        given = np.asarray(frequency)
        given = np.broadcast_to(given, omega.shape) if given.ndim == 0 else given
        omega = checks.positive("frequency", checks.array("frequency", given, omega.shape))
    action = array.reduced_planck
    mass = np.asarray(array.mass)
    return np.concatenate([np.sqrt(action / (mass * omega)), np.sqrt(action * omega / mass)])


def quadratures(array: Oscillators, frequency: Any = None) -> Langevin:
    r"""The equations of motion in quadratures: those of the Wigner function, and of trajectories that sample it.

    The noise of the momenta is :math:`2(m\gamma k_BT + \mathrm{Re}D)/\hbar m\Omega`; Im D is in the coupling.

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped; forces beyond the linear ones are left out.
    frequency : float or (N,) float, optional
        As for `quadrature_unit`.

    Returns
    -------
    Langevin
        With the coordinates of ``array.langevin()``, in units of quadratures; the unit of time is that of
        ``array.langevin()``.

    Raises
    ------
    ScenarioError
        As `quadrature_unit` does.
    """
    unit = quadrature_unit(array, frequency)
    equations = array.langevin()
    scale = equations.unit / unit
    return replace(
        equations,
        drift_matrix=equations.drift_matrix * scale[:, None] / scale,
        noise_covariance=equations.noise_covariance * scale[:, None] * scale,
        constant_drift=equations.constant_drift * scale,
        unit=unit,
        forces=(),
    )


def to_quadratures(array: Oscillators, moments: Moments, frequency: Any = None) -> Moments:
    """Moments in the scaled units of ``array.langevin()``, in units of quadratures.

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped.
    moments : Moments
        Mean (..., 2N) and covariance (..., 2N, 2N) of scaled states.
    frequency : float or (N,) float, optional
        As for `quadrature_unit`.

    Returns
    -------
    Moments
        Of the quadratures.

    Raises
    ------
    ScenarioError
        As `quadrature_unit` does.
    """
    scale = array.langevin().unit / quadrature_unit(array, frequency)
    return Moments(moments.mean * scale, moments.covariance * scale[:, None] * scale)


def to_scaled(array: Oscillators, moments: Moments, frequency: Any = None) -> Moments:
    """The inverse of `to_quadratures`: for the initial states of simulations."""
    scale = quadrature_unit(array, frequency) / array.langevin().unit
    return Moments(moments.mean * scale, moments.covariance * scale[:, None] * scale)


def with_quantum_baths(array: Oscillators) -> Oscillators:
    r"""The same oscillators in quantum baths: :math:`k_BT` becomes :math:`\tfrac12\hbar\Omega\coth(\hbar\Omega/2k_BT)`.

    That is :math:`\hbar\Omega(n_\mathrm{th} + \tfrac12)`, right where the damping is weak. A bath at zero temperature
    then keeps a particle in its ground state.

    Parameters
    ----------
    array : Oscillators
        N oscillators, underdamped.

    Returns
    -------
    Oscillators
        With effective bath temperatures.

    Raises
    ------
    ScenarioError
        If the array is overdamped, or a trap does not hold.
    """
    quantum = array.reduced_planck * local_frequency(array)
    with np.errstate(divide="ignore", over="ignore"):
        ratio = quantum / (2.0 * array.thermal_energy)
        energy = 0.5 * quantum / np.tanh(ratio)
    return replace(array, bath_temperature=energy / array.boltzmann, baths=None)
