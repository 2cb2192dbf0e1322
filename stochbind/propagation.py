"""Exact steps of linear stochastic equations, and roots of covariances."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy import linalg

from stochbind.checks import FloatArray

#: Triangular Lyapunov equations are cut in halves down to so many coordinates: below, LAPACK's loops are faster.
SMALLEST_HALVED = 48
#: Largest relative error of a solution of a Lyapunov equation that counts as resolved.
LARGEST_COVARIANCE_ERROR = 1e-6
#: Most rounds in which a Lyapunov equation is solved; each after the first refines what those before have found.
_MOST_ROUNDS = 8
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


def lyapunov(drift_matrix: FloatArray, noise_covariance: FloatArray) -> tuple[Any, bool]:
    r"""Solution of :math:`A X + X A^T + N = 0`, refined.

    The algorithm of Bartels and Stewart, Commun. ACM 15, 820 (1972), with Schur's form made once, and its triangular
    equation cut in halves, so that most of the work is products of matrices (Jonsson and Kagstrom, ACM Trans. Math.
    Softw. 28, 392 (2002)). The solution is refined with residuals in extended precision: at Q = 1e9 the plain one is
    right to 1e-7 only.

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
    triangle, basis = _schur(drift_matrix)
    times = _multiplication(drift)
    solution = np.zeros_like(noise)
    with np.errstate(all="ignore"):  # what is not resolved may overflow; it is told by the verdict
        for done in range(1, _MOST_ROUNDS + 1):
            half = times(solution)
            residual = (half + half.T + noise).astype(np.float64)
            step = basis @ _triangular_lyapunov(triangle, basis.T @ residual @ basis) @ basis.T
            solution = solution + 0.5 * (step + step.T).astype(kind)
            resolved = np.abs(step).max() <= LARGEST_COVARIANCE_ERROR * float(np.abs(solution).max())
            if resolved and done >= (4 if kind is np.longdouble else 2):
                break
    return solution, bool(resolved)


def _schur(drift: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Schur's real form T and its basis Z, with ``A = Z T Z^T``.

    A large second-order system with the same damping everywhere has that of its stiffness matrix, half as large: each
    block of it becomes one of position and velocity, which is then made triangular by itself.
    """
    parts = _second_order(drift)
    if parts is None or np.ptp(parts[1]) > 0:
        result: tuple[FloatArray, FloatArray] = linalg.schur(drift)
        return result
    stiffness, damping = parts
    n = len(stiffness)
    inner, vectors = linalg.schur(stiffness)
    each = np.arange(n)
    # Position and velocity of one vector after those of another.
    form, basis = np.zeros((n, 2, n, 2)), np.zeros((2, n, n, 2))
    form[each, 0, each, 1], form[:, 1, :, 0], form[each, 1, each, 1] = 1.0, -inner, -damping
    basis[0, :, :, 0], basis[1, :, :, 1] = vectors, vectors
    triangle, turned = form.reshape(2 * n, 2 * n), basis.reshape(2 * n, 2 * n)
    begin = 0
    while begin < n:
        end = begin + 1 + int(begin + 1 < n and inner[begin + 1, begin] != 0)
        block = slice(2 * begin, 2 * end)
        own, turn = linalg.schur(triangle[block, block])
        triangle[: block.start, block] = triangle[: block.start, block] @ turn
        triangle[block, block.stop :] = turn.T @ triangle[block, block.stop :]
        triangle[block, block] = own
        turned[:, block] = turned[:, block] @ turn
        begin = end
    return triangle, turned


def _triangular_lyapunov(triangle: FloatArray, noise: FloatArray) -> FloatArray:
    r"""X with ``T X + X T^T + noise = 0``, for T of Schur's real form; noise must be symmetric."""
    d = len(triangle)
    if d <= SMALLEST_HALVED:
        return _triangular_sylvester(triangle, triangle, noise)
    cut = _cut(triangle)
    first, corner, second = triangle[:cut, :cut], triangle[:cut, cut:], triangle[cut:, cut:]
    result = np.empty((d, d))
    result[cut:, cut:] = _triangular_lyapunov(second, noise[cut:, cut:])
    across = _triangular_sylvester(first, second, noise[:cut, cut:] + corner @ result[cut:, cut:])
    result[:cut, cut:], result[cut:, :cut] = across, across.T
    brought = corner @ across.T
    result[:cut, :cut] = _triangular_lyapunov(first, noise[:cut, :cut] + brought + brought.T)
    return result


def _triangular_sylvester(left: FloatArray, right: FloatArray, noise: FloatArray) -> FloatArray:
    r"""Y with ``L Y + Y R^T + noise = 0``, for L and R of Schur's real form."""
    if max(noise.shape) <= SMALLEST_HALVED:
        value, scale, _ = linalg.lapack.dtrsyl(left, right, -noise, tranb="T")
        result: FloatArray = value / scale
        return result
    if len(left) >= len(right):
        cut = _cut(left)
        below = _triangular_sylvester(left[cut:, cut:], right, noise[cut:])
        above = _triangular_sylvester(left[:cut, :cut], right, noise[:cut] + left[:cut, cut:] @ below)
        return np.concatenate([above, below])
    cut = _cut(right)
    after = _triangular_sylvester(left, right[cut:, cut:], noise[:, cut:])
    before = _triangular_sylvester(left, right[:cut, :cut], noise[:, :cut] + after @ right[:cut, cut:].T)
    return np.concatenate([before, after], axis=1)


def _cut(triangle: FloatArray) -> int:
    """About half, where no block of two conjugate eigenvalues is cut."""
    half = len(triangle) // 2
    return half + 1 if triangle[half, half - 1] != 0 else half


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
    times = _multiplication(drift)
    power = drift * h
    increment = power.copy()
    shift_term = constant * h
    shift = shift_term.copy()
    noise_term = noise * h
    covariance = noise_term.copy()
    # 0.5^n / n! is far below the last place of double precision for n = 18, and of extended precision for n = 23.
    for order in range(2, 24 if drift.dtype == np.longdouble else 19):
        shift_term = drift @ shift_term * (h / order)
        shift = shift + shift_term
        half = times(noise_term) * (h / order)
        noise_term = half + half.T
        covariance = covariance + noise_term
        power = times(power) * (h / order)
        increment = increment + power
    return np.eye(len(drift), dtype=drift.dtype) + increment, shift, covariance


def _multiplication(drift: Any) -> Callable[[Any], Any]:
    """Products with the drift from the left; those of a large second-order system are four times faster."""
    parts = _second_order(drift)
    if parts is None:
        return lambda value: drift @ value
    stiffness, damping = parts
    n = len(stiffness)
    return lambda value: np.concatenate([value[n:], -(stiffness @ value[:n]) - damping[:, None] * value[n:]])


def _second_order(drift: Any) -> tuple[FloatArray, FloatArray] | None:
    """Stiffness K (n, n) and damping g (n,) of ``x'' = -K x - g x'``, if a large drift is of this form."""
    n, odd = divmod(len(drift), 2)
    damping = -np.diagonal(drift[n:, n:])
    if (
        len(drift) <= EXTENDED_PRECISION_UP_TO
        or odd
        or drift[:n, :n].any()
        or not np.array_equal(drift[:n, n:], np.eye(n))
        or not np.array_equal(drift[n:, n:], -np.diag(damping))
    ):
        return None
    return np.ascontiguousarray(-drift[n:, :n]), damping
