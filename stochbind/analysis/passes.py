"""One reading of a record for any number of sums, in bounded memory.

A record may be larger than memory by far. It is read once, piece after piece, and each piece is handed to every `Pass`,
which adds up what it needs, cell by cell. A cell is a group of trajectories in a stretch of time: cells are what error
bars come from, so they should be independent.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind.checks import FloatArray
from stochbind.errors import IncompleteError, TooFewSamplesError
from stochbind.langevin import Langevin

#: There are at most this many cells.
N_GROUPS = 256
#: What is read at once, and what is worked on at once: the first should be many chunks, the second fit in the cache.
_SLAB_BYTES, _PIECE_BYTES = 32 * 2**20, 2**20


class Pass(typing.Protocol):
    """What is added up in one reading of a record."""

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece.

        Pieces of the same trajectories come in the order of time, then those of the next trajectories. What is carried
        over from piece to piece is forgotten after `last`.

        Parameters
        ----------
        state : (n, t, d) float
            Scaled states `first` to ``first + t - 1`` of the window, of n trajectories; only valid during the call.
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
    """Cut a record into at most 256 cells.

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
        If the window holds fewer than two states.
    """
    n_trajectories, n_states = dataset.sizes["trajectory"], dataset.sizes["time"] - start
    if n_states < 2:
        raise TooFewSamplesError(
            f"Averages need at least 2 states, but the window holds {n_states}; save more of them."
        )
    count = max(1, min(N_GROUPS // n_blocks, n_trajectories))
    group = np.repeat(np.arange(count), np.diff(np.linspace(0, n_trajectories, count + 1).astype(int)))
    return Cells(group, np.linspace(0, n_states, n_blocks + 1).astype(np.intp))


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
        How the record is cut; by default `cut` decides.
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
    cells = cells or cut(dataset, start=start)
    n_trajectories, n_states = dataset.sizes["trajectory"], int(cells.edge[-1])
    total = n_trajectories * n_states
    done = 0
    for row, first, values in _slabs(dataset, equations, start):
        n, t = values[0].shape[:2]
        state = np.concatenate([value.reshape(n, t, -1) for value in values], axis=-1) / equations.unit
        if not np.isfinite(state).all():
            raise IncompleteError("The record has states that were never computed; finish the run first.")
        for a, b in pairwise(
            np.unique([first, first + t, *cells.edge[(cells.edge > first) & (cells.edge < first + t)]])
        ):
            block = int(np.searchsorted(cells.edge, a, side="right")) - 1
            where = cells.group[row : row + n] * cells.n_blocks + block
            for one in passes:
                one.add(state[:, a - first : b - first], cells=where, first=int(a), last=bool(b == n_states))
        done += n * t
        if progress is not None:
            progress(done, total)
    interval = float(dataset["time"][1] - dataset["time"][0])
    return Reading(cells.n_groups, cells.weight, interval, n_states, n_trajectories, cells)


def _slabs(
    dataset: xr.Dataset, equations: Langevin, start: int
) -> Iterator[tuple[int, int, list[npt.NDArray[np.float64]]]]:
    """First trajectory, first state of the window and arrays of each slab; the next one is read meanwhile."""
    names = list(dict.fromkeys(c.quantity for c in equations.coordinate))
    n_trajectories, n_times = dataset.sizes["trajectory"], dataset.sizes["time"]
    chunk = dataset.chunksizes.get("trajectory", (256,))[0]
    slab = max(2, _SLAB_BYTES // (8 * equations.dimension * chunk))
    places = [(row, column) for row in range(0, n_trajectories, chunk) for column in range(start, n_times, slab)]

    def load(row: int, column: int) -> list[npt.NDArray[np.float64]]:
        part = dataset.isel(trajectory=slice(row, row + chunk), time=slice(column, column + slab))
        return [part[name].to_numpy() for name in names]

    with futures.ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(load, *places[0])
        for index, (row, column) in enumerate(places):
            values = ahead.result()
            if index + 1 < len(places):
                ahead = reader.submit(load, *places[index + 1])
            yield row, column - start, values
