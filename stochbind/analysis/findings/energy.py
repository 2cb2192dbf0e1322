"""How hot everything is, where heat flows, and who pays."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
import numpy.typing as npt

from stochbind.analysis import refrigerators, temperatures, thermodynamics, windows
from stochbind.analysis.bath_comparisons import bath_comparisons
from stochbind.analysis.findings.base import GROUPS, Finding, Subject
from stochbind.analysis.passes import FEWEST_CELLS
from stochbind.analysis.refrigerator_pairs import carnot
from stochbind.analysis.statistics import Estimate, Record, jackknife, weighted_mean
from stochbind.checks import FloatArray
from stochbind.errors import PlanError, ScenarioError, UnstableError
from stochbind.oscillators import Oscillators

TEMPERATURE, BATHS, HEAT, COOLING = "temperature", "finite baths", "heat and work", "refrigeration"
#: Steps whose steady state differs by less than this from that of the equations count as exact.
_EXACT = 1e-5


def temperature_findings(subject: Subject) -> Iterator[Finding]:
    """Kinetic and position temperatures of particles and normal modes, and occupation numbers.

    Parameters
    ----------
    subject : Subject
        The run.

    Yields
    ------
    Finding
        Of forces that are not linear the kinetic temperature alone.
    """
    array = subject.array
    told = partial(subject.linear_in_moments, TEMPERATURE)
    if subject.finite_baths:
        return  # `bath_findings` tells them, all alike together, beside what they are exactly
    if subject.scenario.drive:
        subject.notes.append("Temperatures and energies hold the motion that the drives make.")
    if not array.overdamped:
        yield from told("kinetic temperature", "K", thermodynamics.kinetic_temperature)
    if not subject.linear:
        return
    held = array.stiffness > 0.0
    if not held.all():
        subject.notes.append("Where a trap does not hold, there is no position temperature.")
    yield from told("position temperature", "K", thermodynamics.position_temperature, kept=held)
    if subject.scenario.modulated:
        subject.notes.append("Normal modes and the work of couplings are left out, as couplings change with time.")
    else:
        yield from _of_modes(subject)
    if not (array.overdamped or subject.scenario.reduced) and (array.stiffness > 0).all():
        yield from told("occupation number", "", temperatures.occupation)


def _of_modes(subject: Subject) -> Iterator[Finding]:
    """Temperatures of normal modes."""
    array, told = subject.array, partial(subject.linear_in_moments, TEMPERATURE)
    try:
        modes = temperatures.normal_modes(array)
    except ScenarioError as error:
        subject.notes.append(f"Normal modes have no temperatures: {error}")
        return
    turn = 1.0 if subject.scenario.reduced or array.overdamped else 2.0 * np.pi
    unit = subject.unit(" 1/s" if array.overdamped else " Hz")
    names = [f"mode {k} ({rate / turn:.4g}{unit})" for k, rate in enumerate(modes.rate)]
    if not array.overdamped:
        yield from told("kinetic temperature", "K", temperatures.mode_kinetic_temperature, names=names)
    yield from told("position temperature", "K", temperatures.mode_position_temperature, names=names)


def step_findings(subject: Subject, coefficients: Mapping[str, FloatArray] | None) -> Iterator[Finding]:
    """Temperatures beside those that the steps of the run keep, where its solver is not exact.

    Parameters
    ----------
    subject : Subject
        The run.
    coefficients : mapping of str to array, optional
        Tables of its solver.

    Yields
    ------
    Finding
        None where the steps keep the steady state of the equations, or theirs is not known.
    """
    if coefficients is None or subject.covariance is None:
        return
    try:
        kept = temperatures.second_moment_of_steps(coefficients)
    except (PlanError, UnstableError) as error:
        subject.notes.append(f"What the steps of the solver keep is not told: {error}")
        return
    size = np.abs(kept - subject.covariance) / np.sqrt(
        np.outer(np.diagonal(subject.covariance), np.diagonal(subject.covariance))
    )
    if size.max() < _EXACT:
        return
    functions = {"position temperature, of these steps": thermodynamics.position_temperature}
    if not subject.array.overdamped:
        functions = {"kinetic temperature, of these steps": thermodynamics.kinetic_temperature, **functions}
    for name, function in functions.items():
        estimate = subject.found.estimate(partial(function, subject.array))
        yield from subject.findings(TEMPERATURE, name, "K", estimate, function(subject.array, kept))


def heat_findings(subject: Subject) -> Iterator[Finding]:
    """Heat from each bath, work on j by k, the light's and the drives' work, and the first law.

    Parameters
    ----------
    subject : Subject
        The run.

    Yields
    ------
    Finding
        From moments and, with a ledger, along the path.
    """
    array = subject.array
    told = partial(subject.linear_in_moments, HEAT)
    if subject.linear or not (array.overdamped or subject.finite_baths):
        yield from told("heat from the bath", "W", thermodynamics.heat_current)
    if subject.linear and not subject.scenario.changes_with_time:
        yield from _by_balance(subject)
    if not array.overdamped and np.any(array.diffusion):
        yield from told("heat from recoil", "W", thermodynamics.recoil_heating)
    if subject.linear:
        coupled = array.coupling != 0.0
        if coupled.any() and not subject.scenario.modulated:
            yield from told("work of the coupling", "W", thermodynamics.power, kept=coupled)
            yield from told("work of all couplings", "W", _whole_power, names=[""])
        yield from told("energy", "J", thermodynamics.energy)
    yield from _ledger(subject)


def _whole_power(array: Oscillators, second: FloatArray) -> FloatArray:
    return np.asarray(thermodynamics.power(array, second).sum(axis=(-2, -1)))[..., None]


def bath_findings(subject: Subject) -> Iterator[Finding]:
    """Temperatures of finite baths and the heat they gave, beside the exact averages over the whole record.

    Parameters
    ----------
    subject : Subject
        The run.

    Yields
    ------
    Finding
        None if all baths are infinite.
    """
    if not subject.finite_baths or "bath_heat" not in subject.dataset:
        return
    for one in bath_comparisons(subject.dataset, subject.array, initial=subject.initial, notes=subject.notes):
        yield from subject.findings(BATHS, one.quantity, one.unit, one.estimate, one.truth, names=one.where)


def _by_balance(subject: Subject) -> Iterator[Finding]:
    """Heat by the first law, and the first law: energy gained per time, less all heat and work."""
    array = subject.array
    for label, function in (
        ("heat from the bath, by balance", thermodynamics.heat_by_balance),
        ("first law", thermodynamics.first_law),
    ):

        def of(one: Record, function: Callable[..., FloatArray] = function) -> FloatArray:
            return function(array, one.second, one.first_state, one.last_state, subject.found.duration)

        exact, scale = None, 0.0
        if subject.exact is not None:
            exact, second = of(subject.exact)[0], subject.exact.second
            scale = float(np.abs(thermodynamics.energy(array, second)).max()) / subject.found.duration
            scale += float(np.abs(thermodynamics.heat_current(array, second)).max())
        estimate = weighted_mean(of(subject.found), subject.found.weight)
        yield from subject.findings(HEAT, label, "W", estimate, exact, scale=scale)


def _ledger(subject: Subject) -> Iterator[Finding]:
    """Heat and work that were added up along each path."""
    array, steady = subject.array, subject.covariance
    for name, label in (
        ("heat", "heat from bath and recoil, along the path"),
        ("work", "work of the coupling, along the path"),
        ("drive_work", "work of the drives, along the path"),
    ):
        # Where trajectories are few, groups are stretches of time.
        blocks = max(1, subject.found.n_groups // subject.n_trajectories)
        estimate = windows.path_current(subject.dataset, name, subject.first_time, n_blocks=blocks)
        if estimate is None:
            continue
        exact = None
        if steady is not None and name == "heat":
            exact = thermodynamics.heat_current(array, steady) + thermodynamics.recoil_heating(array, steady)
        elif steady is not None and name == "work":
            exact = thermodynamics.power(array, steady)
        kept = None if name == "heat" else np.asarray(estimate.value != 0.0)
        yield from subject.findings(HEAT, label, "W", estimate, exact, kept=kept)


def _cooling_path(subject: Subject, cold: npt.NDArray[np.bool_]) -> tuple[FloatArray, FloatArray] | None:
    """Heat from the coldest bath and work of the light along each path, (n, 2), and weights; None without a ledger."""
    dataset, array = subject.dataset, subject.array
    if "heat" not in dataset or "work" not in dataset or subject.found.n_groups < FEWEST_CELLS:
        return None
    blocks = max(1, subject.found.n_groups // subject.n_trajectories)
    heat, weight = windows.path_rates(dataset, "heat", subject.first_time, n_blocks=blocks)
    work, _ = windows.path_rates(dataset, "work", subject.first_time, n_blocks=blocks)
    assert subject.exact is not None
    recoil = thermodynamics.recoil_heating(array, subject.exact.second[0])
    total = work.sum(axis=(1, 2)) + recoil.sum()
    return np.stack([(heat - recoil)[:, cold].sum(axis=1), total], axis=1), weight


def cooling_findings(subject: Subject) -> Iterator[Finding]:
    """Whether the coldest bath is cooled, at what price, and how near to Carnot's limit.

    Parameters
    ----------
    subject : Subject
        The run, of an array with two baths or more.

    Yields
    ------
    Finding
        None if there is one bath only.
    """
    array = subject.array
    if subject.covariance is None or not array.coupling.any():
        return
    try:
        number = refrigerators.baths_of(array)
    except ScenarioError as error:
        subject.notes.append(f"Refrigeration is left out: {error}")
        return
    cold = number == 0
    hottest, coldest = array.bath_temperature.max(), array.bath_temperature.min()

    def flows(one: Record) -> FloatArray:
        """Heat from the coldest bath, and work of the light, (..., 2)."""
        second = one.second
        heat = thermodynamics.heat_by_balance(array, second, one.first_state, one.last_state, subject.found.duration)
        recoil = thermodynamics.recoil_heating(array, second).sum(axis=-1)
        work = thermodynamics.power(array, second).sum(axis=(-2, -1)) + recoil
        return np.stack([heat[..., cold].sum(axis=-1), work], axis=-1)

    assert subject.exact is not None
    found, exact = weighted_mean(flows(subject.found), subject.found.weight), flows(subject.exact)[0]
    path = _cooling_path(subject, cold)
    names = ("heat from the coldest bath", "work of the light")
    if path is not None:
        found = weighted_mean(*path)
    route = "along the path" if path is not None else "by balance"
    subject.notes.append(f"Heat and work of the refrigeration are those {route}.")
    for i, name in enumerate(names):
        one = Estimate(found.value[i], found.stderr[i], found.n_eff)
        yield from subject.findings(COOLING, name, "W", one, exact[i], names=[""])
    if exact[0] <= 0.0:
        subject.notes.append("The coldest bath is not cooled: there is no coefficient of performance.")
        return
    if exact[1] <= 0.0:
        subject.notes.append(
            "The coldest bath is cooled by the heat of others: there is no coefficient of performance."
        )
        return
    if not (np.abs(found.value) > 5.0 * found.stderr).all():
        subject.notes.append(
            "The coefficient of performance is left out: cooling power or work is within 5 standard errors of zero."
        )
        return
    if path is None:
        performance = subject.jackknife(lambda one: flows(one)[..., 0] / flows(one)[..., 1])
    else:
        rate, weight = path
        count = min(len(rate), GROUPS)
        groups = np.array_split(np.arange(len(rate)), count)
        shares = np.array([weight[rows].sum() for rows in groups])
        means = np.array([weight[rows] @ rate[rows] / weight[rows].sum() for rows in groups])
        performance = jackknife(lambda mean: mean[..., :1] / mean[..., 1:], means, weight=shares)
    best = float(carnot(coldest, hottest)) if hottest > coldest else np.inf
    truth = float(exact[0] / exact[1])
    yield from subject.findings(COOLING, "coefficient of performance", "", performance, truth, names=[""])
    if number.max() > 1:
        return  # Carnot's limit is of two baths
    relative = Estimate(performance.value / best, performance.stderr / best, performance.n_eff)
    yield from subject.findings(COOLING, "efficiency relative to Carnot", "", relative, truth / best, names=[""])
