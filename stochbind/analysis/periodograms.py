"""Spectral densities of positions in groups of windows, from a record or from the statistic "spectra"."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind import checks
from stochbind.analysis import online, passes
from stochbind.analysis.exact_windows import hann
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, ScenarioError, TooFewSamplesError
from stochbind.oscillators import Oscillators, coordinate_names

#: Most groups of windows of a record, for error bars.
MOST_GROUPS = 64


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Averaged periodograms of the position of an oscillator.

    Attributes
    ----------
    oscillator : int
        Which.
    density : (n_groups, window/2 + 1) float
        One-sided, Hann's taper [m^2/Hz], of each group of windows.
    count : (n_groups,) float
        Windows in each group.
    interval : float
        Time between states [s].
    window : int
        States in a window, even.
    """

    oscillator: int
    density: FloatArray
    count: FloatArray
    interval: float
    window: int


def spectrum_of_statistic(dataset: xr.Dataset, array: Oscillators, oscillator: int) -> Spectrum:
    """The spectrum of an oscillator that was added up during a run.

    Parameters
    ----------
    dataset : xarray.Dataset
        With the statistic "spectra".
    array : Oscillators
        The array.
    oscillator : int
        Which oscillator.

    Returns
    -------
    Spectrum
        In the groups of the statistic.

    Raises
    ------
    PlanError
        If the run did not accumulate spectra, or there is no such oscillator.
    """
    online.require_statistic(dataset, "cross_spectrum", "spectra")
    require_line(array, oscillator)
    name = coordinate_names(array.langevin().coordinate)[oscillator]
    density = dataset["cross_spectrum"].sel(coordinate=name, coordinate_from=name).to_numpy().real
    count = np.nan_to_num(dataset["spectrum_count"].to_numpy())
    window = 2 * (density.shape[-1] - 1)
    interval = 1.0 / (window * float(dataset["frequency"][1]))
    return Spectrum(oscillator, density[count > 0], count[count > 0], interval, window)


def spectrum_of_record(
    dataset: xr.Dataset, array: Oscillators, oscillator: int, *, window: int = 1024, start: int = 0
) -> Spectrum:
    """The spectrum of an oscillator from a record, as the statistic "spectra" makes it, in one reading.

    Parameters
    ----------
    dataset : xarray.Dataset
        With `position`, and `velocity` unless overdamped, of dims (trajectory, time, particle, axis), in SI.
    array : Oscillators
        The array.
    oscillator : int
        Which oscillator.
    window : int
        States in a window, even. Windows do not overlap.
    start : int
        First state.

    Returns
    -------
    Spectrum
        In groups of trajectories, and of windows where trajectories are few.

    Raises
    ------
    PlanError
        If there is no such oscillator, or the window is not an even number of at least 16 states.
    TooFewSamplesError
        If the record is shorter than a window.
    IncompleteError
        If states are missing.
    """
    require_line(array, oscillator)
    checks.integer("window", window, minimum=16, error=PlanError)
    if window % 2:
        raise PlanError(f"`window` must be even, but is {window}; use {window + 1}.")
    n_trajectories, n_windows = dataset.sizes["trajectory"], (dataset.sizes["time"] - start) // window
    if not n_windows:
        raise TooFewSamplesError(
            f"A window has {window} states, but the record has {dataset.sizes['time'] - start}; use shorter windows, "
            "or run longer."
        )
    n_groups = min(n_trajectories, MOST_GROUPS)
    n_blocks = min(n_windows, max(1, MOST_GROUPS // n_trajectories))
    group = np.arange(n_trajectories) * n_groups // n_trajectories
    edge = window * np.linspace(0, n_windows, n_blocks + 1).astype(np.intp)
    one = _Periodograms(n_groups * n_blocks, oscillator, window)
    used = dataset.isel(time=slice(start, start + n_windows * window))
    reading = passes.read(used, array.langevin(), [one], cells=passes.Cells(group, edge))
    unit = array.langevin().unit[oscillator]
    density = 2.0 * reading.interval * unit**2 / (hann(window) ** 2).sum() * one.sums / one.count[:, None]
    density[:, [0, -1]] *= 0.5
    return Spectrum(oscillator, density, one.count, reading.interval, window)


class _Periodograms:
    """Sums of the squared transforms of tapered windows: a `stochbind.analysis.passes.Pass`."""

    def __init__(self, n_groups: int, coordinate: int, window: int) -> None:
        self.sums, self.count = np.zeros((n_groups, window // 2 + 1)), np.zeros(n_groups)
        self._coordinate, self._taper = coordinate, hann(window)
        self._rest: FloatArray | None = None

    def add(self, state: FloatArray, *, cells: npt.NDArray[np.intp], first: int, last: bool) -> None:
        """Take the next piece; see `stochbind.analysis.passes.Pass`."""
        del first
        series = state[..., self._coordinate]
        if self._rest is not None:
            series = np.concatenate([self._rest, series], axis=1)
        window = len(self._taper)
        n_windows = series.shape[1] // window
        whole = series[:, : n_windows * window].reshape(len(series), n_windows, window)
        power = np.abs(np.fft.rfft(whole * self._taper, axis=-1)) ** 2
        np.add.at(self.sums, cells, power.sum(axis=1))
        np.add.at(self.count, cells, float(n_windows))
        self._rest = None if last else series[:, n_windows * window :].copy()


def require_line(array: Oscillators, oscillator: int) -> None:
    """Raise `PlanError` unless there is such an oscillator, and `ScenarioError` unless it has a mass."""
    checks.integer("oscillator", oscillator, minimum=0, maximum=array.n_oscillators - 1, error=PlanError)
    if array.mass is None:
        raise ScenarioError("A line is that of an underdamped particle, but the array is overdamped; give it masses.")
