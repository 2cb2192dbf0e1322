"""The axes of a sweep: tables with units in, values in SI out."""

from __future__ import annotations

import decimal
import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from stochbind.scenario import faults, parameters
from stochbind.scenario.base import Scenario
from stochbind.scenario.parameters import Parameter, Value
from stochbind.scenario.sweep_tables import LARGEST_SIZE, TAKEN, Along, AxisTable, SweepTable

MOST_FAULTS = 20
LARGEST_SEED = 2**63 - 1
# Decimal logarithms and exponentials are correctly rounded, so a grid is the same on every machine.
_WORKING, _RESULT = decimal.Context(prec=40), decimal.Context(prec=30)


class Setting(NamedTuple):
    """A parameter and the values, in SI, that it takes along an axis."""

    parameter: str
    values: tuple[Value, ...]
    unit: str


@dataclass(frozen=True)
class Axis:
    """One axis of a sweep.

    Parameters
    ----------
    name : str
        Name of the dimension.
    settings : tuple of Setting
        What changes along the axis, all with equally many values; the first gives the coordinate.
    """

    name: str
    settings: tuple[Setting, ...]

    @property
    def values(self) -> npt.NDArray[Any]:
        """Coordinate, shape (n,): numbers in SI, whole numbers, or text."""
        values = self.settings[0].values
        text = any(isinstance(value, (bool, str)) for value in values)
        result = np.array([written(value) for value in values] if text else values)
        result.setflags(write=False)
        return result

    @property
    def unit(self) -> str:
        """SI unit of the coordinate; empty if it has none or the scenario is in reduced units."""
        return self.settings[0].unit

    def __len__(self) -> int:
        return len(self.settings[0].values)

    def to_dict(self) -> dict[str, Any]:
        """The axis as plain data, in SI, in the words of a file."""
        first, *others = ({"parameter": each.parameter, "values": list(each.values)} for each in self.settings)
        return {"name": self.name, **first, "along": others}


class _Reader:
    """Makes axes of their tables, and collects what is wrong with them."""

    def __init__(self, base: Scenario, table: SweepTable, text: str | None) -> None:
        self.base, self.table, self.text = base, table, text
        self.faults: list[str] = []
        self._set: set[parameters.Place] = set()
        self._names: dict[str, int] = {}

    def axes(self) -> tuple[Axis, ...]:
        """All axes; to be used if there are no faults."""
        self._check_sizes()
        if self.faults:
            return ()
        axes = tuple(self._axis(index, table) for index, table in enumerate(self.table.axis))
        seed, size = self.base.run.seed or 0, math.prod(table.size for table in self.table.axis)
        if not self.table.same_noise and ("run", "seed") not in self._set and seed + size - 1 > LARGEST_SEED:
            self._fault(["run", "seed"], f"must leave room for the {size} seeds of the points below 2**63")
        if len(self.faults) > MOST_FAULTS:
            self.faults[MOST_FAULTS:] = ["and more."]
        return axes

    def _fault(self, path: list[Any], sentence: str) -> None:
        self.faults.append(faults.placed(sentence.removesuffix("."), path, self.text or ""))

    def _check_sizes(self) -> None:
        size = math.prod(table.size for table in self.table.axis)
        if size > LARGEST_SIZE:
            self._fault(["sweep", "axis"], f"make a grid of {size} points, but a sweep has at most {LARGEST_SIZE}")
        count = 0
        for i, axis in enumerate(self.table.axis):
            for j, each in enumerate(axis.along):
                if each.size != axis.size:
                    self._fault(
                        ["sweep", "axis", i, "along", j],
                        f"must have as many values as the axis it moves along, {axis.size}, but has {each.size}",
                    )
            count += sum(each.size * len(each.parameter) for each in (axis, *axis.along))
        if count > LARGEST_SIZE and not self.faults:
            self._fault(["sweep", "axis"], f"hold {count} values in all, but at most {LARGEST_SIZE} can be held")

    def _check_name(self, i: int, table: AxisTable) -> None:
        name, path = _name_of(table), ["sweep", "axis", i, "name" if table.name is not None else "parameter"]
        if name in TAKEN:
            other = "_".join(parameters.names(table.parameter[0])[-2:])
            hint = f', such as name = "{other}"' if other not in TAKEN and other != name else ""
            self._fault(path, f"every dataset has a `{name}` of its own; give the axis another name{hint}")
        elif name in self._names:
            self._fault(
                path, f"axis[{self._names[name]}] is named `{name}` already; give one of the two another `name`"
            )
        self._names.setdefault(name, i)

    def _axis(self, i: int, table: AxisTable) -> Axis:
        path: list[Any] = ["sweep", "axis", i]
        settings = self._settings(path, table)
        if settings:
            self._check_name(i, table)
        for j, along in enumerate(table.along):
            settings += self._settings([*path, "along", j], along)
        seen: dict[Value, int] = {}
        for k, value in enumerate(settings[0].values if settings else ()):
            if (first := seen.setdefault(value, k)) != k:
                said = f"value {k} is the same as value {first}, {written(value)}; each must be another"
                self._fault([*path, "values" if table.values is not None else "stop"], said)
                break
        return Axis(_name_of(table), tuple(settings))

    def _settings(self, path: list[Any], table: Along) -> list[Setting]:
        """What one table sets: one setting for each of its parameters."""
        result = []
        for text in table.parameter:
            if len(self.faults) > MOST_FAULTS:
                break
            try:
                parameter = parameters.find(self.base, text)
            except ValueError as error:
                self._fault([*path, "parameter"], str(error))
                continue
            twice = next((place for place in parameter.places if place in self._set), None)
            self._set.update(parameter.places)
            if twice is not None:
                self._fault([*path, "parameter"], f"`{faults.name(list(twice))}` is set twice; set it in one place")
            values = self._values(path, table, parameter)
            unit = parameter.unit(values[0], reduced=self.base.reduced) if values else ""
            result.append(Setting(text, values, unit))
        return result

    def _values(self, path: list[Any], table: Along, parameter: Parameter) -> tuple[Value, ...]:
        """Values of one parameter in SI, all checked; empty if one of them is wrong."""
        reduced, before = self.base.reduced, len(self.faults)

        def value(raw: Any, in_file: bool, *place: Any) -> Any:
            try:
                return parameter.value(raw, in_file=in_file, reduced=reduced)
            except ValueError as error:
                self._fault([*path, *place], f"`{parameter.path}` {error}")
                return None

        in_file = self.text is not None
        if table.values is not None:
            listed = []
            for k, raw in enumerate(table.values):
                listed.append(value(raw, in_file, "values", k))
                if len(self.faults) > MOST_FAULTS:
                    break
            return tuple(listed) if len(self.faults) == before else ()
        start, stop = value(table.start, in_file, "start"), value(table.stop, in_file, "stop")
        if len(self.faults) > before:
            return ()
        try:
            grid = _grid(start, stop, table.n or 0, logarithmic=table.spacing == "logarithmic")
        except ValueError as error:
            self._fault([*path, "start"], f"`{parameter.path}` {error}")
            return ()
        checked = []
        for raw in grid:
            checked.append(value(raw, False, "n"))
            if len(self.faults) > before:
                return ()
        return tuple(checked)


