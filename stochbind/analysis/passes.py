"""One reading of a record for any number of sums, in bounded memory.

A record may be larger than memory by far. It is read once, piece after piece, and each piece is handed to every `Pass`,
which adds up what it needs, cell by cell. A cell is a group of trajectories in a stretch of time: cells are what error
bars come from, so they should be independent.
"""

from __future__ import annotations

import collections
import itertools
import math
import typing
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind.analysis.autocorrelation import autocorrelation_time
from stochbind.checks import FloatArray
from stochbind.errors import IncompleteError, TooFewSamplesError
from stochbind.langevin import Langevin

#: There are at most this many cells.
N_GROUPS = 256
#: So many trajectories tell error bars by themselves; fewer are cut in time as well, into so many cells at most.
_ENOUGH_CELLS = 24
#: Length of blocks of time in integrated autocorrelation times, that of the shortest where there would be too few, and
#: fewest cells that come of such cuts. Neighbouring blocks of n times are correlated by about 1/2n, which makes error
#: bars too short by that.
_BLOCK_LENGTH, SHORTEST_BLOCK, FEWEST_CELLS = 24.0, 10.0, 8
#: Size of the series by which correlations are measured, and fewest bins of them.
_SERIES_BYTES, _FEWEST_BINS = 32 * 2**20, 2**10
#: What is read at once, about; several times this is in memory.
_SLAB_BYTES = 16 * 2**20
#: Threads that read ahead.
_READERS = 2


