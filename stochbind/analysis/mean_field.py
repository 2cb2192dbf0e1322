r"""Finite baths: exact averages of temperatures, moments and heat, and where they end.

The temperature of a bath of capacity :math:`C_b` is :math:`T_b(t) = T_b(0) - Q_b(t)/C_b`, where :math:`Q_b` is the
heat that it has given. Noise and heat are linear in the temperatures and in the second moments
:math:`S = \langle x x^T \rangle`, so that the averages over all trajectories obey closed linear equations,

.. math:: \dot S = A S + S A^T + N_0 + \sum_b \langle T_b \rangle N_b, \qquad
          \langle \dot Q_b \rangle = \sum_{j \in b} \bigl(g_j \langle T_b \rangle + r_j - \mathrm{tr}\, W_j S \bigr),

for any number of oscillators and any capacity; in the limit of many copies that share a bath, each trajectory follows
them. Underdamped, :math:`\mathrm{tr}\, W_j S = \gamma_j \langle v_j^2 \rangle` and :math:`g_j = \gamma_j k_B/m_j` with
the friction :math:`\gamma_j`; overdamped, :math:`\mathrm{tr}\, W_j S = \langle F_j^2 \rangle/\gamma_j` with the force
:math:`F_j`, and :math:`g_j = u_j k_B/\gamma_j`. The overdamped equations leave out the kinetic energy, which adds half
a Boltzmann constant for each oscillator to the capacity of its bath.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import linalg

from stochbind import checks
from stochbind.analysis.bath_equations import Conductance as Conductance
from stochbind.analysis.bath_equations import Relaxation as Relaxation
from stochbind.analysis.bath_equations import System, bath_temperatures
from stochbind.analysis.bath_equations import shared_baths as shared_baths
from stochbind.checks import FloatArray
from stochbind.errors import PlanError
from stochbind.langevin import Moments
from stochbind.oscillators import Oscillators


def relaxation(array: Oscillators, time: npt.ArrayLike, *, initial: str | Moments = "thermal") -> Relaxation:
    """Exact averages of oscillators and baths at some times.

    Parameters
    ----------
    array : Oscillators
        Under- or overdamped, with `baths`; or each in an infinite bath of its own.
    time : (n,) float
        Times [s], not negative and not decreasing.
    initial : str or Moments
        State at time zero, in scaled units or as `Oscillators.initial_moments` names it.

    Returns
    -------
    Relaxation
        The averages.

    Raises
    ------
    PlanError
        If times are negative or decrease, there are forces beyond the linear ones, or too many unknowns.
    """
    times = checks.array("time", time, ("n",), error=PlanError)
    if times[0] < 0 or (np.diff(times) < 0).any():
        raise PlanError("`time` must be zero or positive, and must not decrease.")
    return System.of(array, initial).relaxation(times)


def final_temperatures(array: Oscillators, *, initial: str | Moments = "thermal") -> FloatArray:
    r"""Temperatures of the baths in the end, where no finite bath gives heat.

    For a pair with an infinite bath A, bath B ends at :math:`T_A c_B/c_A`. Where energy is conserved, with reciprocal
    couplings and without an infinite bath, all end at one temperature that depends on the initial state.

    Parameters
    ----------
    array : Oscillators
        With `baths`.
    initial : str or Moments
        State at time zero; see `relaxation`.

    Returns
    -------
    (K,) float
        [K].

    Raises
    ------
    UnstableError
        If temperatures or amplitudes grow without bound, or go on for ever.
    """
    return System.of(array, initial).final()


def conductance(array: Oscillators) -> Conductance:
    """Steady heat currents between baths, as linear functions of their temperatures.

    Parameters
    ----------
    array : Oscillators
        With `baths`; or each in a bath of its own, K = N. The temperatures play no part.

    Raises
    ------
    UnstableError
        If there is no steady state.
    """
    array.langevin().require_stable("A steady heat current")
    return System.of(array, "rest").conductance()


def alike(array: Oscillators, *, initial: str | Moments = "thermal") -> tuple[npt.NDArray[np.intp], ...]:
    """Oscillators that obey the same equations from the same state: of all copies of a cluster, those in one place.

    Returns
    -------
    tuple of (n,) int
        Their indices, which differ in number; in the order of the first ones.
    """
    clusters = System.of(array, initial).clusters
    found = [np.array(one) for cluster in clusters for one in zip(*cluster.oscillators, strict=True)]
    return tuple(sorted(found, key=lambda one: int(one[0])))


def slow_relaxation(array: Oscillators, time: npt.ArrayLike) -> FloatArray:
    r"""Temperatures of baths so large that the oscillators are in a steady state all the time.

    :math:`C_b \dot T_b = -\sum_k G_{bk} T_k - g_b`, with the `conductance`; the limit of `relaxation` for large
    capacities, up to terms of relative order :math:`k_B N/C`.

    Parameters
    ----------
    array : Oscillators
        With `baths`.
    time : (n,) float
        Times [s].

    Returns
    -------
    (n, K) float
        [K].

    Raises
    ------
    UnstableError
        If there is no steady state.
    """
    times = checks.array("time", time, ("n",), error=PlanError)
    matrix, constant = conductance(array)
    baths, start = shared_baths(array), bath_temperatures(array)
    rate = np.zeros((len(start) + 1, len(start) + 1))
    rate[:-1, :-1] = -matrix / baths.heat_capacity[:, None]
    rate[:-1, -1] = -constant / baths.heat_capacity
    state = np.append(start, 1.0)
    return np.array([linalg.expm(rate * t) @ state for t in times])[:, :-1]
