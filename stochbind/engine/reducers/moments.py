r"""First and second moments of each window of time."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.compiling import compiled
from stochbind.engine.accounts import Ledger
from stochbind.engine.kernels import add_one, aligned
from stochbind.engine.reducers.base import Context, Reducer, ratio, variable
from stochbind.engine.reducers.trees import STRIP, add_four, add_product, columns, fold, grouped, inlined
from stochbind.scenario.statistics import MomentStatistic

if TYPE_CHECKING:
    import xarray as xr


class Moments(Reducer):
    r"""Sums of :math:`x`, :math:`x_k x_k^T` and :math:`x_{k+1} x_k^T` over the states and pairs of each window.

    Entries: count; sum of x (d); sum of :math:`x x^T` over all states but the last (lower triangle); sum of
    :math:`x_{k+1} x_k^T` (d, d); :math:`x x^T` of the first and of the last state (lower triangles).
    """

    per_window = True
    whole = False

    def __init__(self, statistic: MomentStatistic, context: Context) -> None:
        super().__init__(context)
        d = context.dimension
        self.name, self.window = statistic.name, statistic.window or 64
        self._triangle = d * (d + 1) // 2
        self.n_entries = 1 + d + d * d + 3 * self._triangle

    def sums(self, states: FloatArray, gain: Ledger | None, taking: npt.NDArray[np.bool_], group: int) -> FloatArray:
        """Sums over one window of a batch of trajectories; see `Reducer.sums`."""
        n = states.shape[-1]
        out, width = columns(self.n_entries, n, group)
        _add_up(states, taking, width, out)
        return grouped(out, n, group, width)

    def describe(self, data: FloatArray) -> dict[str, xr.Variable]:
        """The statistic in SI, by the names of its variables and coordinates; see `Reducer.describe`."""
        c = self.context
        d = c.dimension
        count = data[..., 0]
        start, stop = self.window_ends(len(data))
        states = np.minimum(self.window, c.n_saves - np.arange(len(data)) * self.window).astype(float)[:, None] * count
        edges = 1 + np.cumsum([0, d, self._triangle, d * d, self._triangle, self._triangle])
        total, before, lagged, first, last = (data[..., a:b] for a, b in itertools.pairwise(edges))
        square = np.outer(c.unit, c.unit)
        before, first, last = (self._square(part) * square for part in (before, first, last))
        lagged = lagged.reshape(*count.shape, d, d) * square
        rows, pair = ("moments_window", "group"), ("coordinate", "coordinate_from")
        second = {
            "second": (ratio(before + last, states), "average of x x^T over the states of the window"),
            "before": (ratio(before, states - count), "average of x x^T over all states of the window but the last"),
            "lagged": (ratio(lagged, states - count), "average of x(next) x^T over the pairs of the window"),
            "first": (ratio(first, count), "average of x x^T in the first state of the window"),
            "last": (ratio(last, count), "average of x x^T in the last state of the window"),
        }
        meaning = "time of the {} kept state of the window"
        return {
            "moments_start": variable(rows[:1], start, c.si("s"), meaning.format("first")),
            "moments_stop": variable(rows[:1], stop, c.si("s"), meaning.format("last")),
            "moments_count": variable(rows, count, "", "trajectories that took part"),
            "moments_mean": variable(
                (*rows, "coordinate"),
                ratio(total * c.unit, states),
                None,
                "average over the states of the window",
            ),
            **{
                f"moments_{name}": variable((*rows, *pair), value, None, words)
                for name, (value, words) in second.items()
            },
        }

    def _square(self, triangle: FloatArray) -> FloatArray:
        d = self.context.dimension
        i, j = np.tril_indices(d)
        result = np.empty((*triangle.shape[:-1], d, d))
        result[..., i, j] = triangle
        result[..., j, i] = triangle
        return result


@compiled
def _add_up(states: Any, taking: Any, width: Any, out: Any) -> None:
    """Entries of one window, strip by strip of trajectories; four states at a time."""
    n, d, size = states.shape
    triangle = d * (d + 1) // 2
    leaf, x = aligned(out.shape[1], STRIP), aligned(5 * d, STRIP)
    before, lagged, first, last = 1 + d, 1 + d + triangle, 1 + d + triangle + d * d, 1 + d + 2 * triangle + d * d
    for strip in range(0, size, STRIP):
        m = min(STRIP, size - strip)
        leaf[:] = 0.0
        leaf[0] = 1.0
        _copy(states, 0, strip, x, 0, m)
        _add_square(x, leaf, first, d, m)
        t = 0
        while t + 4 < n:
            for k in range(1, 5):
                _copy(states, t + k, strip, x, k * d, m)
            _add_four_states(x, leaf, before, lagged, d, m)
            for i in range(d):
                x[i] = x[4 * d + i]
            t += 4
        while t + 1 < n:
            _copy(states, t + 1, strip, x, d, m)
            _add_square(x, leaf, before, d, m)
            for i in range(d):
                add_one(leaf[1 + i], x[i], 1.0, m)
                for j in range(d):
                    add_product(leaf[lagged + i * d + j], x[d + i], x[j], m)
            for i in range(d):
                x[i] = x[d + i]
            t += 1
        _add_square(x, leaf, last, d, m)
        for i in range(d):
            add_one(leaf[1 + i], x[i], 1.0, m)
        fold(leaf, taking[strip : strip + m], width, out, strip // width, 0)


@inlined
def _copy(states: Any, t: Any, strip: Any, x: Any, row: Any, m: Any) -> None:
    for i in range(states.shape[1]):
        source, target = states[t, i, strip:], x[row + i]
        for b in range(m):
            target[b] = source[b]


@inlined
def _add_square(x: Any, leaf: Any, entry: Any, d: Any, n: Any) -> None:
    for i in range(d):
        for j in range(i + 1):
            add_product(leaf[entry], x[i], x[j], n)
            entry += 1


@inlined
def _add_four_states(x: Any, leaf: Any, before: Any, lagged: Any, d: Any, n: Any) -> None:
    """Four states, and their pairs with the state after each; x holds five states."""
    one, two, three, four = d, 2 * d, 3 * d, 4 * d
    for i in range(d):
        total, x0, x1, x2, x3 = leaf[1 + i], x[i], x[one + i], x[two + i], x[three + i]
        for b in range(n):
            total[b] = total[b] + x0[b] + x1[b] + x2[b] + x3[b]
        for j in range(i + 1):
            add_four(leaf[before], x[i], x[j], x[one + i], x[one + j], x[two + i], x[two + j], x[three + i],
                     x[three + j], n)  # fmt: skip
            before += 1
        for j in range(d):
            add_four(leaf[lagged], x[one + i], x[j], x[two + i], x[one + j], x[three + i], x[two + j], x[four + i],
                     x[three + j], n)  # fmt: skip
            lagged += 1
