"""What happens to modes after a release from a cold state: how fast they heat up, and where they saturate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from stochbind.analysis.findings.base import Finding, Subject
from stochbind.analysis.reheating import common_mode, reheating
from stochbind.analysis.saturation import quasi_record
from stochbind.errors import ScenarioError, TooFewSamplesError
from stochbind.quantum.quadratures import to_quadratures

HEATING = "heating"
#: Initial states from which a run is a release from the cold.
COLD = ("rest", "ground")
#: Arrays of more oscillators have too many modes.
MOST_OSCILLATORS = 40


def heating_findings(subject: Subject) -> Iterator[Finding]:
    """Heating rates of normal modes, or with antireciprocal coupling quasi-modes, of a record that began cold.

    Parameters
    ----------
    subject : Subject
        The run.

    Yields
    ------
    Finding
        None for a record of a steady state, or one that began warm.
    """
    array = subject.array
    cold = subject.initial in COLD and not subject.steady and "position" in subject.dataset
    if not cold or array.overdamped or not subject.linear or subject.scenario.changes_with_time:
        return
    if array.n_oscillators > MOST_OSCILLATORS:
        return
    quasi = not np.allclose(array.coupling, array.coupling.T, rtol=1e-9, atol=0.0)
    told, what = (_saturation, "Quasi-modes") if quasi else (_rates, "Heating rates of modes")
    try:
        yield from told(subject)
    except (ScenarioError, TooFewSamplesError) as error:
        subject.notes.append(f"{what} are left out: {error}")


def _names(subject: Subject, rate: Sequence[float]) -> list[str]:
    """Modes by their numbers and frequencies."""
    turn = 1.0 if subject.scenario.reduced else 2.0 * math.pi
    return [f"mode {k} ({one / turn:.4g}{subject.unit(' Hz')})" for k, one in enumerate(rate)]


def _rates(subject: Subject) -> Iterator[Finding]:
    """Quanta per time of each normal mode, from all states; for a pair also the difference between its modes."""
    found = reheating(subject.dataset, subject.array)
    exact, common = found.exact.rate, common_mode(found.exact)
    names = _names(subject, found.exact.modes.rate.tolist())
    if common is not None:
        names = [f"{name}, {'common' if k == common else 'differential'}" for k, name in enumerate(names)]
    told = partial(subject.findings, HEATING, names=names)
    yield from told("quanta per time, by increments", "1/s", found.by_increments, exact)
    yield from told("quanta per time, by energies", "1/s", found.by_energies, exact)
    if found.difference is not None:
        yield from subject.findings(
            HEATING,
            "difference of the rates over their mean",
            "",
            found.difference,
            found.exact_difference,
            names=["common less differential"],
        )


def _saturation(subject: Subject) -> Iterator[Finding]:
    """Growth rate of each quasi-mode, and its mean occupation in the window."""
    found = quasi_record(subject.dataset, subject.array, start=subject.start)
    begin = to_quadratures(subject.array, subject.array.initial_moments(subject.initial)).covariance
    names = _names(subject, (-found.modes.value.imag).tolist())
    names = [
        f"{name}, {'grows' if rate > 0.0 else 'decays'}"
        for name, rate in zip(names, found.modes.growth_rate, strict=True)
    ]
    told = partial(subject.findings, HEATING, names=names)
    yield from told("growth rate of the quasi-mode", "1/s", found.growth_rate, found.modes.growth_rate)
    exact = found.modes.occupation_at(found.times, begin).mean(axis=0)
    yield from told("occupation of the quasi-mode", "", found.occupation, exact)
