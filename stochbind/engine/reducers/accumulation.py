"""Adding up statistics along a batch of trajectories, piece by piece of time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.engine.accounts import Ledger
from stochbind.engine.reducers.base import Reducer
from stochbind.engine.reducers.trees import LARGEST, first_lost


class Accumulator:
    """The statistics of a batch of trajectories over one segment of time.

    A trajectory that is not finite, or beyond 1e100 scaled units or joules, is left out of that window and of all
    later ones. Memory: twice the result, and one window of a few trajectories.

    Parameters
    ----------
    reducers : sequence of Reducer
        What is added up.
    first : int
        Index of the first kept state; a multiple of all windows.
    n_trajectories : int
        Trajectories in the batch.
    group : int
        Trajectories of a group, a power of two; the batch begins with a whole group.
    """

    def __init__(self, reducers: Sequence[Reducer], *, first: int, n_trajectories: int, group: int) -> None:
        if group < 1 or group & (group - 1):
            raise ValueError(f"`group` must be a power of two, but is {group}.")
        for reducer in reducers:
            if first % reducer.window:
                raise ValueError(f"`first` must be a multiple of the window {reducer.window}, but is {first}.")
        self._reducers, self._next, self._group = tuple(reducers), first, group
        self._shape = -(-n_trajectories // group)
        self._lost = np.zeros(n_trajectories, dtype=bool)
        self._rows: dict[str, list[FloatArray | None]] = {r.name: [] for r in reducers if r.per_window}
        self._totals = {r.name: np.zeros((self._shape, r.n_entries)) for r in reducers if not r.per_window}
        self._ended = False

    def add(self, states: FloatArray, ledger: Ledger | None = None, before: Ledger | None = None) -> None:
        """Take the next piece of time.

        Parameters
        ----------
        states : (T, d, B) float
            Scaled states; T is a multiple of all windows, but for the last piece of a record.
        ledger : Ledger, optional
            Work and heat since time zero, with the same T.
        before : Ledger, optional
            That of the kept state before the piece, with T = 1; zeros at time zero.

        Raises
        ------
        ValueError
            If a piece follows one that ended within a window, or a ledger is missing.
        """
        longest = max((reducer.window for reducer in self._reducers), default=len(states))
        for begin in range(0, len(states), longest):  # while the states are in the cache
            part = slice(begin, begin + longest)
            if begin and ledger is not None:
                before = Ledger(*(value[begin - 1 : begin] for value in ledger))
            gained = None if ledger is None else Ledger(*(value[part] for value in ledger))
            self._add(np.ascontiguousarray(states[part]), gained, before)

    def _add(self, states: FloatArray, ledger: Ledger | None, before: Ledger | None) -> None:
        """Take the next states, at most the longest window of them."""
        if self._ended:
            raise ValueError("A piece of time follows one that ended within a window.")
        length = len(states)
        fine = np.empty(states.shape[-1], dtype=np.int64)
        first_lost(states, self._lost, fine)
        for reducer in self._reducers:
            for begin in range(0, length, reducer.window):
                end = min(begin + reducer.window, length)
                sums = self._sums(reducer, states, ledger, before, fine, range(begin, end))
                self._ended |= end - begin < reducer.window
                if reducer.per_window:
                    self._rows[reducer.name].append(sums)
                elif sums is not None:
                    self._totals[reducer.name] += sums
        self._next += length

    def _sums(
        self,
        reducer: Reducer,
        states: FloatArray,
        ledger: Ledger | None,
        before: Ledger | None,
        fine: npt.NDArray[np.int64],
        window: range,
    ) -> FloatArray | None:
        """Sums over one window; None if it is left out."""
        if self._next + window.start < reducer.start or (reducer.whole and len(window) < reducer.window):
            return None
        taking, gain = fine >= window.stop, None
        if reducer.needs_ledger:
            if ledger is None or before is None:
                raise ValueError(f"The statistic {reducer.name!r} needs the ledger.")
            gain = _gain(ledger, before, window.start, window.stop)
            taking &= _finite(gain)
        return reducer.sums(states[window.start : window.stop], gain, taking, self._group)

    def result(self) -> dict[str, FloatArray]:
        """The sums, (n_rows, n_groups, n_entries) by name: a row for each window, or one for all."""
        found = {}
        for reducer in self._reducers:
            if not reducer.per_window:
                found[reducer.name] = self._totals[reducer.name][None].copy()
                continue
            rows = self._rows[reducer.name]
            zeros = np.zeros((self._shape, reducer.n_entries))
            found[reducer.name] = np.array([zeros if row is None else row for row in rows])
        return found


def _gain(ledger: Ledger, before: Ledger, begin: int, end: int) -> Ledger:
    """What is gained from the kept state before `begin` to the last before `end`."""
    with np.errstate(all="ignore"):  # of trajectories that diverged
        return Ledger(
            *(now[end - 1] - (now[begin - 1] if begin else then[-1]) for now, then in zip(ledger, before, strict=True))
        )


def _finite(gain: Ledger) -> npt.NDArray[np.bool_]:
    """Which trajectories have finite gains, (B,)."""
    with np.errstate(invalid="ignore"):
        parts = [(np.abs(part) <= LARGEST).reshape(-1, part.shape[-1]).all(axis=0) for part in gain]
    result: npt.NDArray[np.bool_] = np.logical_and.reduce(parts)
    return result
