"""Exact steps of linear stochastic equations, and roots of covariances."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from stochbind.checks import FloatArray, without_warnings

#: Beyond so many coordinates, Lyapunov equations are solved by doubling: Schur's form takes SciPy minutes there.
LARGEST_SCHUR = 400
#: Largest relative error of a solution of a Lyapunov equation that counts as resolved.
LARGEST_COVARIANCE_ERROR = 1e-6
#: Up to this many coordinates, coefficients are computed in extended precision (where the platform has it).
EXTENDED_PRECISION_UP_TO = 128


class Propagator(NamedTuple):
    r"""One exact step, :math:`x' = E x + e + \eta` with :math:`\eta \sim N(0, S)`.

    Attributes
    ----------
    matrix : (d, d) float
        :math:`E = e^{A t}`.
    shift : (d,) float
        :math:`e = \int_0^t e^{A s} c\,ds`.
    covariance : (d, d) float
        :math:`S = \int_0^t e^{A s} B B^T e^{A^T s} ds`.
    """

    matrix: FloatArray
    shift: FloatArray
    covariance: FloatArray


def propagate(
    drift_matrix: FloatArray,
    constant_drift: FloatArray,
    noise_covariance: FloatArray,
    duration: float,
    time_unit: float = 1.0,
) -> Propagator:
    r"""Exact step of :math:`dx = (A x + c)\,dt + B\,dW`; see `stochbind.Langevin.propagator`.

    What outgrows floating point comes out as infinities.

    Parameters
    ----------
    drift_matrix, noise_covariance : (d, d) float
        A and :math:`B B^T` [1/time_unit].
    constant_drift : (d,) float
        c [1/time_unit].
    duration, time_unit : float
        Length of the step, and unit of time, in the same unit; the ratio is taken in extended precision.
    """
    kind: Any = np.longdouble if len(drift_matrix) <= EXTENDED_PRECISION_UP_TO else np.float64
    t = kind(duration) / kind(time_unit)
    drift = drift_matrix.astype(kind)
    size = float(np.abs(drift).sum(axis=0).max() * t)
    doublings = max(0, math.ceil(math.log2(size * 4.0))) if size > 0 else 0
    h = t / kind(2) ** doublings
    matrix, shift, covariance = _taylor(drift, constant_drift.astype(kind), noise_covariance.astype(kind), h)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(doublings):
            covariance = covariance + matrix @ covariance @ matrix.T
            shift = shift + matrix @ shift
            matrix = matrix @ matrix
        return Propagator(
            matrix.astype(np.float64),
            shift.astype(np.float64),
            (0.5 * (covariance + covariance.T)).astype(np.float64),
        )


def accumulated(drift_matrix: FloatArray, noise_covariance: FloatArray) -> FloatArray:
    r"""All noise that is left in the end, :math:`\int_0^\infty e^{As} N e^{A^T s} ds`, of a stable drift.

    It solves :math:`A X + X A^T + N = 0`. By doubling a time in which little decays, until the propagator has
    vanished.

    Parameters
    ----------
    drift_matrix, noise_covariance : (d, d) float
        A and N [1/time_unit]; N may be any symmetric matrix.

    Returns
    -------
    (d, d) float
        X; infinities if the drift is not stable, or rounding hides that it is.
    """
    fastest = float(np.abs(drift_matrix).sum(axis=0).max()) or 1.0
    matrix, _, total = propagate(drift_matrix, np.zeros(len(drift_matrix)), noise_covariance, 1.0 / fastest)
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(100):
            if not np.isfinite(matrix).all() or np.abs(matrix).max() <= 1e-20:
                break
            total = total + matrix @ total @ matrix.T
            matrix = matrix @ matrix
    return total if np.abs(matrix).max() <= 1e-20 else np.full_like(total, np.inf)


def lyapunov(drift_matrix: FloatArray, noise_covariance: FloatArray) -> tuple[Any, bool]:
    r"""Solution of :math:`A X + X A^T + N = 0`, refined.

    SciPy's solution is refined with residuals in extended precision: at Q = 1e9 the plain one is right to 1e-7 only.

    Parameters
    ----------
    drift_matrix, noise_covariance : (d, d) float
        A, stable, and N, symmetric, of any sign.

    Returns
    -------
    solution : (d, d) float
        X, in extended precision where that is used.
    resolved : bool
        Whether double precision could tell it: whether the last refinement changed it by less than
        `LARGEST_COVARIANCE_ERROR` of its largest element.
    """
    kind: Any = np.longdouble if len(drift_matrix) <= EXTENDED_PRECISION_UP_TO else np.float64
    drift, noise = drift_matrix.astype(kind), noise_covariance.astype(kind)
    # For many coordinates by doubling first; rates of very different size need Schur's form.
    for doubling in (True, False) if len(drift) > LARGEST_SCHUR else (False,):
        solution = np.zeros_like(noise)
        for _ in range(4 if kind is np.longdouble else 2):
            half = drift @ solution
            step = _plain_lyapunov(drift_matrix, (half + half.T + noise).astype(np.float64), doubling)
            solution = solution + 0.5 * (step + step.T).astype(kind)
        if np.abs(step).max() <= LARGEST_COVARIANCE_ERROR * float(np.abs(solution).max()):
            return solution, True
    return solution, False


def _plain_lyapunov(drift_matrix: FloatArray, noise: FloatArray, doubling: bool) -> FloatArray:
    """X with ``A X + X A^T + noise = 0``, as double precision gives it."""
    with without_warnings():  # of bad conditioning: whether it matters is told by who asks
        if doubling:
            return np.nan_to_num(accumulated(drift_matrix, noise), posinf=1e300)
        return np.asarray(linalg.solve_continuous_lyapunov(drift_matrix, -noise), dtype=np.float64)


def covariance_root(covariance: FloatArray) -> FloatArray:
    r"""Root L of a covariance, :math:`L L^T = S`.

    L is the symmetric root of the correlation matrix, its rows scaled by the standard deviations. It is unique,
    changes continuously, exists for rank-deficient noise (a Cholesky factor does not), and keeps the relative
    precision of small variances (the symmetric root of S itself does not: over a short step the variance of a
    position is the cube of that of its velocity).

    Parameters
    ----------
    covariance : (d, d) float
        Positive semidefinite.

    Returns
    -------
    (d, d) float
        L.
    """
    deviation = np.sqrt(np.clip(np.diagonal(covariance), 0.0, None))
    inverse = np.where(deviation > 0, 1.0 / np.where(deviation > 0, deviation, 1.0), 0.0)
    correlation = covariance * inverse[:, None] * inverse[None, :]
    value, vector = np.linalg.eigh(0.5 * (correlation + correlation.T))
    root: FloatArray = deviation[:, None] * (vector * np.sqrt(np.clip(value, 0.0, None))) @ vector.T
    return root


def _taylor(drift: Any, constant: Any, noise: Any, h: Any) -> tuple[Any, Any, Any]:
    """Series of exp(A h), of the shift and of the covariance, for |A| h <= 1/4."""
    power = drift * h
    increment = power.copy()
    shift_term = constant * h
    shift = shift_term.copy()
    noise_term = noise * h
    covariance = noise_term.copy()
    for order in range(2, 24):  # 0.5^23 / 24! is far below the last place
        shift_term = drift @ shift_term * (h / order)
        shift = shift + shift_term
        half = drift @ noise_term * (h / order)
        noise_term = half + half.T
        covariance = covariance + noise_term
        power = drift @ power * (h / order)
        increment = increment + power
    return np.eye(len(drift), dtype=drift.dtype) + increment, shift, covariance
