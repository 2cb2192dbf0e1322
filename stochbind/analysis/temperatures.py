r"""Temperatures of normal modes, occupation numbers, and the second moments that the steps of a run keep.

`stochbind.analysis.thermodynamics` has the kinetic and the position temperature of each particle. Out of equilibrium
all of these differ, and none of them is the temperature of a bath. As there, temperatures are linear functions of the
second moments, so that the same function gives the estimate and the exact value.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from stochbind import checks
from stochbind.analysis import thermodynamics
from stochbind.analysis.thermodynamics import _blocks
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, ScenarioError, UnstableError
from stochbind.oscillators import Oscillators
from stochbind.propagation import EXTENDED_PRECISION_UP_TO

#: Elements of a shape that differ by less than this count as equally large.
_ALIKE = 1e-9
#: Powers of the matrix of a step below this have forgotten the initial state.
_FORGOTTEN = 1e-20


class NormalModes(NamedTuple):
    r"""Normal modes of the reciprocal part of an array.

    Attributes
    ----------
    rate : (N,) float
        Angular frequency of each mode [rad/s], or the relaxation rate [1/s] if overdamped; ascending.
    shape : (N, N) float
        ``shape[j, k]``: displacement of oscillator j in mode k, times the root of its mass (of its friction if
        overdamped). Columns are orthonormal; their first element of the largest size is positive.
    """

    rate: FloatArray
    shape: FloatArray


class _Weighted(NamedTuple):
    """Modes, the potential energy of each per half a squared amplitude, and amplitudes per displacement."""

    modes: NormalModes
    stiffness: FloatArray
    amplitude: FloatArray


def normal_modes(array: Oscillators) -> NormalModes:
    r"""Normal modes of the reciprocal part of the forces.

    With :math:`K = \tfrac12 (U + U^T)`, U the force matrix, and W the masses (overdamped: the friction coefficients),
    the symmetric matrix :math:`W^{-1/2} K W^{-1/2}` has orthogonal eigenvectors e and the eigenvalues
    :math:`\lambda`. The amplitude :math:`Q_k = \sum_j e_{jk} \sqrt{W_j} q_j` has the potential energy
    :math:`\tfrac12 \lambda_k Q_k^2` and, if :math:`\lambda_k = \omega_k^2`, the kinetic energy
    :math:`\tfrac12 \dot Q_k^2`; both energies are sums over the modes. Overdamped, :math:`\lambda_k` is the rate at
    which mode k relaxes. For a pair of identical particles these are the motion of the centre of mass and the stretch.

    The antireciprocal part of a coupling has no potential and mixes these modes. The eigenvectors of the whole drift,
    which do not mix, are not orthogonal; their energies do not add up, and they have no temperature. Modes of equal
    rate are determined only up to rotations among them.

    Parameters
    ----------
    array : Oscillators
        The array.

    Returns
    -------
    NormalModes
        As many as oscillators.

    Raises
    ------
    ScenarioError
        If the reciprocal part does not hold: a mode of no restoring force has no temperature of its position.
    """
    return _weighted(array).modes


def _weighted(array: Oscillators) -> _Weighted:
    root = np.sqrt(array.friction if array.mass is None else array.mass)
    force = array.force_matrix
    stiffness, shape = np.linalg.eigh(0.5 * (force + force.T) / np.outer(root, root))
    if not stiffness[0] > 0:
        raise ScenarioError(
            "Normal modes need reciprocal forces that hold, but the reciprocal part of the force matrix has the "
            f"eigenvalue {stiffness[0]:.3g} (per {'friction' if array.mass is None else 'mass'}); weaken the coupling "
            "or stiffen the traps."
        )
    size = np.abs(shape)
    first = np.argmax(size > size.max(axis=0) - _ALIKE, axis=0)
    shape = shape * np.sign(shape[first, np.arange(len(shape))])
    rate = stiffness if array.mass is None else np.sqrt(stiffness)
    return _Weighted(NormalModes(rate, shape), stiffness, shape * root[:, None])


def mode_kinetic_temperature(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Kinetic temperature :math:`\langle \dot Q_k^2 \rangle / k_B` of each normal mode of underdamped particles.

    Parameters
    ----------
    array : Oscillators
        The array.
    second : (..., 2N, 2N) float
        Second moments in scaled units.

    Returns
    -------
    (..., N) float
        Temperature [K], or an energy in reduced units, in the order of `normal_modes`.

    Raises
    ------
    ValueError
        If the array is overdamped: then there is no velocity.
    ScenarioError
        As for `normal_modes`.
    """
    if array.mass is None:
        raise ValueError("An overdamped array has no velocities, and so no kinetic temperature.")
    result: FloatArray = _squares(_weighted(array).amplitude, _blocks(array, second)[2]) / array.boltzmann
    return result


