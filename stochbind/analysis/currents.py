r"""Exact statistics of currents: work, heat and entropy along the paths of linear equations.

A current is a functional of the path, :math:`J = \int_0^t (x^T M x + c)\,ds + \int_0^t x^T N \circ dx`, the second
product being Stratonovich's. In Ito's form its drift is :math:`x^T M' x + c'` with
:math:`M' = M + \tfrac12(NA + A^T N^T)` and :math:`c' = c + \tfrac12 \mathrm{tr}(N^T BB^T)`. The rate of each cumulant
takes one Lyapunov equation. For a smooth current (N = 0) the second is :math:`4\,\mathrm{tr}(MK)` with
:math:`AK + KA^T + \Sigma M \Sigma = 0`. `stochbind.analysis.generating_functions` has their whole distribution.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.errors import NoiseError, PlanError, UnstableError
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators
from stochbind.propagation import lyapunov


@dataclass(frozen=True, eq=False)
class Current:
    r"""A functional :math:`J = \int (x^T M x + c)\,dt + \int x^T N \circ dx` of the path, in scaled units.

    Attributes
    ----------
    name : str
        What it is.
    rate : (d, d) float
        M, symmetric, per unit of time.
    circulation : (d, d) float
        N: element [i, k] multiplies :math:`x_i \circ dx_k`.
    constant : float
        c, per unit of time.
    unit : str
        SI unit of J: "J", or empty for entropy in units of Boltzmann's constant.
    """

    name: str
    rate: FloatArray
    circulation: FloatArray
    constant: float = 0.0
    unit: str = "J"

    def __add__(self, other: Current) -> Current:
        """The sum of two currents."""
        return Current(
            f"{self.name} + {other.name}",
            self.rate + other.rate,
            self.circulation + other.circulation,
            self.constant + other.constant,
            self.unit,
        )


def work_current(array: Oscillators, receiver: int, sender: int) -> Current:
    r"""Work on the receiver by the force of the sender, :math:`\int C_{jk} q_k \circ dq_j`; theory page, eq. (15)."""
    unit = array.langevin().unit
    circulation = np.zeros((len(unit), len(unit)))
    circulation[sender, receiver] = array.coupling[receiver, sender] * unit[sender] * unit[receiver]
    name = f"work {array.names[receiver]} <- {array.names[sender]}"
    return Current(name, np.zeros_like(circulation), circulation)


def heat_current(array: Oscillators, oscillator: int) -> Current:
    r"""Heat from bath and recoil to one oscillator.

    Overdamped :math:`-\int F_j \circ dq_j`; underdamped :math:`\int (m_j v_j \circ dv_j - F_j v_j\,dt)`, with F the
    whole force: what friction and noise do. Noise of gas and of recoil cannot be told apart on a path.
    """
    unit, j, n = array.langevin().unit, oscillator, array.n_oscillators
    rate, circulation = np.zeros((2, len(unit), len(unit)))
    force = array.force_matrix[j] * unit[:n]
    if array.mass is None:
        circulation[:, j] = force * unit[j]
    else:
        circulation[n + j, n + j] = array.mass[j] * unit[n + j] ** 2
        rate[:n, n + j] = 0.5 * force * unit[n + j] * array.langevin().time_unit
        rate = rate + rate.T
    return Current(f"heat {array.names[j]}", rate, circulation)


def entropy_current(array: Oscillators) -> Current:
    r"""Entropy that leaves to the surroundings.

    :math:`\int (A_\mathrm{irr}x)^T D^{-1} \circ (dx - A_\mathrm{rev}x\,dt)`, in units of Boltzmann's constant, with
    :math:`D = BB^T/2`; underdamped, the velocities alone take part, and friction is what is irreversible. With thermal
    noise alone it is :math:`-\sum_j Q_j/k_BT_j`, with Q the heat from the baths. Where there is recoil besides, bath
    and recoil of a particle count as one: entropy as the paths show it.

    Raises
    ------
    NoiseError
        If the noise is degenerate: then a path is told from its reverse with certainty.
    """
    irreversible, reversible, inverse, noisy = irreversible_parts(array)
    d = len(irreversible)
    rate, circulation = np.zeros((2, d, d))
    weight = irreversible.T @ inverse[:, noisy]
    circulation[:, noisy] = weight
    half = weight @ reversible[noisy]
    rate = -0.5 * (half + half.T)
    return Current("entropy", rate, circulation, unit="")


def irreversible_parts(array: Oscillators) -> tuple[FloatArray, FloatArray, FloatArray, npt.NDArray[np.intp]]:
    """Parts of the drift that dissipate and that do not, and the inverse of half the noise.

    Parameters
    ----------
    array : Oscillators
        Any array.

    Returns
    -------
    irreversible, reversible : (d, d) float
        Their sum is the drift matrix.
    inverse : (d, d) float
        Inverse of :math:`BB^T/2` among the noisy coordinates, zero elsewhere.
    noisy : (M,) int
        Coordinates with noise: velocities, or positions if overdamped. A velocity without friction and noise is not
        one of them: it moves reversibly.

    Raises
    ------
    NoiseError
        If the noise is degenerate, or there is friction without noise.
    """
    equations, n = array.langevin(), array.n_oscillators
    strength = np.diagonal(equations.noise_covariance)[equations.driven]
    silent = (strength == 0.0) & ((array.friction > 0.0) | array.overdamped)
    noisy = equations.driven[strength > 0.0]
    diffusion = 0.5 * equations.noise_covariance[np.ix_(noisy, noisy)]
    size = np.sqrt(np.diagonal(diffusion))
    smallest = 0.0 if silent.any() else 1.0
    if len(noisy) and not silent.any():
        smallest = float(np.linalg.eigvalsh(diffusion / np.outer(size, size))[0])
    if smallest < 1e-12:
        what = "noise is the same for several particles"
        if silent.any():
            what = f"particle {array.names[int(np.flatnonzero(silent)[0])]} has friction and no noise"
        raise NoiseError(
            f"Entropy production is infinite: {what}, so that a path is told from its reverse with certainty. Give "
            "every bath a temperature.",
            smallest,
        )
    inverse = np.zeros_like(equations.drift_matrix)
    inverse[np.ix_(noisy, noisy)] = np.linalg.inv(diffusion)
    irreversible = equations.drift_matrix.copy()
    if array.mass is not None:
        irreversible[:, :n] = 0.0
        irreversible[:n] = 0.0
    return irreversible, equations.drift_matrix - irreversible, inverse, noisy


def mean_rate(equations: Langevin, current: Current, second: FloatArray) -> FloatArray:
    """Mean of a current per time, for second moments of the state.

    Parameters
    ----------
    equations : Langevin
        The equations.
    current : Current
        The current.
    second : (..., d, d) float
        Second moments in scaled units.

    Returns
    -------
    (...) float
        Rate [`Current.unit` per second].
    """
    smooth, constant = ito_drift(equations, current)
    result: FloatArray = ((smooth * second).sum(axis=(-2, -1)) + constant) / equations.time_unit
    return result


def covariance_rates(equations: Langevin, currents: Sequence[Current]) -> FloatArray:
    r"""Long-time covariances of currents per time, :math:`\lim \mathrm{cov}(J_a, J_b)/t`, in the steady state.

    With :math:`A^TP + PA + M' = 0`, :math:`J - \langle J\rangle t + x^TPx` is a martingale, so the rate is
    :math:`\mathrm{tr}[(N_a + 2P_a) W (N_b + 2P_b)^T \Sigma]`.

    Parameters
    ----------
    equations : Langevin
        Stable equations without constant drift.
    currents : sequence of Current
        The n currents.

    Returns
    -------
    (n, n) float
        Covariance rates [product of the units per second].

    Raises
    ------
    UnstableError
        If there is no steady state, or double precision cannot tell a solution.
    """
    steady = steady_covariance(equations)
    arms = [current.circulation + 2.0 * _potential(equations, current) for current in currents]
    noise = equations.noise_covariance
    result = [[np.sum((a @ noise @ b.T) * steady) for b in arms] for a in arms]
    return np.array(result) / equations.time_unit


def variance_rate(equations: Langevin, current: Current) -> float:
    """Long-time variance of a current per time [square of the unit per second]; see `covariance_rates`."""
    return float(covariance_rates(equations, [current])[0, 0])


def cumulant_rates(equations: Langevin, current: Current, order: int = 4) -> FloatArray:
    r"""Rates of the first cumulants of a current at long times, :math:`\lim \kappa_n(J)/t`, in the steady state.

    The coefficients of :math:`\lambda(k) = \sum_n \kappa_n k^n/n!`: see `generating_functions.scaled`.

    Parameters
    ----------
    equations : Langevin
        Stable equations without constant drift.
    current : Current
        The current.
    order : int
        Number of cumulants.

    Returns
    -------
    (order,) float
        Mean, variance, third cumulant, ..., per second.
    """
    steady_covariance(equations)
    drift, noise, n_matrix = equations.drift_matrix, equations.noise_covariance, current.circulation
    smooth, constant = ito_drift(equations, current)
    found: list[FloatArray] = []
    rates = []
    for n in range(1, order + 1):
        source = 2.0 * smooth if n == 1 else np.zeros_like(drift)
        for a in range(1, n):
            source = source + found[a - 1] @ noise @ found[n - a - 1]
        if n > 1:
            mixed = n_matrix @ noise @ found[n - 2]
            source = source + mixed + mixed.T
        if n == 2:
            source = source + n_matrix @ noise @ n_matrix.T
        found.append(_solved(equations, drift.T, source))
        rates.append(math.factorial(n) * (0.5 * np.sum(noise * found[-1]) + (constant if n == 1 else 0.0)))
    return np.array(rates) / equations.time_unit


def window_variance(equations: Langevin, current: Current, duration: float) -> float:
    r"""Exact variance of a current over a finite time, from the steady state on.

    With the drift :math:`M'` in Ito's form, :math:`W = BB^T` and
    :math:`Z = \Sigma M' \Sigma + \tfrac12(W N^T \Sigma + \Sigma N W)`,

    .. math:: \mathrm{var} = 4 \int_0^t (t - \tau)\,\mathrm{tr}(M' e^{A\tau} Z e^{A^T\tau})\,d\tau
              + t\,\mathrm{tr}(N W N^T \Sigma),

    and with :math:`AK + KA^T + Z = 0` and :math:`AL + LA^T + K = 0` the integral is the trace of
    :math:`M'(tK - L + e^{At} L e^{A^Tt})`. Its rate tends to `variance_rate`, from either side. Over times
    :math:`10^{-4}` of the slowest decay and less it loses digits.

    Parameters
    ----------
    equations : Langevin
        Stable equations without constant drift.
    current : Current
        The current.
    duration : float
        t [s].

    Returns
    -------
    float
        Variance [square of the unit of the current].

    Raises
    ------
    PlanError
        If the duration is not positive.
    UnstableError
        If there is no steady state, or double precision cannot tell the variance.
    """
    if not (math.isfinite(duration) and duration > 0):
        raise PlanError(f"`duration` must be positive, but is {duration}.")
    steady, noise, n_matrix = steady_covariance(equations), equations.noise_covariance, current.circulation
    smooth, _ = ito_drift(equations, current)
    half = noise @ n_matrix.T @ steady
    source = steady @ smooth @ steady + 0.5 * (half + half.T)
    once = _solved(equations, equations.drift_matrix, source)
    twice = _solved(equations, equations.drift_matrix, once)
    step, time = equations.propagator(duration).matrix, duration / equations.time_unit
    spread = time * once - twice + step @ twice @ step.T
    white = float(np.sum((n_matrix @ noise @ n_matrix.T) * steady))
    return 4.0 * float(np.sum(smooth * spread)) + time * white


def ito_drift(equations: Langevin, current: Current) -> tuple[FloatArray, float]:
    """Matrix M' and constant c' of the drift of a current in Ito's form, per unit of time; see the module."""
    half = current.circulation @ equations.drift_matrix
    constant = current.constant + 0.5 * float(np.sum(current.circulation * equations.noise_covariance))
    return current.rate + 0.5 * (half + half.T), constant


def steady_covariance(equations: Langevin) -> FloatArray:
    """Covariance of the steady state; currents are of coordinates measured from the equilibrium."""
    if equations.constant_drift.any():
        raise PlanError("Currents need coordinates measured from the equilibrium, but `constant_drift` is not zero.")
    return equations.stationary_covariance()


def _potential(equations: Langevin, current: Current) -> FloatArray:
    """P with A^T P + P A + M' = 0."""
    return _solved(equations, equations.drift_matrix.T, ito_drift(equations, current)[0])


def _solved(equations: Langevin, drift: FloatArray, source: FloatArray) -> FloatArray:
    """X with F X + X F^T + source = 0, F the drift matrix or its transpose."""
    scale = float(np.abs(source).max())
    if scale == 0.0:
        return np.zeros_like(source)
    solution, resolved = lyapunov(drift, source / scale)
    if not resolved:
        raise UnstableError(
            "The statistics of currents cannot be resolved in double precision: the slowest decay is too close to an "
            "exceptional point. Change the coupling or add damping.",
            equations.stability.growth_rate,
        )
    result: FloatArray = solution.astype(np.float64) * scale
    return result
