r"""What a step costs in truth: the steady state that a solver keeps, beside that of the equations.

Around their equilibrium the equations are linear, and so is a step: :math:`x' = M x + N \xi`. It keeps the covariance
that solves :math:`P = M P M^T + N N^T`, while the equations keep :math:`\Sigma`, with
:math:`A\Sigma + \Sigma A^T + B B^T = 0`. The relative difference of the variances is the error of every temperature,
and is known before the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from stochbind.checks import FloatArray
from stochbind.engine.linearisation import force_slope, typical_slopes, with_drift
from stochbind.errors import PlanError
from stochbind.langevin import Langevin
from stochbind.oscillators import coordinate_names
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
        """Largest relative error of a variance, with its sign; NaN if there is no steady state."""
        if self.variance is None:
            return math.nan
        return float(self.variance[np.argmax(np.abs(self.variance))])


def pieces(system: Langevin | Protocol) -> list[Langevin]:
    """The equations by which a system is judged: of a protocol, all that differ; without forces, up to 16 of them."""
    if isinstance(system, Langevin):
        return [system]
    different = list({id(equations): equations for _, equations in system.pieces}.values())
    if system.equations.forces:
        return different
    return different[:: -(-len(different) // _MOST_PIECES)]


def judge(solver: Solver, equations: Langevin, step: float, slopes: Sequence[FloatArray] | None = None) -> Verdict:
    """What a step of length `step` [s] does to the steady state of equations, linear around their equilibrium.

    With forces beyond the linear ones, around each equilibrium that holds; and also as if they were linear around
    typical displacements, as a field may have no slope at the equilibrium, where nothing of it would be seen. The worst
    counts.

    Parameters
    ----------
    solver : Solver
        Whose step.
    equations : Langevin
        The equations.
    step : float
        [s].
    slopes : sequence of (d, d) float, optional
        What `slopes_of` gives, where it is known already.

    Returns
    -------
    Verdict
        Errors of the variances, or the growth where there is no steady state.
    """
    worst: FloatArray | None = None
    for slope in slopes_of(equations) if slopes is None else slopes:
        whole = with_drift(equations, equations.drift_matrix + slope) if equations.forces else equations
        if whole.steady is not None:
            one = solver.linear_step(equations.drift_matrix, slope, equations, step)
            error = variance_error(one, whole.stationary_covariance())
            worst = error if worst is None else np.where(np.abs(error) > np.abs(worst), error, worst)
    if worst is not None:
        return Verdict(worst, 0.0)
    one = solver.linear_step(equations.drift_matrix, np.zeros_like(equations.drift_matrix), equations, step)
    grows = float(np.abs(np.linalg.eigvals(one.matrix)).max())
    return Verdict(None, grows * math.exp(-equations.stability.growth_rate * step) - 1.0)


def slopes_of(equations: Langevin) -> list[FloatArray]:
    """Gradients of the forces at which a step is judged; see `typical_slopes`."""
    if not equations.forces:
        return [np.zeros_like(equations.drift_matrix)]
    force_slope(equations, np.zeros(equations.dimension))  # where a fault of a force is told
    return typical_slopes(equations)


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
    slopes = slopes_of(equations)
    verdict = judge(solver, equations, step, slopes)
    limit = LARGEST_ROUNDING_BIAS if rounding else allowed
    unit = "" if equations.reduced else " s"
    if verdict.variance is None:
        gained = n_steps * math.log1p(max(verdict.growth, -0.99)) if not rounding else 0.0
        if abs(gained) > limit:
            raise PlanError(
                f"`step` is {step:.6g}{unit}, too long for the solver {solver.name!r}: over {n_steps} steps its own "
                f"error changes amplitudes by {_percent(math.expm1(min(gained, 700.0)), '+')} beyond the equations' "
                f"own (limit {limit:.3g}); {_remedy(solver, equations, 'a shorter step')}."
            )
        return
    # With forces the verdict is an estimate, and a limit above one is a word to go ahead.
    if np.abs(verdict.variance).max() <= limit or (equations.forces and limit > 1.0):
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
    where = coordinate_names(equations.coordinate)[int(np.argmax(np.abs(verdict.variance)))]
    amount = verdict.largest
    what = (
        "heats without bound and has no steady state"
        if math.isinf(amount)
        else f"would make the steady variance of the {where} wrong by {_percent(amount, '+')}"
    )
    shorter = _shorter(solver, equations, step, limit, slopes)
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
    if solver.name in ("exact", "strang", "finite_baths"):
        return f"use {shorter}"
    return f'use solver = "{"strang" if equations.forces else "exact"}", or {shorter}'


def _shorter(solver: Solver, equations: Langevin, step: float, limit: float, slopes: Sequence[FloatArray]) -> float:
    """A step, shorter by powers of two, whose bias is within the limit."""
    for _ in range(60):
        step = step / 2
        variance = judge(solver, equations, step, slopes).variance
        if variance is not None and np.abs(variance).max() <= limit:
            break
    return step


def _percent(value: float, sign: str = "") -> str:
    return f"{value:{sign}.3g} times" if abs(value) > 10 else f"{100 * value:{sign}.3g} %"
