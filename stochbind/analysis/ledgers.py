"""What trajectories gained in windows of time, from the ledger of a record."""

from __future__ import annotations

import numpy as np
import xarray as xr

from stochbind import bridge, checks
from stochbind.analysis.currents import steady_covariance, window_variance, work_current
from stochbind.analysis.passes import N_GROUPS, SHORTEST_BLOCK
from stochbind.checks import FloatArray
from stochbind.errors import IncompleteError, PlanError, TooFewSamplesError
from stochbind.oscillators import Oscillators

#: Part of the variance of work that may happen within steps, unseen, before distributions are not compared.
MOST_HIDDEN = 2e-3
#: Trajectories that are fewer than this are cut in time as well, into so many cells at most.
_MOST_CELLS = 64
#: Decay times of the slowest mode in a window, unless another length is asked for, and fewest windows of a record.
_LENGTH, _FEWEST_WINDOWS = 20.0, 8


def hidden_variance(array: Oscillators, receiver: int, sender: int, step: float) -> float:
    r"""Variance of the work per time that a ledger does not see, as it adds up expectations given the ends of steps.

    The variance of the work in one step, less that of its expectation :math:`z^TQz` given the ends
    (`stochbind.bridge.area_forms`), :math:`2\,\mathrm{tr}[(Q\,\langle zz^T\rangle)^2]`. What happens within a step is
    independent of all other steps once their ends are given, so the variance over any time is too small by this rate.

    Parameters
    ----------
    array : Oscillators
        Linear, with a steady state.
    receiver, sender : int
        Oscillators.
    step : float
        Length of a step of the solver [s].

    Returns
    -------
    float
        [J^2/s], not negative. Small overdamped steps hide a part of the order of the step over the decay times,
        underdamped ones much less.

    Raises
    ------
    UnstableError
        If there is no steady state.
    """
    equations = array.langevin()
    current = work_current(array, receiver, sender)
    d = equations.dimension
    form = bridge.area_forms(equations, step, [(receiver, sender)])[0] * current.circulation[sender, receiver]
    spread = np.eye(2 * d)
    spread[:d, :d] = steady_covariance(equations)
    product = form[1:, 1:] @ spread
    seen = 2.0 * float(np.sum(product * product.T))
    return max(0.0, window_variance(equations, current, step) - seen) / step


def window_gains(
    dataset: xr.Dataset, name: str, where: tuple[int, ...], start: float, window: int | None, slowest: float
) -> tuple[list[FloatArray], float]:
    """Heat or work gained in each window, in cells that are as good as independent.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `name` along trajectories, since time zero [J].
    name : str
        "work", "heat" or "drive_work".
    where : tuple of int
        Indices behind trajectory and time: the receiver, and for work the sender.
    start : float
        First time [s].
    window : int, optional
        Intervals between kept states in a window; by default about 20 decay times, and at least eight windows.
    slowest : float
        Decay rate of the slowest mode [1/s].

    Returns
    -------
    cells : list of (n, m) float
        Gains of n trajectories in m windows each [J].
    duration : float
        Length of a window [s].

    Raises
    ------
    PlanError
        If the window is not within the record.
    IncompleteError
        If parts of the ledger were never computed.
    TooFewSamplesError
        If there are fewer than two states.
    """
    time = dataset["time"].to_numpy()
    first = int(np.searchsorted(time, start * (1.0 - 1e-9)))
    n_steps = len(time) - 1 - first
    if n_steps < 1:
        raise TooFewSamplesError(f"Currents need at least 2 states from {start:.6g} on, but there is less.")
    interval = float(time[1] - time[0])
    if window is None:
        window = int(np.clip(_LENGTH / (slowest * interval), 1, max(1, n_steps // _FEWEST_WINDOWS)))
    checks.integer("window", window, minimum=1, maximum=n_steps, error=PlanError)
    array = dataset[name].isel(time=np.arange(first, len(time), window))
    for dim, index in zip(array.dims[2:], where, strict=True):
        array = array.isel({dim: index})
    gain = np.diff(array.transpose("trajectory", "time").to_numpy(), axis=1)
    if not np.isfinite(gain).all():
        raise IncompleteError("The ledger has parts that were never computed; finish the run first.")
    # Few trajectories are cut in time as well, into blocks that are long beside the slowest decay.
    n_blocks = min(_MOST_CELLS // len(gain), int(gain.shape[1] * window * interval * slowest / SHORTEST_BLOCK))
    cells = [
        cell
        for rows in np.array_split(gain, min(N_GROUPS, len(gain)))
        for cell in np.array_split(rows, np.clip(n_blocks, 1, gain.shape[1]), axis=1)
    ]
    return cells, window * interval
