"""Checks of what is asked of a run, in memory or on disk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from stochbind import checks
from stochbind.engine.independent import SOLVERS
from stochbind.errors import PlanError
from stochbind.scenario.statistics import LARGEST_WINDOW, Statistic

#: Decay times of the slowest mode that averages in time leave out.
_SETTLING = 6.0
#: Windows of a record that are kept apart, unless a statistic says how long they are; and how short those are at least.
_N_WINDOWS, _SHORTEST_WINDOW = 256, 64


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
    if not SOLVERS[solver].keeps_ledger:
        raise PlanError(f'The solver {solver!r} keeps no ledger; use solver = "exact" or "strang".')


def resolved(
    statistics: Sequence[Statistic], *, growth_rate: float, steady: bool, save_interval: float, n_saves: int
) -> tuple[Statistic, ...]:
    """Statistics with their defaults written out, in the order of their names: what is the same has one identity.

    Parameters
    ----------
    statistics : sequence of Statistic
        What is asked for.
    growth_rate : float
        Of the slowest mode [1/s].
    steady : bool
        Whether the run begins in its steady state.
    save_interval : float
        Time between kept states [s].
    n_saves : int
        Number of kept states.

    Raises
    ------
    PlanError
        If an average over time has no beginning by default.
    """
    result = []
    for item in statistics:
        known: dict[str, Any] = {}
        if item.window is None:
            most = max(_SHORTEST_WINDOW, -(-n_saves // _N_WINDOWS))
            known["window"] = min(1 << (most - 1).bit_length(), LARGEST_WINDOW)
        window: Any = known.get("window", item.window)
        if item.kind == "correlations":
            known["lags"] = item.all_lags
        if item.kind == "histograms":
            known["largest"] = item.edge
        if getattr(item, "start", 0) is None:
            known["start"] = 0 if steady else _start(item.name, window, growth_rate, save_interval, n_saves)
        result.append(item.model_copy(update=known))
    return tuple(sorted(result, key=lambda item: item.name))


def _start(name: str, window: int, growth_rate: float, save_interval: float, n_saves: int) -> int:
    """First kept state after six decay times of the slowest mode, in whole windows."""
    if growth_rate >= 0:
        raise PlanError(
            f"The statistic {name!r} is an average over time, but there is no steady state; give it `start`, the first "
            "state that it takes (0: from the beginning)."
        )
    start = math.ceil(min(_SETTLING / -growth_rate / save_interval, 2.0**62) / window) * window
    if start + window > n_saves:
        raise PlanError(
            f"The statistic {name!r} would begin after six decay times of the slowest mode, at kept state {start}, and "
            f"needs {window} states, but {n_saves} are kept; make the run longer, or give it `start` (0: from the "
            "beginning), or a shorter `window`."
        )
    return start
