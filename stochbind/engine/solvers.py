"""Solvers: how a block of trajectories is advanced.

A solver turns the equations and a step into coefficients, once, in the process that starts the run. The coefficients
are stored with the run, and workers only ever load them: `expm` and BLAS give other bits on other processors.
"""

from __future__ import annotations

import abc
from typing import ClassVar, final

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine import noise
from stochbind.errors import PlanError
from stochbind.langevin import Langevin, covariance_root

#: Largest relative error of a steady variance that the rounding of the coefficients may cause.
LARGEST_ROUNDING_BIAS = 1e-3


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
        stability = equations.stability
        if stability.stable:
            # E is rounded to double precision, which changes decay rates by up to eps/step.
            shortest = np.finfo(float).eps / (-stability.growth_rate * LARGEST_ROUNDING_BIAS)
            if step < shortest:
                raise PlanError(
                    f"`step` is {step:.6g} s, so short beside the slowest decay ({-stability.growth_rate:.6g} 1/s) "
                    f"that rounding would change temperatures by more than {LARGEST_ROUNDING_BIAS:.1%}; use a step of "
                    f"at least {shortest:.3g} s, which is just as exact."
                )
        exact = equations.propagator(step)
        return {"matrix": exact.matrix, "shift": exact.shift, "root": covariance_root(exact.covariance)}

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


#: All solvers by name.
SOLVERS: dict[str, Solver] = {solver.name: solver() for solver in Solver.__subclasses__()}
