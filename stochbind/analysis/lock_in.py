"""What of a record oscillates in step with drives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from stochbind.checks import FloatArray
from stochbind.errors import TooFewSamplesError
from stochbind.protocols import Drive


class LockIn:
    r"""Sums for the least-squares fit of what oscillates with drives to positions; a `passes.Pass`.

    Fitted is :math:`\sum_l (a_l \cos\theta_l + b_l \sin\theta_l) + c`, of all frequencies together: fitted one by
    one, each would be taken for a part of the others unless the window is a whole number of their beats.

    Parameters
    ----------
    positions : (N,) int
        Coordinates that are positions.
    n_groups : int
        Number of cells.
    drives : sequence of Drive
        Give :math:`\theta_l = \omega_l t + \phi_l`; L, of different frequencies above zero.
    first_time, interval : float
        Time of the first state of the window, and time between states [s].

    Attributes
    ----------
    sums : (n_groups, 2L + 1, 2L + 1 + N) float
        The normal equations of each cell.
    """

    def __init__(
        self,
        positions: npt.NDArray[np.intp],
        n_groups: int,
        drives: Sequence[Drive],
        *,
        first_time: float,
        interval: float,
    ) -> None:
        self._positions, self._n_columns = positions, 2 * len(drives) + 1
        self._rate = np.array([drive.angular_frequency for drive in drives])[:, None]
        self._phase = np.array([drive.phase for drive in drives])[:, None]
        self._first_time, self._interval = first_time, interval
        self.sums = np.zeros((n_groups, self._n_columns, self._n_columns + len(positions)))

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        del last
        time = self._first_time + self._interval * np.arange(first, first + state.shape[1])
        angle = self._rate * time + self._phase
        wave = np.concatenate([np.ones((1, len(time))), np.cos(angle), np.sin(angle)])
        np.add.at(self.sums[:, :, : self._n_columns], cells, wave @ wave.T)
        np.add.at(self.sums[:, :, self._n_columns :], cells, wave @ state[:, :, self._positions])

    def amplitudes(self, sums: FloatArray) -> FloatArray:
        """Fitted a and b, (..., 2, L, N), of sums of normal equations, in scaled units.

        Raises
        ------
        TooFewSamplesError
            If the states do not tell the cosines, the sines and a constant apart.
        """
        n = self._n_columns
        normal = sums[..., :n] / sums[..., :1, :1]
        if np.linalg.eigvalsh(normal)[..., 0].min() < 1e-3:
            raise TooFewSamplesError(
                "The states kept do not resolve the drives: the record must be longer than their periods, and states "
                "must not be kept once in each half of one, nor so that two of them look the same."
            )
        fitted = np.linalg.solve(normal, sums[..., n:] / sums[..., :1, :1])[..., 1:, :]
        return np.asarray(fitted.reshape(*fitted.shape[:-2], 2, n // 2, -1))
