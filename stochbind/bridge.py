r"""Functionals of the path inside one exact step, given its ends.

The exact solver knows a path at the ends of its steps only. Between them the path of linear equations is a Gaussian
bridge, so the expectation of a functional such as the work, given the ends, is a quadratic form
:math:`z^T Q z` of :math:`z = (1, x_0, \xi)`: the state at the start of the step and the normals that made its end,
:math:`x_1 = E x_0 + e + L \xi`. The forms are made once for a step. Their mean over the noise is that of the functional
itself, at any step.

Drives make the constant drift :math:`c + \sum_f b_f \cos(\theta_f + \omega_f s)`; then
:math:`z = (1, \cos\theta_1, \sin\theta_1, \ldots, x_0, \xi)`, with the phases at the start of the step.

As in `stochbind.Langevin`, everything is of the linear part of the equations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, ScenarioError
from stochbind.langevin import Langevin, Moments
from stochbind.oscillators import Oscillators
from stochbind.propagation import covariance_root, propagate

#: Directions of the noise whose variance is below this, in a correlation matrix, are not conditioned on: in double
#: precision they are round-off. The mean does not depend on it.
SMALLEST_CONDITIONED_VARIANCE = 1e-11

#: Nodes of the quadrature over a sub-interval of :math:`|A| h \le 1/2`; it is right to the last place.
_NODES = 16

Pairs = Sequence[tuple[int, int]]


class Drive(NamedTuple):
    r"""A harmonic part of the drift, :math:`b \cos(\theta + \omega s)`.

    Attributes
    ----------
    vector : (d,) float
        b [1/time_unit], in scaled units.
    angular_frequency : float
        :math:`\omega` [rad/time_unit].
    """

    vector: FloatArray
    angular_frequency: float


def area_forms(equations: Langevin, step: float, pairs: Pairs, drives: Sequence[Drive] = ()) -> FloatArray:
    r"""Forms of :math:`E[\int_0^h x_k \circ dx_j \,|\, x_0, x_1]`, the product being Stratonovich's.

    With :math:`m(s) = E_s x_0 + e_s + S_s E_{h-s}^T L^{-T} \xi` the mean path between the ends, the functional is
    :math:`\int_0^h m_k m_j' ds`, plus a constant that gives it its exact mean. Short steps are integrated by
    quadrature; longer ones are doubled, the whole step being the expectation of the sum of its halves.

    Parameters
    ----------
    equations : Langevin
        The equations of motion.
    step : float
        Length h of the step [s].
    pairs : sequence of (int, int)
        Coordinates (j, k).
    drives : sequence of Drive, optional
        Harmonic parts of the drift.

    Returns
    -------
    (len(pairs), 1 + 2F + 2d, 1 + 2F + 2d) float
        Symmetric forms Q in scaled units, with F drives.

    Raises
    ------
    PlanError
        If the step is not positive, or an unstable mode outgrows floating point in it.
    ScenarioError
        If there is no such coordinate, or a drive is wrong.
    """
    checked = _checked(pairs, equations.dimension, equations.dimension)
    return _Bridge(equations, step, drives).forms("path", checked + _fixed(drives))


def time_forms(equations: Langevin, step: float, pairs: Pairs, drives: Sequence[Drive] = ()) -> FloatArray:
    r"""Forms of :math:`E[\int_0^h x_k x_j \,ds \,|\, x_0, x_1]` [time_unit]: time averages without sampling error.

    Parameters, result and errors as of `area_forms`.
    """
    checked = _checked(pairs, equations.dimension, equations.dimension)
    return _Bridge(equations, step, drives).forms("time", checked + _fixed(drives))


def noise_forms(equations: Langevin, step: float, pairs: Pairs, drives: Sequence[Drive] = ()) -> FloatArray:
    r"""Forms of :math:`E[\int_0^h x_k \circ (B\,dW)_j \,|\, x_0, x_1]`: what the noise of j does along k.

    The mean of the noise given the ends is :math:`B B^T E_{h-s}^T L^{-T} \xi\,ds`. Parameters, result and errors as of
    `area_forms`.
    """
    checked = _checked(pairs, equations.dimension, equations.dimension)
    return _Bridge(equations, step, drives).forms("noise", checked + _fixed(drives))


def drive_forms(equations: Langevin, step: float, pairs: Pairs, drives: Sequence[Drive]) -> FloatArray:
    r"""Forms of :math:`E[\int_0^h \cos(\theta_f + \omega_f s)\,dx_j \,|\, x_0, x_1]`, for the work of a drive on j.

    Parameters
    ----------
    equations, step, drives
        As of `area_forms`.
    pairs : sequence of (int, int)
        Coordinate and drive, (j, f).

    Returns
    -------
    (len(pairs), 1 + 2F + 2d, 1 + 2F + 2d) float
        Symmetric forms in scaled units.

    Raises
    ------
    PlanError, ScenarioError
        As of `area_forms`, and if there is no such drive.
    """
    checked = _checked(pairs, equations.dimension, len(drives), "drives")
    index = np.stack([checked[:, 0] + _fixed(drives), 1 + 2 * checked[:, 1]], axis=1)
    return _Bridge(equations, step, drives).forms("path", index)


def work_forms(oscillators: Oscillators, step: float) -> tuple[list[tuple[int, int]], FloatArray]:
    r"""Forms of the work done on j by the force of k in one step, :math:`C_{jk} \int q_k \circ dq_j`.

    Parameters
    ----------
    oscillators : Oscillators
        The array.
    step : float
        Length of the step [s].

    Returns
    -------
    pairs : list of (int, int)
        All (j, k) whose coupling is not zero.
    forms : (len(pairs), 1 + 2d, 1 + 2d) float
        In joules, for scaled states.

    Raises
    ------
    PlanError
        As of `area_forms`.
    """
    equations = oscillators.langevin()
    pairs = [(int(j), int(k)) for j, k in np.argwhere(oscillators.coupling)]
    scale = np.array([oscillators.coupling[j, k] * equations.unit[j] * equations.unit[k] for j, k in pairs])
    return pairs, scale.reshape(-1, 1, 1) * area_forms(equations, step, pairs)


def heat_forms(oscillators: Oscillators, step: float) -> FloatArray:
    r"""Forms of the heat that each oscillator receives in one step from its bath and from recoil.

    Underdamped, from its definition: :math:`\int (-m_j\gamma_j v_j^2\,dt + v_j \circ d\xi_j)`. Overdamped,
    :math:`-\int F_j \circ dq_j` with all forces on j. It obeys the first law with `work_forms`:
    :math:`\Delta(\tfrac12 m_j v_j^2 + \tfrac12 u_j q_j^2) = Q_j + \sum_k W_{jk}` in every step.

    Parameters
    ----------
    oscillators : Oscillators
        The array.
    step : float
        Length of the step [s].

    Returns
    -------
    (N, 1 + 2d, 1 + 2d) float
        In joules, for scaled states.

    Raises
    ------
    PlanError
        As of `area_forms`.
    """
    equations = oscillators.langevin()
    n = oscillators.n_oscillators
    unit = equations.unit
    if oscillators.mass is None:
        pairs = [(j, k) for j in range(n) for k in range(n)]
        area = area_forms(equations, step, pairs)
        area = area.reshape(n, n, *area.shape[1:])
        scale = oscillators.force_matrix * np.outer(unit[:n], unit[:n])
        overdamped: FloatArray = np.einsum("jk,jkab->jab", scale, area)
        return overdamped
    pairs = [(n + j, n + j) for j in range(n)]
    squared = unit[n:].reshape(n, 1, 1) ** 2
    lost = oscillators.friction.reshape(n, 1, 1) * squared * equations.time_unit * time_forms(equations, step, pairs)
    result: FloatArray = oscillators.mass.reshape(n, 1, 1) * squared * noise_forms(equations, step, pairs) - lost
    return result


def evaluate(forms: FloatArray, start: FloatArray, normal: FloatArray, phase: npt.ArrayLike = ()) -> FloatArray:
    r"""Values :math:`z^T Q z` of forms.

    Parameters
    ----------
    forms : (P, n, n) float
        The forms.
    start, normal : (d, ...) float
        State at the start of the step, and the normals that made its end.
    phase : (F,) float, optional
        Phases of the drives at the start of the step [rad].

    Returns
    -------
    (P, ...) float
        Values.
    """
    fixed = _phases(phase)
    constant = np.broadcast_to(fixed.reshape(-1, *[1] * (start.ndim - 1)), (len(fixed), *start.shape[1:]))
    z = np.concatenate([constant, start, normal])
    result: FloatArray = (np.tensordot(forms, z, axes=1) * z).sum(axis=1)
    return result


def expectation(forms: FloatArray, initial: Moments, phase: npt.ArrayLike = ()) -> FloatArray:
    """Exact means of forms over the noise of the step and a Gaussian state at its start; shape (P,).

    Parameters
    ----------
    forms : (P, n, n) float
        The forms.
    initial : Moments
        Of the state at the start of the step, in scaled units.
    phase : (F,) float, optional
        Phases of the drives at the start of the step [rad].
    """
    fixed = _phases(phase)
    d = len(initial.mean)
    mean = np.concatenate([fixed, initial.mean, np.zeros(d)])
    second = np.outer(mean, mean)
    where = slice(len(fixed), len(fixed) + d)
    second[where, where] += initial.covariance
    second[len(fixed) + d :, len(fixed) + d :] += np.eye(d)
    result: FloatArray = np.einsum("pab,ab->p", forms, second)
    return result


class _Bridge:
    """Forms of one step of the equations, extended by coordinates that carry the constant and the drives."""

    def __init__(self, equations: Langevin, step: float, drives: Sequence[Drive]) -> None:
        if not (math.isfinite(step) and step > 0):
            raise PlanError(f"`step` must be positive, but is {step}.")
        # Raises if the system outgrows floating point; and its noise root is the one that the solver uses.
        self.covariance = equations.propagator(step).covariance
        self.step, self.time_unit = step, equations.time_unit
        self.drift, rate = _extended_drift(equations, drives)
        self.fixed = len(self.drift) - equations.dimension
        self.noise = np.zeros_like(self.drift)
        self.noise[self.fixed :, self.fixed :] = equations.noise_covariance
        size = rate * step / equations.time_unit
        self.doublings = max(0, math.ceil(math.log2(size * 2.0))) if size > 0 else 0

    def forms(self, measure: Literal["path", "time", "noise"], index: npt.NDArray[np.intp]) -> FloatArray:
        """Forms of the integral of x_k with dx_j, x_j ds or (B dW)_j, for rows (j, k) of extended coordinates."""
        x = slice(self.fixed, None)
        d = len(self.covariance)
        n = len(self.drift) + d
        length = self.step / 2**self.doublings
        covariance = self._covariance(length, 0)
        form = self._short(measure, index, length, covariance)
        for level in range(self.doublings):
            # Halves a and b: L2 xi = E L xi_a + L xi_b; the mean of (xi_a, xi_b) given xi is (first, second) xi.
            matrix = self._propagate(length)[0]
            root = covariance_root(covariance)
            length = 2 * length
            covariance = self._covariance(length, level + 1)
            inverse = inverse_root(covariance)
            first, second = root.T @ matrix[x, x].T @ inverse, root.T @ inverse
            map_a, map_b = np.eye(n), np.zeros((n, n))
            map_a[-d:, -d:] = first
            map_b[:-d, :-d] = matrix
            map_b[self.fixed : -d, -d:] = root @ first
            map_b[-d:, -d:] = second
            mean = 2 * _trace(form[:, -d:, -d:]) + np.einsum(
                "pab,ab->p", form[:, self.fixed : -d, self.fixed : -d], root @ root.T
            )
            form = map_a.T @ form @ map_a + map_b.T @ form @ map_b
            form[:, 0, 0] += mean - _trace(form[:, -d:, -d:])
        result: FloatArray = 0.5 * (form + form.transpose(0, 2, 1))
        return result

    def _propagate(self, duration: float) -> tuple[FloatArray, FloatArray]:
        result = propagate(self.drift, np.zeros(len(self.drift)), self.noise, duration, self.time_unit)
        return result.matrix, result.covariance

    def _covariance(self, length: float, level: int) -> FloatArray:
        """Covariance of the noise of a step; of the whole, the one that the solver uses, to the last place."""
        if level == self.doublings:
            return self.covariance
        return self._propagate(length)[1][self.fixed :, self.fixed :]

    def _short(self, measure: str, index: npt.NDArray[np.intp], length: float, covariance: FloatArray) -> FloatArray:
        """Forms of a step of at most half a unit, by Gauss-Legendre quadrature."""
        x = slice(self.fixed, None)
        d = len(covariance)
        inverse = inverse_root(covariance)
        node, weight = np.polynomial.legendre.leggauss(_NODES)
        steps = [self._propagate(length * s) for s in 0.5 * (1.0 + node)]
        weight = 0.5 * weight * length / self.time_unit
        j, k = index.T
        n = len(self.drift) + d
        form = np.zeros((len(index), n, n))
        # The nodes are symmetric: the rest of the step behind a node is the step up to its mirror image.
        for (matrix, spread), (rest, _), w in zip(steps, reversed(steps), weight, strict=True):
            backward = rest[x, x].T @ inverse
            path = np.hstack([matrix, spread[:, x] @ backward])
            noise = np.hstack([np.zeros_like(matrix), self.noise[:, x] @ backward])
            other, rate = {
                "path": (self.drift @ path + noise, spread @ self.drift.T + 0.5 * self.noise),
                "time": (path, spread),
                "noise": (noise, 0.5 * self.noise),
            }[measure]
            form += w * path[k][:, :, None] * other[j][:, None, :]
            # The bridge adds a constant: the exact mean, less what the mean path has of it.
            form[:, 0, 0] += w * (rate[k, j] - (path[k, -d:] * other[j, -d:]).sum(axis=1))
        return form


def inverse_root(covariance: FloatArray) -> FloatArray:
    r"""Pseudo-inverse :math:`L^{-T}` of the root that `stochbind.propagation.covariance_root` gives.

    Parameters
    ----------
    covariance : (d, d) float
        Positive semidefinite.

    Returns
    -------
    (d, d) float
        :math:`L^{-T}`, without the directions below `SMALLEST_CONDITIONED_VARIANCE`.
    """
    deviation = np.sqrt(np.clip(np.diagonal(covariance), 0.0, None))
    inverse = np.where(deviation > 0, 1.0 / np.where(deviation > 0, deviation, 1.0), 0.0)
    correlation = covariance * inverse[:, None] * inverse[None, :]
    value, vector = np.linalg.eigh(0.5 * (correlation + correlation.T))
    kept = value > SMALLEST_CONDITIONED_VARIANCE
    result: FloatArray = inverse[:, None] * (vector[:, kept] / np.sqrt(value[kept])) @ vector[:, kept].T
    return result


def _extended_drift(equations: Langevin, drives: Sequence[Drive]) -> tuple[FloatArray, float]:
    """Drift matrix of (1, cos, sin, ..., x), and the fastest rate in it [1/time_unit]."""
    d, fixed = equations.dimension, _fixed(drives)
    drift = np.zeros((fixed + d, fixed + d))
    drift[fixed:, fixed:] = equations.drift_matrix
    drift[fixed:, 0] = equations.constant_drift
    rate = float(np.abs(equations.drift_matrix).sum(axis=0).max())
    for f, (vector, angular_frequency) in enumerate(drives):
        checked = checks.array(f"drives[{f}].vector", vector, (d,))
        omega = float(checks.array(f"drives[{f}].angular_frequency", angular_frequency, ()))
        cosine, sine = 1 + 2 * f, 2 + 2 * f
        drift[fixed:, cosine] = checked
        drift[cosine, sine], drift[sine, cosine] = -omega, omega
        rate = max(rate, abs(omega))
    return drift, rate


def _fixed(drives: Sequence[Drive]) -> int:
    """Number of coordinates before the state: one, and two of each drive."""
    return 1 + 2 * len(drives)


def _phases(phase: npt.ArrayLike) -> FloatArray:
    angle = np.atleast_1d(np.asarray(phase, dtype=np.float64))
    pairs = np.stack([np.cos(angle), np.sin(angle)], axis=1).ravel()
    return np.concatenate([[1.0], pairs])


def _trace(matrix: FloatArray) -> FloatArray:
    result: FloatArray = np.trace(matrix, axis1=-2, axis2=-1)
    return result


def _checked(pairs: Pairs, first: int, second: int, what: str = "coordinates") -> npt.NDArray[np.intp]:
    """`pairs` as an array of shape (P, 2), if every index is there."""
    for p, pair in enumerate(pairs):
        if len(pair) != 2:
            raise ScenarioError(f"`pairs[{p}]` must be two indices, but is {checks.short(pair)}.")
        checks.integer(f"pairs[{p}][0]", pair[0], minimum=0, maximum=first - 1, error=ScenarioError)
        if second == 0:
            raise ScenarioError(f"`pairs[{p}][1]` is {pair[1]}, but there are no {what}.")
        checks.integer(f"pairs[{p}][1]", pair[1], minimum=0, maximum=second - 1, error=ScenarioError)
    return np.array(pairs, dtype=np.intp).reshape(-1, 2)