class Pass(typing.Protocol):
    """What is added up in one reading of a record."""

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece.

        Pieces of the same trajectories come in the order of time, then those of the next trajectories. What is carried
        over from piece to piece is forgotten after `last`.

        Parameters
        ----------
        state : (n, t, d) float
            Scaled states `first` to ``first + t - 1`` of the window, of n trajectories; not to be changed.
        cells : (n,) int
            Cell of each trajectory in this piece, from 0. A pair of successive states belongs to the cell of the later
            one.
        first : int
            Number of the first state of the piece, from 0 at the start of the window.
        last : bool
            Whether the record of these trajectories ends here.
        """
        ...


class Cells(typing.NamedTuple):
    """How a record is cut into cells.

    Attributes
    ----------
    group : (n_trajectories,) int
        Group of each trajectory.
    edge : (n_blocks + 1,) int
        First state of each block of time, from zero at the start of the window, and the number of states.
    """

    group: npt.NDArray[np.intp]
    edge: npt.NDArray[np.intp]

    @property
    def n_blocks(self) -> int:
        """Number of blocks of time."""
        return len(self.edge) - 1

    @property
    def n_groups(self) -> int:
        """Number of cells; cell ``g * n_blocks + b`` is group g in block b."""
        return (int(self.group[-1]) + 1) * self.n_blocks

    @property
    def weight(self) -> FloatArray:
        """Share of the states in each cell, (n_groups,)."""
        weight = np.outer(np.bincount(self.group), np.diff(self.edge)).ravel()
        result: FloatArray = weight / weight.sum()
        return result


class Reading(typing.NamedTuple):
    """What was read.

    Attributes
    ----------
    n_groups : int
        Number of cells.
    weight : (n_groups,) float
        Share of the states in each cell.
    interval : float
        Time between states [s].
    n_states : int
        Number of states of each trajectory.
    n_trajectories : int
        Number of trajectories.
    cells : Cells
        How the record was cut.
    """

    n_groups: int
    weight: FloatArray
    interval: float
    n_states: int
    n_trajectories: int
    cells: Cells


def cut(dataset: xr.Dataset, *, start: int = 0, n_blocks: int = 1) -> Cells:
    """Cut a record into at most 256 cells; into one for each block of time, if there are more blocks than that.

    Parameters
    ----------
    dataset : xarray.Dataset
        As for `read`.
    start : int
        First state of the window.
    n_blocks : int
        Number of blocks of time.

    Returns
    -------
    Cells
        The cut.

    Raises
    ------
    TooFewSamplesError
        If the window holds fewer than two states, or fewer than there are blocks.
    """
    n_trajectories, n_states = dataset.sizes["trajectory"], dataset.sizes["time"] - start
    if n_states < max(2, n_blocks):
        raise TooFewSamplesError(
            f"Averages need at least {max(2, n_blocks)} states, but the window holds {n_states}; save more of them."
        )
    count = max(1, min(N_GROUPS // n_blocks, n_trajectories))
    group = np.repeat(np.arange(count), np.diff(np.linspace(0, n_trajectories, count + 1).astype(int)))
    return Cells(group, np.linspace(0, n_states, n_blocks + 1).astype(np.intp))


def independent_cells(dataset: xr.Dataset, equations: Langevin, *, start: int = 0) -> Cells:
    """Cut a record of a steady state into at most 256 cells that are as good as independent.

    Trajectories are independent. Where they are fewer than 24, the record is cut in time as well, into blocks that are
    long beside the autocorrelation times of the squares of the coordinates, and of the energies of the particles: that
    of a weakly damped oscillator is its decay time, and not its period. They are measured in a reading of their own.
    Where the record is so short that there would be fewer than 8 cells, it is not cut in time. Averages that change
    along the window should not be cut in time: what blocks differ by is then not only noise.

    Parameters
    ----------
    dataset : xarray.Dataset
        As for `read`.
    equations : Langevin
        Whose coordinates and units are meant.
    start : int
        First state of the window.

    Returns
    -------
    Cells
        The cut.

    Raises
    ------
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If the window holds fewer than two states.
    """
    whole = cut(dataset, start=start)
    n_trajectories, n_states = len(whole.group), int(whole.edge[-1])
    if n_trajectories >= _ENOUGH_CELLS:
        return whole
    squares = _Squares(equations, n_trajectories, n_states)
    read(dataset, equations, [squares], start=start, cells=whole)
    length = n_states / squares.correlation_time
    fewest, most = -(-FEWEST_CELLS // n_trajectories), _ENOUGH_CELLS // n_trajectories
    n_blocks = min(most, max(int(length / _BLOCK_LENGTH), min(fewest, int(length / SHORTEST_BLOCK))))
    if n_blocks < fewest:
        return whole
    return cut(dataset, start=start, n_blocks=n_blocks)


class _Squares:
    """Squares of the coordinates and energies of particles, in series of bins: a `Pass` of one cell a trajectory."""

    def __init__(self, equations: Langevin, n_trajectories: int, n_states: int) -> None:
        self._position, self._velocity = equations.select("position"), equations.select("velocity")
        n_series = equations.dimension + len(self._velocity)
        n_bins = max(_FEWEST_BINS, _SERIES_BYTES // (8 * n_trajectories * n_series))
        self._width = -(-n_states // n_bins)
        self._n_states = n_states
        self._series = np.zeros((n_series, n_trajectories, -(-n_states // self._width)))

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `Pass`."""
        del last
        edge = np.arange(first - first % self._width, first + state.shape[1], self._width)
        bins, begin = edge // self._width, np.maximum(edge - first, 0)
        d = state.shape[2]
        for i in range(d):
            self._series[i, cells[0] : cells[-1] + 1, bins[0] : bins[-1] + 1] += np.add.reduceat(
                state[..., i] ** 2, begin, axis=1
            )

    @property
    def correlation_time(self) -> float:
        """The longest integrated autocorrelation time, in states; at least that of independent ones."""
        d, n = self._series.shape[0] - len(self._velocity), len(self._velocity)
        self._series[d:] = self._series[self._position[:n]] + self._series[self._velocity]
        whole = self._n_states // self._width  # the last bin may be shorter
        if whole < 2:
            return math.inf
        longest = max(autocorrelation_time(series[:, :whole]) for series in self._series)
        return self._width * max(longest, 0.5)


