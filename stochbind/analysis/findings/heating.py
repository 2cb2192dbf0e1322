"""How fast normal modes heat up after a release from a cold state."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial

from stochbind.analysis.findings.base import Finding, Subject
from stochbind.analysis.reheating import common_mode, reheating
from stochbind.errors import ScenarioError, TooFewSamplesError

HEATING = "heating"
#: Initial states from which a run is a release from the cold.
COLD = ("rest", "ground")
#: Arrays of more oscillators have too many modes.
MOST_OSCILLATORS = 40


def heating_findings(subject: Subject) -> Iterator[Finding]:
    """Heating rate of each normal mode, from all states of a record that began cold and has not become steady.

    Parameters
    ----------
    subject : Subject
        The run.

    Yields
    ------
    Finding
        In quanta per time, by increments and by energies; for a pair also the difference between its modes.
    """
    array, dataset = subject.array, subject.dataset
    cold = subject.initial in COLD and not subject.steady and "position" in dataset
    if not cold or array.overdamped or not subject.linear or subject.scenario.drive:
        return
    if array.n_oscillators > MOST_OSCILLATORS:
        return
    try:
        found = reheating(dataset, array)
    except (ScenarioError, TooFewSamplesError) as error:
        subject.notes.append(f"Heating rates of modes are left out: {error}")
        return
    exact, common = found.exact.rate, common_mode(found.exact)
    turn, unit = (1.0, "") if subject.scenario.reduced else (2.0 * math.pi, " Hz")
    names = [f"mode {k} ({rate / turn:.4g}{unit})" for k, rate in enumerate(found.exact.modes.rate)]
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
