"""Equations of a scenario as a function of one of its parameters, for everything that follows modes along one."""

from __future__ import annotations

import copy
from collections.abc import Callable

from stochbind import checks
from stochbind.errors import ScenarioError
from stochbind.modes.rotating_wave import rotating_frame
from stochbind.modes.spectrum import Equations
from stochbind.scenario import Scenario, files, parameters


def mode_family(scenario: Scenario, path: str, *, rotating: bool = False) -> Callable[[float], Equations]:
    """Equations of a scenario as a function of one of its parameters.

    For `stochbind.modes.exceptional_points`, `stochbind.modes.continuation` and whatever else takes a family.

    Parameters
    ----------
    scenario : Scenario
        All other parameters.
    path : str
        Which parameter, such as ``particle[0].power``; ``[*]`` stands for every index.
    rotating : bool, optional
        Whether to give the matrix H of a rotating frame, in place of the full equations.

    Returns
    -------
    callable
        Takes a value, in SI or in reduced units; returns equations. A value that makes no valid scenario raises
        `ScenarioError`.

    Raises
    ------
    ScenarioError
        If there is no such parameter, or it is not a number.
    """
    at = scenario_family(scenario, path)

    def equations(value: float) -> Equations:
        found = at(value)
        found.require_constant("modes")
        array = found.oscillators()
        return rotating_frame(array).H if rotating else array

    return equations


def scenario_family(scenario: Scenario, path: str) -> Callable[[float], Scenario]:
    """A scenario as a function of one of its parameters; see `mode_family`.

    Parameters
    ----------
    scenario, path
        As for `mode_family`.

    Returns
    -------
    callable
        Takes a value, returns a scenario.

    Raises
    ------
    ScenarioError
        As `mode_family` does.
    """
    try:
        parameter = parameters.find(scenario, path)
        data = scenario.to_dict()
        parameter.value(_present(data, parameter), in_file=False, reduced=scenario.reduced)
    except ValueError as error:
        raise ScenarioError(f"`path`: {str(error).rstrip('.')}.") from None

    def at(value: float) -> Scenario:
        try:
            checked = parameter.value(float(value), in_file=False, reduced=scenario.reduced)
        except ValueError as error:
            raise ScenarioError(f"`{path}` {str(error).rstrip('.')}.") from None
        changed = copy.deepcopy(data)
        parameter.set(changed, checked)
        return files.scenario_from_dict(changed, f"{scenario.name} with {path} = {float(value):.6g}")

    return at


def _present(data: dict[str, object], parameter: parameters.Parameter) -> float:
    """The present value of a parameter, which must be a number."""
    value: object = data
    for key in parameter.places[0]:
        try:
            value = value[key]  # type: ignore[index]
        except (KeyError, IndexError):
            return 0.0  # not given, so that its default holds
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"`{parameter.path}` must be a number to follow modes along it, but is {checks.short(value)}")
    return float(value)
