"""Temperatures, or other linear functions of the second moments, window of time by window of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind import checks
from stochbind.analysis import online, passes, points, windows
from stochbind.analysis.statistics import Estimate, exact_record, record, weighted_mean
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, TooFewSamplesError
from stochbind.langevin import Langevin
from stochbind.scenario import Scenario, parse

#: Groups of trajectories, where there are so many, however many windows there are.
_FEWEST_GROUPS = 32


@dataclass(frozen=True, eq=False)
class History:
    """A function of the second moments, window of time by window of time.

    Attributes
    ----------
    start, stop : (n_windows,) float
        Times of the first and the last state of each window [s].
    found : Estimate
        Values of shape (n_windows, ...).
    exact : (n_windows, ...) float or None
        Exact means over the same states; None if forces are not linear.
    """

    start: FloatArray
    stop: FloatArray
    found: Estimate
    exact: FloatArray | None


def history(
    dataset: xr.Dataset,
    function: Callable[[FloatArray], FloatArray],
    scenario: Scenario | None = None,
    *,
    initial: str | None = None,
    n_windows: int = 16,
) -> History:
    """A temperature, or any other linear function of the second moments, window of time by window of time.

    Parameters
    ----------
    dataset : xarray.Dataset
        A run, as `stochbind.open` gives it, with trajectories, which are read once, or else with the statistic
        "moments", whose windows are gathered.
    function : callable
        From second moments, shape (..., d, d), to ``(..., *shape)``, such as
        ``partial(thermodynamics.kinetic_temperature, array)``.
    scenario : Scenario, optional
        The theory to compare with; by default the scenario of the run.
    initial : str, optional
        Initial state; by default that of the run.
    n_windows : int
        Number of windows, from the first kept state to the last; fewer, if the moments have fewer.

    Returns
    -------
    History
        With error bars from the scatter between groups of trajectories.

    Raises
    ------
    PlanError
        If `n_windows` is not a positive number, or the run kept neither trajectories nor moments.
    TooFewSamplesError
        If a window holds fewer than two states, or there are fewer than two trajectories.
    IncompleteError
        If states are missing.
    """
    checks.integer("n_windows", n_windows, minimum=1, error=PlanError)
    dataset = windows.without_diverged(points.one_run(dataset), [])
    scenario = parse(dataset.attrs["scenario"]) if scenario is None else scenario
    equations = scenario.langevin()
    recorded = "position" in dataset
    edges, start, stop, interval = (_cut_record if recorded else _cut_moments)(dataset, n_windows)
    if recorded:
        found = _of_record(dataset, equations, function, edges)
    else:
        estimates = list(_of_moments(dataset, equations, function, edges))
        value, stderr = (np.array([getattr(one, name) for one in estimates]) for name in ("value", "stderr"))
        found = Estimate(value, stderr, min(one.n_eff for one in estimates))
    exact = None
    baths = scenario.oscillators().baths
    changing = baths is not None and bool(baths.finite.any())
    if not (equations.forces or dataset.attrs.get("own_forces") or changing):
        state = scenario.initial_moments(dataset.attrs["initial"] if initial is None else initial)
        system, count = scenario.driven(equations), np.round((stop - start) / interval).astype(int) + 1
        exact = np.array(
            [
                function(exact_record(system, state, first_time=t, interval=interval, n_states=int(n)).second[0])
                for t, n in zip(start, count, strict=True)
            ]
        )
    return History(start, stop, found, exact)


_Cut = tuple[npt.NDArray[np.intp], FloatArray, FloatArray, float]


def _cut_record(dataset: xr.Dataset, n_windows: int) -> _Cut:
    """Edges of the windows, times of their first and last states, and the interval of states."""
    time = dataset["time"].to_numpy()
    if len(time) < 2 * n_windows:
        raise TooFewSamplesError(
            f"{n_windows} windows need 2 states each, but the record has {len(time)}; ask for fewer of them."
        )
    edges = np.linspace(0, len(time), n_windows + 1).astype(np.intp)
    return edges, time[edges[:-1]], time[edges[1:] - 1], float(time[1] - time[0])


def _cut_moments(dataset: xr.Dataset, n_windows: int) -> _Cut:
    """The same of the windows of the statistic "moments", gathered."""
    first, n_states, interval = online.moment_windows(dataset)
    edges = np.linspace(0, len(first), min(n_windows, len(first)) + 1).astype(np.intp)
    if np.add.reduceat(n_states, edges[:-1]).min() < 2:
        raise TooFewSamplesError("A window of the moments holds 1 state, and 2 are needed; ask for fewer windows.")
    return edges, first[edges[:-1]], dataset["moments_stop"].to_numpy()[edges[1:] - 1], interval


def _of_record(
    dataset: xr.Dataset,
    equations: Langevin,
    function: Callable[[FloatArray], FloatArray],
    edges: npt.NDArray[np.intp],
) -> Estimate:
    """All windows of a record, in one reading."""
    n_windows, n_trajectories = len(edges) - 1, dataset.sizes["trajectory"]
    n_groups = min(n_trajectories, max(passes.N_GROUPS // n_windows, _FEWEST_GROUPS))
    group = np.arange(n_trajectories) * n_groups // n_trajectories
    second = record(dataset, equations, cells=passes.Cells(group, edges)).second
    members = np.bincount(group)
    return weighted_mean(function(second.reshape(n_groups, n_windows, *second.shape[1:])), members / members.sum())


def _of_moments(
    dataset: xr.Dataset,
    equations: Langevin,
    function: Callable[[FloatArray], FloatArray],
    edges: npt.NDArray[np.intp],
) -> Iterator[Estimate]:
    """One window of the history after the other, each of several windows of the moments."""
    n_states = online.moment_windows(dataset)[1]
    scale = np.outer(equations.unit, equations.unit)
    for a, b in pairwise(edges):
        part = dataset.isel(moments_window=slice(a, b))
        weight = np.nan_to_num(part["moments_count"].to_numpy()) * n_states[a:b, None]
        total = weight.sum(axis=0)
        sample = np.nan_to_num(online.ordered(part["moments_second"], equations).to_numpy()) / scale
        mean = np.einsum("wg,wgij->gij", weight, sample) / np.where(total > 0, total, 1.0)[:, None, None]
        yield online.group_mean(function(mean), total)