def mode_position_temperature(array: Oscillators, second: FloatArray) -> FloatArray:
    r"""Position temperature :math:`\lambda_k \langle Q_k^2 \rangle / k_B` of each normal mode; (..., N).

    In equilibrium, with reciprocal coupling and one bath, it is that of the bath, while the position temperatures of
    single coupled particles are not. See `normal_modes`, also for the error.
    """
    weighted = _weighted(array)
    square = _squares(weighted.amplitude, _blocks(array, second)[0])
    result: FloatArray = weighted.stiffness * square / array.boltzmann
    return result


def _squares(amplitude: FloatArray, second: FloatArray) -> FloatArray:
    """Mean squares of sums over oscillators, with the columns of `amplitude` as coefficients."""
    result: FloatArray = np.einsum("...jl,jk,lk->...k", second, amplitude, amplitude, optimize=True)
    return result


def occupation(array: Oscillators, second: FloatArray, *, reduced_planck: float | None = None) -> FloatArray:
    r"""Phonon number n of each particle, :math:`\hbar\Omega_j (n_j + \tfrac12) = \langle H_j \rangle`.

    :math:`H_j` is the energy of particle j, interaction left out, and :math:`\Omega_j = \sqrt{u_j/m_j}`. Second moments
    are those of the symmetrised quantum state, which holds the half quantum: a particle in its ground state has n = 0,
    and one at rest -1/2. Baths are classical, with :math:`k_B T` where a quantum bath has
    :math:`\tfrac12\hbar\Omega\coth(\hbar\Omega/2k_BT)`: what they give n + 1/2 is wrong by the fraction
    :math:`(\hbar\Omega/k_BT)^2/12`.

    Parameters
    ----------
    array : Oscillators
        The array, underdamped.
    second : (..., 2N, 2N) float
        Second moments in scaled units.
    reduced_planck : float, optional
        :math:`\hbar`; by default the constant of nature, or one in reduced units.

    Returns
    -------
    (..., N) float
        n.

    Raises
    ------
    ScenarioError
        If the array is overdamped, a trap does not hold, or `reduced_planck` is not positive.
    """
    action = _action(array, reduced_planck)
    stiffness = array.stiffness
    if (stiffness <= 0).any():
        j = int(np.flatnonzero(stiffness <= 0)[0])
        raise ScenarioError(
            f"Occupation numbers need traps that hold, but stiffness[{j}] is {stiffness[j]:.6g}; make it positive."
        )
    quantum = action * np.sqrt(stiffness / np.asarray(array.mass))
    result: FloatArray = thermodynamics.energy(array, second) / quantum - 0.5
    return result


def mode_occupation(array: Oscillators, second: FloatArray, *, reduced_planck: float | None = None) -> FloatArray:
    r"""Phonon number of each normal mode, :math:`\hbar\omega_k (n_k + \tfrac12)` its energy; (..., N).

    See `occupation`, and `normal_modes` for what the modes are; both for the errors.
    """
    action = _action(array, reduced_planck)
    energy = mode_kinetic_temperature(array, second) + mode_position_temperature(array, second)
    result: FloatArray = 0.5 * array.boltzmann * energy / (action * normal_modes(array).rate) - 0.5
    return result


