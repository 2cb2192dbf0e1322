"""Estimates from statistics that were accumulated during a run, without its trajectories."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import xarray as xr

from stochbind.analysis.points import require_one_run
from stochbind.analysis.statistics import Estimate, Record, weighted_mean
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, ScenarioError, TooFewSamplesError
from stochbind.langevin import Langevin
from stochbind.oscillators import coordinate_names


def record_of_moments(dataset: xr.Dataset, equations: Langevin, *, start: float = 0.0) -> Record:
    r"""The `Record` of the windows that begin at `start` or later.

    With the averages :math:`s_{wg}` of window w and group g, over :math:`n_w` states of :math:`c_{wg}` trajectories,

    .. math:: s_g = \sum_w c_{wg} n_w s_{wg} / \sum_w c_{wg} n_w,

    and likewise with :math:`n_w - 1` pairs for `before` and `lagged`: pairs across the edge of two windows are not
    counted. `stochbind.analysis.exact_windows.exact_record_of_windows` is the exact mean. Groups of which a trajectory
    is left at the end are used; a trajectory that diverged is left out of the window where it did, and of later ones.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the statistic "moments", from the first window of the run on, or of two windows and more.
    equations : Langevin
        Whose coordinates and units are meant.
    start : float
        First time [s].

    Returns
    -------
    Record
        The sums, in scaled units. If windows hold one state, `before` and `lagged` are NaN.

    Raises
    ------
    PlanError
        If the run did not accumulate moments.
    ScenarioError
        If the equations have other coordinates.
    TooFewSamplesError
        If there are fewer than two states, or no trajectory is left.
    """
    first, n_states, interval = moment_windows(dataset)
    used = np.flatnonzero(first >= start - 0.5 * interval)
    if n_states[used].sum() < 2:
        raise TooFewSamplesError(
            f"Averages need at least 2 states, but the windows that begin at {start:.6g} or later hold "
            f"{n_states[used].sum()}; begin earlier, or run longer."
        )
    count = np.nan_to_num(dataset["moments_count"].isel(moments_window=used).to_numpy())
    kept = np.flatnonzero((count > 0).all(axis=0))
    if not len(kept):
        raise TooFewSamplesError("No trajectory stayed finite to the end; use a shorter step, or weaker forces.")
    count, n = count[:, kept], n_states[used].astype(float)
    scale = np.outer(equations.unit, equations.unit)

    def part(name: str, windows: object = slice(None)) -> FloatArray:
        array = ordered(dataset[name].isel(moments_window=used, group=kept), equations)
        result: FloatArray = array.isel(moments_window=windows).to_numpy() / scale
        return result

    def mean(name: str, length: FloatArray) -> FloatArray:
        weight = count * length[:, None]
        whole = np.flatnonzero(length > 0)
        if not len(whole):
            return np.full((len(kept), *scale.shape), np.nan)
        total = np.einsum("wg,wgij->gij", weight[whole], part(name, whole))
        result: FloatArray = total / weight.sum(axis=0)[:, None, None]
        return result

    share = n @ count
    return Record(
        second=mean("moments_second", n),
        before=mean("moments_before", n - 1.0),
        lagged=mean("moments_lagged", n - 1.0),
        first_state=part("moments_first", 0),
        last_state=part("moments_last", -1),
        weight=share / share.sum(),
        interval=interval,
        n_states=int(n.sum()),
    )


def moment_windows(dataset: xr.Dataset) -> tuple[FloatArray, FloatArray, float]:
    """Time of the first state of each window of the moments, numbers of states in them, and the interval of states.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the statistic "moments".

    Returns
    -------
    first : (n_windows,) float
        Time of the first state [s].
    n_states : (n_windows,) int
        Number of states.
    interval : float
        Time between states [s].

    Raises
    ------
    PlanError
        If the run did not accumulate moments.
    TooFewSamplesError
        If one window alone is given, which is not the first of the run: then the interval cannot be told.
    """
    require_statistic(dataset, "moments_second", "moments")
    first, last = dataset["moments_start"].to_numpy(), dataset["moments_stop"].to_numpy()
    if len(first) > 1:
        length = round((first[1] - first[0]) / (first[1] - last[0]))  # states in a window
        interval = float(first[-1] - first[0]) / ((len(first) - 1) * length)
    else:
        interval = float(first[0])  # the first state that a run keeps comes one interval after time zero
    n_states = (last - first) / interval + 1.0
    if np.abs(n_states - np.round(n_states)).max() > 1e-3:
        raise TooFewSamplesError("One window alone does not tell the time between its states; keep two or more.")
    return first, np.round(n_states).astype(int), interval


def correlation(dataset: xr.Dataset) -> xr.Dataset:
    r"""Two-time correlations, :math:`\langle x_i(t + \tau) x_j(t) \rangle`, with error bars.

    Element [i, j] tells how coordinate i follows what j was before: the receiver first.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the statistic "correlations".

    Returns
    -------
    xarray.Dataset
        `value` and `stderr`, dims (lag, coordinate, coordinate_from), in SI.

    Raises
    ------
    PlanError
        If the run did not accumulate correlations.
    TooFewSamplesError
        If there are fewer than two groups.
    """
    require_statistic(dataset, "correlation", "correlations")
    return _labelled(dataset["correlation"], dataset["correlation_count"])


def spectrum(dataset: xr.Dataset) -> xr.Dataset:
    r"""One-sided cross-spectral densities, with error bars.

    :math:`S_{ij}(f) \propto \langle X_i(f) X_j^*(f) \rangle` of tapered windows; the integral of :math:`S_{ii}` over
    the frequency is :math:`\langle x_i^2 \rangle`. Where i follows j with a delay :math:`\tau`, the phase of
    :math:`S_{ij}` is :math:`-2\pi f \tau`. Its exact mean in the steady state, finite windows included, is
    `stochbind.analysis.exact_windows.steady_spectrum`.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the statistic "spectra".

    Returns
    -------
    xarray.Dataset
        `value` and `stderr`, complex, dims (frequency, coordinate, coordinate_from), in SI. The real part of `stderr`
        is the error bar of the real part, the imaginary part that of the imaginary part.

    Raises
    ------
    PlanError
        If the run did not accumulate spectra.
    TooFewSamplesError
        If there are fewer than two groups.
    """
    require_statistic(dataset, "cross_spectrum", "spectra")
    return _labelled(dataset["cross_spectrum"], dataset["spectrum_count"])


def histogram(dataset: xr.Dataset, of: str) -> xr.Dataset:
    """Shares of states, or of gains of heat or work, in bins, with error bars.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the statistic "histograms" of this.
    of : str
        "position", "velocity", "heat", "work" or "drive_work".

    Returns
    -------
    xarray.Dataset
        `value` and `stderr`, dims (particle, bin), or (particle, source, bin) for work; shares of a particle add up to
        one. `lower` and `upper`, (particle, bin), are the edges in SI; the outer bins reach to infinity. The
        probability density is ``value / (upper - lower)``. Where particles move along several axes, the dim is
        `oscillator` in place of `particle`.

    Raises
    ------
    PlanError
        If the run did not accumulate this histogram.
    TooFewSamplesError
        If there are fewer than two groups.
    """
    share, total = histogram_shares(dataset, of)
    counts = dataset[f"histogram_{of}"]
    edge = dataset[f"histogram_{of}_edge"].to_numpy().copy()
    edge[:, 0], edge[:, -1] = -np.inf, np.inf
    dims = tuple("bin" if dim == f"{of}_bin" else str(dim) for dim in counts.dims)
    result = _labelled(xr.DataArray(share, dims=dims), xr.DataArray(total, dims=("group",)))
    attrs = {"units": dataset[f"histogram_{of}_edge"].attrs.get("units", "")}
    sides = (dims[1], "bin")
    return result.assign(lower=(sides, edge[:, :-1], attrs), upper=(sides, edge[:, 1:], attrs))


def histogram_shares(dataset: xr.Dataset, of: str) -> tuple[FloatArray, FloatArray]:
    """Shares of each bin in each group, (n_groups, ..., n_bins), and counts of each group, (n_groups,).

    Raises
    ------
    PlanError
        If the run did not accumulate this histogram.
    """
    require_statistic(dataset, f"histogram_{of}", "histograms", of)
    counts = dataset[f"histogram_{of}"].to_numpy().astype(np.float64)
    total = np.nan_to_num(counts).sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        share: FloatArray = counts / total[..., None]
    return share, total.reshape(len(total), -1)[:, 0]


def current(dataset: xr.Dataset, name: str, *, start: float = 0.0) -> xr.Dataset:
    """Mean power along the path in the windows that begin at `start` or later, with error bars.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the statistic "currents".
    name : str
        "heat", "work" or "drive_work"; or "heat_square" and so on, the mean square of the mean power of a window.
    start : float
        First time [s].

    Returns
    -------
    xarray.Dataset
        `value` and `stderr` [W, or W^2], dims (particle,), and (particle, source) for work; where particles move along
        several axes, `oscillator` in place of `particle`.

    Raises
    ------
    PlanError
        If the run did not accumulate currents, or there is no such current.
    TooFewSamplesError
        If no window begins at `start` or later, or there are fewer than two groups.
    """
    require_statistic(dataset, "current_count", "currents")
    known = [str(key).removeprefix("current_") for key in dataset.data_vars if str(key).startswith("current_")]
    known.remove("count")
    if name not in known:
        raise PlanError(f"`name` must be one of {', '.join(sorted(known))}, but is {name!r}.")
    used = np.flatnonzero(dataset["currents_start"].to_numpy() >= start * (1.0 - 1e-9))
    if not len(used):
        raise TooFewSamplesError(f"No window of the currents begins at {start:.6g} or later; begin earlier.")
    sample = dataset[f"current_{name}"].isel(currents_window=used)
    count = dataset["current_count"].isel(currents_window=used).fillna(0.0)
    total = (sample.fillna(0.0) * count).sum("currents_window")
    share = count.sum("currents_window")
    return _labelled((total / share.where(share > 0)).transpose("group", ...), share)


def require_statistic(dataset: xr.Dataset, variable: str, kind: str, of: str | None = None) -> None:
    """Raise `PlanError` unless the dataset is of one run, which accumulated a statistic."""
    require_one_run(dataset)
    if variable not in dataset:
        wanted = f'"{kind}"' if of is None else f'{{ kind = "{kind}", of = "{of}" }}'
        raise PlanError(
            f'The run did not accumulate the statistic "{kind}"{"" if of is None else f" of {of}"}; ask for it in the '
            f"`[run]` table: `statistics = [{wanted}]`."
        )


def group_mean(sample: FloatArray, count: FloatArray) -> Estimate:
    """Mean over groups, weighted by their counts; groups without any are left out.

    Parameters
    ----------
    sample : (n_groups, ...) float
        Group means.
    count : (n_groups,) float
        Trajectories, or windows, of each.

    Returns
    -------
    Estimate
        The mean.

    Raises
    ------
    TooFewSamplesError
        If there are fewer than two groups.
    """
    kept = np.nan_to_num(count) > 0
    return weighted_mean(sample[kept], count[kept] / count[kept].sum())


def _labelled(sample: xr.DataArray, count: xr.DataArray) -> xr.Dataset:
    """Mean over groups, with the labels of the sample."""
    values, weight = sample.to_numpy(), count.to_numpy()
    found = group_mean(values.real, weight)
    value, stderr = found.value, found.stderr
    if np.iscomplexobj(values):
        imaginary = group_mean(values.imag, weight)
        value, stderr = value + 1j * imaginary.value, stderr + 1j * imaginary.stderr
    dims = sample.dims[1:]
    coords = {name: coord for name, coord in sample.coords.items() if "group" not in coord.dims}
    arrays = {"value": (dims, value, sample.attrs), "stderr": (dims, stderr, sample.attrs)}
    return xr.Dataset(arrays, coords=coords, attrs={"n_eff": found.n_eff})


def ordered(sample: xr.DataArray, equations: Langevin) -> xr.DataArray:
    """The sample with its coordinates in the order of the equations.

    Parameters
    ----------
    sample : xarray.DataArray
        With dims `coordinate` and `coordinate_from`.
    equations : Langevin
        With the same coordinates.

    Returns
    -------
    xarray.DataArray
        The same values.

    Raises
    ------
    ScenarioError
        If the equations have other coordinates.
    """
    labels = list(map(str, sample["coordinate"].to_numpy()))
    wanted = coordinate_names(equations.coordinate)
    if sorted(labels) != sorted(wanted):
        raise ScenarioError(
            f"The dataset holds the coordinates {_listed(labels)}, but the equations have {_listed(wanted)}."
        )
    order = [labels.index(label) for label in wanted]
    return sample if order == sorted(order) else sample.isel(coordinate=order, coordinate_from=order)


def _listed(labels: Iterable[str]) -> str:
    known = list(labels)
    return ", ".join(known[:4]) + (", ..." if len(known) > 4 else "")
