"""Statistics of a steady state beside their exact means: what validation adds to the moments."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind.analysis import online, windows
from stochbind.analysis.exact_windows import steady_correlation, steady_spectrum
from stochbind.analysis.statistics import Estimate
from stochbind.checks import ComplexArray, FloatArray
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators

#: Most pairs of particles that are shown; the most strongly coupled ones.
MOST_PAIRS = 6
#: Bands of the spectra, each with about the same share of the mean squares.
_N_BANDS = 3
#: A share of states is told only if about so many independent states lie on either side.
_FEWEST_VISITS = 30.0


class Comparison(NamedTuple):
    """Estimates of one kind, and their exact means.

    Attributes
    ----------
    quantity, unit : str
        What, in which unit.
    where : tuple of str
        Of which particle, or pair (receiver first), each.
    estimate : Estimate
        Values of shape (n,).
    truth : (n,) float
        Exact means in the steady state; NaN where there are none.
    scale : (n,) float or float
        Size of what cancels in the values, for the round-off.
    """

    quantity: str
    unit: str
    where: tuple[str, ...]
    estimate: Estimate
    truth: FloatArray
    scale: FloatArray | float = 0.0


def steady_comparisons(
    dataset: xr.Dataset, array: Oscillators, equations: Langevin, initial: str, notes: list[str]
) -> Iterator[Comparison]:
    """Correlations, spectra and histograms of positions beside their exact means.

    Statistics that begin before the steady state are left out, with a note.

    Parameters
    ----------
    dataset : xarray.Dataset
        A run, with any of these statistics. Their first state is at the time that the attribute `start` [s] of their
        variables tells.
    array : Oscillators
        The particles, with linear forces only.
    equations : Langevin
        Their equations, without drives, with a steady state.
    initial : str
        Initial state of the run.
    notes : list of str
        To which notes are added.

    Yields
    ------
    Comparison
        One for each line of lags, bands or shares.
    """
    makers = {
        "correlation": _correlations,
        "cross_spectrum": _spectra,
    }
    early = []
    for name, maker in makers.items():
        if name not in dataset:
            continue
        if not windows.is_settled(equations, initial, float(dataset[name].attrs.get("start", 0.0))):
            early.append(name.replace("_", " "))
            continue
        yield from maker(dataset, array, equations, notes)
    if early:
        notes.append(f"Left out, as it begins before the steady state: {', '.join(early)}.")


def strongest_pairs(array: Oscillators) -> list[tuple[int, int]]:
    """The most strongly coupled pairs j < k, at most six, in the order of the particles."""
    strength = np.triu(np.abs(array.coupling) + np.abs(array.coupling.T), 1)
    order = np.argsort(-strength, axis=None, kind="stable")[:MOST_PAIRS]
    pairs = [divmod(int(i), array.n_particles) for i in order]
    return sorted((j, k) for j, k in pairs if strength[j, k] > 0)


def _telling_lags(lag: FloatArray, equations: Langevin) -> npt.NDArray[np.intp]:
    """The shortest lag, the one nearest to a quarter of the fastest period, and the longest one."""
    quarter = 0.5 * math.pi * equations.time_unit
    positive = np.flatnonzero(lag > 0)
    if not len(positive):
        return positive
    middle = positive[np.argmin(np.abs(lag[positive] - quarter))]
    return np.unique([positive[0], middle, positive[-1]])


def _correlations(
    dataset: xr.Dataset, array: Oscillators, equations: Langevin, notes: list[str]
) -> Iterator[Comparison]:
    del notes
    data = dataset["correlation"]
    lag = dataset["lag"].to_numpy()
    chosen = _telling_lags(lag, equations)
    pairs = strongest_pairs(array)
    j, k = _indices(array, [*pairs, *((k, j) for j, k in pairs)])
    where = _names(j, k)
    square = np.diagonal(steady_correlation(equations, 0.0)[0])
    scale = np.sqrt(square[j] * square[k])
    count = dataset["correlation_count"].to_numpy()
    truth = steady_correlation(equations, lag[chosen])
    time = "" if equations.reduced else " s"
    for index, exact in zip(chosen, truth, strict=True):
        sample = _select(data.isel(lag=int(index)), equations)[:, j, k]
        found = online.group_mean(sample, count)
        yield Comparison(f"correlation after {lag[index]:.3g}{time}", "m^2", where, found, exact[j, k], scale)


def _spectra(dataset: xr.Dataset, array: Oscillators, equations: Langevin, notes: list[str]) -> Iterator[Comparison]:
    frequency = dataset["frequency"].to_numpy()
    spacing = float(frequency[1])
    window = 2 * (len(frequency) - 1)
    _, exact = steady_spectrum(equations, 1.0 / (window * spacing), window)
    pairs = strongest_pairs(array)
    n = array.n_particles
    j, k = _indices(array, pairs)
    sample = _select(dataset["cross_spectrum"], equations)[:, :, j, k]
    truth = exact[:, j, k]
    edge = _band_edges(truth[:, :n].real)
    count = dataset["spectrum_count"].to_numpy()
    where = _names(j, k)
    for band, (low, high) in enumerate(pairwise(edge), 1):
        found: ComplexArray = sample[:, low:high].sum(axis=1) * spacing
        mean = truth[low:high].sum(axis=0) * spacing
        scale = np.sqrt(mean[j].real * mean[k].real)
        of = f"band {band}"
        yield Comparison(
            f"spectrum, {of}", "m^2", where[:n], online.group_mean(found.real[:, :n], count), mean.real[:n]
        )
        for part, values, values_exact in (("real", found.real, mean.real), ("imaginary", found.imag, mean.imag)):
            if pairs:
                estimate = online.group_mean(values[:, n:], count)
                yield Comparison(
                    f"cross-spectrum, {of}, {part}", "m^2", where[n:], estimate, values_exact[n:], scale[n:]
                )
    unit = "" if equations.reduced else " Hz"
    limits = ", ".join(f"{frequency[i]:.4g}" for i in edge[1:-1]) or f"{frequency[-1]:.4g}"
    notes.append(f"Spectra are integrated in bands, which begin at 0, {limits}{unit}.")


def _band_edges(density: FloatArray) -> list[int]:
    """First frequency of each band, and the end: bands with about equal shares of the mean squares."""
    total = density.sum(axis=0)
    share = (density / np.where(total > 0, total, 1.0)).sum(axis=1).cumsum()
    inner = np.searchsorted(share, share[-1] * np.arange(1, _N_BANDS) / _N_BANDS)
    return sorted({0, *(int(i) for i in inner), len(density)})


def _indices(array: Oscillators, pairs: list[tuple[int, int]]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns: the diagonal first, then the pairs."""
    own = range(array.n_particles)
    return (
        np.array([*own, *(j for j, _ in pairs)], dtype=np.intp),
        np.array([*own, *(k for _, k in pairs)], dtype=np.intp),
    )


def _names(j: npt.NDArray[np.intp], k: npt.NDArray[np.intp]) -> tuple[str, ...]:
    return tuple(str(a) if a == b else f"{a} <- {b}" for a, b in zip(j, k, strict=True))


def _select(sample: xr.DataArray, equations: Langevin) -> npt.NDArray[Any]:
    """Values of the positions, receiver and sender last."""
    n = len(equations.select("position"))
    result: npt.NDArray[Any] = online.ordered(sample, equations).to_numpy()[..., :n, :n]
    return result
