r"""Lagged correlations, averaged over time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.compiling import compiled
from stochbind.engine.accounts import Ledger
from stochbind.engine.kernels import aligned
from stochbind.engine.reducers.base import Context, Reducer, ratio, variable
from stochbind.engine.reducers.trees import add_four, add_product, columns, fold, grouped, split
from stochbind.scenario.statistics import CorrelationStatistic

if TYPE_CHECKING:
    import xarray as xr

#: Trajectories that are taken at a time: a window of them stays in the cache.
_STRIP = 64


class Correlations(Reducer):
    r"""Sums of :math:`x_i(t + \tau) x_j(t)` over all pairs of states of a window at each lag.

    Entries: count of windows; then (2, lag, i, j), whose sum over the first index, times the window, is meant; see
    `stochbind.engine.reducers.trees`.
    """

    def __init__(self, statistic: CorrelationStatistic, context: Context) -> None:
        super().__init__(context)
        self.name, self.window, self.start = statistic.name, statistic.window, statistic.start or 0
        self._lags = np.array(statistic.all_lags, dtype=np.int64)
        self.n_entries = 1 + 2 * len(self._lags) * context.dimension**2

    def sums(self, states: FloatArray, gain: Ledger | None, taking: npt.NDArray[np.bool_], group: int) -> FloatArray:
        """Sums over one window of a batch of trajectories; see `Reducer.sums`."""
        n = states.shape[-1]
        out, width = columns(self.n_entries, n, group, _STRIP)
        _add_up(states, self._lags, taking, width, out)
        return grouped(out, n, group, width)

    def describe(self, data: FloatArray) -> dict[str, xr.Variable]:
        """The statistic in SI, by the names of its variables and coordinates; see `Reducer.describe`."""
        c = self.context
        count = data[0, :, 0]
        coarse, fine = np.moveaxis(data[0, :, 1:].reshape(-1, 2, len(self._lags), c.dimension, c.dimension), 1, 0)
        sums = (coarse + fine) * np.outer(c.unit, c.unit)
        pairs = 1.0 - self._lags / self.window
        return {
            "lag": variable(("lag",), self._lags * c.interval, c.si("s"), "time between the states of a pair"),
            "correlation_count": variable(("group",), count, "", "windows of trajectories that took part"),
            "correlation": variable(
                ("group", "lag", "coordinate", "coordinate_from"),
                ratio(sums / pairs[:, None, None], count),
                None,
                "average of coordinate(t + lag) times coordinate_from(t)",
            ),
        }


@compiled
def _add_up(states: Any, lags: Any, taking: Any, width: Any, out: Any) -> None:
    """Entries of one window, strip by strip of trajectories; four pairs of states at a time."""
    n, d, size = states.shape
    leaf = aligned(out.shape[1], _STRIP)
    x = aligned(n * d, _STRIP)
    for strip in range(0, size, _STRIP):
        m = min(_STRIP, size - strip)
        for t in range(n):
            for i in range(d):
                source, target = states[t, i, strip:], x[t * d + i]
                for b in range(m):
                    target[b] = source[b]
        leaf[:] = 0.0
        leaf[0] = 1.0
        for index in range(lags.shape[0]):
            first, late = 1 + index * d * d, lags[index] * d
            n_pairs = n - lags[index]
            t = 0
            while t + 4 <= n_pairs:
                y = t * d
                z = y + late
                for i in range(d):
                    for j in range(d):
                        add_four(
                            leaf[first + i * d + j], x[z + i], x[y + j], x[z + d + i], x[y + d + j],
                            x[z + 2 * d + i], x[y + 2 * d + j], x[z + 3 * d + i], x[y + 3 * d + j], m,
                        )  # fmt: skip
                t += 4
            while t < n_pairs:
                for i in range(d):
                    for j in range(d):
                        add_product(leaf[first + i * d + j], x[t * d + late + i], x[t * d + j], m)
                t += 1
        half = (leaf.shape[0] - 1) // 2
        for e in range(1, 1 + half):
            split(leaf[e], leaf[half + e], 1.0 / n, m)
        fold(leaf, taking[strip : strip + m], width, out, strip // width, 0)
