r"""What a step costs in truth: the steady state that a solver keeps, beside that of the equations.

Around their equilibrium the equations are linear, and so is a step: :math:`x' = M x + N \xi`. It keeps the covariance
that solves :math:`P = M P M^T + N N^T`, while the equations keep :math:`\Sigma`, with
:math:`A\Sigma + \Sigma A^T + B B^T = 0`. The relative difference of the variances is the error of every temperature,
and is known before the run.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine.programs import fault_of_force
from stochbind.errors import PlanError
from stochbind.fields import BUILT_IN
from stochbind.langevin import Langevin
from stochbind.propagation import EXTENDED_PRECISION_UP_TO
from stochbind.protocols import Protocol

if TYPE_CHECKING:
    from stochbind.engine.solvers import Solver

#: Largest relative error of a steady variance that a step may cause, unless told otherwise.
LARGEST_BIAS = 0.01
#: The same for solvers that are exact: what remains is the rounding of their coefficients.
LARGEST_ROUNDING_BIAS = 1e-3
#: A variance this much smaller than the largest, in scaled units, is not looked at.
_NEGLIGIBLE = 1e-9
#: Pieces of a protocol that are judged.
_MOST_PIECES = 16


class Step(NamedTuple):
    """One step as a linear map of the state, (d, d), and of the normals, (d, m)."""

    matrix: FloatArray
    root: FloatArray


class Verdict(NamedTuple):
    """What a step does to the steady state.

    Attributes
    ----------
    variance : (d,) float or None
        Relative error of each steady variance; infinite if the step heats without bound; None if the equations
        themselves have no steady state.
    growth : float
        Growth of an amplitude in a step beyond that of the equations; zero where `variance` tells.
    """

    variance: FloatArray | None
    growth: float

    @property
    def largest(self) -> float:
        """Largest relative error of a variance, with its sign; zero if there is no steady state."""
        if self.variance is None:
            return 0.0
        return float(self.variance[np.argmax(np.abs(self.variance))])


def pieces(system: Langevin | Protocol) -> list[Langevin]:
    """The equations by which a system is judged: of a protocol, up to 16 of its pieces."""
    if isinstance(system, Langevin):
        return [system]
    every = -(-len(system.pieces) // _MOST_PIECES)
    return [equations for _, equations in system.pieces[::every]]


def with_drift(equations: Langevin, drift: FloatArray) -> Langevin:
    """The linear equations with another drift matrix."""
    return replace(equations, drift_matrix=drift, forces=(), constant_drift=np.zeros(len(drift)))


def force_slope(equations: Langevin, displacement: FloatArray | float = 0.0) -> FloatArray:
    """Gradient of the forces, as a scaled drift matrix, (d, d): at the mechanical equilibrium, or displaced from there.

    Raises
    ------
    PlanError
        If a force cannot be evaluated there, or has no slope.
    """
    d = equations.dimension
    slope = np.zeros((d, d))
    if not equations.forces:
        return slope
    # Those of the package take arrays, and so all changes at once.
    quick = [replace(force, vectorized=force.vectorized or force.function in BUILT_IN) for force in equations.forces]
    equations = replace(equations, forces=tuple(quick))
    where = equations.select("position")
    with fault_of_force(equations.forces), np.errstate(all="ignore"):
        state = (_equilibrium(equations) + displacement)[:, None]
        change = 1e-5 * np.eye(d)[:, where]
        difference = equations.drift(state + change) - equations.drift(state - change)
    linear = equations.drift_matrix
    slope[:, where] = difference / 2e-5 - linear[:, where]
    if not np.isfinite(slope).all():
        raise PlanError("The forces have no finite slope at the mechanical equilibrium, or at zero if there is none.")
    slope[np.abs(slope) < 1e-10 * np.abs(linear).max()] = 0.0  # round-off of the differences
    return slope


def _equilibrium(equations: Langevin) -> FloatArray:
    """Where the drift vanishes, by Newton's method from the origin; the origin if it is not found."""
    d = equations.dimension
    state = np.zeros(d)
    for _ in range(30):
        value = equations.drift(state[:, None] + np.hstack([np.zeros((d, 1)), 1e-6 * np.eye(d)]))
        try:
            step = np.linalg.solve((value[:, 1:] - value[:, :1]) / 1e-6, -value[:, 0])
        except np.linalg.LinAlgError:
            return np.zeros(d)
        state = state + step
        if not np.isfinite(state).all():
            return np.zeros(d)
        if np.abs(step).max() < 1e-9:
            return state
    return np.zeros(d)


def judge(solver: Solver, equations: Langevin, step: float) -> Verdict:
    """What a step of length `step` [s] does to the steady state of equations, linear around their equilibrium.

    With forces beyond the linear ones, also as if they were linear around typical displacements, one standard deviation
    to either side: a field may have no slope at the equilibrium, where nothing of it would be seen. The worst counts.

    Parameters
    ----------
    solver : Solver
        Whose step.
    equations : Langevin
        The equations.
    step : float
        [s].

    Returns
    -------
    Verdict
        Errors of the variances, or the growth where there is no steady state.
    """
    slope = force_slope(equations)
    one = solver.linear_step(equations.drift_matrix, slope, equations, step)
    whole = with_drift(equations, equations.drift_matrix + slope) if equations.forces else equations
    if whole.steady is None:
        grows = float(np.abs(np.linalg.eigvals(one.matrix)).max())
        return Verdict(None, grows * math.exp(-whole.stability.growth_rate * step) - 1.0)
    worst = variance_error(one, whole.stationary_covariance())
    if equations.forces:
        deviation = np.zeros(equations.dimension)
        where = equations.select("position")
        deviation[where] = np.sqrt(np.diagonal(whole.stationary_covariance()))[where]
        for displacement in (deviation, -deviation):
            slope = force_slope(equations, displacement)
            whole = with_drift(equations, equations.drift_matrix + slope)
            if whole.steady is not None:
                one = solver.linear_step(equations.drift_matrix, slope, equations, step)
                error = variance_error(one, whole.stationary_covariance())
                worst = np.where(np.abs(error) > np.abs(worst), error, worst)
    return Verdict(worst, 0.0)


