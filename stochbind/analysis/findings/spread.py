"""More than averages: lines of spectra, distributions of heat and work, and averages window by window of time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise

import numpy as np

from stochbind.analysis import fitting, generating_functions, histories, online, periodograms, thermodynamics
from stochbind.analysis.currents import Current, heat_current, work_current
from stochbind.analysis.findings.base import Finding, Subject
from stochbind.analysis.findings.energy import TEMPERATURE
from stochbind.analysis.findings.irreversibility import DISTRIBUTION
from stochbind.analysis.mean_field import relaxation
from stochbind.analysis.statistics import Estimate, weighted_mean
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, ScenarioError, TooFewSamplesError
from stochbind.oscillators import Oscillators

HISTORY = "history"
#: Shares of windows of which the nearest edges of bins are told.
_SHARES = (0.1, 0.5, 0.9)
#: A share that fewer windows than this decide is left out.
_FEWEST = 30.0


def line_findings(subject: Subject, window: int | None) -> Iterator[Finding]:
    """Temperature, frequency and damping rate of the line of each underdamped particle, as a laboratory finds them.

    Parameters
    ----------
    subject : Subject
        The run, with the statistic "spectra" or a record.
    window : int, optional
        States in a window, to take spectra of a record in further readings.

    Yields
    ------
    Finding
        None where no line fits, or it is not resolved; notes say so.
    """
    array = subject.array
    if not subject.steady or not ("cross_spectrum" in subject.dataset or window):
        return
    if array.overdamped:
        subject.notes.append("Lines of spectra are of underdamped particles.")
        return
    for i in range(array.n_oscillators):
        try:
            if window:
                spectrum = periodograms.spectrum_of_record(
                    subject.dataset, array, i, window=window, start=subject.start
                )
            else:
                spectrum = periodograms.spectrum_of_statistic(subject.dataset, array, i)
            fit = fitting.fit_line(array, spectrum)
            exact = fitting.exact_line(array, i, interval=spectrum.interval, window=spectrum.window)
        except (TooFewSamplesError, ScenarioError) as error:
            subject.notes.append(f"Line of the spectrum of {subject.name(i)}: {error}")
            continue
        if fit.note:
            subject.notes.append(f"Line of the spectrum of {subject.name(i)}: {fit.note}")
        told = partial(subject.findings, TEMPERATURE, names=[subject.name(i)])
        yield from told("temperature of the fitted line", "K", fit.temperature, exact.temperature)
        yield from told("frequency of the fitted line", "Hz", fit.frequency, exact.frequency)
        yield from told("damping rate of the fitted line", "1/s", fit.damping_rate, exact.damping_rate)


def distribution_findings(subject: Subject) -> Iterator[Finding]:
    """Shares of windows whose heat or work is below the edges of bins, beside the exact law.

    Parameters
    ----------
    subject : Subject
        The run, with the statistic "histograms" of heat or work.

    Yields
    ------
    Finding
        None where the ledger leaves out too much, by what happens within a step.
    """
    array, dataset = subject.array, subject.dataset
    kinds = [of for of in ("work", "heat") if f"histogram_{of}" in dataset]
    if not kinds or not subject.steady:
        return
    if not subject.sees_work("Histograms of heat and work"):
        return
    for of in kinds:
        share, total = online.histogram_shares(dataset, of)
        edge = dataset[f"histogram_{of}_edge"].to_numpy()
        duration = float(dataset[f"histogram_{of}"].attrs["window_duration"])
        for where in _places(array, of):
            current = work_current(array, *where) if of == "work" else heat_current(array, *where)
            sample = share.reshape(len(share), -1, share.shape[-1])[
                :, int(np.ravel_multi_index(where, share.shape[1:-1]))
            ]
            yield from _shares(subject, of, current, duration, sample, total, edge[where[0], 1:-1], where)


def _places(array: Oscillators, of: str) -> list[tuple[int, ...]]:
    if of == "heat":
        return [(j,) for j in range(array.n_oscillators)]
    return [(int(j), int(k)) for j, k in np.argwhere(array.coupling != 0.0)]


def _shares(
    subject: Subject,
    of: str,
    current: Current,
    duration: float,
    sample: FloatArray,
    total: FloatArray,
    edge: FloatArray,
    where: tuple[int, ...],
) -> Iterator[Finding]:
    """Cumulated shares at the edges that are nearest to some exact ones."""
    try:
        exact = generating_functions.distribution(subject.equations, current, duration, edge)
    except PlanError as error:
        subject.notes.append(str(error))
        return
    for place in sorted({int(np.abs(exact - wanted).argmin()) for wanted in _SHARES}):
        truth = float(exact[place])
        if min(truth, 1.0 - truth) * float(np.nansum(total)) < _FEWEST:
            continue
        found = online.group_mean(sample[:, : place + 1].sum(axis=1), total)
        # Windows of one group may agree by chance; they cannot be surer than independent ones.
        least = np.sqrt(truth * (1.0 - truth) / float(np.nansum(total)))
        estimate = Estimate(found.value, np.maximum(found.stderr, least), found.n_eff)
        name = f"share of windows with less {of} than {edge[place]:.3g}{subject.unit(' J')}"
        yield from subject.findings(DISTRIBUTION, name, "", estimate, truth, names=[subject.name(*where)])


def history_findings(subject: Subject, n_windows: int) -> Iterator[Finding]:
    """Temperatures and heat currents window by window of time, from the first state on.

    Parameters
    ----------
    subject : Subject
        The run.
    n_windows : int
        Number of windows; none if zero.

    Yields
    ------
    Finding
        With the times of each window as the place.
    """
    if not n_windows:
        return
    array = subject.array
    if subject.finite_baths:
        yield from _bath_history(subject, n_windows)
        return
    functions: dict[str, tuple[Callable[[Oscillators, FloatArray], FloatArray], str]] = {}
    if not array.overdamped:
        functions["kinetic temperature"] = (thermodynamics.kinetic_temperature, "K")
    if subject.linear:
        functions["position temperature"] = (thermodynamics.position_temperature, "K")
        functions["heat from the bath"] = (thermodynamics.heat_current, "W")
    for quantity, (function, unit) in functions.items():
        one = histories.history(
            subject.dataset, partial(function, array), subject.scenario, initial=subject.initial, n_windows=n_windows
        )
        for i in range(array.n_oscillators):
            names = [
                f"{subject.name(i)}, {a:.4g} to {b:.4g}{subject.unit(' s')}"
                for a, b in zip(one.start, one.stop, strict=True)
            ]
            found = Estimate(one.found.value[:, i], one.found.stderr[:, i], one.found.n_eff)
            exact = None if one.exact is None else one.exact[:, i]
            yield from subject.findings(HISTORY, quantity, unit, found, exact, names=names)


def _bath_history(subject: Subject, n_windows: int) -> Iterator[Finding]:
    """Temperatures of finite baths window by window."""
    dataset, baths = subject.dataset, subject.array.baths
    assert baths is not None
    time = dataset["time"].to_numpy()
    exact = relaxation(subject.array, time, initial=subject.initial).bath_temperature
    found = dataset["bath_temperature"].to_numpy()
    edge = np.linspace(0, len(time), min(n_windows, len(time)) + 1).astype(int)
    weight = np.full(len(found), 1.0 / len(found))
    for b in np.flatnonzero(baths.finite):
        for first, last in pairwise(edge):
            estimate = weighted_mean(found[:, first:last, b].mean(axis=1), weight)
            names = [f"{baths.name[b]}, {time[first]:.4g} to {time[last - 1]:.4g}{subject.unit(' s')}"]
            truth = exact[first:last, b].mean()
            yield from subject.findings(HISTORY, "bath temperature", "K", estimate, truth, names=names)
