"""Statistics of a steady state beside their exact means: what validation adds to the moments."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise, product
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from stochbind.analysis import online, windows
from stochbind.analysis.exact_windows import normal_shares, steady_correlation, steady_spectrum
from stochbind.analysis.statistics import Estimate, Record
from stochbind.checks import ComplexArray, FloatArray
from stochbind.langevin import Langevin
from stochbind.oscillators import Oscillators

#: Most pairs of particles that are shown; the most strongly coupled ones.
MOST_PAIRS = 6
#: Bands of the spectra, each with about the same share of the mean squares.
_N_BANDS = 3
#: A share of states is told only if about so many independent states lie on either side.
_FEWEST_VISITS = 30.0
#: Units of products of coordinates, by how many of them are velocities.
_PRODUCT_UNITS = ("m^2", "m^2/s", "m^2/s^2")


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
        Exact means; NaN where there are none.
    scale : (n,) float or float
        Size of what cancels in the values, for the round-off.
    steady : (n,) float, optional
        Exact means in the steady state, where `truth` is of a transient.
    """

    quantity: str
    unit: str
    where: tuple[str, ...]
    estimate: Estimate
    truth: FloatArray
    scale: FloatArray | float = 0.0
    steady: FloatArray | None = None


class _Run(NamedTuple):
    """What all comparisons need."""

    dataset: xr.Dataset
    array: Oscillators
    equations: Langevin
    interval: float
    notes: list[str]


def steady_comparisons(
    dataset: xr.Dataset, array: Oscillators, equations: Langevin, *, initial: str, interval: float, notes: list[str]
) -> Iterator[Comparison]:
    """Correlations, spectra and histograms of states beside their exact means.

    Statistics that begin before the steady state are left out, with a note.

    Parameters
    ----------
    dataset : xarray.Dataset
        A run, with any of these statistics. The attribute `start` of their variables tells the time of their first
        state [s]; without it, only a run that begins in the steady state counts as steady.
    array : Oscillators
        The particles, with linear forces only.
    equations : Langevin
        Their equations, without drives, with a steady state.
    initial : str
        Initial state of the run.
    interval : float
        Time between kept states [s].
    notes : list of str
        To which notes are added.

    Yields
    ------
    Comparison
        One for each lag, band or share.
    """
    makers: dict[str, Callable[[_Run], Iterator[Comparison]]] = {
        "correlation": _correlations,
        "cross_spectrum": _spectra,
        "histogram_position": partial(_shares, of="position"),
        "histogram_velocity": partial(_shares, of="velocity"),
    }
    run = _Run(dataset, array, equations, interval, notes)
    left: dict[str, list[str]] = {}
    for name, maker in makers.items():
        if name not in dataset:
            continue
        start = dataset[name].attrs.get("start")
        if windows.is_settled(equations, initial, 0.0 if start is None else float(start)):
            yield from maker(run)
        else:
            reason = "it is not told when they begin" if start is None else "they begin before the steady state"
            left.setdefault(reason, []).append(name.replace("_", " "))
    notes += [f"Left out, as {reason}: {', '.join(names)}." for reason, names in left.items()]


def without_steady_state(dataset: xr.Dataset) -> list[str]:
    """A note of the statistics that are not judged, as they have exact means in an undriven steady state only."""
    present = {str(name) for name in dataset.data_vars}
    known = ("correlation", "cross_spectrum", "histogram_position", "histogram_velocity")
    names: list[str] = [name for name in known if name in present]
    if present & {"work", "heat", "current_work", "current_heat"}:
        names.append("work and heat along the path")
    shown = ", ".join(name.replace("_", " ") for name in names)
    return [f"Not compared, as exact means are told in an undriven steady state only: {shown}."] if names else []