def variance_error(one: Step, exact: FloatArray) -> FloatArray:
    r"""Relative error of the steady variances of a step.

    With :math:`R = M \Sigma M^T + N N^T - \Sigma` in extended precision, the covariance that the step keeps is
    :math:`\Sigma + \sum_k M^k R M^{kT}`; the sum is built by doubling.

    Parameters
    ----------
    one : Step
        The step.
    exact : (d, d) float
        The exact covariance.

    Returns
    -------
    (d,) float
        Errors; infinite if the step has no steady state.
    """
    kind: Any = np.longdouble if len(exact) <= EXTENDED_PRECISION_UP_TO else np.float64
    matrix, root, steady = (a.astype(kind) for a in (one.matrix, one.root, exact))
    error = (matrix @ steady @ matrix.T + root @ root.T - steady).astype(np.float64)
    power = one.matrix
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(80):
            if not np.isfinite(power).all() or np.abs(power).max() < 1e-8:
                break
            error = error + power @ error @ power.T
            power = power @ power
        if not np.abs(power).max() < 1e-8:
            return np.full(len(exact), math.inf)
    # Variances far below the others are round-off themselves; scaled coordinates are of one order.
    variance = np.diagonal(exact)
    floor = _NEGLIGIBLE * float(variance.max())
    if floor == 0:
        return np.zeros(len(exact))
    result: FloatArray = np.diagonal(error) / np.maximum(variance, floor)
    return result


def require_small(solver: Solver, equations: Langevin, step: float, n_steps: int, allowed: float) -> None:
    """Raise `PlanError` if a step gives wrong physics, with the number and a step that does not."""
    rounding = solver.exact_if_linear and not equations.forces
    if rounding and _rounding_is_small(equations, step):
        return
    verdict = judge(solver, equations, step)
    limit = LARGEST_ROUNDING_BIAS if rounding else allowed
    unit = "" if equations.reduced else " s"
    if verdict.variance is None:
        gained = n_steps * math.log1p(max(verdict.growth, -0.5)) if not rounding else 0.0
        if gained > limit:
            raise PlanError(
                f"`step` is {step:.6g}{unit}, too long for the solver {solver.name!r}: over {n_steps} steps its own "
                f"error makes amplitudes grow by {_percent(math.expm1(min(gained, 700.0)))} beyond the equations' "
                f"growth (limit {limit:.3g}); {_remedy(solver, equations, 'a shorter step')}."
            )
        return
    if np.abs(verdict.variance).max() <= limit:
        return
    if rounding:
        bias = float(np.abs(verdict.variance).max())
        shortest = np.finfo(float).eps / (-equations.stability.growth_rate * limit)
        enough = 2 * step * bias / limit if math.isfinite(bias) else shortest
        raise PlanError(
            f"`step` is {step:.6g}{unit}, so short beside the slowest decay that rounding would change steady "
            f"variances by {bias:.2g} of their value (limit {limit:g}); longer steps are just as exact, so use one of "
            f"{enough:.2g}{unit} or more."
        )
    where = equations.coordinate[int(np.argmax(np.abs(verdict.variance)))]
    amount = verdict.largest
    what = (
        "heats without bound and has no steady state"
        if math.isinf(amount)
        else f"would make the steady variance of the {where.quantity} {where.particle} wrong by {_percent(amount, '+')}"
    )
    shorter = _shorter(solver, equations, step, limit)
    raise PlanError(
        f"`step` is {step:.6g}{unit}, too long: the solver {solver.name!r} {what} (limit {limit:.3g}); "
        f"{_remedy(solver, equations, f'a step of {shorter:.2g}{unit}')}, or allow it with `allowed_bias`."
    )


def _rounding_is_small(equations: Langevin, step: float) -> bool:
    """Whether a large system decays so much in a step that rounding cannot matter; its steady state is costly."""
    if equations.dimension <= EXTENDED_PRECISION_UP_TO:
        return False
    decay = -equations.stability.growth_rate * step
    return decay * LARGEST_ROUNDING_BIAS > 10 * equations.dimension * float(np.finfo(float).eps)


def _remedy(solver: Solver, equations: Langevin, shorter: str) -> str:
    if solver.name in ("exact", "strang"):
        return f"use {shorter}"
    return f'use solver = "{"strang" if equations.forces else "exact"}", or {shorter}'


def _shorter(solver: Solver, equations: Langevin, step: float, limit: float) -> float:
    """A step, shorter by powers of two, whose bias is within the limit."""
    for _ in range(60):
        step = step / 2
        variance = judge(solver, equations, step).variance
        if variance is not None and np.abs(variance).max() <= limit:
            break
    return step


def _percent(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3g} times" if abs(value) > 10 else f"{100 * value:{sign}.3g} %"
