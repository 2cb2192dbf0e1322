"""The part of a run that is judged: when it begins, and its second moments, found and exact."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import xarray as xr

from stochbind.analysis import online
from stochbind.analysis.exact_windows import exact_record_of_windows
from stochbind.analysis.statistics import Estimate, Record, exact_record, record, weighted_mean
from stochbind.errors import IncompleteError, PlanError, TooFewSamplesError
from stochbind.langevin import Langevin
from stochbind.scenario import Scenario

#: Decay times of the slowest mode after which a state counts as steady.
SETTLING = 6.0


class Window(NamedTuple):
    """Second moments of a window of time, found and exact."""

    found: Record
    exact: Record
    first_time: float
    last_time: float
    n_trajectories: int


def recorded(dataset: xr.Dataset, scenario: Scenario, initial: str) -> Window:
    """From the trajectories."""
    array = scenario.oscillators()
    equations = array.langevin()
    if dataset.sizes["time"] < 2:
        raise TooFewSamplesError("Averages need at least 2 states of each trajectory, but the record has 1.")
    time = dataset["time"]
    interval = float(time[1] - time[0])
    stability = equations.stability
    start = settled(stability.growth_rate if stability.stable else 0.0, interval, dataset.sizes["time"])
    found = record(dataset, equations, start=start)
    exact = exact_record(
        scenario.driven(equations),
        array.initial_moments(initial),
        first_time=float(time[start]),
        interval=interval,
        n_states=found.n_states,
    )
    return Window(found, exact, float(time[start]), float(time[-1]), dataset.sizes["trajectory"])


def accumulated(dataset: xr.Dataset, scenario: Scenario, initial: str) -> Window:
    """From the moments that were accumulated during the run, in whole windows."""
    if "moments_second" not in dataset:
        raise PlanError(
            "There is nothing to validate: the run kept neither trajectories nor moments; run it with `record = true`, "
            'or with `[[run.statistic]]` and kind = "moments".'
        )
    if dataset.attrs.get("units_done", 0) < dataset.attrs.get("units_total", 0):
        raise IncompleteError("The statistics have parts that were never computed; finish the run first.")
    array = scenario.oscillators()
    equations = array.langevin()
    first, n_states, interval = online.moment_windows(dataset)
    stability = equations.stability
    begin = settled(stability.growth_rate if stability.stable else 0.0, interval, int(n_states.sum()))
    later = np.flatnonzero(first >= first[0] + (begin - 0.5) * interval)
    start = int(later[0]) if len(later) else len(first) - 1
    found = online.record_of_moments(dataset, equations, start=first[start])
    exact = exact_record_of_windows(
        scenario.driven(equations),
        array.initial_moments(initial),
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
    """Whether states from this time [s] on are of the steady state, but for exp(-12) of their covariance."""
    stability = equations.stability
    return stability.stable and (initial == "stationary" or -stability.growth_rate * start >= SETTLING)


def without_diverged(dataset: xr.Dataset, notes: list[str]) -> xr.Dataset:
    """The trajectories that stayed finite, and a note of those that did not."""
    diverged = dataset.attrs.get("diverged", [])
    if not diverged:
        return dataset
    shown = f"{', '.join(map(str, diverged[:5]))}{', ...' if len(diverged) > 5 else ''}"
    if "trajectory" not in dataset.dims:
        notes.append(f"{len(diverged)} trajectories diverged and are left out from then on: {shown}.")
        return dataset
    kept = np.setdiff1d(np.arange(dataset.sizes["trajectory"]), diverged)
    if len(kept) < 2:
        raise TooFewSamplesError(f"Only {len(kept)} trajectories stayed finite; use a shorter step, or weaker forces.")
    notes.append(f"{len(diverged)} of {dataset.sizes['trajectory']} trajectories diverged and are left out: {shown}.")
    return dataset.isel(trajectory=kept)


def path_current(dataset: xr.Dataset, name: str, first_time: float) -> Estimate | None:
    """Mean power from a time on, of the record or else of the windows; None if there is neither."""
    if name in dataset:
        time = dataset["time"].to_numpy()
        start = int(np.searchsorted(time, first_time))
        ends = dataset[name].isel(time=[start, -1]).to_numpy()
        rate = (ends[:, 1] - ends[:, 0]) / float(time[-1] - time[start])
        return weighted_mean(rate, np.full(len(rate), 1.0 / len(rate)))
    if f"current_{name}" not in dataset or not (dataset["currents_start"] >= first_time).any():
        return None
    found = online.current(dataset, name, start=first_time)
    return Estimate(found["value"].to_numpy(), found["stderr"].to_numpy(), found.attrs["n_eff"])
