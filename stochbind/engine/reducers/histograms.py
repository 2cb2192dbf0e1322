"""Histograms of states, and of heat and work gained in windows of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.compiling import compiled
from stochbind.engine.accounts import Ledger
from stochbind.engine.reducers.base import Context, Reducer, variable
from stochbind.errors import PlanError
from stochbind.scenario.statistics import HistogramStatistic

if TYPE_CHECKING:
    import xarray as xr


class Histograms(Reducer):
    """Counts in bins of equal width, of each particle, or for work of each pair (particle, source).

    Entries: count of windows; then (row, bin). Counts are whole numbers, so their sums are exact in any order.
    """

    def __init__(self, statistic: HistogramStatistic, context: Context) -> None:
        super().__init__(context)
        self.name, self.window, self.start = statistic.name, statistic.window, statistic.start or 0
        self.of, self.n_bins, self.edge = statistic.of, statistic.n_bins, statistic.edge
        self.needs_ledger = statistic.of not in ("position", "velocity")
        self.whole = self.needs_ledger  # type: ignore[misc]
        n = context.n_oscillators
        if self.needs_ledger:
            self._rows = np.arange(n * n if statistic.of == "work" else n)
            self._scale = np.repeat(context.thermal_energy, n) if statistic.of == "work" else context.thermal_energy
            self.scale = context.thermal_energy
        else:
            self._rows = context.select(statistic.of)
            if not len(self._rows):
                raise PlanError(
                    f"The statistic {self.name!r} needs velocities, but overdamped particles have none; leave it out."
                )
            self._scale = context.thermal_scale[self._rows]
            self.scale = self._scale * context.unit[self._rows]
        self.n_entries = 1 + len(self._rows) * self.n_bins

    def sums(self, states: FloatArray, gain: Ledger | None, taking: npt.NDArray[np.bool_], group: int) -> FloatArray:
        """Sums over one window of a batch of trajectories; see `Reducer.sums`."""
        n = states.shape[-1]
        if gain is not None:
            states = np.ascontiguousarray(getattr(gain, self.of)).reshape(1, -1, n)
        out = np.zeros((-(-n // group), self.n_entries))
        which = np.arange(n) // group
        np.add.at(out[:, 0], which[taking], 1.0)
        _count(states, self._rows, 1.0 / (self._scale * self.edge), self.n_bins, taking, which, out)
        return out

    def describe(self, data: FloatArray) -> dict[str, xr.Variable]:
        """The statistic in SI, by the names of its variables and coordinates; see `Reducer.describe`."""
        c = self.context
        bins, rows = f"{self.of}_bin", (c.row, "source") if self.of == "work" else (c.row,)
        counts = data[0, :, 1:].reshape(-1, *(c.n_oscillators for _ in rows), self.n_bins)
        unit = {"position": "m", "velocity": "m/s"}.get(self.of, "J")
        kept = "kept states" if not self.needs_ledger else f"windows of {self.window} kept states"
        edges = self.edge * (2.0 * np.arange(self.n_bins + 1) / self.n_bins - 1.0)
        name, more = self.name, {"window_duration": self.window * c.interval} if self.needs_ledger else {}
        return {
            f"{name}_count": variable(("group",), data[0, :, 0], "", "windows of trajectories that took part"),
            name: variable(
                ("group", *rows, bins), counts, "", f"number of {kept} in each bin; the outer bins are open", **more
            ),
            f"{name}_edge": variable(
                (c.row, f"{self.of}_edge"),
                self.scale[:, None] * edges,
                c.si(unit),
                "edges of the bins",
            ),
            f"{name}_scale": variable((c.row,), self.scale, c.si(unit), f"thermal unit of the {self.of}"),
        }


@compiled
def _count(states: Any, rows: Any, inverse: Any, n_bins: Any, taking: Any, which: Any, out: Any) -> None:
    """Count the states of all trajectories that take part."""
    size = states.shape[2]
    half, last = 0.5 * n_bins, n_bins - 1.0
    place = np.empty(size)
    for t in range(states.shape[0]):
        for r in range(rows.shape[0]):
            source, scale, first = states[t, rows[r]], inverse[r], 1 + r * n_bins
            for b in range(size):
                x = (source[b] * scale + 1.0) * half
                x = x if x > 0.0 else 0.0
                place[b] = x if x < last else last
            for b in range(size):
                if taking[b]:
                    out[which[b], first + np.int64(place[b])] += 1.0
