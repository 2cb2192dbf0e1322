"""Simulated beside exact: every quantity of a run, with its error bar, its exact value and their distance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import xarray as xr

from stochbind.analysis import bath_comparisons, comparisons, points, thermodynamics, transfer, windows
from stochbind.analysis.statistics import Estimate, Record, weighted_mean
from stochbind.analysis.windows import settled as settled
from stochbind.analysis.windows import without_diverged as without_diverged
from stochbind.checks import FloatArray
from stochbind.errors import TooFewSamplesError
from stochbind.oscillators import Oscillators
from stochbind.scenario import Scenario, parse

#: A quantity farther than this from its exact value, in standard errors, is a disagreement.
LARGEST_Z = 5.0
#: What means the same whatever the forces are.
_ANY_FORCES = ("kinetic temperature", "heat current", "recoil heating")
#: A coupling this much weaker than the strongest one is zero: what rounding leaves of an exact one-way coupling.
_ZERO_COUPLING = 1e-12


class Row(NamedTuple):
    """One line of the table.

    Attributes
    ----------
    quantity, where, unit : str
        What, of which particle or pair (receiver first), in which unit. Where particles move along several axes,
        oscillators are named by both, "0x".
    value, stderr, exact, z : float
        Estimate, standard error, exact mean over the same window, and their distance as a normal deviate
        (see `Estimate.z`). Where there is no exact answer, as with forces that are not linear, exact and z are NaN.
    steady : float
        Exact value in the steady state; NaN if there is none.
    """

    quantity: str
    where: str
    unit: str
    value: float
    stderr: float
    exact: float
    z: float
    steady: float


@dataclass(frozen=True)
class Validation:
    """The table of a run.

    Attributes
    ----------
    rows : tuple of Row
        All quantities.
    notes : tuple of str
        What could not be told, and why.
    window : tuple of float
        First and last time averaged over [s].
    n_trajectories : int
        Number of trajectories.
    stable : bool
        Whether there is a steady state.
    time_unit : str
        Unit of the window; empty in reduced units.
    """

    rows: tuple[Row, ...]
    notes: tuple[str, ...]
    window: tuple[float, float]
    n_trajectories: int
    stable: bool
    time_unit: str = "s"

    @property
    def worst(self) -> Row:
        """The row farthest from its exact value, of those that have one."""
        return max(self.judged or self.rows, key=lambda row: abs(row.z) if math.isfinite(row.z) else math.inf)

    @property
    def judged(self) -> tuple[Row, ...]:
        """The rows with an exact value."""
        return tuple(row for row in self.rows if not math.isnan(row.exact))

    @property
    def agrees(self) -> bool:
        """Whether every quantity that has an exact value is within five standard errors of it."""
        return all(abs(row.z) <= LARGEST_Z for row in self.judged)

    def value(self, quantity: str, where: str) -> Row:
        """The row of one quantity, such as ``("heat current", "1")``."""
        for row in self.rows:
            if (row.quantity, row.where) == (quantity, where):
                return row
        raise KeyError(f"no row {quantity!r} of {where!r}")


def validate(dataset: xr.Dataset, scenario: Scenario | None = None, *, initial: str | None = None) -> Validation:
    """Compare a run with the exact theory.

    The exact value is the mean over the very states that are averaged, from the initial state of the run on; so the
    comparison is fair before the steady state is reached, and for systems that have none.

    Parameters
    ----------
    dataset : xarray.Dataset
        A finished run, as `stochbind.open` gives it: with trajectories, or else with the statistic "moments".
        Correlations, spectra, histograms of states and currents are compared too, where they are of a steady state
        without drives; notes say what is not.
        Or one point of a sweep, taken from its dataset, such as ``dataset.isel(stiffness=0)``.
    scenario : Scenario, optional
        The theory to compare with; by default the scenario of the run, which the dataset holds.
    initial : str, optional
        Initial state; by default that of the run.

    Returns
    -------
    Validation
        All rows.

    Raises
    ------
    IncompleteError
        If the run is not finished.
    PlanError
        If the run kept neither trajectories nor moments, or the dataset holds more than one point of a sweep.
    TooFewSamplesError
        If there are fewer than two trajectories or two states.
    """
    dataset = points.one_run(dataset)
    scenario = parse(dataset.attrs["scenario"]) if scenario is None else scenario
    initial = dataset.attrs["initial"] if initial is None else initial
    array = scenario.oscillators()
    equations = array.langevin()
    notes: list[str] = []
    dataset = without_diverged(dataset, notes)
    if array.has_finite_baths:
        compared = bath_comparisons.bath_comparisons(dataset, array, initial=initial, notes=notes)
        time = dataset["time"].to_numpy()
        rows = [row for one in compared for row in _compared(one)]
        return _table(scenario, rows, notes, (float(time[0]), float(time[-1])), dataset.sizes["trajectory"])
    window = (windows.recorded if "position" in dataset else windows.accumulated)(dataset, scenario, initial)
    found, exact = window.found, window.exact
    steady = None
    moments = equations.steady
    if moments is not None:
        steady = moments.covariance + np.outer(moments.mean, moments.mean)
    linear = not (equations.forces or dataset.attrs.get("own_forces"))
    if array.coupling.any() and linear and not scenario.modulated:
        notes.append(
            "The position temperature u<q^2>/k_B of coupled particles differs from the bath's in equilibrium too."
        )
    solved = steady if linear and not scenario.changes_with_time else None
    rows = list(_linear_rows(scenario, found, exact, solved))
    if not linear:
        notes.append("The forces are not linear: there is no exact answer, and the values stand alone.")
        rows = [
            row._replace(exact=math.nan, z=math.nan)
            for row in rows
            if row.quantity in _ANY_FORCES and not array.overdamped
        ]
        estimate, nothing = found.estimate(partial(_mean_square, array)), np.full(array.n_oscillators, math.nan)
        rows += _rows(array, "mean square position", "m^2", estimate, nothing, nothing)
    elif scenario.modulated:
        notes.append(
            "Couplings change with time: powers, transfer and the first law, which need constants, are left out."
        )
        rows += [row for one in comparisons.products(array, found, exact) for row in _compared(one)]
    elif scenario.drive:
        notes.append("Directional transfer is left out, and the first law tells the power of the drives.")
    else:
        rows += _transfer_rows(array, found, exact, steady, notes)
    settled_by_then = not scenario.modulated and windows.is_settled(equations, initial, window.first_time)
    rows += _ledger_rows(array, dataset, window.first_time, solved if settled_by_then else None)
    if solved is not None:
        steady_rows = comparisons.steady_comparisons(
            dataset, array, equations, initial=initial, interval=found.interval, notes=notes
        )
        rows += [row for one in steady_rows for row in _compared(one)]
    elif linear:
        notes += comparisons.without_steady_state(dataset)
    if linear and "position" in dataset and "moments_second" in dataset:
        rows += _moment_rows(scenario, dataset, initial, notes)
    return _table(scenario, rows, notes, (window.first_time, window.last_time), window.n_trajectories)


def _table(
    scenario: Scenario, rows: list[Row], notes: list[str], window: tuple[float, float], n_trajectories: int
) -> Validation:
    unitless = [row._replace(unit="") for row in rows] if scenario.reduced else rows
    return Validation(
        rows=tuple(unitless),
        notes=tuple(notes),
        window=window,
        n_trajectories=n_trajectories,
        stable=scenario.stable,
        time_unit="" if scenario.reduced else "s",
    )


def _mean_square(array: Oscillators, second: FloatArray) -> FloatArray:
    n = array.n_oscillators
    result: FloatArray = np.diagonal(second, axis1=-2, axis2=-1)[..., :n] * array.langevin().unit[:n] ** 2
    return result


def _linear_rows(scenario: Scenario, found: Record, exact: Record, steady: FloatArray | None) -> Iterator[Row]:
    """Rows of all linear functions of the second moments."""
    array = scenario.oscillators()
    coupled = np.abs(array.coupling) > _ZERO_COUPLING * np.abs(array.coupling).max(initial=0.0)
    functions = {
        "position temperature": (thermodynamics.position_temperature, "K"),
        "heat current": (thermodynamics.heat_current, "W"),
        "recoil heating": (thermodynamics.recoil_heating, "W"),
    }
    if not scenario.modulated:
        functions["power"] = (thermodynamics.power, "W")
        if np.abs(array.coupling - array.coupling.T).max() > _ZERO_COUPLING * np.abs(array.coupling).max():
            functions["non-reciprocal power"] = (thermodynamics.non_reciprocal_power, "W")
        if scenario.kind != "oscillators":
            functions["light power"] = (thermodynamics.light_power, "W")
    if not array.overdamped:
        functions = {"kinetic temperature": (thermodynamics.kinetic_temperature, "K"), **functions}
    for name, (function, unit) in functions.items():
        if name == "recoil heating" and (array.overdamped or not np.any(array.diffusion)):
            continue

        of = partial(function, array)
        estimate, truth = found.estimate(of), of(exact.second[0])
        final = of(steady) if steady is not None else np.full_like(truth, np.nan)
        skip = ~(coupled | coupled.T) if name == "power" else None
        yield from _rows(array, name, unit, estimate, truth, final, skip=skip)
    if scenario.modulated:
        return

    def residual(part: Record) -> FloatArray:
        return thermodynamics.first_law(array, part.second, part.first_state, part.last_state, found.duration)

    estimate = weighted_mean(residual(found), found.weight)
    terms = (
        np.abs(thermodynamics.energy(array, exact.second[0])) / found.duration
        + np.abs(thermodynamics.heat_current(array, exact.second[0]))
        + np.abs(thermodynamics.power(array, exact.second[0])).sum(axis=-1)
    )
    yield from _rows(array, "first law", "W", estimate, residual(exact)[0], np.zeros(array.n_oscillators), scale=terms)


def _moment_rows(scenario: Scenario, dataset: xr.Dataset, initial: str, notes: list[str]) -> list[Row]:
    """Rows of the statistic "moments" of a run that kept trajectories, too, which all other rows are made of."""
    array = scenario.oscillators()
    functions = {"position temperature": (thermodynamics.position_temperature, "K")}
    if not scenario.modulated:
        functions["power"] = (thermodynamics.power, "W")
    if not array.overdamped:
        functions["kinetic temperature"] = (thermodynamics.kinetic_temperature, "K")
    if dataset.attrs.get("diverged"):
        notes.append("The moments are not compared, as trajectories are missing in them that diverged.")
        return []
    rows: list[Row] = []
    try:
        window = windows.accumulated(dataset, scenario, initial)
        for name, (function, unit) in functions.items():
            of = partial(function, array)
            estimate, truth = window.found.estimate(of), of(window.exact.second[0])
            skip = array.coupling == 0.0 if name == "power" else None
            rows += _rows(array, f"{name}, moments", unit, estimate, truth, np.full_like(truth, np.nan), skip=skip)
    except TooFewSamplesError as error:
        notes.append(f"The moments are not compared: {error}")
    return rows


def _ledger_rows(
    array: Oscillators, dataset: xr.Dataset, first_time: float, steady: FloatArray | None
) -> Iterator[Row]:
    """Rows of the work and heat that were added up along each trajectory; exact in the steady state."""
    functions = {"work": thermodynamics.power, "heat": thermodynamics.heat_current, "drive_work": _no_drives}
    labels = {"work": "work along the path", "heat": "heat along the path", "drive_work": "work of the drives"}
    for name, function in functions.items():
        estimate = windows.path_current(dataset, name, first_time)
        if estimate is None or (name == "drive_work" and not estimate.value.any()):
            continue
        if name == "heat" and not array.overdamped and array.diffusion is not None:
            recoil = np.diagonal(np.asarray(array.diffusion).real) / np.asarray(array.mass)
            estimate = replace(estimate, value=estimate.value - recoil)
        truth = np.full(estimate.value.shape, math.nan) if steady is None else function(array, steady)
        skip = None if name == "heat" else (np.abs(estimate.value) == 0)
        yield from _rows(array, labels[name], "W", estimate, truth, truth, skip=skip)


def _no_drives(array: Oscillators, second: FloatArray) -> FloatArray:
    del second
    return np.full(array.n_oscillators, math.nan)


def _rows(
    array: Oscillators,
    name: str,
    unit: str,
    estimate: Estimate,
    truth: FloatArray,
    steady: FloatArray,
    skip: object = None,
    scale: FloatArray | float = 0.0,
) -> Iterator[Row]:
    z = estimate.z(truth, scale=scale)
    for index in np.ndindex(np.shape(truth)):
        if isinstance(skip, np.ndarray) and skip[index]:
            continue
        where = " <- ".join(array.names[i] for i in index)
        arrays = (estimate.value, estimate.stderr, truth, z, steady)
        yield Row(name, where, unit, *(float(values[index]) for values in arrays))


def _compared(one: comparisons.Comparison) -> Iterator[Row]:
    """Rows of a comparison."""
    z, steady = one.estimate.z(one.truth, scale=one.scale), one.truth if one.steady is None else one.steady
    for i, where in enumerate(one.where):
        value, stderr, truth = (float(values[i]) for values in (one.estimate.value, one.estimate.stderr, one.truth))
        yield Row(one.quantity, where, one.unit, value, stderr, truth, float(z[i]), float(steady[i]))


def _transfer_rows(
    array: Oscillators, found: Record, exact: Record, steady: FloatArray | None, notes: list[str]
) -> Iterator[Row]:
    """Rows of the directional transfer of every coupled pair."""
    if not array.coupling.any():
        return
    if found.n_groups < 8:
        notes.append("Directional transfer is left out: its error bars need at least 8 trajectories.")
        return
    energy = transfer.energy_transfer(array, found)
    one_way = [
        _pair_name(array, (j, k))
        for j, k in (item.direction for item in energy.found)
        if abs(array.coupling[k, j]) <= _ZERO_COUPLING * abs(array.coupling[j, k])
    ]
    if one_way:
        notes.append(
            f"The coupling is exactly one-way for {', '.join(one_way[:4])}: the energy ratio is zero by itself."
        )
    for item in energy.found:
        truth = transfer.exact_energy_transfer(array, exact.second[0], item.direction)
        nothing = (math.nan, math.nan)
        final = nothing if steady is None else transfer.exact_energy_transfer(array, steady, item.direction)
        yield from _transfer_pair(array, "energy", item, truth, final)
    _note_undetermined(array, "Energy", energy, notes)
    equations = array.langevin()
    if np.isnan(found.before).any():
        notes.append("Response is left out: the moments are of windows of one state, which hold no pairs.")
        return
    try:
        response = transfer.response_transfer(array, equations, found)
    except TooFewSamplesError as error:
        notes.append(f"Response is left out: {error}")
        return
    chi = transfer.resonant_susceptibility(array, equations)
    for item in response.found:
        truth = transfer.exact_response_transfer(chi, item.direction)
        yield from _transfer_pair(array, "response", item, truth, truth)
    _note_undetermined(array, "Response", response, notes)


def _pair_name(array: Oscillators, pair: tuple[int, int]) -> str:
    """Receiver and sender."""
    return " <- ".join(array.names[i] for i in pair)


def _note_undetermined(array: Oscillators, name: str, transfers: transfer.Transfers, notes: list[str]) -> None:
    if transfers.undetermined:
        shown = ", ".join(_pair_name(array, pair) for pair in transfers.undetermined[:4])
        more = ", ..." if len(transfers.undetermined) > 4 else ""
        notes.append(
            f"{name} ratio left out for {len(transfers.undetermined)} of "
            f"{len(transfers.undetermined) + len(transfers.found)} pairs ({shown}{more}): too uncertain; nothing "
            "flows, or the record is too short."
        )


def _transfer_pair(
    array: Oscillators,
    name: str,
    found: transfer.Transfer,
    truth: tuple[float, float],
    steady: tuple[float, float],
) -> Iterator[Row]:
    where = _pair_name(array, found.direction)
    for label, estimate, exact, final in zip(
        ("ratio", "asymmetry"), (found.ratio, found.asymmetry), truth, steady, strict=True
    ):
        numbers = (estimate.value, estimate.stderr, exact, estimate.z(exact), final)
        yield Row(f"{name} {label}", where, "", *(float(number) for number in numbers))
