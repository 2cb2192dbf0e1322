r"""Entropy production of coupled oscillators, in units of Boltzmann's constant per second.

Three rates, which are equal in a steady state of independent thermal baths:

- what leaves to the surroundings along a path (`medium`), of which
  :math:`\int (A_\mathrm{irr}x)^T D^{-1} \circ (dx - A_\mathrm{rev}x\,dt)` is the definition. A linear function of the
  second moments. Friction is what is irreversible, velocities are odd under time reversal, all forces are even; so
  coupling enters through the state only;
- the total rate at an instant (`total`), with what the state itself gains, which is never negative;
- what the baths gain (`of_baths`), :math:`-Q_j/k_BT_j` with Q the heat from the gas. Recoil is noise without friction,
  as of a bath of infinite temperature, and takes no entropy.

Where there is recoil the last is the largest: the paths show gas and recoil as one noise, and entropy production that
cannot be seen in them is not counted by the others.
"""

from __future__ import annotations

import numpy as np

from stochbind.analysis import currents, thermodynamics
from stochbind.checks import FloatArray
from stochbind.errors import PlanError
from stochbind.oscillators import Oscillators


def medium(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Entropy that leaves to the surroundings per time, by oscillator; shape (..., N).

    Underdamped, with :math:`G = \mathrm{diag}(\gamma)` and the diffusion :math:`D_p` of the momenta,
    :math:`[G D_p^{-1} G \langle pp^T\rangle]_{jj} - \gamma_j`; overdamped :math:`[A^TD^{-1}A\Sigma]` and tr A split by
    the coordinate that moves, :math:`[D^{-1}A\Sigma A^T]_{jj} + A_{jj}`. With correlated noise the split is by the
    oscillator whose motion dissipates.

    Parameters
    ----------
    array : Oscillators
        The array.
    second : (..., d, d) float
        Second moments in scaled units.

    Returns
    -------
    (..., N) float
        [1/s]; the sum is the total.

    Raises
    ------
    NoiseError
        If the noise is degenerate.
    """
    irreversible, _, inverse, noisy = currents.irreversible_parts(array)
    drift = irreversible[noisy]
    weight = inverse[np.ix_(noisy, noisy)]
    # <a_i (D^-1 a)_i> with a the irreversible drift, and its divergence
    spread = np.einsum("ik,...kl,jl->...ij", drift, second, drift)
    square = np.einsum("ij,...ji->...i", weight, spread)
    result = np.zeros((*square.shape[:-1], array.n_oscillators))
    result[..., np.searchsorted(array.langevin().driven, noisy)] = square + irreversible[noisy, noisy]
    return result / array.langevin().time_unit


def total(array: Oscillators, covariance: FloatArray) -> float:
    r"""Total entropy production rate of a Gaussian state at an instant.

    :math:`\langle J^T D^{-1} J\rangle` with the irreversible current
    :math:`J = (A_\mathrm{irr} + D\Sigma^{-1})x` among the noisy coordinates.

    Parameters
    ----------
    array : Oscillators
        The array.
    covariance : (d, d) float
        Covariance in scaled units, positive definite.

    Returns
    -------
    float
        [1/s], not negative.

    Raises
    ------
    NoiseError
        If the noise is degenerate.
    """
    irreversible, _, inverse, noisy = currents.irreversible_parts(array)
    equations = array.langevin()
    half = 0.5 * equations.noise_covariance[noisy]
    velocity = irreversible[noisy] + half @ np.linalg.inv(covariance)
    weight = inverse[np.ix_(noisy, noisy)]
    return float(np.sum(weight * (velocity @ covariance @ velocity.T)) / equations.time_unit)


def of_baths(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Entropy that the gas of each oscillator gains, :math:`-Q_j/k_BT_j`; shape (..., N).

    Parameters
    ----------
    array : Oscillators
        The array.
    second : (..., d, d) float
        Second moments in scaled units.

    Returns
    -------
    (..., N) float
        [1/s].

    Raises
    ------
    PlanError
        If a bath that exchanges heat has no temperature, or overdamped particles have recoil: what recoil brings, and
        friction takes at once, then has no bound.
    """
    if array.mass is None and np.any(array.diffusion):
        raise PlanError(
            "The entropy of the baths of overdamped particles with momentum diffusion beside the gas is unknown, as "
            "what that noise brings and friction takes at once depends on the mass; give masses."
        )
    cold = (array.thermal_energy <= 0) & (array.friction > 0)
    if cold.any():
        j = int(np.flatnonzero(cold)[0])
        raise PlanError(f"The entropy of a bath at zero temperature is infinite, as that of particle {array.names[j]}.")
    energy = np.where(array.friction > 0, array.thermal_energy, 1.0)
    result: FloatArray = -thermodynamics.heat_current(array, second) / energy
    return result