def read(
    dataset: xr.Dataset,
    equations: Langevin,
    passes: Sequence[Pass],
    *,
    start: int = 0,
    cells: Cells | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Reading:
    """Read a record once, for all passes.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `position`, and `velocity` unless overdamped, of dims (trajectory, time, particle, axis), in SI.
    equations : Langevin
        Whose coordinates and units are meant.
    passes : sequence of Pass
        To which each piece is handed.
    start : int
        First state of the window.
    cells : Cells, optional
        How the record is cut; by default `independent_cells` decides.
    progress : callable, optional
        Called with the numbers of states read and of all states.

    Returns
    -------
    Reading
        Sizes and weights.

    Raises
    ------
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If the window holds fewer than two states.
    """
    cells = cells or independent_cells(dataset, equations, start=start)
    n_trajectories, n_states = dataset.sizes["trajectory"], int(cells.edge[-1])
    done = 0
    for row, first, state in _slabs(dataset, equations, start):
        n, t = state.shape[:2]
        inner = cells.edge[(cells.edge > first) & (cells.edge < first + t)]
        for a, b in pairwise([first, *(int(edge) for edge in inner), first + t]):
            block = int(np.searchsorted(cells.edge, a, side="right")) - 1
            where = cells.group[row : row + n] * cells.n_blocks + block
            for one in passes:
                one.add(state[:, a - first : b - first], cells=where, first=a, last=b == n_states)
        done += n * t
        if progress is not None:
            progress(done, n_trajectories * n_states)
    interval = float(dataset["time"][1] - dataset["time"][0])
    return Reading(cells.n_groups, cells.weight, interval, n_states, n_trajectories, cells)


def _slabs(dataset: xr.Dataset, equations: Langevin, start: int) -> Iterator[tuple[int, int, FloatArray]]:
    """First trajectory, first state of the window and scaled states of each slab; the next ones are read meanwhile."""
    names = list(dict.fromkeys(c.quantity for c in equations.coordinate))
    arrays = [dataset[name].transpose("trajectory", "time", ...).data for name in names]
    places = iter(_places(arrays[0], start, 8 * equations.dimension))

    def load(rows: slice, columns: slice) -> list[npt.NDArray[np.float64]]:
        parts = [array[rows, columns] for array in arrays]
        # One chunk after another in this thread: Dask's own pool costs more than it brings for so few of them.
        return [part.compute(scheduler="synchronous") if hasattr(part, "compute") else part for part in parts]

    with futures.ThreadPoolExecutor(_READERS) as readers:
        ahead = collections.deque((place, readers.submit(load, *place)) for place in itertools.islice(places, _READERS))
        while ahead:
            (rows, columns), slab = ahead.popleft()
            values = slab.result()
            ahead.extend((place, readers.submit(load, *place)) for place in itertools.islice(places, 1))
            state = _scaled(values, equations.unit)
            # A sum is finite only if every number is, and takes half the time; it might overflow, too.
            if not np.isfinite(state.sum()) and not np.isfinite(state).all():
                raise IncompleteError("The record has states that were never computed; finish the run first.")
            yield rows.start, columns.start - start, state


def _scaled(values: list[npt.NDArray[np.float64]], unit: FloatArray) -> FloatArray:
    """States (n, t, d) from arrays of quantities; coordinate by coordinate, as inner loops over two are slow."""
    n, t = values[0].shape[:2]
    columns = [array[..., i] for array in (value.reshape(n, t, -1) for value in values) for i in range(array.shape[2])]
    state = np.empty((n, t, len(columns)))
    for i, column in enumerate(columns):
        np.divide(column, unit[i], out=state[..., i])
    return state


def _places(array: typing.Any, start: int, state_bytes: int) -> Iterator[tuple[slice, slice]]:
    """Slabs of trajectories and times that are read at once: whole chunks as far as they are not too large."""
    chunks = getattr(array, "chunks", None)
    # What is in memory can be cut anywhere.
    trajectory, time = (
        np.arange(length + 1) if chunks is None else np.cumsum((0, *chunks[axis]))
        for axis, length in enumerate(array.shape[:2])
    )
    inside = np.concatenate([[start], time[time > start]])
    largest = max(1, _SLAB_BYTES // state_bytes)
    for rows in _merged(trajectory, max(1, largest // (array.shape[1] - start)), split=False):
        for columns in _merged(inside, max(1, largest // (rows.stop - rows.start)), split=True):
            yield rows, columns


def _merged(edge: npt.NDArray[np.intp], largest: int, *, split: bool) -> Iterator[slice]:
    """Neighbours together as far as they are not longer than something; longer ones alone, or split."""
    first = int(edge[0])
    while first < edge[-1]:
        last = int(edge[np.searchsorted(edge, first + largest, side="right") - 1])
        if last <= first:
            last = first + largest if split else int(edge[np.searchsorted(edge, first, side="right")])
        yield slice(first, last)
        first = last
