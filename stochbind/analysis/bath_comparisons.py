"""Runs with finite baths beside their exact averages: what validation tells of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from stochbind.analysis.comparisons import Comparison
from stochbind.analysis.mean_field import alike, final_temperatures, relaxation, shared_baths
from stochbind.analysis.statistics import Estimate, weighted_mean
from stochbind.checks import FloatArray
from stochbind.errors import IncompleteError, PlanError, UnstableError
from stochbind.oscillators import Oscillators


def bath_comparisons(
    dataset: xr.Dataset, array: Oscillators, *, initial: str, notes: list[str]
) -> Iterator[Comparison]:
    """Temperatures of baths and particles, and heat, beside their exact averages at the recorded times.

    Parameters
    ----------
    dataset : xarray.Dataset
        A finished run with a record.
    array : Oscillators
        With finite baths.
    initial : str
        Initial state of the run.
    notes : list of str
        What could not be told is added here.

    Yields
    ------
    Comparison
        Of one quantity.

    Raises
    ------
    PlanError
        If there is no record, or the averages need too many unknowns.
    IncompleteError
        If states are missing.
    TooFewSamplesError
        If there are fewer than two trajectories.
    """
    if "bath_heat" not in dataset:
        raise PlanError(
            "There is nothing to validate: a run with finite baths is compared by its record; give `record = true` in "
            "the `[run]` table."
        )
    baths, time = shared_baths(array), dataset["time"].to_numpy()
    exact = relaxation(array, time, initial=initial)
    given = dataset["bath_heat"].to_numpy()
    if np.isnan(given).any():
        raise IncompleteError("The record has states that were never computed; finish the run first.")
    notes.append("Baths are finite: averages are over the whole record, and transients are compared exactly.")
    names, groups = tuple(np.array(baths.name)[baths.finite]), alike(array, initial=initial)
    if any(len(group) > 1 for group in groups):
        notes.append("Oscillators that are alike are averaged, and named by the first of them.")
    found = dataset["bath_temperature"].to_numpy()[..., baths.finite]
    temperature = exact.bath_temperature[:, baths.finite]
    final = _final(array, initial)[baths.finite]
    yield Comparison("bath temperature at the end", "K", names, _mean(found[:, -1]), temperature[-1], steady=final)
    nothing = np.full(len(names), np.nan)
    yield Comparison(
        "bath temperature", "K", names, _mean(found.mean(axis=1)), temperature.mean(axis=0), steady=nothing
    )
    heat, nothing = exact.bath_heat[-1] / time[-1], np.full(len(baths.name), np.nan)
    yield Comparison("heat from bath", "W", baths.name, _mean(given[:, -1] / time[-1]), heat, steady=nothing)
    names, nothing = tuple(array.names[group[0]] for group in groups), np.full(len(groups), np.nan)
    for quantity, name, factor, averages in (
        ("kinetic temperature", "velocity", array.mass, exact.kinetic_temperature),
        ("position temperature", "position", array.stiffness, exact.position_temperature),
    ):
        square = (dataset[name] ** 2).mean("time").to_numpy().reshape(len(given), -1)
        each = np.asarray(factor) * square / array.boltzmann
        sample = np.stack([each[:, group].mean(axis=1) for group in groups], axis=1)
        truth = averages.mean(axis=0)[[group[0] for group in groups]]
        yield Comparison(quantity, "K", names, _mean(sample), truth, steady=nothing)


def _final(array: Oscillators, initial: str) -> FloatArray:
    """Temperatures of all baths in the end; NaN where they do not settle."""
    try:
        return final_temperatures(array, initial=initial)
    except UnstableError:
        return np.full(len(shared_baths(array).name), np.nan)


def _mean(sample: FloatArray) -> Estimate:
    """Mean over trajectories, whose baths are not shared."""
    return weighted_mean(sample, np.full(len(sample), 1.0 / len(sample)))