def products(array: Oscillators, found: Record, exact: Record) -> Iterator[Comparison]:
    """Mean products of coordinates of each oscillator and of the nearest pairs, in which the phase of motion shows.

    Parameters
    ----------
    array : Oscillators
        The particles.
    found, exact : Record
        Second moments, and their exact means.

    Yields
    ------
    Comparison
        For each kind of product but mean squares, which temperatures tell.
    """
    n, unit, truth = array.n_oscillators, array.langevin().unit, exact.second[0]
    kinds = ("position",) if array.overdamped else ("position", "velocity")
    pairs = sorted(combinations(range(n), 2), key=lambda pair: pair[1] - pair[0])[:MOST_PAIRS]
    for (a, one), (b, other) in product(enumerate(kinds), repeat=2):
        places = np.array([*pairs, *(((j, j) for j in range(n)) if a < b else ())], dtype=np.intp).reshape(-1, 2)
        j, k = places.T
        row, column = j + a * n, k + b * n
        scale = unit[row] * unit[column]
        yield Comparison(
            f"{one} times {other}",
            _PRODUCT_UNITS[a + b],
            _names(array, j, k),
            found.estimate(partial(_element, row=row, column=column, scale=scale)),
            truth[row, column] * scale,
            np.sqrt(truth[row, row] * truth[column, column]) * scale,
        )


def _element(
    second: FloatArray, row: npt.NDArray[np.intp], column: npt.NDArray[np.intp], scale: FloatArray
) -> FloatArray:
    result: FloatArray = second[..., row, column] * scale
    return result


def strongest_pairs(array: Oscillators) -> list[tuple[int, int]]:
    """The most strongly coupled pairs j < k of oscillators, at most six, in their order."""
    strength = np.triu(np.abs(array.coupling) + np.abs(array.coupling.T), 1)
    order = np.argsort(-strength, axis=None, kind="stable")[:MOST_PAIRS]
    pairs = [divmod(int(i), array.n_oscillators) for i in order]
    return sorted((j, k) for j, k in pairs if strength[j, k] > 0)


def _telling_lags(lag: FloatArray, equations: Langevin) -> npt.NDArray[np.intp]:
    """The shortest lag, the one nearest to a quarter of the fastest period, and the longest one."""
    quarter = 0.5 * math.pi * equations.time_unit
    positive = np.flatnonzero(lag > 0)
    if not len(positive):
        return positive
    middle = positive[np.argmin(np.abs(lag[positive] - quarter))]
    return np.unique([positive[0], middle, positive[-1]])


def _correlations(run: _Run) -> Iterator[Comparison]:
    """Correlations of positions at a few lags, of each particle and both ways of each pair."""
    lag = run.dataset["lag"].to_numpy()
    chosen = _telling_lags(lag, run.equations)
    if not len(chosen):
        return
    pairs = strongest_pairs(run.array)
    j, k = _indices(run.array, [*pairs, *((k, j) for j, k in pairs)])
    square = np.diagonal(steady_correlation(run.equations, 0.0)[0])
    scale, where = np.sqrt(square[j] * square[k]), _names(run.array, j, k)
    sample = _positions(run, "correlation", lag=chosen)[..., j, k]
    truth = steady_correlation(run.equations, lag[chosen])[..., j, k]
    count = run.dataset["correlation_count"].to_numpy()
    time = "" if run.equations.reduced else " s"
    for row, index in enumerate(chosen):
        name = f"correlation after {lag[index]:.3g}{time}"
        yield Comparison(name, "m^2", where, online.group_mean(sample[:, row], count), truth[row], scale)


def _spectra(run: _Run) -> Iterator[Comparison]:
    """Spectra of positions, and cross-spectra of pairs, integrated in bands."""
    frequency = run.dataset["frequency"].to_numpy()
    spacing = float(frequency[1])
    window = 2 * (len(frequency) - 1)
    _, exact = steady_spectrum(run.equations, 1.0 / (window * spacing), window)
    n = run.array.n_oscillators
    j, k = _indices(run.array, strongest_pairs(run.array))
    sample, truth = _positions(run, "cross_spectrum")[..., j, k], exact[:, j, k]
    count = run.dataset["spectrum_count"].to_numpy()
    edge = _band_edges(truth[:, :n].real)
    where = _names(run.array, j, k)
    for band, (low, high) in enumerate(pairwise(edge), 1):
        found: ComplexArray = sample[:, low:high].sum(axis=1) * spacing
        mean = truth[low:high].sum(axis=0) * spacing
        scale = np.sqrt(mean[j].real * mean[k].real)
        own = online.group_mean(found[:, :n].real, count)
        yield Comparison(f"spectrum, band {band}", "m^2", where[:n], own, mean[:n].real)
        if len(j) == n:
            continue
        for part, values, expected in (("real", found.real, mean.real), ("imaginary", found.imag, mean.imag)):
            cross = online.group_mean(values[:, n:], count)
            name = f"cross-spectrum, band {band}, {part}"
            yield Comparison(name, "m^2", where[n:], cross, expected[n:], scale[n:])
    unit = "" if run.equations.reduced else " Hz"
    limits = ", ".join(f"{frequency[i]:.4g}" for i in edge[:-1])
    run.notes.append(f"Spectra are integrated over bands of frequency, which begin at {limits}{unit}.")