def _grid(start: Value, stop: Value, n: int, *, logarithmic: bool) -> list[float | int]:
    """`n` numbers from start to stop; whole ones are integers if both ends are."""
    if isinstance(start, (bool, str)) or isinstance(stop, (bool, str)):
        raise ValueError("takes no numbers, so it has no `start` and `stop`; list the `values`")
    whole = isinstance(start, int) and isinstance(stop, int)
    if logarithmic and (start == 0 or stop == 0 or (start < 0) != (stop < 0)):
        raise ValueError(
            f"goes from {start!r} to {stop!r}, but a logarithmic grid needs two ends of one sign, not zero"
        )
    with decimal.localcontext(_WORKING):
        first, last = Decimal(repr(start)), Decimal(repr(stop))
        if logarithmic:
            sign, low = (-1 if first < 0 else 1), abs(first).ln()
            length = abs(last).ln() - low
            inner = [sign * (low + length * k / (n - 1)).exp() for k in range(1, n - 1)]
        else:
            inner = [first + (last - first) * k / (n - 1) for k in range(1, n - 1)]
    rounded = [_RESULT.plus(each) for each in inner]
    return [
        start,
        *(int(each) if whole and each == each.to_integral_value() else float(each) for each in rounded),
        stop,
    ]


def _name_of(table: AxisTable) -> str:
    """Name of an axis: its own, or the last one of its path."""
    return table.name if table.name is not None else parameters.names(table.parameter[0])[-1]


def written(value: Value) -> str:
    """A value as text."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def read_axes(base: Scenario, table: SweepTable, text: str | None) -> tuple[tuple[Axis, ...], list[str]]:
    """Axes of a sweep, or else what is wrong with them.

    Parameters
    ----------
    base : Scenario
        What is swept.
    table : SweepTable
        As it was written.
    text : str, optional
        The file, if there is one: then numbers must have units.

    Returns
    -------
    tuple of Axis, list of str
        The axes, to be used if there are no sentences.
    """
    reader = _Reader(base, table, text)
    return reader.axes(), reader.faults
