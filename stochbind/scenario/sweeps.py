"""Sweeps: one scenario with a grid over any of its parameters."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import ValidationError

from stochbind import checks
from stochbind.errors import ScenarioError
from stochbind.scenario import faults, files, parameters
from stochbind.scenario.base import Scenario
from stochbind.scenario.parameters import Parameter, Value
from stochbind.scenario.sweep_axes import MOST_FAULTS, Axis, read_axes, written
from stochbind.scenario.sweep_tables import SweepFile

#: Most points that are checked when a sweep is made, times the number of particles of each; others when asked for.
_MOST_CHECKED = 2000
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True, init=False)
class Sweep:
    """A scenario, and a grid over any of its parameters or those of its ``[run]`` table.

    The points of the grid are counted from 0, the last axis fastest. The seed of point i is that of the scenario
    plus i, so that every point has noise of its own; with `same_noise` all have that of the scenario. Where
    ``run.seed`` itself is swept, the seeds are as given.

    Parameters
    ----------
    base : Scenario
        The scenario; valid as it stands.
    axes : sequence of Axis or mapping
        Axes; as a mapping, with the words of a file: `parameter`, `values` (or `start`, `stop`, `n`, `spacing`),
        `name`, `along`. Bare numbers are SI.
    same_noise : bool
        Whether all points have the same noise.

    Raises
    ------
    ScenarioError
        One line for each fault: of an axis, or of a point that is no valid scenario. Of a large sweep some points are
        checked, spread over the grid, and each when it is asked for.
    """

    base: Scenario
    axes: tuple[Axis, ...]
    same_noise: bool

    def __init__(self, base: Scenario, axes: Sequence[Axis | Mapping[str, Any]], *, same_noise: bool = False) -> None:
        if not isinstance(base, Scenario):
            raise ScenarioError(f"`base` must be a Scenario, but is {checks.short(base)}; read it with from_toml.")
        tables = [axis.to_dict() if isinstance(axis, Axis) else axis for axis in axes]
        self._fill(base, {"axis": tables, "same_noise": same_noise}, checks.short(base.name))
        self._check_points(checks.short(base.name))

    def _fill(self, base: Scenario, table: Any, origin: str, text: str | None = None) -> None:
        """Set the fields from a table of a file, if there is its `text`, or made in Python."""
        files.require_shallow(table, origin)
        try:
            checked = SweepFile.model_validate({"sweep": table}).sweep
        except ValidationError as error:
            _refuse(origin, faults.sentences(error, {"": SweepFile}, text or ""))
        axes, found = read_axes(base, checked, text)
        _refuse(origin, found)
        for name, value in {"base": base, "axes": axes, "same_noise": checked.same_noise}.items():
            object.__setattr__(self, name, value)

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Read a scenario file with a ``[sweep]`` table; only data are read, nothing in it is executed.

        Raises
        ------
        ScenarioError
            If `Scenario.from_toml` would raise it, there is no ``[sweep]`` table, or it is wrong.
        """
        return cls.parse(files.text_of(path), str(path))

    @classmethod
    def parse(cls, text: str, origin: str = "sweep") -> Self:
        """The sweep that the text of a file describes; `origin` is where it comes from, for messages."""
        data = files.data_of(text, origin)
        if "sweep" not in data:
            raise ScenarioError(f"{origin}: has no [sweep] table; read it with Scenario.from_toml.")
        table = data.pop("sweep")
        self = cls.__new__(cls)
        self._fill(files.scenario_of(data, origin, text), table, origin, text)
        self._check_points(origin)
        return self

    @classmethod
    def from_dict(cls, data: Any, origin: str = "sweep") -> Self:
        """The sweep that `to_dict` described; its points are checked when asked for.

        Raises
        ------
        ScenarioError
            If the data are no sweep.
        """
        if not isinstance(data, dict) or set(data) != {"base", "axis", "same_noise"}:
            raise ScenarioError(f"{origin}: must hold `base`, `axis` and `same_noise`, but is {checks.short(data)}.")
        self = cls.__new__(cls)
        table = {"axis": data["axis"], "same_noise": data["same_noise"]}
        self._fill(files.scenario_from_dict(data["base"], origin), table, origin)
        return self

    def to_dict(self) -> dict[str, Any]:
        """The sweep as plain data, in SI: everything that determines its points."""
        axes = [axis.to_dict() for axis in self.axes]
        return {"base": self.base.to_dict(), "axis": axes, "same_noise": self.same_noise}

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values along each axis."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def size(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    def indices(self, index: int) -> tuple[int, ...]:
        """Place of a point along each axis."""
        index = checks.integer("index", index, minimum=0, maximum=self.size - 1, error=ScenarioError)
        result = []
        for length in reversed(self.shape):
            index, place = divmod(index, length)
            result.append(place)
        return tuple(reversed(result))

    def coordinates(self, index: int) -> dict[str, Value]:
        """Coordinate of a point along each axis, by the name of the axis."""
        places = self.indices(index)
        return {axis.name: axis.settings[0].values[i] for axis, i in zip(self.axes, places, strict=True)}

    def label(self, index: int) -> str:
        """A point as messages name it, with its parameters."""
        return self._label(self.indices(index), int(index))

    def point(self, index: int) -> Scenario:
        """The scenario at a point of the grid, with its seed.

        Parameters
        ----------
        index : int
            Which point, 0 to ``size - 1``.

        Raises
        ------
        ScenarioError
            If there is no such point, or its numbers do not go together.
        """
        places = self.indices(index)
        data = copy.deepcopy(self._data)
        for axis, found, i in zip(self.axes, self._parameters, places, strict=True):
            for setting, parameter in zip(axis.settings, found, strict=True):
                parameter.set(data, setting.values[i])
        if not (self.same_noise or self._sweeps_seed):
            data["run"]["seed"] = (self.base.run.seed or 0) + int(index)
        return files.scenario_from_dict(data, self._label(places, int(index)))

    @cached_property
    def _data(self) -> dict[str, Any]:
        return self.base.to_dict()

    @cached_property
    def _parameters(self) -> list[list[Parameter]]:
        return [[parameters.find(self.base, each.parameter) for each in axis.settings] for axis in self.axes]

    @property
    def _sweeps_seed(self) -> bool:
        return any(setting.parameter == "run.seed" for axis in self.axes for setting in axis.settings)

    def __getstate__(self) -> dict[str, Any]:
        """The fields alone: what is cached is found again."""
        return {name: self.__dict__[name] for name in ("base", "axes", "same_noise")}

    def _label(self, places: tuple[int, ...], index: int) -> str:
        """A point as messages name it."""
        words = []
        for axis, i in zip(self.axes, places, strict=True):
            setting = axis.settings[0]
            words.append(f"{setting.parameter} = {written(setting.values[i])} {setting.unit}".rstrip())
        text = ", ".join(words)
        return f"point {index} ({text if len(text) <= 200 else text[:197] + '...'})"

    def _check_points(self, origin: str) -> None:
        """Make points, all or as many as take a moment, and tell which are no valid scenarios."""
        found: list[str] = []
        for index in _spread(self.size, max(2, _MOST_CHECKED // self.base.n_particles)):
            try:
                self.point(index)
            except ScenarioError as error:
                found += str(error).split("\n")
            if len(found) > MOST_FAULTS:
                found[MOST_FAULTS:] = ["and more."]
                break
        _refuse(origin, found)


def read_any(path: str | Path) -> Scenario | Sweep:
    """Read a scenario file: a sweep if it has a ``[sweep]`` table, else the scenario; see `Scenario.from_toml`."""
    text = files.text_of(path)
    if "sweep" in files.data_of(text, str(path)):
        return Sweep.parse(text, str(path))
    return files.parse(text, str(path))


def _spread(size: int, most: int) -> Iterable[int]:
    """All indices, or some spread over them in steps of the golden ratio, which keep pace with no axis."""
    if size <= most:
        return range(size)
    return sorted({0, size - 1, *(int(size * (k * _GOLDEN % 1.0)) for k in range(most - 2))})


def _refuse(origin: str, found: list[str]) -> None:
    """Raise `ScenarioError` if anything was found."""
    if found:
        raise ScenarioError("\n".join(f"{origin}: {sentence}" for sentence in found))
