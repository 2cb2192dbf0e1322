"""Which class accumulates which statistic."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from stochbind.engine.reducers.base import Context, Reducer
from stochbind.engine.reducers.correlations import Correlations
from stochbind.engine.reducers.currents import Currents
from stochbind.engine.reducers.histograms import Histograms
from stochbind.engine.reducers.moments import Moments
from stochbind.engine.reducers.spectra import Spectra
from stochbind.errors import PlanError
from stochbind.scenario.statistics import Statistic, statistics_of

_REDUCERS: dict[str, Callable[[Any, Context], Reducer]] = {
    "moments": Moments,
    "correlations": Correlations,
    "spectra": Spectra,
    "histograms": Histograms,
    "currents": Currents,
}
#: Largest row of sums [byte].
LARGEST_ROW = 64 * 2**20


def reducers_of(statistics: Sequence[Statistic], context: Context) -> tuple[Reducer, ...]:
    """What accumulates some statistics of a run, in their order.

    Parameters
    ----------
    statistics : sequence of Statistic
        What is asked for. A `start` that is None counts as zero.
    context : Context
        The run.

    Returns
    -------
    tuple of Reducer
        One for each.

    Raises
    ------
    PlanError
        If two have the same name, one needs a ledger that is not there, is of velocities that are not there, finds no
        window in the record, or is too large.
    """
    reducers = tuple(_REDUCERS[item.kind](item, context) for item in statistics_of(statistics))
    for reducer in reducers:
        if reducer.needs_ledger and not context.ledger:
            raise PlanError(
                f"The statistic {reducer.name!r} is of heat and work, but the run keeps no ledger; set ledger = true."
            )
        first = -(-reducer.start // reducer.window) * reducer.window
        if first + (reducer.window if reducer.whole else 1) > context.n_saves:
            raise PlanError(
                f"The statistic {reducer.name!r} finds no window of {reducer.window} kept states between its start "
                f"{reducer.start} and the end of the record, which has {context.n_saves}; make the run longer, or use "
                "a shorter `window` or an earlier `start`."
            )
        if 8 * reducer.n_entries > LARGEST_ROW:
            raise PlanError(
                f"The statistic {reducer.name!r} of {context.dimension} coordinates needs rows of "
                f"{8 * reducer.n_entries / 2**20:.0f} MiB (limit {LARGEST_ROW // 2**20} MiB); use a shorter window, or "
                "fewer lags or bins."
            )
    return reducers
