"""Stretches of time in which a weighted square of the state is above one, piece by piece of a record."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.compiling import compiled

#: Columns of what is remembered of a burst that is not over: start, last time above, time of the peak, whether it is
#: cut by the start of the record. A start below zero is no burst.
_START, _ABOVE, _PEAK, _CUT = range(4)


class Detector:
    r"""Finds bursts of particles: stretches in which :math:`\sum w x^2 \ge 1`, joined over gaps of a dead time.

    Parameters
    ----------
    weight : (d,) float
        Weights of the squares of the coordinates: of the positions of N particles, or of these and their velocities,
        of each particle along one axis after another.
    n_particles : int
        Number N.
    n_axes : int
        Number of axes along which each moves.
    dead_time : int
        Two stretches are one burst if the first state of the later one is at most so many states after the last state
        of the earlier one; at least 1.
    """

    def __init__(self, weight: FloatArray, n_particles: int, n_axes: int, dead_time: int) -> None:
        self._weight, self._n, self._n_axes, self._dead_time = weight, n_particles, n_axes, dead_time
        self._open = np.zeros((0, n_particles, 4), dtype=np.int64)
        self._height = np.zeros((0, n_particles))
        #: Bursts from this state on are all found; earlier ones may be cut by the start of the record.
        self.known_from = 0
        #: All bursts before this state are found.
        self.known_until = 0

    def add(self, state: FloatArray, *, first: int) -> npt.NDArray[np.int64]:
        """Bursts that are over; those cut by the start of the record are left out, as are those that never end.

        Parameters
        ----------
        state, first
            As for `stochbind.analysis.passes.Pass`.

        Returns
        -------
        (n_bursts, 3) int
            Trajectory in the piece, state of the highest value, and particle.
        """
        n, t = state.shape[:2]
        if first == 0:
            self._open = np.full((n, self._n, 4), -1, dtype=np.int64)
            self._height = np.zeros((n, self._n))
            self.known_from = 0
        most = n * self._n * (t // (self._dead_time + 1) + 2)
        found = np.empty((most, 3), dtype=np.int64)
        count, cut = _find(state, self._weight, self._n_axes, first, self._dead_time, self._open, self._height, found)
        self.known_from = max(self.known_from, int(cut))
        start = self._open[..., _START]
        self.known_until = int(start[start >= 0].min(initial=first + t))
        return found[:count]


@compiled
def _find(
    state: Any, weight: Any, n_axes: Any, first: Any, dead_time: Any, opened: Any, height: Any, found: Any
) -> Any:
    """Follow each particle; return the number of bursts that ended, and the state after those cut by the start."""
    n, t, d = state.shape
    size = opened.shape[1]
    count, after = 0, 0
    value = np.empty(t)
    for a in range(n):
        for i in range(size):
            value[:] = 0.0
            for begin in range(i * n_axes, d, size * n_axes):  # positions, then velocities
                for c in range(begin, begin + n_axes):
                    for b in range(t):
                        value[b] += weight[c] * state[a, b, c] ** 2
            burst = opened[a, i]
            start, above, peak, cut, highest = burst[_START], burst[_ABOVE], burst[_PEAK], burst[_CUT], height[a, i]
            b = 0
            while b < t:
                if start < 0:
                    while b < t and not value[b] >= 1.0:
                        b += 1
                    if b == t:
                        break
                    start = above = peak = first + b
                    cut = 1 if start < dead_time else 0
                    highest = value[b]
                elif value[b] >= 1.0:
                    above = first + b
                    if value[b] > highest:
                        peak, highest = above, value[b]
                elif first + b - above >= dead_time:
                    if cut == 1:
                        after = max(after, above + 1)
                    else:
                        found[count, 0], found[count, 1], found[count, 2] = a, peak, i
                        count += 1
                    start = -1
                b += 1
            burst[_START], burst[_ABOVE], burst[_PEAK], burst[_CUT], height[a, i] = start, above, peak, cut, highest
    return count, after
