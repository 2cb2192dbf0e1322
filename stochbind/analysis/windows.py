"""The part of a run that is judged: when it begins, and its second moments, found and exact."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import xarray as xr

from stochbind.analysis import online
from stochbind.analysis.exact_windows import exact_record_of_windows
from stochbind.analysis.passes import cut, independent_cells
from stochbind.analysis.statistics import Estimate, Record, exact_record, record, weighted_mean
from stochbind.checks import FloatArray
from stochbind.errors import IncompleteError, PlanError, TooFewSamplesError
from stochbind.langevin import Langevin
from stochbind.scenario import Scenario

#: Decay times of the slowest mode after which a state counts as steady.
SETTLING = 6.0


class Window(NamedTuple):
    """Second moments of the part of a run that is judged.

    Attributes
    ----------
    found, exact : Record
        Sums, and their exact means.
    first_time, last_time : float
        Times of the first and the last state [s].
    n_trajectories : int
        Trajectories that were there at the end.
    """

    found: Record
    exact: Record
    first_time: float
    last_time: float
    n_trajectories: int


def recorded(dataset: xr.Dataset, scenario: Scenario, initial: str) -> Window:
    """The second half of the record, or more of it where the steady state is reached earlier.

    Parameters
    ----------
    dataset : xarray.Dataset
        With trajectories.
    scenario : Scenario
        The theory.
    initial : str
        Initial state.

    Returns
    -------
    Window
        The sums over all states from then on.

    Raises
    ------
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If there are fewer than two states.
    """
    array = scenario.oscillators()
    equations = array.langevin()
    if dataset.sizes["time"] < 2:
        raise TooFewSamplesError("Averages need at least 2 states of each trajectory, but the record has 1.")
    time = dataset["time"]
    interval = float(time[1] - time[0])
    start = settled(scenario.growth_rate if scenario.stable else 0.0, interval, dataset.sizes["time"])
    # Before the steady state, blocks of time differ by more than noise.
    steady = not scenario.modulated and is_settled(equations, initial, float(time[start]))
    cells = independent_cells(dataset, equations, start=start) if steady else cut(dataset, start=start)
    found = record(dataset, equations, start=start, cells=cells)
    exact = exact_record(
        scenario.driven(equations),
        scenario.initial_moments(initial),
        first_time=float(time[start]),
        interval=interval,
        n_states=found.n_states,
    )
    return Window(found, exact, float(time[start]), float(time[-1]), dataset.sizes["trajectory"])


def accumulated(dataset: xr.Dataset, scenario: Scenario, initial: str) -> Window:
    """The windows of the statistic "moments" that begin where `recorded` would begin, or later.

    If these hold less than half of the states that `recorded` would take, as where the run ends just beyond a window,
    the windows before them are taken too: exact means hold before the steady state as well.

    Parameters
    ----------
    dataset : xarray.Dataset
        With moments.
    scenario : Scenario
        The theory.
    initial : str
        Initial state.

    Returns
    -------
    Window
        The sums over these windows, with pairs of states inside windows only.

    Raises
    ------
    PlanError
        If there are no moments.
    IncompleteError
        If the run is not finished.
    TooFewSamplesError
        If there are fewer than two states.
    """
    if "moments_second" not in dataset:
        alone = ", without which no other statistic is judged" if "group" in dataset.dims else ""
        raise PlanError(
            f"There is nothing to validate: the run kept neither trajectories nor moments{alone}; give "
            '`record = true` in the `[run]` table, or "moments" among the `statistics`.'
        )
    if dataset.attrs.get("units_done", 0) < dataset.attrs.get("units_total", 0):
        raise IncompleteError("The statistics have parts that were never computed; finish the run first.")
    array = scenario.oscillators()
    equations = array.langevin()
    first, n_states, interval = online.moment_windows(dataset)
    begin = settled(scenario.growth_rate if scenario.stable else 0.0, interval, int(n_states.sum()))
    later = np.flatnonzero(first >= first[0] + (begin - 0.5) * interval)
    start = int(later[0]) if len(later) else len(first) - 1
    while start and 2 * n_states[start:].sum() < n_states.sum() - begin:
        start -= 1
    found = online.record_of_moments(dataset, equations, start=first[start])
    exact = exact_record_of_windows(
        scenario.driven(equations),
        scenario.initial_moments(initial),
        first_time=float(first[start]),
        interval=interval,
        window=int(n_states[start]),
        n_states=found.n_states,
    )
    count = dataset["moments_count"].isel(moments_window=-1).sum()
    return Window(found, exact, float(first[start]), float(dataset["moments_stop"][-1]), int(count))


def settled(equations_rate: float, interval: float, n_saves: int) -> int:
    """First state of the window: six decay times in, but never beyond half of the record."""
    if equations_rate >= 0:
        return 0
    return min(math.ceil(SETTLING / -equations_rate / interval), n_saves // 2, n_saves - 2)


def is_settled(equations: Langevin, initial: str, start: float) -> bool:
    """Whether states are of the steady state, but for about exp(-12) of their covariance.

    Parameters
    ----------
    equations : Langevin
        The equations of motion.
    initial : str
        Initial state of the run.
    start : float
        Time of the first of these states [s].
    """
    stability = equations.stability
    return stability.stable and (initial == "stationary" or -stability.growth_rate * start >= SETTLING)


def without_diverged(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """The trajectories that stayed finite, and a note of those that did not."""
    diverged = dataset.attrs.get("diverged", [])
    if not diverged:
        return dataset
    shown = f"{', '.join(map(str, diverged[:5]))}{', ...' if len(diverged) > 5 else ''}"
    if "position" not in dataset:
        notes.append(f"{len(diverged)} trajectories diverged and are left out from then on: {shown}.")
        return dataset
    kept = np.setdiff1d(np.arange(dataset.sizes["trajectory"]), diverged)
    if len(kept) < 2:
        raise TooFewSamplesError(f"Only {len(kept)} trajectories stayed finite; use a shorter step, or weaker forces.")
    notes.append(f"{len(diverged)} of {dataset.sizes['trajectory']} trajectories diverged and are left out: {shown}.")
    return dataset.isel(trajectory=kept)


def path_current(dataset: xr.Dataset, name: str, first_time: float, *, n_blocks: int = 1) -> Estimate | None:
    """Mean power along the path from a time on, of the record or else of the windows of the statistic "currents".

    Parameters
    ----------
    dataset : xarray.Dataset
        With a ledger or with currents.
    name : str
        "heat", "work" or "drive_work".
    first_time : float
        Time from which on [s].
    n_blocks : int
        Stretches of time that a record is cut into, for error bars where trajectories are few.

    Returns
    -------
    Estimate or None
        Power [W], (N,), and (N, N) for work; None if there is neither.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two groups.
    """
    if name in dataset:
        return weighted_mean(*path_rates(dataset, name, first_time, n_blocks=n_blocks))
    if f"current_{name}" not in dataset or not (dataset["currents_start"] >= first_time).any():
        return None
    found = online.current(dataset, name, start=first_time)
    return Estimate(found["value"].to_numpy(), found["stderr"].to_numpy(), found.attrs["n_eff"])


def path_rates(
    dataset: xr.Dataset, name: str, first_time: float, *, n_blocks: int = 1
) -> tuple[FloatArray, FloatArray]:
    """Power along each path from a time on, from the ledger of a record; a cell is a trajectory in a stretch of time.

    Parameters
    ----------
    dataset, name, first_time, n_blocks
        As for `path_current`.

    Returns
    -------
    rate : (n_cells, ...) float
        [W].
    weight : (n_cells,) float
        Shares of the time, which add up to one.
    """
    time = dataset["time"].to_numpy()
    start = int(np.searchsorted(time, first_time))
    edge = np.linspace(start, len(time) - 1, n_blocks + 1).astype(np.intp)
    length, gain = np.diff(time[edge]), np.diff(dataset[name].isel(time=edge).to_numpy(), axis=1)
    rate = gain / length.reshape(-1, *[1] * (gain.ndim - 2))
    return rate.reshape(-1, *gain.shape[2:]), np.tile(length / length.sum() / len(gain), len(gain))


def shortest_period(equations: Langevin) -> float:
    """Period of the fastest mode [s]; infinite if none oscillates.

    Parameters
    ----------
    equations : Langevin
        Of which the linear part counts.

    Returns
    -------
    float
        The period.
    """
    fastest = float(np.abs(np.linalg.eigvals(equations.drift_matrix).imag).max(initial=0.0))
    return 2.0 * math.pi * equations.time_unit / fastest if fastest > 0.0 else math.inf