def _shares(run: _Run, of: str) -> Iterator[Comparison]:
    r"""Shares of states within one standard deviation, beyond two, and above zero, to the nearest edges of bins.

    A share that few independent states decide is left out: with p the share,
    :math:`\min(p, 1 - p)` of the independent states, about one per group and per decay time, must be 30 or more. Its
    standard error counts as at least that of independent states, :math:`\sqrt{p (1 - p) / n}`: groups may agree by
    chance.
    """
    found = online.histogram(run.dataset, of)
    index = run.equations.select(of)
    mean, covariance = run.equations.stationary
    unit = run.equations.unit[index]
    deviation = np.sqrt(np.diagonal(covariance)[index]) * unit
    edge = found["upper"].to_numpy()[:, :-1]
    exact = normal_shares(edge, mean[index] * unit, deviation)
    sample, total = online.histogram_shares(run.dataset, of)
    n_states = float(total.sum())
    decay = -run.equations.stability.growth_rate
    independent = float((total > 0).sum()) + n_states * run.interval * decay
    place = np.arange(exact.shape[1])

    def within(width: float) -> npt.NDArray[np.bool_]:
        low, high = (np.abs(edge - sign * width * deviation[:, None]).argmin(axis=1) for sign in (-1.0, 1.0))
        inside: npt.NDArray[np.bool_] = (place > low[:, None]) & (place <= high[:, None])
        return inside

    above = place > np.abs(edge).argmin(axis=1)[:, None]
    for name, bins in (("within 1 sigma", within(1.0)), ("beyond 2 sigma", ~within(2.0)), ("above zero", above)):
        truth = (exact * bins).sum(axis=-1)
        told = np.minimum(truth, 1.0 - truth) * independent >= _FEWEST_VISITS
        kept = np.flatnonzero(told & (deviation > 0))
        if len(kept):
            estimate = online.group_mean((sample * bins).sum(axis=-1)[:, kept], total)
            least = np.sqrt(truth[kept] * (1.0 - truth[kept]) / n_states)
            estimate = replace(estimate, stderr=np.maximum(estimate.stderr, least))
            where = tuple(run.array.names[i] for i in kept)
            yield Comparison(f"{of} {name}", "", where, estimate, truth[kept])


def _band_edges(density: FloatArray) -> list[int]:
    """First frequency of each band, and the end: bands with about equal shares of the mean squares."""
    total = density.sum(axis=0)
    share = (density / np.where(total > 0, total, 1.0)).sum(axis=1).cumsum()
    inner = np.searchsorted(share, share[-1] * np.arange(1, _N_BANDS) / _N_BANDS)
    return sorted({0, *(int(i) for i in inner), len(density)})


def _indices(array: Oscillators, pairs: list[tuple[int, int]]) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows and columns: the diagonal first, then the pairs."""
    own = range(array.n_oscillators)
    return (
        np.array([*own, *(j for j, _ in pairs)], dtype=np.intp),
        np.array([*own, *(k for _, k in pairs)], dtype=np.intp),
    )


def _names(array: Oscillators, j: npt.NDArray[np.intp], k: npt.NDArray[np.intp]) -> tuple[str, ...]:
    names = array.names
    return tuple(names[a] if a == b else f"{names[a]} <- {names[b]}" for a, b in zip(j, k, strict=True))


def _positions(run: _Run, name: str, **index: Any) -> npt.NDArray[Any]:
    """Values of a statistic of pairs of positions, receiver and sender last."""
    n = run.array.n_oscillators
    sample = online.ordered(run.dataset[name].isel(**index), run.equations)
    result: npt.NDArray[Any] = sample.isel(coordinate=slice(n), coordinate_from=slice(n)).to_numpy()
    return result
