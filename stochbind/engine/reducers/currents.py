"""Heat and work of each window: their first and second moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.compiling import compiled
from stochbind.engine.accounts import Ledger
from stochbind.engine.kernels import aligned
from stochbind.engine.reducers.base import Context, Reducer, ratio, variable
from stochbind.engine.reducers.trees import STRIP, columns, fold, grouped
from stochbind.scenario.statistics import CurrentStatistic

if TYPE_CHECKING:
    import xarray as xr

_MEANING = {
    "heat": "heat from bath and recoil to the particle",
    "work": "work on the particle by the source",
    "drive_work": "work of the drives on the particle",
}


class Currents(Reducer):
    """Sums of what each trajectory gains in a window, and of its square, in units of the thermal energy.

    Entries: count; then heat (N), work (N, N) and drive work (N); then their squares.
    """

    per_window = True
    needs_ledger = True

    def __init__(self, statistic: CurrentStatistic, context: Context) -> None:
        super().__init__(context)
        self.name, self.window = statistic.name, statistic.window or 64
        n, energy = context.n_oscillators, context.thermal_energy
        self._scale = np.concatenate([energy, np.repeat(energy, n), energy])
        self.n_entries = 1 + 2 * n * (n + 2)

    def sums(self, states: FloatArray, gain: Ledger | None, taking: npt.NDArray[np.bool_], group: int) -> FloatArray:
        """Sums over one window of a batch of trajectories; see `Reducer.sums`."""
        assert gain is not None
        n = states.shape[-1]
        values = np.concatenate([gain.heat, gain.work.reshape(-1, n), gain.drive_work])
        with np.errstate(all="ignore"):  # of trajectories that diverged
            values = values / self._scale[:, None]
        out, width = columns(self.n_entries, n, group)
        _add_up(values, taking, width, out)
        return grouped(out, n, group, width)

    def describe(self, data: FloatArray) -> dict[str, xr.Variable]:
        """The statistic in SI, by the names of its variables and coordinates; see `Reducer.describe`."""
        c = self.context
        n = c.n_oscillators
        data = data[: c.n_saves // self.window]  # an incomplete window was left out
        count = data[..., 0]
        start, stop = self.window_ends(len(data))
        rows = ("currents_window", "group")
        found = {
            "currents_start": variable(rows[:1], start - c.interval, c.si("s"), "time at which the window begins"),
            "currents_stop": variable(rows[:1], stop, c.si("s"), "time at which the window ends"),
            "current_count": variable(rows, count, "", "trajectories that took part"),
        }
        per_time = self._scale / (self.window * c.interval)
        means = ratio(data[..., 1:].reshape(*count.shape, 2, -1), count)
        edges = np.cumsum([0, n, n * n, n])
        for (name, meaning), a, b in zip(_MEANING.items(), edges, edges[1:], strict=False):
            shape = (*count.shape, n, n) if name == "work" else (*count.shape, n)
            dims = (*rows, c.row, "source") if name == "work" else (*rows, c.row)
            first = (means[..., 0, a:b] * per_time[a:b]).reshape(shape)
            second = (means[..., 1, a:b] * per_time[a:b] ** 2).reshape(shape)
            found[f"current_{name}"] = variable(dims, first, c.si("W"), f"{meaning}, per time")
            found[f"current_{name}_square"] = variable(
                dims, second, c.si("W^2"), f"mean square over trajectories of: {meaning}, per time, of one window"
            )
        return found


@compiled
def _add_up(values: Any, taking: Any, width: Any, out: Any) -> None:
    """Entries of one window: values and their squares."""
    n, size = values.shape
    leaf = aligned(1 + 2 * n, STRIP)
    for strip in range(0, size, STRIP):
        m = min(STRIP, size - strip)
        leaf[0] = 1.0
        for r in range(n):
            for b in range(m):
                leaf[1 + r, b] = 0.0 + values[r, strip + b]
                leaf[1 + n + r, b] = 0.0 + values[r, strip + b] * values[r, strip + b]
        fold(leaf, taking[strip : strip + m], width, out, strip // width, 0)