def _action(array: Oscillators, reduced_planck: float | None) -> float:
    """Planck's constant over two pi, or `ScenarioError` where there are no quanta."""
    if array.mass is None:
        raise ScenarioError("Occupation numbers need velocities, but the array is overdamped; give it masses.")
    if reduced_planck is None:
        return array.reduced_planck
    return float(checks.positive("reduced_planck", checks.array("reduced_planck", reduced_planck, ())))


def second_moment_of_steps(coefficients: Mapping[str, FloatArray]) -> FloatArray:
    r"""Second moments in the steady state that the steps of a run themselves keep, with linear forces.

    A step is :math:`x' = M x + s + N\xi`, with independent standard normals :math:`\xi`. It keeps

    .. math:: P = \sum_k M^k N N^T M^{kT}, \qquad \mu = (1 - M)^{-1} s,

    so that :math:`P = M P M^T + N N^T`. This is what the averages of a long run go to. The difference from the steady
    state of the equations is the error of the solver: steps h of Euler and Maruyama make temperatures too high by
    :math:`1/(1 - Q\Omega h)`. All temperatures of this state follow as from any other second moments.

    Parameters
    ----------
    coefficients : mapping of str to array
        What defines the steps of a run, as `stochbind.Store.coefficients` gives it: `matrix`, `shift` and `root`, each
        with one set; of Heun's solver also `corrector`.

    Returns
    -------
    (d, d) float
        :math:`P + \mu\mu^T`, in scaled units.

    Raises
    ------
    PlanError
        If steps differ from each other, or the tables are not those of a linear step.
    UnstableError
        If the steps have no steady state, whether or not the equations have one.
    """
    matrix, shift, root = _one_step(coefficients)
    kind: Any = np.longdouble if len(matrix) <= EXTENDED_PRECISION_UP_TO else np.float64
    power = matrix.astype(kind)
    total = (root.astype(kind)) @ root.T.astype(kind)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(100):
            total = total + power @ total @ power.T
            power = power @ power
            if not np.isfinite(power).all() or np.abs(power).max() < _FORGOTTEN:
                break
    growth = float(np.abs(np.linalg.eigvals(matrix)).max())
    if not (np.isfinite(total).all() and np.abs(power).max() < _FORGOTTEN):
        raise UnstableError(
            f"The steps have no steady state, as each multiplies an amplitude by {growth:.6g}; use a shorter step, or "
            'solver = "exact".',
            math.log(growth),
        )
    mean = np.linalg.solve(np.eye(len(matrix)) - matrix, shift)
    result: FloatArray = total.astype(np.float64) + np.outer(mean, mean)
    return result


def _one_step(coefficients: Mapping[str, FloatArray]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Matrix, shift and noise root of a whole step."""
    matrix, shift, root = (np.asarray(coefficients[name]) for name in ("matrix", "shift", "root"))
    if len(matrix) != 1 or "drive" in coefficients:
        raise PlanError("The steps of this run differ from each other, so that they keep no steady state.")
    if "drift_matrix" in coefficients:
        raise PlanError("The tables of sdeint's solvers are equations and no steps; run `euler_maruyama` or `heun`.")
    if "force_kind" in coefficients and np.size(coefficients["force_kind"]):
        raise PlanError("With forces beyond the linear ones a step is not linear, and its steady state is not known.")
    if "corrector" not in coefficients:
        return matrix[0], shift[0], root[0]
    # Heun's: the predictor y = (1 + h A) x + r, and the corrector x + h A (x + y) / 2 + r, where r is shift and noise.
    gain = np.asarray(coefficients["corrector"])
    identity = np.eye(len(gain))
    corrected = identity + gain
    return identity + gain @ (identity + matrix[0]), corrected @ shift[0], corrected @ root[0]
