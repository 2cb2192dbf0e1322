"""The sums of products of states that quadratic observables and the regression of the drift are made of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from stochbind.analysis.passes import Reading
from stochbind.checks import FloatArray

#: Matrix products of up to so many terms are done by one thread by OpenBLAS: for these thin matrices several threads
#: wait for each other longer than they work, and then keep cores busy that have other work.
_ONE_THREAD = 2**18
#: But sums are not cut into shorter ones than this.
_SHORTEST = 64


class SecondMoments:
    """Sums of :math:`x_k x_k^T` and :math:`x_{k+1} x_k^T`, cell by cell: a `stochbind.analysis.passes.Pass`.

    Parameters
    ----------
    n_groups : int
        Number of cells.
    dimension : int
        Number of coordinates d.
    """

    def __init__(self, n_groups: int, dimension: int) -> None:
        #: Over the states, over the pairs, and of the states before the first and at the end of each cell.
        self.second, self.lagged, self.opening, self.closing = np.zeros((4, n_groups, dimension, dimension))
        self._previous: FloatArray | None = None
        self._cells: npt.NDArray[np.intp] | None = None

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        del first
        _add_products(self.second, cells, state, state)
        _add_products(self.lagged, cells, state[:, 1:], state[:, :-1])
        if self._previous is None or self._cells is None:
            _add_products(self.opening, cells, state[:, :1], state[:, :1])
        else:
            _add_products(self.lagged, cells, state[:, :1], self._previous)
            if self._cells[0] != cells[0]:  # the next block of time
                _add_products(self.closing, self._cells, self._previous, self._previous)
                _add_products(self.opening, cells, self._previous, self._previous)
        if last:
            _add_products(self.closing, cells, state[:, -1:], state[:, -1:])
        self._previous, self._cells = (None, None) if last else (state[:, -1:].copy(), cells)

    def averages(self, reading: Reading) -> dict[str, FloatArray]:
        r"""Averages that, weighted by the shares of the cells, add up to those of the whole window exactly.

        With n states in a window, b of them in a block, the averages over pairs of the cells are over
        :math:`b (n - 1) / n` pairs, although the first block has one pair less than the others. The first state of a
        cell is that of the window, and its last state is this one and n/b times the gain in the block: so the gain per
        time of a cell is that of its block.

        Parameters
        ----------
        reading : Reading
            Of the reading that added up these sums.

        Returns
        -------
        dict of str to (n_groups, d, d) float
            `second`, `before`, `lagged`, `first_state` and `last_state`, as in `stochbind.analysis.statistics.Record`.
        """
        n, n_blocks = reading.n_states, reading.cells.n_blocks
        states = (reading.weight * (reading.n_trajectories * n))[:, None, None]
        pairs = states * ((n - 1) / n)
        before = self.second - self.closing
        first_block = np.arange(reading.n_groups) % n_blocks == 0
        before[~first_block] += self.opening[~first_block]
        trajectories = np.repeat(np.bincount(reading.cells.group), n_blocks)[:, None, None]
        first_state = np.repeat(self.opening[first_block] / trajectories[first_block], n_blocks, axis=0)
        return {
            "second": self.second / states,
            "before": before / pairs,
            "lagged": self.lagged / pairs,
            "first_state": first_state,
            "last_state": first_state + (self.closing - self.opening) * (n / states),
        }


def products(left: FloatArray, right: FloatArray) -> FloatArray:
    r"""Sums over time of the products of two series of states, :math:`\sum_t x_t y_t^T`, for each trajectory.

    Parameters
    ----------
    left : (n, t, a) float
        n series.
    right : (n, t, b) float
        As many, as long.

    Returns
    -------
    (n, a, b) float
        Sums.
    """
    a, b = left.shape[2], right.shape[2]
    at_once = max(_SHORTEST, _ONE_THREAD // (a * b))
    if left.shape[1] <= at_once:
        return np.asarray(left.transpose(0, 2, 1) @ right)
    total = np.zeros((len(left), a, b))
    for begin in range(0, left.shape[1], at_once):
        times = slice(begin, begin + at_once)
        total += left[:, times].transpose(0, 2, 1) @ right[:, times]
    return total


def _add_products(sums: FloatArray, cells: npt.NDArray[np.intp], left: FloatArray, right: FloatArray) -> None:
    """Add the products of states, summed over time, to the sums of the cells of their trajectories."""
    np.add.at(sums, cells, products(left, right))
