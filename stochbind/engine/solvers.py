"""Solvers: how a block of trajectories is advanced.

A solver turns the equations and a step into coefficients, once, in the process that starts the run. The coefficients
are stored with the run, and workers only ever load them: `expm` and BLAS give other bits on other processors.
"""

from __future__ import annotations

import abc
import math
from typing import ClassVar, final

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine import noise
from stochbind.errors import PlanError
from stochbind.langevin import Langevin
from stochbind.propagation import covariance_root

#: Largest relative error of a steady variance that the rounding of the coefficients may cause.
LARGEST_ROUNDING_BIAS = 1e-3
#: A variance this much smaller than the largest, in scaled units, is not looked at.
_NEGLIGIBLE = 1e-9


class Solver(abc.ABC):
    """Advances blocks of trajectories; stateless. Declares what it promises; the tests measure it.

    Attributes
    ----------
    name : str
        As in plans and on the command line.
    weak_order : float
        Order of the error of averages in the step; infinite if exact.
    exact_if_linear : bool
        Whether the law of a linear system is exact at any step.
    """

    name: ClassVar[str]
    weak_order: ClassVar[float]
    exact_if_linear: ClassVar[bool]

    @abc.abstractmethod
    def coefficients(self, equations: Langevin, step: float) -> dict[str, FloatArray]:
        """Arrays that define one step of length `step` [s].

        Raises
        ------
        PlanError
            If the step would give wrong physics.
        """

    @abc.abstractmethod
    def step(self, coefficients: dict[str, FloatArray], state: FloatArray, normal: FloatArray) -> FloatArray:
        """State after one step: a pure function of state and noise, both of shape (d, n_trajectories)."""

    @abc.abstractmethod
    def path(
        self,
        coefficients: dict[str, FloatArray],
        state: FloatArray,
        *,
        seed: int,
        first_trajectory: int,
        first_step: int,
        save_every: int,
        n_saves: int,
    ) -> FloatArray:
        """Advance `state`, shape (d, n_trajectories), in place; the saved states, (n_saves, d, n_trajectories)."""


@final
class Exact(Solver):
    r"""Exact in law for linear equations, at any step: :math:`x' = E x + e + L \xi`.

    E, e and :math:`S = L L^T` come from `Langevin.propagator`; :math:`\xi` are independent standard normals.
    Theory page, eq. (12).
    """

    name: ClassVar[str] = "exact"
    weak_order: ClassVar[float] = float("inf")
    exact_if_linear: ClassVar[bool] = True

    def coefficients(self, equations: Langevin, step: float) -> dict[str, FloatArray]:
        """Propagator matrix, shift and noise root; see `Solver.coefficients`."""
        exact = equations.propagator(step)
        result = {"matrix": exact.matrix, "shift": exact.shift, "root": covariance_root(exact.covariance)}
        if equations.steady is not None:
            bias = rounding_bias(equations, result)
            if bias > LARGEST_ROUNDING_BIAS:
                unit = "" if equations.reduced else " s"
                shortest = np.finfo(float).eps / (-equations.stability.growth_rate * LARGEST_ROUNDING_BIAS)
                enough = 2 * step * bias / LARGEST_ROUNDING_BIAS if math.isfinite(bias) else shortest
                raise PlanError(
                    f"`step` is {step:.6g}{unit}, so short beside the slowest decay that rounding would change steady "
                    f"variances by {bias:.2g} of their value (limit {LARGEST_ROUNDING_BIAS:g}); longer steps are just "
                    f"as exact, so use one of {enough:.2g}{unit} or more."
                )
        return result

    def step(self, coefficients: dict[str, FloatArray], state: FloatArray, normal: FloatArray) -> FloatArray:
        """One step in NumPy, summed in the order of the compiled loop."""
        return linear_step(coefficients, state, normal)

    def path(
        self,
        coefficients: dict[str, FloatArray],
        state: FloatArray,
        *,
        seed: int,
        first_trajectory: int,
        first_step: int,
        save_every: int,
        n_saves: int,
    ) -> FloatArray:
        """Many steps, compiled; see `Solver.path`."""
        from stochbind.engine import kernels

        saved = np.empty((n_saves, *state.shape))
        kernels.linear_path(
            np.ascontiguousarray(coefficients["matrix"]),
            np.ascontiguousarray(coefficients["shift"]),
            np.ascontiguousarray(coefficients["root"]),
            state,
            np.uint64(seed),
            np.uint64(noise.Stream.BATH),
            np.int64(first_trajectory),
            np.int64(first_step),
            np.int64(save_every),
            saved,
        )
        return saved


def linear_step(coefficients: dict[str, FloatArray], state: FloatArray, normal: FloatArray) -> FloatArray:
    """NumPy twin of the compiled step: the same operations in the same order."""
    matrix, shift, root = (coefficients[name] for name in ("matrix", "shift", "root"))
    result = np.empty_like(state)
    for i in range(len(state)):
        row = np.full(state.shape[1], shift[i])
        for j in range(len(state)):
            row = row + matrix[i, j] * state[j]
        for j in range(len(normal)):
            row = row + root[i, j] * normal[j]
        result[i] = row
    return result


def rounding_bias(equations: Langevin, coefficients: dict[str, FloatArray]) -> float:
    r"""Relative error of the steady variances that the rounding of the coefficients causes.

    With :math:`R = E \Sigma E^T + L L^T - \Sigma` in extended precision, the covariance that the rounded step keeps
    is :math:`\Sigma + \sum_k E^k R E^{kT}`; the sum is built by doubling.

    Parameters
    ----------
    equations : Langevin
        Stable equations.
    coefficients : dict
        Of `Exact`.

    Returns
    -------
    float
        Largest error of a variance, relative to it.
    """
    exact = equations.stationary_covariance()
    matrix, root, steady = (a.astype(np.longdouble) for a in (coefficients["matrix"], coefficients["root"], exact))
    error = (matrix @ steady @ matrix.T + root @ root.T - steady).astype(np.float64)
    power = coefficients["matrix"]
    for _ in range(80):
        if np.abs(power).max() < 1e-8:
            break
        error = error + power @ error @ power.T
        power = power @ power
    else:
        return math.inf  # the decay of a step is lost in the rounding
    # Variances far below the others are round-off themselves; scaled coordinates are of one order.
    variance = np.diagonal(exact)
    floor = _NEGLIGIBLE * float(variance.max())
    return float((np.abs(np.diagonal(error)) / np.maximum(variance, floor)).max()) if floor > 0 else 0.0


#: All solvers by name.
SOLVERS: dict[str, Solver] = {solver.name: solver() for solver in Solver.__subclasses__()}
