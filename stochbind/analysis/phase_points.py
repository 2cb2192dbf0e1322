"""Scenarios at the points of a plane of two parameters."""

from __future__ import annotations

import bisect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from stochbind import checks
from stochbind.checks import FloatArray
from stochbind.errors import ScenarioError, StochbindError
from stochbind.scenario import Axis, Scenario, parameters, scenario_from_dict
from stochbind.scenario.parameters import Parameter, Place
from stochbind.scenario.sweep_axes import read_axes
from stochbind.scenario.sweep_tables import SweepTable

IntArray = npt.NDArray[np.int64]


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
        self._data = base.to_dict()
        self._settings = [(number, setting) for number, axis in enumerate((x, y)) for setting in axis.settings]
        ways = {where: n for n, (_, setting) in enumerate(self._settings) for where in setting.parameter.places}
        self._node = _node(base, ways)
        self._refused_at: list[tuple[float, float]] = []
        self._lines: tuple[IntArray, ...] = ()
        self._doubtful = np.ones((0, 0), bool)
        #: Why a point made no scenario: the first such sentence that was met.
        self.refused = ""
        both = {place for each in x.settings for place in each.parameter.places}
        for setting in y.settings:
            if both.intersection(setting.parameter.places):
                raise ScenarioError(f"`{setting.parameter.path}` is changed by both axes; choose two parameters.")

    def trust(self, lines: Sequence[IntArray]) -> None:
        """Make points without the checks of their numbers from now on, but where a point nearby is refused.

        That is in cells which have a refused point in them, or on their edge, and in all cells beside these.

        Parameters
        ----------
        lines : two of (n,) int
            Places of the lines that make the cells, along x and along y; every point where they cross was made.
        """
        self._lines = tuple(lines)
        self._doubtful = np.zeros([len(line) - 1 for line in lines], bool)
        for place in self._refused_at:
            self._doubt(place)

    def scenario(self, place_x: float, place_y: float, *, checked: bool = False) -> Scenario | None:
        """The scenario at a point, by its places along both axes; None if its numbers make none.

        With `checked`, also where points are trusted.
        """
        place = (place_x, place_y)
        values = [_between(setting.values, place[number]) for number, setting in self._settings]
        if not (checked or self._is_doubtful(place)):
            result: Any = _made(self._node, values)
            return result  # type: ignore[no-any-return]
        chosen = [(setting.parameter, value) for (_, setting), value in zip(self._settings, values, strict=True)]
        for parameter, value in chosen:
            parameter.set(self._data, value)
        try:
            return scenario_from_dict(self._data, "")
        except StochbindError as error:
            numbers = ", ".join(f"{parameter.path} = {value:.6g}" for parameter, value in chosen)
            self.refused = self.refused or f"At {numbers}: {str(error).removeprefix(': ')}"
            self._refused_at.append(place)
            if self._lines:
                self._doubt(place)
            return None

    def _is_doubtful(self, place: tuple[float, float]) -> bool:
        if not self._lines:
            return True
        cell = [
            min(bisect.bisect_right(line, at), len(line) - 1) - 1 for line, at in zip(self._lines, place, strict=True)
        ]
        return bool(self._doubtful[cell[0], cell[1]])

    def _doubt(self, place: tuple[float, float]) -> None:
        """Doubt the cells that a point is in, two of them along an axis if it is on a line, and those beside them."""
        first, last = (
            [int(np.searchsorted(line, at, side)) - 1 for line, at in zip(self._lines, place, strict=True)]
            for side in ("left", "right")
        )
        self._doubtful[max(0, first[0] - 1) : last[0] + 2, max(0, first[1] - 1) : last[1] + 2] = True


def _between(values: FloatArray, place: float) -> float:
    """The value at a place, counted in points and interpolated between them."""
    before = int(place)
    if before == place:
        return float(values[before])
    return float(values[before] + (place - before) * (values[before + 1] - values[before]))


class _Node(NamedTuple):
    """A part of a scenario in which numbers are replaced: its class, its content, and what is replaced in it.

    The class is None for a tuple, whose content has its indices as keys. What is replaced is a node in its turn, or the
    number of a setting.
    """

    made_by: type[BaseModel] | None
    content: dict[Any, Any]
    replaced: tuple[tuple[str | int, _Node | int], ...]


def _node(part: Any, ways: Mapping[Place, int]) -> _Node | int:
    """The node of a part of a scenario, from the places below it and the numbers of their settings."""
    if () in ways:
        return ways[()]
    below: dict[str | int, dict[Place, int]] = {}
    for (key, *rest), number in ways.items():
        below.setdefault(key, {})[tuple(rest)] = number
    model = isinstance(part, BaseModel)
    content = {name: getattr(part, name) for name in type(part).model_fields} if model else dict(enumerate(part))
    replaced = tuple((key, _node(content[key], each)) for key, each in below.items())
    return _Node(type(part) if model else None, content, replaced)


def _made(node: _Node | int, values: list[float]) -> Any:
    """The part of a scenario with these numbers, nothing of it checked."""
    if isinstance(node, int):
        return values[node]
    content = node.content.copy()
    for key, part in node.replaced:
        content[key] = _made(part, values)
    return tuple(content.values()) if node.made_by is None else node.made_by.model_construct(**content)
