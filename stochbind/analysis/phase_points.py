"""Scenarios at the points of a plane of two parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError, StochbindError
from stochbind.scenario import Axis, Scenario, parameters, scenario_from_dict
from stochbind.scenario.parameters import Parameter, Place
from stochbind.scenario.sweep_axes import read_axes
from stochbind.scenario.sweep_tables import SweepTable


class Setting(NamedTuple):
    """A parameter of a scenario, and its values along an axis, (n,)."""

    parameter: Parameter
    values: FloatArray


@dataclass(frozen=True, eq=False)
class PlaneAxis:
    """One axis of a diagram.

    Parameters
    ----------
    name : str
        What is drawn along it.
    value : (n,) float
        Values of the grid, rising or falling.
    unit : str
        Their unit; empty if there is none.
    settings : tuple of Setting
        What changes in a scenario along the axis.

    Raises
    ------
    ScenarioError
        If there are fewer than two values, or they do not rise or fall throughout.
    """

    name: str
    value: FloatArray
    unit: str = ""
    settings: tuple[Setting, ...] = field(default=(), repr=False)

    def __post_init__(self) -> None:
        value = checks.array(self.name, self.value, ("n",))
        step = np.diff(value)
        if len(value) < 2 or not ((step > 0).all() or (step < 0).all()):
            raise ScenarioError(f"`{self.name}` must hold two values or more that rise or fall throughout.")
        object.__setattr__(self, "value", value)

    def __len__(self) -> int:
        return len(self.value)

    def at(self, place: FloatArray) -> FloatArray:
        """Values at places along the axis, counted in points of the grid, between which they are interpolated."""
        return np.interp(place, np.arange(len(self)), self.value)


def axis_of(given: Axis | Mapping[str, Any], base: Scenario, *, with_units: bool = False) -> PlaneAxis:
    """An axis over parameters of a scenario.

    Parameters
    ----------
    given : Axis or mapping
        Of a sweep: a mapping has `parameter` and `values`, or `start`, `stop` and `n`, and may have `along`. Its `name`
        may be any text; by default it is the path of the parameter.
    base : Scenario
        What it changes.
    with_units : bool
        Whether numbers must have their units, as in a file.

    Returns
    -------
    PlaneAxis
        The axis, in SI.

    Raises
    ------
    ScenarioError
        One line for each fault.
    """
    words = given.to_dict() if isinstance(given, Axis) else dict(given)
    name = words.pop("name", None)
    try:
        # No dataset is made, so that a name may be one that datasets have already.
        found, faults = read_axes(base, SweepTable(axis=[{**words, "name": "value"}]), "" if with_units else None)
    except ScenarioError as error:
        faults = str(error).split("\n")
    if faults:
        raise ScenarioError("\n".join(re.sub(r"^(SweepTable: |sweep\.)axis\[0\]", "axis", line) for line in faults))
    (axis,) = found
    for setting in axis.settings:
        if not all(isinstance(value, float) for value in setting.values):
            raise ScenarioError(
                f"`{setting.parameter}` takes whole numbers, text or flags only, but an axis of a diagram is "
                "continuous; choose another parameter, or make one diagram for each value."
            )
    settings = tuple(Setting(parameters.find(base, each.parameter), np.array(each.values)) for each in axis.settings)
    return PlaneAxis(name or axis.settings[0].parameter, np.array(axis.values, np.float64), axis.unit, settings)


class Points:
    """The scenarios of a plane.

    Parameters
    ----------
    base : Scenario
        What does not change.
    x, y : PlaneAxis
        What does.

    Raises
    ------
    ScenarioError
        If both axes change the same parameter.
    """

    def __init__(self, base: Scenario, x: PlaneAxis, y: PlaneAxis) -> None:
        self.base, self._axes = base, (x, y)
        self._data = base.to_dict()
        #: Whether points are made without the checks of their numbers.
        self.trusted = False
        #: Why a point made no scenario: the first such sentence that was met.
        self.refused = ""
        both = {place for each in x.settings for place in each.parameter.places}
        for setting in y.settings:
            if both.intersection(setting.parameter.places):
                raise ScenarioError(f"`{setting.parameter.path}` is changed by both axes; choose two parameters.")

    def scenario(self, place_x: float, place_y: float, *, checked: bool = False) -> Scenario | None:
        """The scenario at a point, by its places along both axes; None if its numbers make none.

        With `checked`, also where points are `trusted`.
        """
        chosen = [
            (setting.parameter, float(np.interp(place, np.arange(len(axis)), setting.values)))
            for axis, place in zip(self._axes, (place_x, place_y), strict=True)
            for setting in axis.settings
        ]
        if self.trusted and not checked:
            result: Any = self.base
            for parameter, value in chosen:
                for where in parameter.places:
                    result = _with(result, where, value)
            return result  # type: ignore[no-any-return]
        for parameter, value in chosen:
            parameter.set(self._data, value)
        try:
            return scenario_from_dict(self._data, "")
        except StochbindError as error:
            numbers = ", ".join(f"{parameter.path} = {value:.6g}" for parameter, value in chosen)
            self.refused = self.refused or f"At {numbers}: {str(error).removeprefix(': ')}"
            return None


def _with(node: Any, where: Place, value: float) -> Any:
    """A part of a scenario with one number replaced, and nothing checked."""
    if not where:
        return value
    key, *rest = where
    if isinstance(node, BaseModel):
        fields = dict(node)
        fields[str(key)] = _with(fields[str(key)], tuple(rest), value)
        return type(node).model_construct(**fields)
    return tuple(_with(each, tuple(rest), value) if index == key else each for index, each in enumerate(node))
