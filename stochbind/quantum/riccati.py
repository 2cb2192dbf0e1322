r"""What a measurement leaves of a covariance: Riccati equations, over a time and in the end.

The covariance of a linear system :math:`dx = Ax\,dt + \ldots` with the noise N, of which noisy records bring the
information S, obeys :math:`\dot V = AV + VA^T + N - VSV`. Whatever it was, V(0), it becomes
:math:`Q + E V(0) (1 + J V(0))^{-1} E^T`: three matrices tell what a time does, as the propagator does without records.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from stochbind.checks import FloatArray
from stochbind.propagation import EXTENDED_PRECISION_UP_TO, LARGEST_COVARIANCE_ERROR, covariance_root, lyapunov

#: Up to this many coordinates, times are doubled in extended precision (where the platform has it).
EXTENDED_DOUBLING_UP_TO = 24
#: Doublings of time multiply rounding errors, too. Where these would reach this, what has not settled never will.
LARGEST_DRIFT = 0.01
#: The propagator of errors is gone when its largest element is below this.
GONE = 1e-20

#: A motion whose rate of damping is below this part of the fastest rate is not damped.
UNDAMPED = 1e-12


class Filtering(NamedTuple):
    r"""What a time of measurement does to a covariance, :math:`V' = Q + E V (1 + J V)^{-1} E^T`.

    Attributes
    ----------
    matrix : (d, d) float
        E, the propagator of estimates whose first error was none.
    information : (d, d) float
        J, what the records tell of the state at the beginning.
    covariance : (d, d) float
        Q, the covariance in the end of a state that was known at the beginning.
    """

    matrix: Any
    information: Any
    covariance: Any


def precision(dimension: int) -> Any:
    """Type of numbers in which times are doubled for so many coordinates."""
    return np.longdouble if dimension <= EXTENDED_DOUBLING_UP_TO else np.float64


def filtering(drift: FloatArray, noise: FloatArray, information: FloatArray, duration: float) -> Filtering:
    r"""What a continuous measurement does over a time.

    The exponential of :math:`\begin{pmatrix} A & N \\ S & -A^T \end{pmatrix} h` over a small :math:`h = t/2^s`, by its
    Taylor series, then s doublings (`then`). In these every term is positive semidefinite, so that nothing cancels;
    the exponential over the whole time would overflow.

    Parameters
    ----------
    drift, noise, information : (d, d) float
        A, N and S.
    duration : float
        t, in the unit of time of these.

    Returns
    -------
    Filtering
        In extended precision where that is used.
    """
    d = len(drift)
    kind = precision(d)
    # In units in which noise and information are of one size, both are slow together.
    sizes = float(np.abs(noise).max()), float(np.abs(information).max())
    unit = kind(math.sqrt(sizes[0] / sizes[1])) if min(sizes) > 0 else kind(1)
    a, n, s = drift.astype(kind), noise.astype(kind) / unit, information.astype(kind) * unit
    generator = np.block([[a, n], [s, -a.T]])
    size = float(np.abs(generator).sum(axis=0).max()) * duration
    doublings = max(0, math.ceil(math.log2(size * 4.0))) if size > 0 else 0
    term = generator * (kind(duration) / kind(2) ** doublings)
    flow, generator = np.eye(2 * d, dtype=kind) + term, term
    for order in range(2, 24):  # 0.25^23 / 23! is far below the last place
        term = generator @ term / order
        flow = flow + term
    backward = _inverse(flow[d:, d:])
    result = Filtering(backward.T, backward @ flow[d:, :d] / unit, flow[:d, d:] @ backward * unit)
    for _ in range(doublings):
        result = then(result, result)
    return result


def then(first: Filtering, second: Filtering) -> Filtering:
    """What two times do, one after the other."""
    kept = _inverse(np.eye(len(first.matrix), dtype=first.matrix.dtype) + first.covariance @ second.information)
    information = first.information + first.matrix.T @ (second.information @ kept) @ first.matrix
    covariance = second.covariance + second.matrix @ (kept @ first.covariance) @ second.matrix.T
    return Filtering(second.matrix @ kept @ first.matrix, _symmetric(information), _symmetric(covariance))


def filtered_covariance(step: Filtering, covariance: FloatArray) -> FloatArray:
    """The covariance after a step.

    With a root L of V, :math:`V (1 + J V)^{-1} = L (1 + L^T J L)^{-1} L^T`, which is positive semidefinite as computed.

    Parameters
    ----------
    step : Filtering
        What the time does.
    covariance : (d, d) float
        V before.

    Returns
    -------
    (d, d) float
        V after.
    """
    root = covariance_root(covariance)
    matrix, information, own = (np.asarray(part, dtype=np.float64) for part in step)
    told = np.eye(len(root)) + root.T @ information @ root
    carried = matrix @ root
    result: FloatArray = _symmetric(own + carried @ np.linalg.solve(told, carried.T))
    return result


def settled(step: Filtering) -> tuple[Any, bool]:
    """The covariance that a step leaves as it is, by doubling its length until nothing of the beginning is left.

    Parameters
    ----------
    step : Filtering
        What any time does.

    Returns
    -------
    covariance : (d, d) float
        V.
    found : bool
        Whether it settles.
    """
    doublings = int(np.log2(LARGEST_DRIFT / np.finfo(np.asarray(step.matrix).dtype).eps))
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(doublings):
            if not all(np.isfinite(part).all() for part in step):
                break
            if np.abs(step.matrix).max() <= GONE:
                return step.covariance, True
            step = then(step, step)
    return step.covariance, False


def steady_covariance(drift: FloatArray, noise: FloatArray, information: FloatArray) -> tuple[FloatArray, bool]:
    r"""The solution of :math:`AV + VA^T + N - VSV = 0` that makes :math:`A - VS` stable.

    By doubling (`settled`), then Newton's steps with residuals in extended precision: the first is right to the
    round-off times the quality factor, and these undo that.

    Parameters
    ----------
    drift, noise, information : (d, d) float
        A, N and S.

    Returns
    -------
    covariance : (d, d) float
        V.
    found : bool
        Whether there is one. There is none if a motion that is not damped is not measured, or not driven by noise.
    """
    fastest = float(np.abs(drift).sum(axis=0).max()) or 1.0
    solution, found = settled(filtering(drift, noise, information, 1.0 / fastest))
    if not found:
        return np.asarray(solution, dtype=np.float64), False
    kind: Any = np.longdouble if len(drift) <= EXTENDED_PRECISION_UP_TO else np.float64
    solution = solution.astype(kind)
    a, n, s = drift.astype(kind), noise.astype(kind), information.astype(kind)
    for _ in range(2):
        half = a @ solution
        residual = half + half.T + n - solution @ s @ solution
        step, _ = lyapunov((a - solution @ s).astype(np.float64), _symmetric(residual).astype(np.float64))
        solution = _symmetric(solution + step.astype(kind))
    result = np.asarray(solution, dtype=np.float64)
    return result, bool(np.abs(step).max() <= LARGEST_COVARIANCE_ERROR * np.abs(result).max())


def unseen(drift: FloatArray, observation: FloatArray) -> bool:
    """Whether some motion is neither damped nor in any record, however weak: the test of Popov, Belevitch and Hautus.

    Parameters
    ----------
    drift : (d, d) float
        A.
    observation : (M, d) float
        C, which says what the records are of.
    """
    size = float(np.abs(drift).sum(axis=0).max()) or 1.0
    undamped = [value for value in np.linalg.eigvals(drift) if value.real > -UNDAMPED * size]
    eye = np.eye(len(drift))
    told = (np.linalg.svd(np.vstack([drift / size - value / size * eye, observation]))[1][-1] for value in undamped)
    return any(smallest < UNDAMPED for smallest in told)


def _symmetric(matrix: Any) -> Any:
    return 0.5 * (matrix + matrix.T)


def _inverse(matrix: Any) -> Any:
    """Inverse in the precision of the matrix: that of double precision, and one step of Newton's."""
    inverse = np.linalg.inv(matrix.astype(np.float64)).astype(matrix.dtype)
    return inverse @ (2.0 * np.eye(len(matrix), dtype=matrix.dtype) - matrix @ inverse)
