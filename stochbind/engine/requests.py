"""Checks of what is asked of a run, in memory or on disk."""

from __future__ import annotations

from typing import Any

from stochbind import checks
from stochbind.engine.independent import SOLVERS
from stochbind.errors import PlanError


def positive_number(name: str, value: Any) -> float:
    """Return `value` as a float, or raise `PlanError` unless it is a positive, finite number."""
    if isinstance(value, bool):
        raise PlanError(f"`{name}` must be a number, but is {value}.")
    return float(checks.positive(name, checks.array(name, value, (), error=PlanError), error=PlanError))


def require_name(solver: Any) -> None:
    """Raise `PlanError` unless `solver` names one, or is None or empty: the usual one."""
    if not (solver is None or (isinstance(solver, str) and (not solver or solver in SOLVERS))):
        raise PlanError(f"`solver` must be one of {', '.join(SOLVERS)}, but is {checks.short(solver)}.")


def require_fit(solver: str, n_steps: int, n_trajectories: int) -> None:
    """Raise `PlanError` if a run is too large for a solver that takes one trajectory at a time."""
    largest = SOLVERS[solver].largest_work
    if largest is not None and n_steps * n_trajectories > largest:
        raise PlanError(
            f"The solver {solver!r} is a slow reference, fit for up to {largest:.0e} steps times trajectories, but "
            f"{n_steps * n_trajectories:.3g} are asked for; use fewer, or one of stochbind's own solvers."
        )


def require_ledger(solver: str) -> None:
    """Raise `PlanError` if a solver cannot keep a ledger."""
    if not SOLVERS[solver].exact_if_linear:
        raise PlanError(f'The solver {solver!r} keeps no ledger; use solver = "exact" or "strang".')
